import type { GroupedAttention } from '../architecture.js'
import type { ConfigFields, FieldName } from './config-fields.js'
import { everyLayer, type PerLayer } from './layer-order.js'

const TYPE_KINDS: ReadonlyMap<unknown, string> = new Map([
  ['full_attention', 'full'],
  ['sliding_attention', 'sliding'],
  ['chunked_attention', 'chunked'],
])

/** No biases on the projections. */
export const NO_BIAS: GroupedAttention['bias'] = { qkv: false, out: false }

/** The class defaults of a family's attention heads; a field without a default must be given. */
export interface HeadDefaults {
  readonly heads?: number
  /** `heads`: as many as query heads. */
  readonly kvHeads?: number | 'heads'
  /** `quotient`: the hidden size divided by the heads. */
  readonly headDim: number | 'quotient' | 'required'
}

/** Reads and checks the numbers of heads and the size of one. */
export function readHeads(
  fields: ConfigFields,
  defaults: HeadDefaults,
): Pick<GroupedAttention, 'heads' | 'kvHeads' | 'headDim'> {
  const heads = fields.size(['num_attention_heads', 'n_head'], defaults.heads)
  const kvHeads = fields.size('num_key_value_heads', defaults.kvHeads === 'heads' ? heads : defaults.kvHeads)
  if (heads % kvHeads !== 0) {
    fields.contradiction(
      'num_key_value_heads',
      `is ${kvHeads}, which does not divide the ${heads} attention heads`,
      `Set ${fields.prefix}num_key_value_heads to a divisor of ${heads}.`,
    )
  }
  if (fields.has('head_dim') || defaults.headDim === 'required') {
    return { heads, kvHeads, headDim: fields.size('head_dim') }
  }
  const headDim =
    defaults.headDim === 'quotient'
      ? headQuotient(fields, 'hidden_size', heads, ', or give head_dim')
      : defaults.headDim
  return { heads, kvHeads, headDim }
}

/** The hidden size divided by the heads; throws `CONTRADICTORY_FIELDS` when that is not whole. */
export function headQuotient(fields: ConfigFields, hiddenName: FieldName, heads: number, otherHelp = ''): number {
  const hidden = fields.size(hiddenName)
  if (hidden % heads !== 0) {
    const name = fields.value(hiddenName)?.name ?? 'hidden_size'
    fields.contradiction(
      name,
      `is ${hidden}, which the ${heads} attention heads do not divide`,
      `Set ${fields.prefix}${name} to a multiple of ${heads}${otherHelp}.`,
    )
  }
  return hidden / heads
}

/** Grouped attention with rotary positions. */
export function rotaryAttention(
  fields: ConfigFields,
  defaults: HeadDefaults,
  rest: Pick<GroupedAttention, 'bias' | 'qkNorm' | 'sinks'>,
): GroupedAttention {
  return { kind: 'grouped', ...readHeads(fields, defaults), ...rest, rotary: true }
}

/** Grouped attention of the older families, which may have learned positions. */
export function plainAttention(
  heads: Pick<GroupedAttention, 'heads' | 'kvHeads' | 'headDim'>,
  bias: GroupedAttention['bias'],
  rotary: boolean,
): GroupedAttention {
  return { kind: 'grouped', ...heads, bias, rotary }
}

/** The same attention at every depth, within a window when `sliding_window` is a number. */
export function windowedThroughout(fields: ConfigFields, attention: GroupedAttention): PerLayer<GroupedAttention> {
  const window = fields.optionalSize('sliding_window')
  return everyLayer(window === undefined ? attention : { ...attention, window })
}

/**
 * Sliding and full attention in turn: as `layer_types` says, or `slidingAt` where that is left out.
 * `defaultWindow` is what `sliding_window` is when it is left out.
 */
export function slidingAndFull(
  fields: ConfigFields,
  layers: number,
  attention: GroupedAttention,
  slidingAt: (depth: number) => boolean,
  defaultWindow?: number,
): PerLayer<GroupedAttention> {
  const kindAt = attentionKinds(fields, layers, ['full', 'sliding'], (depth) => (slidingAt(depth) ? 'sliding' : 'full'))
  return {
    kindAt,
    build: (kind) =>
      kind === 'sliding' ? { ...attention, window: fields.size('sliding_window', defaultWindow) } : attention,
  }
}

/** The kind of attention at each depth: from `layer_types`, or `fallback` where that is left out. */
export function attentionKinds(
  fields: ConfigFields,
  layers: number,
  allowed: readonly string[],
  fallback: (depth: number) => string,
): (depth: number) => string {
  const types = fields.listPerLayer('layer_types', layers)
  if (types === undefined) return fallback
  return (depth) => {
    const kind = TYPE_KINDS.get(types[depth])
    if (kind !== undefined && allowed.includes(kind)) return kind
    const expected = allowed.map((word) => `${word}_attention`).join(' or ')
    throw fields.unsupported(`layer_types[${depth}]`, types[depth], expected)
  }
}

/** Biases on all four projections, or on none, as `attention_bias` says. */
export function allOrNoBias(fields: ConfigFields, fallback = false): GroupedAttention['bias'] {
  const bias = fields.flag('attention_bias', fallback)
  return { qkv: bias, out: bias }
}
