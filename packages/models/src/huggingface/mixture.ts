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
  /** Whether weights are normalised where the field `norm_topk_prob` does not say; absent: they are, and it is not read. */
  readonly normalised?: boolean
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
  const normalised = mixture.normalised === undefined || fields.flag('norm_topk_prob', mixture.normalised)
  return {
    kind: 'moe',
    experts,
    topK,
    intermediate: fields.size(mixture.width),
    activation: readActivation(fields, true),
    bias: mixture.bias ?? false,
    routerBias: mixture.routerBias ?? false,
    correctionBias: mixture.correctionBias ?? false,
    ...(normalised ? {} : { normalised }),
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

/** How the router of a model of DeepSeek's kin chooses experts and weighs them. */
export interface DeepSeekRouting {
  readonly correctionBias: boolean
  /** Whether `n_group` and `topk_group` limit it. */
  readonly grouped: boolean
  /** Whether weights are normalised where `norm_topk_prob` does not say. */
  readonly normalised: boolean
  /** Whether `routed_scaling_factor` scales normalised weights too, or others alone (DeepSeek-V2). */
  readonly scalesNormalised: boolean
}

/** Sigmoid scores with a correction, as DeepSeek-V3 and its kin have them. */
export const correctedRouting: DeepSeekRouting = {
  correctionBias: true,
  grouped: true,
  normalised: true,
  scalesNormalised: true,
}

/** Groups that limit routing; throws `CONTRADICTORY_FIELDS` for groups that are not equal or hold too few experts. */
function readGroups(fields: ConfigFields, { experts, topK }: MixtureOfExperts): Pick<MixtureOfExperts, 'groups'> {
  const count = fields.size('n_group', 1)
  const chosen = fields.size('topk_group', count)
  if (experts % count !== 0)
    fields.contradiction('n_group', `is ${count}, which does not divide ${experts} experts`, 'Use a divisor of them.')
  if (chosen > count)
    fields.contradiction('topk_group', `is ${chosen}, but n_group is ${count}`, `Set it to at most ${count}.`)
  if ((chosen * experts) / count < topK)
    fields.contradiction('topk_group', `is ${chosen}, whose experts are fewer than ${topK}`, 'Choose more groups.')
  return chosen === count ? {} : { groups: { count, topK: chosen } }
}

/**
 * The layers of DeepSeek and its kin: the first `first_k_dense_replace` are dense; of the others each
 * `moe_layer_freq`-th has experts: `n_routed_experts` of them and `n_shared_experts` that every token passes. Newer
 * configs say `mlp_layer_types` instead.
 */
export function deepSeekMixture(
  fields: ConfigFields,
  layers: number,
  routing: DeepSeekRouting,
): PerLayer<Layer['ffn']> {
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
    const mixture = readMixture(fields, {
      experts: 'n_routed_experts',
      width: 'moe_intermediate_size',
      correctionBias: routing.correctionBias,
      normalised: routing.normalised,
      ...(count === 0 ? {} : { shared: { count, intermediate, gate: false } }),
    })
    const scales = routing.scalesNormalised || mixture.normalised === false
    const scale = scales ? fields.factor('routed_scaling_factor', 1) : 1
    return {
      ...mixture,
      ...(routing.grouped ? readGroups(fields, mixture) : {}),
      ...(scale === 1 ? {} : { scale }),
    }
  })
}
