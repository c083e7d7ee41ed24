import type { Kernel, OperatorDefinition } from '@shardloom/core'

/** The two halves of what a rank has of `batch`, in each of the blocks that later operators shard it into. */
const halfOf = (dims: readonly string[], size: (dim: string) => number, blocks: number) => {
  const inner = dims.slice(dims.indexOf('batch') + 1).reduce((product, dim) => product * size(dim), 1)
  const run = size('batch') / blocks / 2
  return (at: number) => Math.floor((Math.floor(at / inner) % size('batch')) / run) % 2
}

const takeHalf: Kernel = ([values = new Float64Array()], { node, rule, size }) => {
  const { half = 0, blocks = 1 } = node.attributes ?? {}
  const own = halfOf(rule.results[0] ?? [], size, Number(blocks))
  return [values.map((value, at) => (own(at) === half ? value : 0))]
}

const joinHalves: Kernel = ([first = new Float64Array(), second = new Float64Array()], { node, rule, size }) => {
  const own = halfOf(rule.results[0] ?? [], size, Number(node.attributes?.['blocks'] ?? 1))
  return [first.map((value, at) => (own(at) === 0 ? value : (second[at] ?? 0)))]
}

const nothing = () => ({ read: 0n, written: 0n })

/** The sequences of one half of a batch: a view, which costs nothing. */
const half: OperatorDefinition = { name: 'half', linear: 'each', execute: takeHalf, bytes: nothing }

/** Both halves as one: each was written in its place, so that this costs nothing. */
const join: OperatorDefinition = { name: 'join_halves', linear: 'all', execute: joinHalves, bytes: nothing }

/** The operators that take a batch apart and put it together again. */
export const halfOperators: readonly OperatorDefinition[] = [half, join]
