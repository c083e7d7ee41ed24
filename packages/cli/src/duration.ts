import { formatQuantity } from 'shardloom'

/** A share of 1 as `12.3 %`. */
export const percent = (share: number) => `${(100 * share).toFixed(1)} %`

/** Seconds with three digits: `13.8 s`, `412 ms`, `38.1 µs`. */
export function duration(seconds: number): string {
  if (seconds >= 1 || seconds === 0) return formatQuantity(seconds, 's')
  const [scaled, unit] = seconds >= 1e-3 ? [seconds * 1e3, 'ms'] : [seconds * 1e6, 'µs']
  return `${Number(scaled.toPrecision(3))}\u00a0${unit}`
}
