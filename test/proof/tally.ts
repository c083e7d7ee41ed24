import { appendFileSync } from 'node:fs'
import type { MutationCount } from '@shardloom/testing'

/** What one proof came to; `npm run prove` adds them up. */
export interface Tally {
  readonly specs?: number
  readonly tensors?: number
  readonly executed?: Readonly<Record<string, number>>
  readonly worst?: number
  readonly mutations?: MutationCount
}

/** Writes a line to the file that the environment names in `SHARDLOOM_TALLY`; without it, does nothing. */
export function tally(entry: Tally): void {
  const file = process.env['SHARDLOOM_TALLY']
  if (file) appendFileSync(file, `${JSON.stringify(entry)}\n`)
}
