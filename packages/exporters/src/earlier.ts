import { bodyAt } from '@shardloom/core'
import type { Crossing, Dependency, Occurrence } from './occurrence.js'

/**
 * What nodes wait for in earlier iterations of the region at `depth`, whose occurrences are those from `start` on. Between
 * two iterations of one run the order goes around the loop. O(occurrences + iterations of those that wait).
 */
export function dependenciesOnEarlier(occurrences: readonly Occurrence[], start: number, depth: number): Dependency[] {
  /** The last occurrence of each item in each run, and the run of each iteration, by its first. */
  const made = new Map<string, number>()
  const runs = new Map<number, number>()
  const waiting: { readonly to: number; readonly crossing: Crossing }[] = []
  for (const [offset, { node, path }] of occurrences.slice(start).entries()) {
    const crossing = path[depth]
    if (!crossing) continue
    const { first, last } = crossing.run
    made.set(`${path[depth + 1]?.region.id ?? node.id} ${first}`, start + offset)
    if (!runs.has(first)) for (let iteration = first; iteration <= last; iteration++) runs.set(iteration, first)
    const waits = node.after?.some((item) => typeof item !== 'string') && path.length === depth + 1
    if (waits) waiting.push({ to: start + offset, crossing })
  }
  const found: Dependency[] = []
  for (const { to, crossing } of waiting) {
    const { region, body, run } = crossing
    const step = region.order === 'reverse' ? 1 : -1
    const isNested = region.bodies.some(({ items }) => items.some(({ type }) => type === 'region'))
    for (const item of occurrences[to]?.node.after ?? []) {
      // Turns are iterations where none has a loop of its own.
      if (typeof item === 'string' || (item.turns && isNested)) continue
      const holds = region.bodies.map(({ items }) => items.some(({ id }) => id === item.item))
      const sources = new Set<number>()
      for (let iteration = run.first; iteration <= run.last; iteration++) {
        const before = iteration + step * item.distance
        const source = made.get(`${item.item} ${runs.get(before)}`)
        if (
          bodyAt(region, iteration) === body &&
          runs.has(before) &&
          holds[bodyAt(region, before)] &&
          source !== undefined
        )
          sources.add(source)
      }
      for (const from of sources) {
        const other = occurrences[from]?.path[depth]
        const around = other?.run.first === run.first && (other.body === body || from > to)
        found.push({ from, to, kind: 'temporal', returns: around })
      }
    }
  }
  return found
}
