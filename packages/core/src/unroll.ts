import { lastIteration, type Source, sourcesOf } from './edges.js'
import { ShardloomError } from './error.js'
import { coordinates, groupOf } from './mesh.js'
import { bodyAt, type EdgeKind, type Item, type OperatorNode, type Program, type Region } from './program.js'

/** Which axes to unroll, and for which ranks. */
export interface UnrollOptions {
  /** Iteration axes to unroll, such as `layer`; default all. A region of another axis shows each of its bodies once. */
  readonly axes?: readonly string[]
  /** Default: rank 0 alone. With several, communication edges chain the members of a collective. */
  readonly ranks?: readonly number[]
  /** Refuses to make more nodes than this (`UNROLL_SIZE`). Default 50 million. */
  readonly limit?: number
}

/** An unrolled graph in typed arrays; node numbers are in topological order within a rank. */
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
  /** The rank of a node. */
  readonly rankOf: (node: number) => number
  /** The iteration of each axis that a node stands in, outermost first. */
  readonly iterationsOf: (node: number) => readonly { readonly axis: string; readonly iteration: number }[]
  /** The template's id with its iterations: `forward/layer/attention/q[microbatch=0,layer=3]`. */
  readonly idOf: (node: number) => string
}

/** The kinds that {@link UnrolledGraph.edgeKind} numbers. */
export const edgeKinds: readonly EdgeKind[] = ['data', 'temporal', 'communication']

/** One body laid out: where each of its items begins, counted in nodes from the start of an instance of the body. */
interface Layout {
  readonly items: readonly Item[]
  readonly offsets: Int32Array
  readonly regions: ReadonlyMap<string, RegionLayout>
  readonly size: number
}

interface RegionLayout {
  readonly region: Region
  readonly bodies: readonly Layout[]
  /** Where iteration `i` begins, from the start of the region; one more entry holds the size. */
  readonly starts: Int32Array
  readonly offset: number
}

/** The way to a node: the regions around it with their bodies, and its offset in the innermost body. */
interface Address {
  readonly path: readonly { readonly layout: RegionLayout; readonly body: number }[]
  readonly offset: number
}

/**
 * Unrolls a program. Positions of nodes follow from prefix sums over the rolled structure, so that an edge costs a few
 * additions: O(nodes + edges) time, about 20 bytes for a node with its edges.
 */
export function unroll(program: Program, options: UnrollOptions = {}): UnrolledGraph {
  const { axes, ranks = [0], limit = 50_000_000 } = options
  for (const rank of ranks) coordinates(program.mesh, rank)
  const items = axes ? foldOthers(program.items, new Set(axes)) : program.items
  const top = layOut(items)
  if (top.size * ranks.length > limit) {
    throw new ShardloomError(
      'UNROLL_SIZE',
      `Unrolled, the program has ${(top.size * ranks.length).toLocaleString('en')} nodes; the limit is ${limit.toLocaleString('en')}.`,
      {
        help: 'Unroll fewer axes or ranks, or raise the limit.',
      },
    )
  }
  const templates: OperatorNode[] = []
  const addresses = new Map<string, Address>()
  const numbers = new Map<OperatorNode, number>()
  index(top, [], (node, address) => {
    numbers.set(node, templates.length)
    templates.push(node)
    addresses.set(node.id, address)
  })
  const edges = new EdgeList(top.size)
  const template = new Int32Array(top.size * ranks.length)
  new Emitter(top, sourcesOf(items), addresses, numbers, template, edges).run()
  return replicate(program, options.ranks ?? [0], top, templates, template, edges)
}

/** Regions of other axes shrink to one iteration for each of their bodies, in order of first appearance. */
function foldOthers(items: readonly Item[], axes: ReadonlySet<string>): Item[] {
  return items.map((item) => {
    if (item.type === 'node') return item
    const bodies = item.bodies.map((body) => ({ ...body, items: foldOthers(body.items, axes) }))
    if (axes.has(item.axis)) return { ...item, bodies }
    const order = [...new Set(item.select.map((run) => run.body))]
    return { ...item, bodies, extent: order.length, select: order.map((body) => ({ body, count: 1 })) }
  })
}

