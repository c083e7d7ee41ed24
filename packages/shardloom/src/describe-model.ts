import {
  countParameters,
  findPreset,
  type Layer,
  layerCounts,
  type ModelArchitecture,
  presetNames,
} from '@shardloom/models'
import { loadModel, type ReadText } from './load-model.js'

/** A model in figures, without a plan. */
export interface ModelSummary {
  /** What a spec calls it, where it is a preset. */
  readonly preset?: string
  readonly name: string
  readonly family: string
  readonly parameters: number
  /** Parameters that one token uses: of routed experts those that it is sent to. */
  readonly activeParameters: number
  readonly layers: number
  readonly hidden: number
  readonly vocabulary: number
  /** Of the first kind of layer that has them. */
  readonly heads?: number
  readonly kvHeads?: number
  readonly experts?: number
  readonly expertsPerToken?: number
  /** Elements that the KV cache of all layers grows by with each token; sliding windows stop growing at their length. */
  readonly cacheElementsPerToken: number
  /** The longest sequence that it was trained for, in tokens. */
  readonly maxPositions?: number
  /** What no phase can plan yet: a plan of this model is refused. */
  readonly undrawn?: readonly string[]
}

/** Every preset in figures, sorted by name. */
export function presetModels(): ModelSummary[] {
  return presetNames().map((preset) => summariseModel(findPreset(preset), preset))
}

/** The figures of the `model` of a spec: a preset, a file or an object. Throws what `loadSpec` throws of it. */
export async function describeModel(
  model: string | Readonly<Record<string, unknown>>,
  readText?: ReadText,
): Promise<ModelSummary> {
  const preset = typeof model === 'string' && presetNames().includes(model) ? model : undefined
  return summariseModel(await loadModel(model, readText), preset)
}

function summariseModel(architecture: ModelArchitecture, preset: string | undefined): ModelSummary {
  const { total, active } = countParameters(architecture)
  const counts = [...layerCounts(architecture)]
  const kinds = counts.flatMap(([name]) => architecture.layers[name] ?? [])
  const attention = kinds.map((each) => each.attention).find((each) => each.kind !== 'undrawn')
  const experts = kinds.map(({ ffn }) => ffn).find((ffn) => ffn.kind === 'moe')
  const { undrawn = [], maxPositions = architecture.learnedPositions } = architecture
  return {
    ...(preset !== undefined && { preset }),
    name: architecture.name,
    family: architecture.family,
    parameters: total,
    activeParameters: active,
    layers: counts.reduce((sum, [, count]) => sum + count, 0),
    hidden: architecture.hidden,
    vocabulary: architecture.vocab,
    ...(attention && { heads: attention.heads }),
    ...(attention?.kind === 'grouped' && { kvHeads: attention.kvHeads }),
    ...(experts && { experts: experts.experts, expertsPerToken: experts.topK }),
    cacheElementsPerToken: counts.reduce(
      (sum, [name, count]) => sum + count * cacheElements(architecture.layers[name]),
      0,
    ),
    ...(maxPositions !== undefined && { maxPositions }),
    ...(undrawn.length > 0 && { undrawn }),
  }
}

/** Keys and values of one token in one layer; of latent attention what both are made from (DeepSeek-V2, section 2.1). */
function cacheElements(layer: Layer | undefined): number {
  const attention = layer?.attention
  if (attention?.kind === 'grouped') return 2 * attention.kvHeads * attention.headDim
  return attention?.kind === 'latent' ? attention.kvRank + attention.ropeDim : 0
}
