import type { Layer, ModelArchitecture } from '@shardloom/models'

/** Greatest common divisor by Euclid's algorithm. */
function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b)
}

/**
 * A size near `target` that the degrees divide as they divide `size`: it has the same greatest common divisor with the
 * number of ranks, and as many positions as ranks where `size` has. Never larger than `size`.
 */
export function smallerSize(size: number, ranks: number, target: number): number {
  const shared = commonDivisor(size, ranks)
  const alike = (candidate: number) =>
    commonDivisor(candidate, ranks) === shared && candidate >= ranks === size >= ranks
  let candidate = Math.max(1, Math.round(target / shared)) * shared
  while (candidate < size && !alike(candidate)) candidate += shared
  return Math.min(candidate, size)
}

/** What the sizes of a small model are measured by. */
export interface Scale {
  /** How many ranks share the work. */
  readonly ranks: number
  /** The hidden size to come near to; other widths keep their ratio to it. */
  readonly hidden: number
  /** Tokens of a sequence in the small model and in the large one, so that windows keep their reach. */
  readonly seq: number
  readonly fullSeq: number
  /** Whether all ranks may divide each size, as where a plugin splits a dim that the built-in strategies leave whole. */
  readonly divisible: boolean
  /** The layers that stay. */
  readonly order: ModelArchitecture['order']
}

/** A model with the same operators and small sizes. */
export function shrinkArchitecture(model: ModelArchitecture, scale: Scale): ModelArchitecture {
  const ratio = scale.hidden / model.hidden
  const width = (size: number, least = 1) => smallerSize(size, scale.ranks, Math.max(least, size * ratio))
  const hidden = width(model.hidden)
  const layers = Object.entries(model.layers).map(([name, layer]): [string, Layer] => [
    name,
    { ...layer, attention: shrinkAttention(layer.attention, scale, ratio), ffn: shrinkFfn(layer.ffn, scale, width) },
  ])
  return {
    ...model,
    hidden,
    vocab: width(model.vocab),
    layers: Object.fromEntries(layers),
    order: scale.order,
    ...(model.learnedPositions !== undefined && { learnedPositions: Math.min(model.learnedPositions, 2 * scale.seq) }),
  }
}

function shrinkAttention(attention: Layer['attention'], scale: Scale, ratio: number): Layer['attention'] {
  const { ranks } = scale
  const even = (size: number, least: number) => Math.min(size, 2 * Math.max(1, Math.round((size * ratio) / 2), least))
  if (attention.kind === 'latent') {
    const heads = smallerSize(attention.heads, ranks, 2)
    // Heads may shrink less than widths: what they hold together keeps its ratio to the hidden size.
    const part = (size: number) => even((size * attention.heads) / heads, 1)
    const { queryRank } = attention
    return {
      ...attention,
      heads,
      ...(queryRank !== undefined && { queryRank: even(queryRank, 2) }),
      kvRank: even(attention.kvRank, 2),
      nopeDim: part(attention.nopeDim),
      ropeDim: part(attention.ropeDim),
      valueDim: part(attention.valueDim),
    }
  }
  if (attention.kind !== 'grouped') return attention
  const { window, chunk } = attention
  const kvHeads = smallerSize(attention.kvHeads, ranks, 1)
  const group = attention.heads / attention.kvHeads
  const left = scale.divisible ? ranks : ranks / commonDivisor(attention.kvHeads, ranks)
  const heads = kvHeads * smallerSize(group, left, Math.min(group, 2))
  return {
    ...attention,
    heads,
    kvHeads,
    headDim: smallerSize(attention.headDim, left, even((attention.headDim * attention.heads) / heads, 1)),
    ...(window !== undefined && { window: reach(window, scale) }),
    ...(chunk !== undefined && { chunk: reach(chunk, scale) }),
  }
}

/** A window or chunk that is shorter than the small sequence where the large one was shorter than the large sequence. */
function reach(size: number, { seq, fullSeq }: Scale): number {
  return size < fullSeq ? Math.max(1, Math.min(size, Math.ceil(seq / 2))) : size
}

function shrinkFfn(ffn: Layer['ffn'], scale: Scale, width: (size: number) => number): Layer['ffn'] {
  if (ffn.kind === 'dense') return { ...ffn, intermediate: width(ffn.intermediate) }
  const experts = smallerSize(ffn.experts, scale.ranks, 4)
  const topK = ffn.topK === ffn.experts ? experts : Math.min(ffn.topK, 2, experts)
  const { shared } = ffn
  return {
    ...ffn,
    experts,
    topK,
    intermediate: width(ffn.intermediate),
    ...(shared && { shared: { ...shared, intermediate: width(shared.intermediate) } }),
  }
}
