import type { Kernel, OperatorDefinition } from '@shardloom/core'

/**
 * Which elements of a tensor a part has: along `dim` the `index`-th of `parts` equal runs of each of `blocks` equal blocks
 * of what a rank holds. Blocks are the shards that a collective makes of the dim, so that every rank gets as much of each
 * part.
 */
export type PartOf = Readonly<Record<'index' | 'parts' | 'blocks', number>> & { readonly dim: string }

/** Keeps the elements of a part where they are, with zeros around them: a linear operator then gives that part of its result. */
const keepPart: Kernel = ([values = new Float64Array()], { node: { attributes = {} }, rule, size }) => {
  const { dim, index, parts, blocks } = attributes['part'] as PartOf // as the pass that makes slices writes it
  const dims = rule.results[0] ?? []
  const run = size(dim) / blocks / parts
  const inner = dims.slice(dims.indexOf(dim) + 1).reduce((product, each) => product * size(each), 1)
  const kept = (at: number) => Math.floor((Math.floor(at / inner) % size(dim)) / run) % parts === index
  return [values.map((value, at) => (kept(at) ? value : 0))]
}

const nothing = () => ({ read: 0n, written: 0n })

/** A part of a tensor: a view, which costs nothing. */
const slice: OperatorDefinition = { name: 'slice', linear: 'each', execute: keepPart, bytes: nothing }

/** The parts of a tensor as one: each was written in its place, so that this costs nothing. */
const concatenate: OperatorDefinition = {
  name: 'concatenate',
  linear: 'all',
  execute: ([first = new Float64Array(), ...others]) => [
    first.map((value, at) => others.reduce((sum, part) => sum + (part[at] ?? 0), value)),
  ],
  bytes: nothing,
}

/** The operators that take a tensor apart and put it together again. */
export const partOperators: readonly OperatorDefinition[] = [slice, concatenate]
