import type { CardEdge, Folded } from './fold.js'

/**
 * What an edge means for the layout: `chain` is the main way through the picture and stays straight; `skip` runs beside
 * a longer way (a residual); `saved` hands a forward result to backward, `mirror` to its own backward card; `return` leads
 * from backward to backward; `back` runs against the program's order.
 */
export type EdgeRole = 'chain' | 'plain' | 'skip' | 'saved' | 'mirror' | 'return' | 'back'

/** Whether an edge hands a forward result to backward. */
export function isSavedRole(role: EdgeRole): boolean {
  return role === 'saved' || role === 'mirror'
}

const largest = 2_000

/** The role of each edge, in their order. Beyond 2,000 cards every edge is `plain`: nobody looks at such a picture. */
export function rolesOf({ cards, edges }: Folded): EdgeRole[] {
  const position = new Map([...cards.keys()].map((key, index) => [key, index]))
  const ends = edges.map((edge): readonly [number, number] => [
    position.get(edge.from) ?? 0,
    position.get(edge.to) ?? 0,
  ])
  const kinds = edges.map((edge, index): EdgeRole => {
    const [from, to] = ends[index] ?? [0, 0]
    if (edge.returns || from > to) return 'back'
    if (edge.saved) return mirrorOf(edge.from) === edge.to ? 'mirror' : 'saved'
    return 'plain'
  })
  if (cards.size > largest) return kinds
  markSkips(cards.size, ends, kinds, edges)
  markChain(cards.size, ends, kinds)
  // Updates wait long for the gradient norm: as edges without weight they would wind about.
  const updates = (id: string) => cards.get(id)?.nodes[0]?.segment === 'optimizer'
  return kinds.map((role, index) => (role === 'skip' && updates(edges[index]?.from ?? '') ? 'plain' : role))
}

/**
 * The id of the backward card of a forward card, where what forward sent has its gradient received, and the reverse; any
 * other id comes back as it is.
 */
export function mirrorOf(id: string): string {
  const backward = id.replace(/(^|\/)forward(?=\/|$)/, '$1backward')
  if (backward === id) return id
  return backward.replace(/\/(send|recv)$/, (_, op) => (op === 'send' ? '/recv' : '/send'))
}

type Ends = readonly (readonly [number, number])[]

/** Marks edges between whose ends another, longer way exists. */
function markSkips(size: number, ends: Ends, roles: EdgeRole[], edges: readonly CardEdge[]): void {
  const outgoing = neighbours(size, ends, roles, 0)
  const words = Math.ceil(size / 32)
  const reached = new Uint32Array(size * words)
  for (let card = size - 1; card >= 0; card--) {
    for (const { other } of outgoing[card] ?? []) {
      reached[card * words + (other >> 5)] = (reached[card * words + (other >> 5)] ?? 0) | (1 << (other & 31))
      for (let word = 0; word < words; word++) {
        reached[card * words + word] = (reached[card * words + word] ?? 0) | (reached[other * words + word] ?? 0)
      }
    }
  }
  const reaches = (from: number, to: number) => ((reached[from * words + (to >> 5)] ?? 0) & (1 << (to & 31))) !== 0
  for (const [from, list] of outgoing.entries()) {
    for (const { other: to, edge } of list) {
      if (roles[edge] !== 'plain') continue
      const longer = list.some(({ other }) => other !== to && reaches(other, to))
      if (longer && edges[edge]?.kind !== 'communication' && reaches(from, to)) roles[edge] = 'skip'
    }
  }
}

/** Marks the edges of the longest way, and every edge that alone leaves its source and alone enters its target. */
function markChain(size: number, ends: Ends, roles: EdgeRole[]): void {
  const incoming = neighbours(size, ends, roles, 1)
  const outgoing = neighbours(size, ends, roles, 0)
  const length = new Int32Array(size)
  const best = new Int32Array(size).fill(-1)
  let last = 0
  for (let card = 0; card < size; card++) {
    for (const { other, edge } of incoming[card] ?? []) {
      if ((length[other] ?? 0) + 1 <= (length[card] ?? 0)) continue
      length[card] = (length[other] ?? 0) + 1
      best[card] = edge
    }
    if ((length[card] ?? 0) > (length[last] ?? 0)) last = card
  }
  for (let edge = best[last] ?? -1; edge >= 0; edge = best[ends[edge]?.[0] ?? 0] ?? -1) {
    if (roles[edge] === 'plain') roles[edge] = 'chain'
  }
  for (const [edge, [from, to]] of ends.entries()) {
    if (roles[edge] === 'plain' && outgoing[from]?.length === 1 && incoming[to]?.length === 1) roles[edge] = 'chain'
  }
}

/** Per card the edges along the program's order that leave it (`side` 0) or enter it (`side` 1), without residuals. */
function neighbours(size: number, ends: Ends, roles: readonly EdgeRole[], side: 0 | 1) {
  const lists: { other: number; edge: number }[][] = Array.from({ length: size }, () => [])
  for (const [edge, pair] of ends.entries()) {
    if (roles[edge] !== 'skip' && roles[edge] !== 'back') lists[pair[side]]?.push({ other: pair[1 - side] ?? 0, edge })
  }
  return lists
}
