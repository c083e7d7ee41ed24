import { divisors, greatestCommonDivisor } from '@shardloom/core'
import type { Layer, ModelArchitecture } from '@shardloom/models'

/** A number of ranks that divide sizes, in the large plan and in the small one. */
export interface Degree {
  readonly from: number
  readonly to: number
}

/**
 * A size near `target` that the small degrees divide as the large ones divide `size`: evenly or with a rest, and with a
 * position for each rank or not. Never larger than `size`.
 */
export function smallerSize(size: number, degrees: readonly Degree[], target: number): number {
  const alike = (candidate: number) =>
    degrees.every(({ from, to }) => {
      if (candidate >= to !== size >= from) return false
      if (from === to) return greatestCommonDivisor(candidate, to) === greatestCommonDivisor(size, from)
      return (candidate % to === 0) === (size % from === 0)
    })
  const start = Math.min(size, Math.max(1, Math.round(target)))
  for (let candidate = start; candidate <= size; candidate++) if (alike(candidate)) return candidate
  for (let candidate = start; candidate > 0; candidate--) if (alike(candidate)) return candidate
  return size
}

/** As few redundant experts as `ep` divides together with the experts of the small model, where it does so in the large one. */
export function fewCopies(redundant: number, from: ModelArchitecture, to: ModelArchitecture, ep: Degree): number {
  const experts = ({ layers }: ModelArchitecture) =>
    Object.values(layers).reduce((most, { ffn }) => Math.max(most, ffn.kind === 'moe' ? ffn.experts : 0), 0)
  const even = (experts(from) + redundant) % ep.from === 0
  for (let copies = 1; copies <= ep.to; copies++) if (((experts(to) + copies) % ep.to === 0) === even) return copies
  return redundant
}

/** What the sizes of a small model are measured by. */
export interface Scale {
  /** The degree of each axis, and the ranks of all together. */
  readonly degrees: readonly Degree[]
  /** The hidden size to come near to; other widths keep their ratio to it. */
  readonly hidden: number
  /** Tokens of a sequence in the first step and in the last one, so that windows keep their reach. */
  readonly tokens: { readonly first: Degree; readonly last: Degree }
  /** Whether all ranks may divide each size, as where a plugin splits a dim that the built-in strategies leave whole. */
  readonly divisible: boolean
  /** Whether ranks that split nothing of a weight may store it in shards, along whatever dim all of them divide. */
  readonly stored: boolean
  /** The layers that stay. */
  readonly order: ModelArchitecture['order']
}

/** A model with the same operators and small sizes. */
export function shrinkArchitecture(model: ModelArchitecture, scale: Scale): ModelArchitecture {
  const ratio = scale.hidden / model.hidden
  const width = (size: number, least = 1) => smallerSize(size, scale.degrees, Math.max(least, size * ratio))
  const hidden = width(model.hidden)
  const layers = Object.entries(model.layers).map(([name, layer]): [string, Layer] => [
    name,
    { ...layer, attention: shrinkAttention(layer.attention, scale, ratio), ffn: shrinkFfn(layer.ffn, scale, width) },
  ])
  return {
    ...model,
    hidden,
    // A vocabulary is many times as wide as anything else; some rows more than the hidden size has elements are enough.
    vocab: smallerSize(model.vocab, scale.degrees, Math.min(model.vocab * ratio, 4 * hidden)),
    layers: Object.fromEntries(layers),
    order: scale.order,
    ...(model.learnedPositions !== undefined && {
      learnedPositions: Math.min(model.learnedPositions, 2 * scale.tokens.last.to),
    }),
  }
}

function shrinkAttention(attention: Layer['attention'], scale: Scale, ratio: number): Layer['attention'] {
  const { degrees } = scale
  const even = (size: number, least: number) => Math.min(size, 2 * Math.max(1, Math.round((size * ratio) / 2), least))
  if (attention.kind === 'latent') {
    const heads = smallerSize(attention.heads, degrees, 2)
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
  const kvHeads = smallerSize(attention.kvHeads, degrees, 1)
  const group = attention.heads / attention.kvHeads
  const rest = (degree: number, size: number) => degree / greatestCommonDivisor(size, degree)
  // What the KV heads leave of a degree falls to the query heads that share one.
  const left = scale.divisible
    ? degrees
    : degrees.map(({ from, to }) => ({ from: rest(from, attention.kvHeads), to: rest(to, kvHeads) }))
  const heads = kvHeads * smallerSize(group, left, Math.min(group, 2))
  return {
    ...attention,
    heads,
    kvHeads,
    headDim: smallerSize(
      attention.headDim,
      scale.stored ? [...left, ...degrees] : left,
      even((attention.headDim * attention.heads) / heads, 1),
    ),
    ...(window !== undefined && { window: reach(window, scale) }),
    ...(chunk !== undefined && { chunk: reach(chunk, scale) }),
  }
}

/** A window or chunk that the sequence outgrows in the small model when it does in the large one: at once, or while decoding. */
function reach(size: number, { tokens: { first, last } }: Scale): number {
  if (size < first.from) return Math.max(1, Math.min(size, Math.ceil(first.to / 2)))
  return size < last.from ? Math.min(size, first.to) : size
}

function shrinkFfn(ffn: Layer['ffn'], scale: Scale, width: (size: number) => number): Layer['ffn'] {
  if (ffn.kind === 'dense') return { ...ffn, intermediate: width(ffn.intermediate) }
  const experts = smallerSize(ffn.experts, scale.degrees, 4)
  const topK = ffn.topK === ffn.experts ? experts : Math.min(ffn.topK, 2, experts)
  const { shared, groups } = ffn
  // Two groups, or as few as divide the experts, of which a token gets as few as hold enough of them.
  const count = divisors(experts)[1] ?? 1
  return {
    ...ffn,
    experts,
    topK,
    ...(groups && { groups: { count, topK: Math.ceil((topK * count) / experts) } }),
    intermediate: width(ffn.intermediate),
    ...(shared && { shared: { ...shared, intermediate: width(shared.intermediate) } }),
  }
}