function layOut(items: readonly Item[]): Layout {
  const offsets = new Int32Array(items.length)
  const regions = new Map<string, RegionLayout>()
  let size = 0
  items.forEach((item, position) => {
    offsets[position] = size
    if (item.type === 'node') {
      size++
      return
    }
    const bodies = item.bodies.map((body) => layOut(body.items))
    const starts = new Int32Array(item.extent + 1)
    for (let i = 0; i < item.extent; i++)
      starts[i + 1] = (starts[i] ?? 0) + (bodies[bodyAt(item, orderedIteration(item, i))]?.size ?? 0)
    // `starts` is by place in time; a reverse region runs its last iteration first.
    regions.set(item.id, { region: item, bodies, starts, offset: size })
    size += starts[item.extent] ?? 0
  })
  return { items, offsets, regions, size }
}

/** The iteration that runs `place`-th; the same function gives the place of an iteration. */
function orderedIteration(region: Region, place: number): number {
  return region.order === 'reverse' ? region.extent - 1 - place : place
}

function index(layout: Layout, path: Address['path'], visit: (node: OperatorNode, address: Address) => void): void {
  layout.items.forEach((item, position) => {
    if (item.type === 'node') return visit(item, { path, offset: layout.offsets[position] ?? 0 })
    const region = layout.regions.get(item.id)
    region?.bodies.forEach((body, which) => {
      index(body, [...path, { layout: region, body: which }], visit)
    })
  })
}

/** Growing lists of edge ends and kinds, in order of their targets. */
class EdgeList {
  sources = new Uint32Array(1024)
  kinds = new Uint8Array(1024)
  count = 0
  readonly starts: Uint32Array

  constructor(nodes: number) {
    this.starts = new Uint32Array(nodes + 1)
  }

  add(source: number, kind: number): void {
    if (this.count === this.sources.length) {
      const sources = new Uint32Array(this.count * 2)
      sources.set(this.sources)
      this.sources = sources
      const kinds = new Uint8Array(this.count * 2)
      kinds.set(this.kinds)
      this.kinds = kinds
    }
    this.sources[this.count] = source
    this.kinds[this.count++] = kind
  }
}

/** An operand whose producer stands at a fixed distance, or one that depends on the iterations around the reader. */
type Reference =
  | { readonly kind: 'local'; readonly offset: number }
  | {
      readonly kind: 'saved'
      readonly depth: number
      readonly offset: number
      readonly layout: RegionLayout
      readonly axis: number
      readonly body: number
    }
  | { readonly kind: 'any'; readonly tensor: string }

class Emitter {
  /** Absolute start of the body instance at each depth, and the iterations that lead there. */
  private readonly bases: number[] = [0]
  private readonly iterations: number[] = []
  private readonly regions: RegionLayout[] = []
  private readonly compiled = new Map<Layout, readonly (readonly Reference[])[]>()

  constructor(
    private readonly top: Layout,
    private readonly sources: ReadonlyMap<string, Source>,
    private readonly addresses: ReadonlyMap<string, Address>,
    private readonly numbers: ReadonlyMap<OperatorNode, number>,
    private readonly template: Int32Array,
    private readonly edges: EdgeList,
  ) {}

  run(): void {
    this.body(this.top, [])
    this.edges.starts[this.top.size] = this.edges.count
  }

  private body(layout: Layout, path: Address['path']): void {
    const base = this.bases[this.bases.length - 1] ?? 0
    const references = this.compiled.get(layout) ?? this.compile(layout, path)
    layout.items.forEach((item, position) => {
      if (item.type === 'region') {
        const region = layout.regions.get(item.id)
        if (region) this.region(region, path, base)
        return
      }
      const node = base + (layout.offsets[position] ?? 0)
      this.template[node] = this.numbers.get(item) ?? 0
      this.edges.starts[node] = this.edges.count
      for (const reference of references[position] ?? []) this.follow(reference, base)
      for (const id of item.after ?? []) {
        const before = this.lastOf(id, layout, base)
        if (before >= 0) this.edges.add(before, 1)
      }
    })
  }

  private region(layout: RegionLayout, path: Address['path'], base: number): void {
    const { region } = layout
    this.regions.push(layout)
    for (let place = 0; place < region.extent; place++) {
      const iteration = orderedIteration(region, place)
      const which = bodyAt(region, iteration)
      const body = layout.bodies[which]
      if (!body) continue
      this.bases.push(base + layout.offset + (layout.starts[place] ?? 0))
      this.iterations.push(iteration)
      this.body(body, [...path, { layout, body: which }])
      this.iterations.pop()
      this.bases.pop()
    }
    this.regions.pop()
  }

