import type { DenseFfn, Layer, MixtureOfExperts } from '../architecture.js'
import type { ConfigFields, FieldName } from './config-fields.js'
import { readActivation } from './ffn.js'
import type { PerLayer } from './layer-order.js'

/** How a family names the fields of its experts, and what it adds to them. */
export interface MixtureFields {
  readonly experts: FieldName
  readonly topK?: FieldName
  /** The field with the width of one expert. */
  readonly width: FieldName
  readonly bias?: boolean
  readonly routerBias?: boolean
  readonly correctionBias?: boolean
  readonly shared?: MixtureOfExperts['shared']
}

/** Reads routed experts; throws `CONTRADICTORY_FIELDS` when a token would choose more experts than there are. */
export function readMixture(fields: ConfigFields, mixture: MixtureFields): MixtureOfExperts {
  const topKName = mixture.topK ?? 'num_experts_per_tok'
  const experts = fields.size(mixture.experts)
  const topK = fields.size(topKName)
  if (topK > experts) {
    const name = fields.value(topKName)?.name ?? 'num_experts_per_tok'
    const expertsName = fields.value(mixture.experts)?.name ?? 'num_experts'
    fields.contradiction(
      name,
      `is ${topK}, but ${fields.prefix}${expertsName} is ${experts}`,
      `Set ${fields.prefix}${name} to at most ${experts}.`,
    )
  }
  return {
    kind: 'moe',
    experts,
    topK,
    intermediate: fields.size(mixture.width),
    activation: readActivation(fields, true),
    bias: mixture.bias ?? false,
    routerBias: mixture.routerBias ?? false,
    correctionBias: mixture.correctionBias ?? false,
    ...(mixture.shared === undefined ? {} : { shared: mixture.shared }),
  }
}

/** Dense layers and layers of experts, as `sparseAt` tells; the dense width is read only where a layer is dense. */
export function denseAndSparse(
  fields: ConfigFields,
  sparseAt: (depth: number) => boolean,
  mixture: () => MixtureOfExperts,
  denseWidth: FieldName = 'intermediate_size',
): PerLayer<Layer['ffn']> {
  const dense = (): DenseFfn => ({
    kind: 'dense',
    intermediate: fields.size(denseWidth),
    activation: readActivation(fields, true),
    bias: false,
  })
  return {
    kindAt: (depth) => (sparseAt(depth) ? 'moe' : 'dense'),
    build: (kind) => (kind === 'moe' ? mixture() : dense()),
  }
}

/**
 * The layers of DeepSeek and its kin: the first `first_k_dense_replace` are dense; of the others each
 * `moe_layer_freq`-th has experts: `n_routed_experts` of them and `n_shared_experts` that every token passes. Newer
 * configs say `mlp_layer_types` instead.
 */
export function deepSeekMixture(fields: ConfigFields, layers: number, correctionBias: boolean): PerLayer<Layer['ffn']> {
  const types = fields.listPerLayer('mlp_layer_types', layers)
  const hasExperts = fields.has('n_routed_experts')
  const firstDense = types === undefined && hasExperts ? fields.count('first_k_dense_replace') : 0
  const frequency = fields.size('moe_layer_freq', 1)
  const sparseAt = (depth: number) => {
    if (types === undefined) return hasExperts && depth >= firstDense && depth % frequency === 0
    const type = types[depth]
    if (type !== 'sparse' && type !== 'dense') fields.invalid(`mlp_layer_types[${depth}]`, type, 'sparse or dense')
    return type === 'sparse'
  }
  return denseAndSparse(fields, sparseAt, () => {
    const count = fields.count('n_shared_experts', 0)
    const intermediate = count * fields.size('moe_intermediate_size')
    return readMixture(fields, {
      experts: 'n_routed_experts',
      width: 'moe_intermediate_size',
      correctionBias,
      ...(count === 0 ? {} : { shared: { count, intermediate, gate: false } }),
    })
  })
}
