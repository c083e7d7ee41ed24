import { formatBytes } from 'shardloom'

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
