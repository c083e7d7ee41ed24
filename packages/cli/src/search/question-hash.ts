import { createHash } from 'node:crypto'
import type { LoadedSpec } from 'shardloom'
import type { Question } from 'shardloom/search'

/** JSON in which the keys of objects are sorted by code unit: equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

/** What a spec's files hold, as a digest: a cluster, constants, a schedule. */
export function readHash({ cluster, pools, efficiency, schedule }: LoadedSpec): string {
  return createHash('sha256')
    .update(canonicalJson([cluster, pools, efficiency, schedule]))
    .digest('hex')
}

/** What tells questions apart: SHA-256 of the canonical JSON, as 64 hexadecimal digits. */
export function questionHash(question: Question): string {
  return createHash('sha256').update(canonicalJson(question)).digest('hex')
}
