/** Values by field, with the source of each by the path of its field, such as `peak.bf16`. */
export interface SplitFacts {
  readonly values: unknown
  readonly sources: Readonly<Record<string, string>>
}

/** Tells the values of a record from their sources: `[4.5e11, 'nccl-tuner', 'note']` becomes 4.5e11 and `nccl-tuner: note`. */
export function splitFacts(record: object): SplitFacts {
  const sources: Record<string, string> = {}
  const walk = (value: unknown, path: string): unknown => {
    if (Array.isArray(value) && typeof value[0] === 'number') {
      sources[path] = value[2] === undefined ? String(value[1]) : `${value[1]}: ${value[2]}`
      return value[0]
    }
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, walk(inner, path ? `${path}.${key}` : key)]),
    )
  }
  return { values: walk(record, ''), sources }
}
