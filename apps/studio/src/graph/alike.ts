/** What hands something to what. */
export interface Link {
  readonly from: string
  readonly to: string
}

/** What more others than this have to do with is a hub, and as many parts as this stand well beside each other. */
const [fewOthers, fewParts] = [3, 2]

/**
 * Parts of one shape that have nothing between them and the same hubs, if more than stand well beside each other: each such group as a
 * list of its parts, and a part as the items that belong together. A hub is what more than a few others have to do with.
 */
export function alikeParts(
  items: readonly string[],
  links: readonly Link[],
  shapeOf: (id: string) => string,
): string[][][] {
  const near = new Map(items.map((id) => [id, new Set<string>()]))
  for (const { from, to } of links) {
    near.get(from)?.add(to)
    near.get(to)?.add(from)
  }
  const isHub = (id: string) => (near.get(id)?.size ?? 0) > fewOthers
  const groups = new Map<string, string[][]>()
  const seen = new Set<string>()
  const served = servedBy(links)
  for (const id of items) {
    if (isHub(id) || seen.has(id)) continue
    const part = reachable(id, (each) => [...(near.get(each) ?? [])].filter((other) => !isHub(other)), seen)
    const hubs = part.flatMap((each) => served.get(each) ?? []).filter(([, other]) => isHub(other))
    const key = [...new Set(hubs.map((hub) => hub.join(' '))), ...part.map(shapeOf)].sort().join('\n')
    groups.set(key, [...(groups.get(key) ?? []), part])
  }
  const order = new Map(items.map((id, at) => [id, at]))
  const inOrder = (part: readonly string[]) => [...part].sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0))
  return [...groups.values()].flatMap((parts) => (parts.length > fewParts ? [parts.map(inOrder)] : []))
}

/** What each item hands to and is handed by. */
function servedBy(links: readonly Link[]): Map<string, [direction: string, other: string][]> {
  const ways = new Map<string, [string, string][]>(
    links.flatMap(({ from, to }) => [
      [from, []],
      [to, []],
    ]),
  )
  for (const { from, to } of links) {
    ways.get(from)?.push(['to', to])
    ways.get(to)?.push(['from', from])
  }
  return ways
}

function reachable(start: string, next: (id: string) => readonly string[], seen: Set<string>): string[] {
  const found = [start]
  seen.add(start)
  for (const id of found)
    for (const other of next(id))
      if (!seen.has(other)) {
        seen.add(other)
        found.push(other)
      }
  return found
}

/** What hands something to what, perhaps by others, hands something back to it. */
export function onCircles(links: readonly Link[]): Set<string> {
  const next = new Map<string, Set<string>>()
  for (const { from, to } of links) next.set(from, (next.get(from) ?? new Set()).add(to))
  return new Set(
    [...next.keys()].filter((id) => {
      const seen = new Set<string>()
      reachable(id, (each) => [...(next.get(each) ?? [])], seen)
      return [...seen].some((each) => next.get(each)?.has(id))
    }),
  )
}
