/** How values are spread. Percentiles interpolate between the two nearest ranks. */
export interface Spread {
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

/** The spread of some values; of none there is none. */
export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null
  const sorted = Float64Array.from(values).sort()
  const at = (share: number) => {
    const rank = share * (sorted.length - 1)
    const [below, above] = [sorted[Math.floor(rank)] ?? 0, sorted[Math.ceil(rank)] ?? 0]
    return below + (rank - Math.floor(rank)) * (above - below)
  }
  const sum = sorted.reduce((all, value) => all + value, 0)
  return { mean: sum / sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99) }
}
