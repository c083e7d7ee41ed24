export { closePorts, type Draft, edit, lookup, rewriteItems } from './draft.js'
export { assert, type ErrorDetails, isShardloomError, nearest, ShardloomError } from './error.js'
export { describePlacement, placementsOf } from './flow.js'
export { programFromJson, programToJson } from './json.js'
export {
  type Atom,
  type Axis,
  atomDegree,
  axesOf,
  coordinates,
  createMesh,
  divisors,
  findAxis,
  groupOf,
  groupSize,
  type Mesh,
  maximumWorld,
  rankAt,
  shareOf,
} from './mesh.js'
export {
  type ByteContext,
  type DerivativeContext,
  type DerivativeTerm,
  definitionOf,
  dimSizes,
  type FlopClass,
  linearSets,
  type OperatorDefinition,
  type OperatorTable,
  operatorTable,
  reductionOf,
  splittable,
} from './operator.js'
export { orList } from './partition.js'
export {
  corePasses,
  type Instrument,
  orderPasses,
  type Pass,
  type PassContext,
  type PassPhase,
  passPhases,
  runPasses,
} from './pass.js'
export {
  type Along,
  along,
  isSlice,
  localShape,
  localSize,
  type Placement,
  payloadOf,
  placementText,
  type Reduction,
  replicated,
  ringBytes,
  samePlacement,
  type TransitionStep,
  transition,
  withoutPartial,
} from './placement.js'
export {
  type Composition,
  composePlugins,
  dimSizesOf,
  type Plugin,
  type PluginAxis,
  type PluginRule,
  withPreferences,
} from './plugin.js'
export { type Preference, type PreferenceClass, partialDim, preferenceClasses } from './preference.js'
export {
  type Body,
  bodyAt,
  bodyCounts,
  type Communication,
  type CommunicationReason,
  type DataType,
  dataTypes,
  type EdgeKind,
  type Item,
  type Json,
  type NodeKind,
  nodesOf,
  type OperatorNode,
  type Partition,
  type Phase,
  type Place,
  type Port,
  type Program,
  type Region,
  type Segment,
  type Tensor,
  type TensorRole,
  walk,
} from './program.js'
export { operandText, parseRule, type Rule } from './rule.js'
export { compileSelector, iterationsOf, layerRanges, type Matcher, type Selector, selectorFields } from './selector.js'
export { lastIteration, type Source, sourcesOf } from './source.js'
export { edgeKinds, type UnrolledGraph, type UnrollOptions, unroll } from './unroll.js'
export { type RuleReport, type Violation, verifyProgram } from './verify.js'
