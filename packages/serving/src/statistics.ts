/** How values are spread. Percentiles interpolate between the two nearest ranks. */
export interface Spread {
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

/** The spread of some values, each as often as `counts` says, by default once; of none there is none. */
export function spreadOf(values: readonly number[], counts?: readonly number[]): Spread | null {
  if (values.length === 0) return null
  const order = Uint32Array.from(values.keys()).sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0))
  const sorted = Float64Array.from(order, (place) => values[place] ?? 0)
  /** How many there are up to each of them. */
  const upTo = new Float64Array(order.length)
  let [count, sum] = [0, 0]
  for (const [index, place] of order.entries()) {
    const often = counts?.[place] ?? 1
    count += often
    sum += often * (sorted[index] ?? 0)
    upTo[index] = count
  }
  const ranked = (rank: number) => sorted[upTo.findIndex((ranks) => rank < ranks)] ?? 0
  const at = (share: number) => {
    const rank = share * (count - 1)
    const [below, above] = [ranked(Math.floor(rank)), ranked(Math.ceil(rank))]
    return below + (rank - Math.floor(rank)) * (above - below)
  }
  return { mean: sum / count, p50: at(0.5), p90: at(0.9), p99: at(0.99) }
}

/** Values in the order in which they come, those that follow an equal one counted. */
export class Runs {
  private readonly values: number[] = []
  private readonly counts: number[] = []

  add(value: number): void {
    const { values, counts } = this
    const last = values.length - 1
    if (value === values[last]) counts[last] = (counts[last] ?? 0) + 1
    else {
      values.push(value)
      counts.push(1)
    }
  }

  spread(): Spread | null {
    return spreadOf(this.values, this.counts)
  }
}