  private compile(layout: Layout, path: Address['path']): readonly (readonly Reference[])[] {
    const references = layout.items.map((item): Reference[] => {
      if (item.type === 'region') return []
      return item.inputs.flatMap((tensor): Reference[] => {
        const source = this.sources.get(tensor)
        if (!source) return []
        const address = source.kind === 'node' ? this.addresses.get(source.id) : undefined
        if (!address) return [{ kind: 'any', tensor }]
        const common = commonDepth(address.path, path)
        if (common === address.path.length && common === path.length) return [{ kind: 'local', offset: address.offset }]
        const last = address.path[common]
        const axis = path.findIndex(
          (each, depth) => depth >= common && each.layout.region.axis === last?.layout.region.axis,
        )
        if (!last || address.path.length !== common + 1 || axis < 0) return [{ kind: 'any', tensor }]
        return [{ kind: 'saved', depth: common, offset: address.offset, layout: last.layout, axis, body: last.body }]
      })
    })
    this.compiled.set(layout, references)
    return references
  }

  private follow(reference: Reference, base: number): void {
    if (reference.kind === 'local') this.edges.add(base + reference.offset, 0)
    else if (reference.kind === 'saved') {
      const iteration = this.iterations[reference.axis] ?? 0
      const { layout } = reference
      if (bodyAt(layout.region, iteration) !== reference.body) return
      const start = layout.offset + (layout.starts[orderedIteration(layout.region, iteration)] ?? 0)
      this.edges.add((this.bases[reference.depth] ?? 0) + start + reference.offset, 0)
    } else {
      const at = new Map(this.regions.map((layout, depth) => [layout.region.id, this.iterations[depth] ?? 0]))
      this.resolve(reference.tensor, at)
    }
  }

  /** Adds an edge for every node behind a tensor, as seen from the given iteration of each region around the reader. */
  private resolve(tensor: string, at: ReadonlyMap<string, number>): void {
    const source = this.sources.get(tensor)
    if (!source) return
    if (source.kind === 'node') {
      const node = this.locate(source.id, at)
      if (node >= 0) this.edges.add(node, 0)
      return
    }
    const { region } = source
    if (source.kind === 'carry-inner') {
      const iteration = at.get(region.id) ?? this.sameAxis(region.axis, at) ?? lastIteration(region)
      const place = orderedIteration(region, iteration)
      if (place === 0) return this.resolve(source.port.initial, without(at, region.id))
      const previous = orderedIteration(region, place - 1)
      return this.resolve(source.port.next[bodyAt(region, previous)] ?? '', new Map(at).set(region.id, previous))
    }
    if (source.kind === 'carry-result') {
      const last = lastIteration(region)
      return this.resolve(source.port.next[bodyAt(region, last)] ?? '', new Map(at).set(region.id, last))
    }
    for (let iteration = 0; iteration < region.extent; iteration++) {
      const inner = source.port.inner[bodyAt(region, iteration)]
      if (inner) this.resolve(inner, new Map(at).set(region.id, iteration))
    }
  }

  /** The number of a node's instance: regions that the reader is not in are entered at the same iteration of their axis. */
  private locate(id: string, at: ReadonlyMap<string, number>): number {
    const address = this.addresses.get(id)
    if (!address) return -1
    let base = 0
    for (const { layout, body } of address.path) {
      const iteration =
        at.get(layout.region.id) ?? this.sameAxis(layout.region.axis, at) ?? lastIteration(layout.region)
      if (iteration >= layout.region.extent || bodyAt(layout.region, iteration) !== body) return -1
      base += layout.offset + (layout.starts[orderedIteration(layout.region, iteration)] ?? 0)
    }
    return base + address.offset
  }

  private sameAxis(axis: string, at: ReadonlyMap<string, number>): number | undefined {
    for (const layout of this.regions) if (layout.region.axis === axis) return at.get(layout.region.id)
    return undefined
  }

  /** The last node of an item of the same body. */
  private lastOf(id: string, layout: Layout, base: number): number {
    const position = layout.items.findIndex((item) => item.id === id)
    if (position < 0) return -1
    const end = position + 1 < layout.items.length ? (layout.offsets[position + 1] ?? 0) : layout.size
    return base + end - 1
  }
}

