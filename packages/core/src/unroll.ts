import { checkOptions, checkProgram } from './argument.js'
import { ShardloomError } from './error.js'
import { foldOthers, type Iteration, type Layout, layOut, type RegionLayout, startOf, timed } from './layout.js'
import { coordinates } from './mesh.js'
import { coordinateOf } from './pipeline.js'
import {
  bodyAt,
  type Earlier,
  type EdgeKind,
  type OperatorNode,
  type Program,
  type Region,
  regionsOf,
  walk,
} from './program.js'
import { lastIteration, type Source, sourcesOf } from './source.js'
import { partLike, programOf } from './stage-program.js'
import { inScheduledOrder, scheduleShape } from './unroll-order.js'
import { joinRanks } from './unroll-ranks.js'
import { inTurns } from './unroll-turns.js'

/** Which axes to unroll, and for which ranks. */
export interface UnrollOptions {
  /** Iteration axes to unroll, such as `layer`; default all. A region of another axis shows each of its bodies once. */
  readonly axes?: readonly string[]
  /**
   * Default: rank 0 alone. With several, communication edges chain the members of a collective, and lead from each send
   * to its recv.
   */
  readonly ranks?: readonly number[]
  /** Refuses to make more nodes than this (`UNROLL_SIZE`). Default 50 million. */
  readonly limit?: number
}

/**
 * An unrolled graph in typed arrays; node numbers are in topological order within a rank. Where a schedule orders the
 * microbatches of a pipeline, and layers and microbatches are unrolled, nodes stand action by action, and a temporal edge
 * leads from each action to the next one of the rank. So they do where microbatches go round ({@link roundsOf}).
 */
export interface UnrolledGraph {
  readonly nodeCount: number
  readonly edgeCount: number
  /** The distinct nodes of the rolled program. */
  readonly templates: readonly OperatorNode[]
  /** Node → its template. */
  readonly template: Int32Array
  /** Edges into node `n` are `edgeStart[n]` up to `edgeStart[n + 1]`. */
  readonly edgeStart: Uint32Array
  readonly edgeSource: Uint32Array
  /** Index into {@link edgeKinds}. */
  readonly edgeKind: Uint8Array
  readonly ranks: readonly number[]
  /** What each rank runs in turn, in the order of its nodes. */
  readonly parts: readonly RankPart[]
  /** The rank of a node. */
  readonly rankOf: (node: number) => number
  /** The iteration of each axis that a node stands in, outermost first. */
  readonly iterationsOf: (node: number) => readonly Iteration[]
  /** The template's id with its iterations: `forward/layer/attention/q[microbatch=0,layer=3]`. */
  readonly idOf: (node: number) => string
}

/** A part of what a rank runs: an iteration of a loop at the top, an action of its schedule, an overlapped pair or a turn of microbatches that go round, or what is between loops. */
export interface RankPart {
  /** Index into {@link UnrolledGraph.ranks}. */
  readonly rank: number
  readonly firstNode: number
  /** The loop. Loops over what a pipeline divides, such as layers, are not taken apart. */
  readonly region?: string
  /** The iteration that runs so late, or the action or pair. */
  readonly place?: number
  /** The first node of the second action of an overlapped pair: it waits for nothing of the first one. */
  readonly second?: number
}

export type { Iteration } from './layout.js'
export { type Execution, sendersOf } from './sender.js'
export { partLike, programOf, wholeId } from './stage-program.js'
export { type Rounds, roundsOf, type ScheduledPlaces, scheduledPlaces, slotsOf, slotsRun } from './unroll-order.js'
export { countTurnEdges, type Turns, turnsOf } from './unroll-turns.js'

/** The kinds that {@link UnrolledGraph.edgeKind} numbers. */
export const edgeKinds: readonly EdgeKind[] = ['data', 'temporal', 'communication']

/** The way to a node: the regions around it with their bodies, and its offset in the innermost body. */
export interface Address {
  readonly path: readonly { readonly layout: RegionLayout; readonly body: number }[]
  readonly offset: number
}

/**
 * An operand, compiled: its producer stands `offset` behind the start of the body instance at `depth`, entered through
 * `saved` at the reader's iteration of the same axis; or its port has to be followed.
 */
