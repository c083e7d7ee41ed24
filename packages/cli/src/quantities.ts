import { formatBytes, formatQuantity } from 'shardloom'

/** A share in per cent with one digit: `61.4 %`. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)}\u00a0%`
}

/** A difference in per cent with its sign: `−18.2 %`. */
export function difference(relative: number): string {
  const rounded = (100 * Math.abs(relative)).toFixed(1)
  const sign = Number(rounded) === 0 ? '±' : relative < 0 ? '−' : '+'
  return `${sign}${rounded}\u00a0%`
}

/** Seconds with three digits: `13.8 s`, `412 ms`, `38.1 µs`. */
export function duration(seconds: number): string {
  if (seconds >= 1 || seconds === 0) return formatQuantity(seconds, 's')
  const [scaled, unit] = seconds >= 1e-3 ? [seconds * 1e3, 'ms'] : [seconds * 1e6, 'µs']
  return `${Number(scaled.toPrecision(3))}\u00a0${unit}`
}

/** What a device holds, in binary units where it is a whole number of them, as makers of memory count: `80 GiB`. */
export function capacity(bytes: number): string {
  const gibibytes = bytes / 2 ** 30
  return Number.isInteger(gibibytes) ? `${gibibytes}\u00a0GiB (${formatBytes(bytes)})` : formatBytes(bytes)
}

/** A share as a bar of eighths of blocks, full at `width` characters. */
export function bar(share: number, width = 20): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8)
  const rest = eighths % 8
  return '█'.repeat(Math.floor(eighths / 8)) + (rest > 0 ? (' ▏▎▍▌▋▊▉'[rest] ?? '') : '')
}
