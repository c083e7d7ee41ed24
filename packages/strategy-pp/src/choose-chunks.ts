import { orList, ShardloomError } from '@shardloom/core'

/** How layers are divided over the chunks of a pipeline. */
export interface Division {
  /** Layers of each chunk in the order of the data; default: divided by `balance`. */
  readonly layers?: readonly number[]
  /** `even`: as many layers in each chunk, or one more (default). `cost`: the dearest chunk is as cheap as can be. */
  readonly balance?: 'even' | 'cost'
}

/** What layers and the ends of a model cost in one forward pass, in FLOPs. */
export interface ForwardCosts {
  /** By depth. */
  readonly layers: readonly number[]
  /** What stands before the layers, with the first chunk. */
  readonly before: number
  /** What stands behind them, with the last chunk. */
  readonly behind: number
}

/**
 * The layers of each of `count` chunks, as borders: chunk `i` has the layers from `borders[i]` up to `borders[i + 1]`.
 * Throws `PIPELINE` when there are more chunks than layers, or a list of layers does not fit, and `OPTION` for a list beside
 * a `balance`.
 */
export function chooseBorders(count: number, costs: ForwardCosts, { layers, balance }: Division): number[] {
  const total = costs.layers.length
  if (layers && balance !== undefined) {
    throw new ShardloomError(
      'OPTION',
      '`options.pp.layers` divides the layers by hand, and `options.pp.balance` by rule: only one of them can.',
      { subject: 'options.pp.balance', help: 'Leave `options.pp.balance` or `options.pp.layers` out.' },
    )
  }
  if (layers) return bordersOfList(count, total, layers)
  if (count > total) {
    throw new ShardloomError(
      'PIPELINE',
      `Cannot divide ${total} layers into ${count} chunks: a chunk would be empty.`,
      {
        subject: 'pp',
        help: `Use at most ${total} chunks (pp · virtual), or list the layers of each chunk in \`options.pp.layers\`, where the first and the last may have 0.`,
      },
    )
  }
  if (balance === 'cost') return balanced(count, costs)
  return Array.from({ length: count + 1 }, (_, chunk) => Math.floor((chunk * total) / count))
}

function bordersOfList(count: number, total: number, layers: readonly number[]): number[] {
  const sum = layers.reduce((all, each) => all + each, 0)
  const empty = layers.findIndex((each, chunk) => each === 0 && chunk > 0 && chunk < layers.length - 1)
  if (layers.length === count && sum === total && empty < 0) {
    let border = 0
    return [0, ...layers.map((each) => (border += each))]
  }
  const why =
    layers.length !== count
      ? `it names ${layers.length} chunks, and the pipeline has ${count}`
      : sum !== total
        ? `its ${sum} layers are not the model's ${total}`
        : `chunk ${empty} has none, and only the first and the last may be empty`
  throw new ShardloomError('PIPELINE', `\`options.pp.layers\` does not fit: ${why}.`, {
    subject: 'options.pp.layers',
    help: `Give ${orList([count])} numbers that add up to ${total}, in the order of the data.`,
  })
}

/**
 * Borders of contiguous chunks, none empty, whose greatest cost is least: dynamic programming over (chunks, layers), O(count
 * · layers²). Of equal divisions the one with the earliest borders.
 */
function balanced(count: number, { layers, before, behind }: ForwardCosts): number[] {
  const total = layers.length
  const sums = [0]
  for (const cost of layers) sums.push((sums.at(-1) ?? 0) + cost)
  const cost = (chunk: number, from: number, to: number) =>
    (sums[to] ?? 0) - (sums[from] ?? 0) + (chunk === 0 ? before : 0) + (chunk === count - 1 ? behind : 0)
  /** best[to]: the least greatest cost of the chunks so far when they end at `to`. */
  let best = Array.from({ length: total + 1 }, (_, to) => (to > 0 ? cost(0, 0, to) : Number.POSITIVE_INFINITY))
  const cuts: number[][] = []
  for (let chunk = 1; chunk < count; chunk++) {
    const cut: number[] = []
    const next = best.map((_, to) => {
      let least = Number.POSITIVE_INFINITY
      for (let from = chunk; from < to; from++) {
        const value = Math.max(best[from] ?? Number.POSITIVE_INFINITY, cost(chunk, from, to))
        if (value >= least) continue
        least = value
        cut[to] = from
      }
      return least
    })
    cuts.push(cut)
    best = next
  }
  const borders = [total]
  for (const cut of cuts.reverse()) borders.unshift(cut[borders[0] ?? total] ?? 0)
  return [0, ...borders]
}