function without(at: ReadonlyMap<string, number>, id: string): Map<string, number> {
  const rest = new Map(at)
  rest.delete(id)
  return rest
}

function commonDepth(a: Address['path'], b: Address['path']): number {
  let depth = 0
  while (
    depth < a.length &&
    depth < b.length &&
    a[depth]?.layout === b[depth]?.layout &&
    a[depth]?.body === b[depth]?.body
  )
    depth++
  return depth
}

/** Copies the graph of one rank for every rank asked for, and joins the members of each collective in a chain. */
function replicate(
  program: Program,
  ranks: readonly number[],
  top: Layout,
  templates: readonly OperatorNode[],
  template: Int32Array,
  edges: EdgeList,
): UnrolledGraph {
  const size = top.size
  const place = new Map(ranks.map((rank, position) => [rank, position]))
  const before = new Map<string, number[]>()
  /** For each rank asked for, the place of the member before it in its group, or −1 for the first. */
  const membersBefore = (atoms: readonly string[]): number[] => {
    const key = atoms.join('.')
    const known = before.get(key)
    if (known) return known
    const found = ranks.map((rank) => {
      const group = groupOf(program.mesh, rank, atoms).filter((member) => place.has(member))
      const member = group[group.indexOf(rank) - 1]
      return member === undefined ? -1 : (place.get(member) ?? -1)
    })
    before.set(key, found)
    return found
  }
  const joined = ranks.length > 1
  const collectives = joined
    ? template.subarray(0, size).reduce((count, each) => count + (templates[each]?.communication ? 1 : 0), 0)
    : 0
  const edgeStart = new Uint32Array(size * ranks.length + 1)
  const edgeSource = new Uint32Array((edges.count + collectives) * ranks.length)
  const edgeKind = new Uint8Array(edgeSource.length)
  let count = 0
  ranks.forEach((_, copy) => {
    const shift = copy * size
    if (copy > 0) template.copyWithin(shift, 0, size)
    for (let node = 0; node < size; node++) {
      edgeStart[shift + node] = count
      for (let edge = edges.starts[node] ?? 0; edge < (edges.starts[node + 1] ?? 0); edge++) {
        edgeSource[count] = shift + (edges.sources[edge] ?? 0)
        edgeKind[count++] = edges.kinds[edge] ?? 0
      }
      const communication = joined ? templates[template[node] ?? 0]?.communication : undefined
      const member = communication ? (membersBefore(communication.atoms)[copy] ?? -1) : -1
      if (member >= 0) {
        edgeSource[count] = member * size + node
        edgeKind[count++] = 2
      }
    }
  })
  edgeStart[size * ranks.length] = count
  const iterationsOf = (node: number) => iterationsAt(top, node % size)
  return {
    nodeCount: size * ranks.length,
    edgeCount: count,
    templates,
    template,
    edgeStart,
    edgeSource: edgeSource.subarray(0, count),
    edgeKind: edgeKind.subarray(0, count),
    ranks,
    rankOf: (node) => ranks[Math.floor(node / size)] ?? 0,
    iterationsOf,
    idOf(node) {
      const at = iterationsOf(node).map(({ axis, iteration }) => `${axis}=${iteration}`)
      return `${templates[template[node] ?? 0]?.id}${at.length ? `[${at.join(',')}]` : ''}`
    },
  }
}

function iterationsAt(layout: Layout, node: number): { axis: string; iteration: number }[] {
  const position = upperBound(layout.offsets, node)
  const item = layout.items[position]
  if (!item || item.type === 'node') return []
  const region = layout.regions.get(item.id)
  if (!region) return []
  const inside = node - region.offset
  const place = upperBound(region.starts, inside)
  const iteration = orderedIteration(item, place)
  const body = region.bodies[bodyAt(item, iteration)]
  const deeper = body ? iterationsAt(body, inside - (region.starts[place] ?? 0)) : []
  return [{ axis: item.axis, iteration }, ...deeper]
}

/** The last position whose value is at most `value`. */
function upperBound(sorted: Int32Array, value: number): number {
  let low = 0
  let high = sorted.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((sorted[middle] ?? 0) <= value) low = middle
    else high = middle - 1
  }
  return low
}
