import { formatBytes } from '@shardloom/exporters'

/** Writes bytes for people: a ring may send a fraction of a byte on average, which nobody wants to read. */
export function formatWholeBytes(value: number): string {
  return formatBytes(Math.round(value))
}