interface Reference {
  readonly tensor: string
  readonly depth: number
  readonly offset: number
  readonly saved?: { readonly layout: RegionLayout; readonly body: number; readonly axis: number }
}

/**
 * Unrolls a program. Positions of nodes follow from prefix sums over the rolled structure, so that an edge costs a few
 * additions: O(nodes + edges) time, about 20 bytes for a node with its edges.
 */
export function unroll(program: Program, options: UnrollOptions = {}): UnrolledGraph {
  checkProgram(program)
  checkOptions(options, { axes: 'string[]', ranks: 'number[]', limit: 'number' })
  const { axes, ranks = [0], limit = 50_000_000 } = options
  for (const rank of ranks) coordinates(program.mesh, rank)
  const unrolled = axes && new Set(axes)
  const parts = new Map<number, { readonly part: Program; readonly like: Program; readonly size: number }>()
  let count = 0
  for (const rank of ranks) {
    const coordinate = coordinateOf(program, rank)
    const known = parts.get(coordinate) ?? sized(foldedTo(programOf(program, rank), unrolled), partLike(program, rank))
    parts.set(coordinate, known)
    count += known.size
  }
  for (const { part } of parts.values()) for (const { extent } of regionsOf(part.items)) count = Math.max(count, extent)
  if (count > limit) {
    throw new ShardloomError(
      'UNROLL_SIZE',
      `Unrolled, the program has ${count} nodes or iterations; the limit is ${limit}.`,
      {
        help: 'Unroll fewer axes or ranks, take larger microbatches or a smaller batch, or raise the limit.',
      },
    )
  }
  /** Of parts that are alike, the nodes and edges of the first; and by what their schedules are like, in its order. */
  const emitted = new Map<Program, Emitted>()
  const ordered = new Map<Program, Map<string, Emitted>>()
  const graphs = new Map(
    [...parts].map(([coordinate, { part, like }]) => {
      const graph = unrollPart(part, emitted.get(like))
      emitted.set(like, graph)
      const known = ordered.get(like) ?? new Map<string, Emitted>()
      ordered.set(like, known)
      const schedule = scheduleShape(program, coordinate)
      const own =
        known.get(schedule) ?? inTurns(inScheduledOrder(graph, program, coordinate, unrolled), graph.templates)
      known.set(schedule, own)
      return [coordinate, { ...graph, ...own }] as const
    }),
  )
  return joinRanks(program, ranks, graphs, unrolled)
}

function sized(part: Program, like: Program) {
  let size = 0
  walk(part.items, (_, { executions }) => (size += executions))
  return { part, like, size }
}

function foldedTo(program: Program, axes: ReadonlySet<string> | undefined): Program {
  return axes ? { ...program, items: foldOthers(program.items, axes) } : program
}

/** Nodes with the edges into them. */
export interface Emitted {
  readonly template: Int32Array
  readonly starts: Uint32Array
  readonly sources: Uint32Array
  readonly kinds: Uint8Array
  /**
   * Place in the layout → number of the node, and back; where each action or overlapped pair begins, and the second action of a pair
   * (−1: it is none). Absent: as laid out.
   */
  readonly order?: {
    readonly numbers: Uint32Array
    readonly places: Uint32Array
    readonly begins: readonly number[]
    readonly seconds: readonly number[]
  }
}

/** What one coordinate of the pipeline runs, unrolled; without a pipeline what every rank runs. */
export interface PartGraph extends Emitted {
  readonly top: Layout
  readonly templates: readonly OperatorNode[]
  readonly addresses: ReadonlyMap<string, Address>
}

function unrollPart({ items }: Program, alike: Emitted | undefined): PartGraph {
  const top = layOut(items)
  const templates: OperatorNode[] = []
  const addresses = new Map<string, Address>()
  visitNodes(top, [], (node, address) => {
    addresses.set(node.id, address)
    templates.push(node)
  })
  const { template, starts, sources, kinds } = alike ?? emit(top, sourcesOf(items), addresses, templates)
  return { top, templates, addresses, template, starts, sources, kinds }
}

