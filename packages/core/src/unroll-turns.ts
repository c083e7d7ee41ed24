import { timed } from './layout.js'
import { coordinateOf } from './pipeline.js'
import { bodyAt, type Item, nodesOf, type OperatorNode, type Program, regionsOf } from './program.js'
import { programOf, wholeId } from './stage-program.js'
import type { Emitted } from './unroll.js'
import { scheduledPlaces } from './unroll-order.js'

/** Which nodes wait in turns, and for what. Nodes are given by their place in a list of templates. */
export interface Turns {
  /** 1: a turn begins with it. */
  readonly begins: Uint8Array
  /** 1: others wait for it in turns. */
  readonly awaited: Uint8Array
  /** The longest distance. */
  readonly most: number
  /** Whether a node waits for another one of the turn that is `distance` before its own. */
  readonly waits: (node: number, source: number, distance: number) => boolean
}

/** Finds who waits in turns; undefined: nobody does. What is awaited is so in either direction of a pipeline. */
export function turnsOf(templates: readonly OperatorNode[]): Turns | undefined {
  const begins = new Uint8Array(templates.length)
  const awaited = new Uint8Array(templates.length)
  const numbers = new Map<string, number[]>()
  templates.forEach(({ id }, number) => {
    numbers.set(wholeId(id), [...(numbers.get(wholeId(id)) ?? []), number])
  })
  const found = new Set<number>()
  let most = 0
  const key = (node: number, source: number, distance: number) =>
    (distance * templates.length + node) * templates.length + source
  templates.forEach(({ after }, node) => {
    for (const wait of after ?? []) {
      if (typeof wait === 'string' || !wait.turns) continue
      begins[node] = 1
      most = Math.max(most, wait.distance)
      for (const source of numbers.get(wait.item) ?? []) {
        awaited[source] = 1
        found.add(key(node, source, wait.distance))
      }
    }
  })
  if (most === 0) return undefined
  return { begins, awaited, most, waits: (node, source, distance) => found.has(key(node, source, distance)) }
}

/** Visits each node with which a turn begins, with what it waits for: as places in what a rank runs, given by its templates. Linear. */
function visitTurns(
  template: ArrayLike<number>,
  { begins, awaited, most, waits }: Turns,
  visit: (node: number, sources: readonly number[]) => void,
): void {
  /** What is awaited of the turn at hand and of those before it, the latest first. */
  const last: number[][] = [[]]
  for (let node = 0; node < template.length; node++) {
    const own = template[node] as number
    if (awaited[own]) last[0]?.push(node)
    if (!begins[own]) continue
    last.unshift([])
    last.length = Math.min(last.length, most + 1)
    visit(
      node,
      last.flatMap((list, distance) => list.filter((source) => waits(own, template[source] as number, distance))),
    )
  }
}

/** Adds a temporal edge for each wait in turns to what a rank runs; the same graph where nobody waits so. Linear. */
export function inTurns(graph: Emitted, templates: readonly OperatorNode[]): Emitted {
  const turns = turnsOf(templates)
  if (!turns) return graph
  const { template, starts, sources, kinds } = graph
  const added = new Map<number, readonly number[]>()
  let edges = starts[template.length] ?? 0
  visitTurns(template, turns, (node, before) => {
    edges += before.length
    if (before.length > 0) added.set(node, before)
  })
  const more = {
    starts: new Uint32Array(template.length + 1),
    sources: new Uint32Array(edges),
    kinds: new Uint8Array(edges),
  }
  let at = 0
  for (let node = 0; node < template.length; node++) {
    more.starts[node] = at
    for (let edge = starts[node] ?? 0; edge < (starts[node + 1] ?? 0); edge++) {
      more.sources[at] = sources[edge] ?? 0
      more.kinds[at++] = kinds[edge] ?? 0
    }
    for (const source of added.get(node) ?? []) {
      more.sources[at] = source
      more.kinds[at++] = 1
    }
  }
  more.starts[template.length] = at
  return { ...graph, ...more }
}

/** How many edges waits in turns are in what a rank runs. Linear in the executions of nodes that wait or are awaited. */
export function countTurnEdges(program: Program, rank: number): number {
  const { items } = programOf(program, rank)
  const templates = nodesOf(items)
  const turns = turnsOf(templates)
  if (!turns) return 0
  const { begins, awaited } = turns
  const numbers = new Map(templates.map(({ id }, number) => [id, number]))
  const isMarked = (id: string) => {
    const number = numbers.get(id) ?? 0
    return begins[number] === 1 || awaited[number] === 1
  }
  const marked = (list: readonly Item[]): Item[] =>
    list.flatMap((item): Item[] => {
      if (item.type === 'node') return isMarked(item.id) ? [item] : []
      const bodies = item.bodies.map((body) => ({ ...body, items: marked(body.items) }))
      return bodies.some((body) => body.items.length > 0) ? [{ ...item, bodies }] : []
    })
  const { pipeline } = program
  const loop = regionsOf(items).find(({ axis }) => axis === 'microbatch')
  const coordinate = coordinateOf(program, rank)
  const isScheduled = loop && (pipeline?.actions[coordinate] ?? '') !== ''
  const places = pipeline && isScheduled ? scheduledPlaces(pipeline, coordinate, loop.extent) : undefined
  const actions: number[][] = []
  let action = 0
  const visit = (list: readonly Item[], microbatch: number, iteration: number | undefined) => {
    for (const item of list) {
      if (item.type === 'node') {
        const position = places?.positionOf(item, iteration, microbatch) ?? 0
        // What stands nowhere runs with what is before it.
        if (position >= 0) action = position
        const own = actions[action] ?? []
        actions[action] = own
        own.push(numbers.get(item.id) ?? 0)
        continue
      }
      for (let place = 0; place < item.extent; place++) {
        const at = timed(item, place)
        const body = item.bodies[bodyAt(item, at)]
        if (!body || body.items.length === 0) continue
        const isMicrobatch = item.axis === 'microbatch'
        visit(body.items, isMicrobatch ? at : microbatch, item.axis === pipeline?.over ? at : iteration)
      }
    }
  }
  visit(marked(items), 0, undefined)
  let count = 0
  visitTurns(actions.flat(), turns, (_, before) => {
    count += before.length
  })
  return count
}
