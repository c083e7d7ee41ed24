export type {
  Activation,
  DenseFfn,
  DropoutRates,
  GroupedAttention,
  LatentAttention,
  Layer,
  MixtureOfExperts,
  ModelArchitecture,
  UndrawnAttention,
} from './architecture.js'
export { type BuildOptions, buildProgram } from './build.js'
export { fromHuggingFace, readHuggingFace, supportedModelTypes } from './huggingface/index.js'
export type { Interleave } from './interleave.js'
export type { Offload, OffloadChoice } from './offload.js'
export {
  countParameters,
  layerCounts,
  type ModuleCount,
  type ParameterCount,
  type ParameterTensor,
  parameterTensors,
} from './parameters.js'
export { type TransformerOptions, transformers } from './plugin.js'
export { findPreset, presetNames, presets } from './presets/index.js'
export type { Recompute, RecomputeChoice } from './recompute.js'