function visitNodes(
  layout: Layout,
  path: Address['path'],
  visit: (node: OperatorNode, address: Address) => void,
): void {
  layout.items.forEach((item, position) => {
    if (item.type === 'node') return visit(item, { path, offset: layout.offsets[position] ?? 0 })
    const region = layout.regions.get(item.id)
    region?.bodies.forEach((inner, body) => visitNodes(inner, [...path, { layout: region, body }], visit))
  })
}

/** Writes the nodes and edges of one rank, instance by instance in time order. */
function emit(
  top: Layout,
  producers: ReadonlyMap<string, Source>,
  addresses: ReadonlyMap<string, Address>,
  templates: readonly OperatorNode[],
): Emitted {
  const template = new Int32Array(top.size)
  const starts = new Uint32Array(top.size + 1)
  const numbers = new Map(templates.map((node, number) => [node.id, number]))
  let sources = new Uint32Array(1024)
  let kinds = new Uint8Array(1024)
  let count = 0
  /** Start of the body instance at each depth, and the regions and iterations that lead there. */
  const bases = [0]
  const regions: RegionLayout[] = []
  const iterations: number[] = []
  /** The same by region; while a tensor is followed, as seen from where it has been followed to. */
  const at = new Map<string, number>()

  const add = (source: number, kind: number) => {
    if (count === sources.length) {
      const [longer, more] = [new Uint32Array(count * 2), new Uint8Array(count * 2)]
      longer.set(sources)
      more.set(kinds)
      sources = longer
      kinds = more
    }
    sources[count] = source
    kinds[count++] = kind
  }
  const compiled = new Map<Layout, readonly (readonly Reference[])[]>()
  const paths = new Map<Layout, Address['path']>()
  const compile = (layout: Layout, path: Address['path']) => {
    const known = compiled.get(layout)
    if (known) return known
    const references = layout.items.map((item) =>
      item.type === 'node' ? item.inputs.flatMap((id) => reference(id, path)) : [],
    )
    compiled.set(layout, references)
    return references
  }
  const reference = (tensor: string, path: Address['path']): Reference[] => {
    const source = producers.get(tensor)
    if (!source) return []
    const address = source.kind === 'node' ? addresses.get(source.id) : undefined
    const follow = [{ tensor, depth: -1, offset: 0 }]
    if (!address) return follow
    const depth = commonDepth(address.path, path)
    const entry = address.path[depth]
    if (!entry) return [{ tensor, depth, offset: address.offset }]
    const axis = path.findIndex((each, index) => index >= depth && each.layout.region.axis === entry.layout.region.axis)
    if (axis < 0 || address.path.length > depth + 1) return follow
    return [{ tensor, depth, offset: address.offset, saved: { ...entry, axis } }]
  }
  const body = (layout: Layout, path: Address['path']) => {
    const base = bases[bases.length - 1] ?? 0
    const references = compile(layout, path)
    layout.items.forEach((item, position) => {
      if (item.type === 'region') return region(layout.regions.get(item.id), path, base)
      const node = base + (layout.offsets[position] ?? 0)
      template[node] = numbers.get(item.id) ?? 0
      starts[node] = count
      for (const { tensor, depth, offset, saved } of references[position] ?? []) {
        const from = count
        if (depth < 0) resolve(tensor)
        else if (!saved) add((bases[depth] ?? 0) + offset, 0)
        else {
          const iteration = iterations[saved.axis] ?? 0
          if (bodyAt(saved.layout.region, iteration) === saved.body)
            add((bases[depth] ?? 0) + startOf(saved.layout, iteration) + offset, 0)
        }
        // What is received comes from a rank that runs the same send: `joinRanks` finds which.
        if (item.op === 'recv' && item.communication?.shift !== undefined) kinds.fill(2, from, count)
      }
      for (const before of item.after ?? [])
        if (typeof before === 'string') around(before, path)
        else if (!before.turns) earlier(path.at(-1)?.layout, before, base)
    })
  }
  /** A temporal edge from the last node of an item, which stands in the instance of a body that begins at `base`. */
  const addEnd = (layout: Layout, id: string, base: number) => {
    const position = layout.items.findIndex((each) => each.id === id)
    if (position >= 0) add(base + (layout.offsets[position + 1] ?? layout.size) - 1, 1)
  }
  /** A temporal edge from an item of the body of a node, or of one around that. */
  const around = (id: string, path: Address['path']) => {
    const bodies = [top, ...path.map(({ layout, body }) => layout.bodies[body])]
    bodies.forEach((layout, depth) => layout && addEnd(layout, id, bases[depth] ?? 0))
  }
  const earlier = (layout: RegionLayout | undefined, { item, distance }: Earlier, base: number) => {
    const iteration = iterations.at(-1) ?? 0
    if (!layout) return
    const place = timed(layout.region, iteration) - distance
    const before = timed(layout.region, place)
    const inner = layout.bodies[bodyAt(layout.region, before)]
    if (place >= 0 && inner) addEnd(inner, item, base - startOf(layout, iteration) + startOf(layout, before))
  }
  const region = (layout: RegionLayout | undefined, path: Address['path'], base: number) => {
    if (!layout) return
    regions.push(layout)
    for (let place = 0; place < layout.region.extent; place++) {
      const iteration = timed(layout.region, place)
      const which = bodyAt(layout.region, iteration)
      const inner = layout.bodies[which]
      if (!inner) continue
      bases.push(base + startOf(layout, iteration))
      iterations.push(iteration)
      at.set(layout.region.id, iteration)
      const inside = paths.get(inner) ?? [...path, { layout, body: which }]
      paths.set(inner, inside)
      body(inner, inside)
      iterations.pop()
      bases.pop()
    }
    regions.pop()
    at.delete(layout.region.id)
  }
  /** Follows a tensor as seen from another iteration of a region, or from its outside. */
  const resolveAt = (tensor: string, { id }: Region, iteration: number | undefined): void => {
    const before = at.get(id)
    if (iteration === undefined) at.delete(id)
    else at.set(id, iteration)
    resolve(tensor)
    if (before === undefined) at.delete(id)
    else at.set(id, before)
  }
  /** Adds an edge for every node behind a tensor, as seen from the iterations at hand. */
  const resolve = (tensor: string): void => {
    const source = producers.get(tensor)
    if (!source) return
    if (source.kind === 'node') {
      const node = locate(source.id)
      if (node >= 0) add(node, 0)
      return
    }
    const owner = source.region
    const from = (iteration: number) => {
      const inner = source.kind === 'reduce-result' ? source.port.inner : source.port.next
      const id = inner[bodyAt(owner, iteration)]
      if (id) resolveAt(id, owner, iteration)
    }
    if (source.kind === 'carry-result') return from(lastIteration(owner))
    if (source.kind === 'carry-inner') {
      const { inner, next } = source.port
      let place = timed(owner, at.get(owner.id) ?? sameAxis(owner.axis) ?? lastIteration(owner))
      // Iterations that others run hand on what they are given.
      while (place > 0 && next[bodyAt(owner, timed(owner, place - 1))] === inner) place--
      if (place > 0) return from(timed(owner, place - 1))
      return resolveAt(source.port.initial, owner, undefined)
    }
    for (let iteration = 0; iteration < owner.extent; iteration++) from(iteration)
  }
  /** A node's instance: regions that the reader is not in are entered at the same iteration of their axis. */
  const locate = (id: string): number => {
    const { path, offset } = addresses.get(id) ?? { path: [], offset: 0 }
    let node = offset
    for (const { layout, body: which } of path) {
      const iteration = at.get(layout.region.id) ?? sameAxis(layout.region.axis) ?? lastIteration(layout.region)
      if (iteration >= layout.region.extent || bodyAt(layout.region, iteration) !== which) return -1
      node += startOf(layout, iteration)
    }
    return node
  }
  const sameAxis = (axis: string) => {
    const found = regions.find((layout) => layout.region.axis === axis)
    return found && at.get(found.region.id)
  }
  body(top, [])
  starts[top.size] = count
  return { template, starts, sources, kinds }
}

function commonDepth(a: Address['path'], b: Address['path']): number {
  let depth = 0
  while (depth < a.length && a[depth]?.layout === b[depth]?.layout && a[depth]?.body === b[depth]?.body) depth++
  return depth
}
