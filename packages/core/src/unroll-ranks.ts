import { type Iteration, iterationsAt, startOf } from './layout.js'
import { coordinates, groupOf, neighbour } from './mesh.js'
import { coordinateOf, pipelineAtoms, runsAt } from './pipeline.js'
import { bodyAt, nodesOf, type OperatorNode, type Program, regionsOf } from './program.js'
import { sendersOf } from './sender.js'
import { programOf } from './stage-program.js'
import type { PartGraph, RankPart, UnrolledGraph } from './unroll.js'

/** One rank of the graph: where its nodes begin, and what it runs. */
interface Copy {
  readonly rank: number
  readonly base: number
  readonly graph: PartGraph
}

/**
 * Puts the graphs of ranks one after the other and joins them: the members of each collective in a chain, and so those of
 * a barrier, in time; and each send with its recv.
 */
export function joinRanks(
  program: Program,
  ranks: readonly number[],
  graphs: ReadonlyMap<number, PartGraph>,
  axes: ReadonlySet<string> | undefined,
): UnrolledGraph {
  let nodeCount = 0
  const copies = ranks.flatMap((rank): Copy[] => {
    const graph = graphs.get(coordinateOf(program, rank))
    if (!graph) return []
    const base = nodeCount
    nodeCount += graph.top.size
    return [{ rank, base, graph }]
  })
  const templates: OperatorNode[] = []
  const known = new Map<string, number>()
  const globals = new Map<PartGraph, readonly number[]>()
  for (const graph of graphs.values()) {
    const own = graph.templates.map((node) => {
      const number = known.get(node.id) ?? templates.push(node) - 1
      known.set(node.id, number)
      return number
    })
    globals.set(graph, own)
  }
  const tieOf = copies.length > 1 ? tiesOf(program, copies, axes) : () => undefined
  const inside = copies.reduce((sum, { graph }) => sum + (graph.starts[graph.top.size] ?? 0), 0)
  const ties: number[][] = []
  if (copies.length > 1) {
    for (const copy of copies) {
      const { template, templates } = copy.graph
      const tiesTo = templates.map((node) => tieOf(copy, node))
      for (let node = 0; node < template.length; node++) {
        const sources = tiesTo[template[node] as number]?.(node)
        if (sources && sources.length > 0) ties.push([copy.base + node, ...sources])
      }
    }
  }
  const edges = writeEdges(
    program,
    copies,
    ties,
    nodeCount,
    inside + ties.reduce((sum, { length }) => sum + length - 1, 0),
  )
  const template = new Int32Array(nodeCount)
  for (const { base, graph } of copies) {
    const own = globals.get(graph) ?? []
    for (let node = 0; node < graph.top.size; node++) template[base + node] = own[graph.template[node] ?? 0] ?? 0
  }
  const copyOf = (node: number): Copy | undefined => {
    let [low, high] = [0, copies.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((copies[middle]?.base ?? 0) <= node) low = middle
      else high = middle - 1
    }
    return copies[low]
  }
  const iterationsOf = (node: number) => {
    const copy = copyOf(node)
    return copy ? iterationsIn(copy.graph, node - copy.base) : []
  }
  return {
    nodeCount,
    edgeCount: edges.edgeSource.length,
    templates,
    template,
    ...edges,
    ranks,
    parts: copies.flatMap((copy) => partsOf(copy, ranks.indexOf(copy.rank), program.pipeline?.over ?? 'layer')),
    rankOf: (node) => copyOf(node)?.rank ?? 0,
    iterationsOf,
    idOf(node) {
      const at = iterationsOf(node).map(({ axis, iteration }) => `${axis}=${iteration}`)
      return `${templates[template[node] ?? 0]?.id}${at.length ? `[${at.join(',')}]` : ''}`
    },
  }
}

/** What a rank runs in turn; parts without nodes are left out. */
function partsOf({ base, graph: { top, order } }: Copy, rank: number, over: string): RankPart[] {
  const parts: RankPart[] = [{ rank, firstNode: base }]
  top.items.forEach((item, index) => {
    if (item.type === 'node' || item.axis === over) return
    const inner = top.regions.get(item.id)
    if (!inner) return
    const slots = item.axis === 'microbatch' ? order : undefined
    const begins = slots?.begins ?? Array.from(inner.starts.subarray(0, -1), (at) => at + inner.offset)
    begins.forEach((at, place) => {
      const second = slots?.seconds[place] ?? -1
      parts.push({ rank, firstNode: base + at, region: item.id, place, ...(second >= 0 && { second: base + second }) })
    })
    parts.push({ rank, firstNode: base + (top.offsets[index + 1] ?? top.size) })
  })
  const end = base + top.size
  return parts.filter(({ firstNode }, index) => firstNode < (parts[index + 1]?.firstNode ?? end))
}

/**
 * Copies the edges of each rank; `ties` gives nodes, ascending, with their sources in other ranks. With several ranks what
 * a hop of a ring receives comes from the rank next to it, if that was asked for.
 */
function writeEdges(
  { mesh }: Program,
  copies: readonly Copy[],
  ties: readonly (readonly number[])[],
  nodeCount: number,
  most: number,
) {
  const [only] = copies
  if (copies.length === 1 && only) {
    const { starts, sources, kinds } = only.graph
    return { edgeStart: starts, edgeSource: sources.slice(0, most), edgeKind: kinds.slice(0, most) }
  }
  const bases = new Map(copies.map(({ rank, base }) => [rank, base]))
  const edgeStart = new Uint32Array(nodeCount + 1)
  const edgeSource = new Uint32Array(most)
  const edgeKind = new Uint8Array(most)
  let count = 0
  let tie = 0
  for (const { rank, base, graph } of copies) {
    const { starts, sources, kinds, templates, template } = graph
    for (let node = 0; node < graph.top.size; node++) {
      edgeStart[base + node] = count
      for (let edge = starts[node] ?? 0; edge < (starts[node + 1] ?? 0); edge++) {
        const kind = kinds[edge] ?? 0
        const { atoms = [], shift = 0 } = (kind === 2 && templates[template[node] ?? 0]?.communication) || {}
        const from = kind === 2 ? bases.get(neighbour(mesh, rank, atoms, shift)) : base
        if (from === undefined) continue
        edgeSource[count] = from + (sources[edge] ?? 0)
        edgeKind[count++] = kind
      }
      if (ties[tie]?.[0] !== base + node) continue
      for (const source of ties[tie++]?.slice(1) ?? []) {
        edgeSource[count] = source
        edgeKind[count++] = templates[template[node] ?? 0]?.barrier ? 1 : 2
      }
    }
  }
  edgeStart[nodeCount] = count
  return { edgeStart, edgeSource: edgeSource.subarray(0, count), edgeKind: edgeKind.subarray(0, count) }
}

const iterationsIn = ({ top, order }: PartGraph, node: number): Iteration[] =>
  iterationsAt(top, order?.places[node] ?? node)

/** The number of a node's execution in a graph, where axes that are not unrolled do not count; −1: it does not run it. */
function numberOf(
  { addresses, order }: PartGraph,
  id: string,
  iterations: ReadonlyMap<string, number>,
  axes: ReadonlySet<string> | undefined,
): number {
  const address = addresses.get(id)
  if (!address) return -1
  let place = address.offset
  for (const { layout, body } of address.path) {
    const { region } = layout
    const folded = axes && !axes.has(region.axis)
    const iteration = folded ? region.select.findIndex((run) => run.body === body) : (iterations.get(region.axis) ?? -1)
    if (iteration < 0 || iteration >= region.extent || bodyAt(region, iteration) !== body) return -1
    place += startOf(layout, iteration)
  }
  return order?.numbers[place] ?? place
}

/** Finds how the executions of a rank's communication node are tied to nodes of other ranks; undefined: not at all. */
function tiesOf(program: Program, copies: readonly Copy[], axes: ReadonlySet<string> | undefined) {
  const byRank = new Map(copies.map((copy) => [copy.rank, copy]))
  const senders = senderNumbers(program, axes)
  /** By the atoms of a collective and a rank: the members before it that were asked for, nearest first. */
  const chains = new Map<string, readonly Copy[]>()
  const places = new Map(copies.map(({ rank }) => [rank, coordinates(program.mesh, rank)]))
  const membersBefore = (rank: number, atoms: readonly string[]) => {
    const own = places.get(rank)
    const others = program.mesh.atoms.filter(({ name }) => !atoms.includes(name))
    const isMember = (at: ReadonlyMap<string, number> | undefined) =>
      others.every(({ name }) => at?.get(name) === own?.get(name))
    return copies.filter((copy) => copy.rank < rank && isMember(places.get(copy.rank))).sort((a, b) => b.rank - a.rank)
  }
  const before = (rank: number, atoms: readonly string[]) => {
    const key = `${rank} ${atoms.join('.')}`
    const chain = chains.get(key) ?? membersBefore(rank, atoms)
    chains.set(key, chain)
    return chain
  }
  return (copy: Copy, node: OperatorNode): ((number: number) => number[]) | undefined => {
    const { atoms = node.barrier, shift } = node.communication ?? {}
    // The hops of a ring stand in the graph of each rank.
    if (!atoms || node.op === 'send' || shift !== undefined) return undefined
    if (node.op === 'recv') return senders(copy, node, byRank)
    const chain = before(copy.rank, atoms)
    if (chain.length === 0) return undefined
    return (number) => inChain(copy, node, number, chain)
  }
  function inChain(copy: Copy, node: OperatorNode, number: number, chain: readonly Copy[]): number[] {
    let iterations: ReadonlyMap<string, number> | undefined
    for (const other of chain) {
      if (other.graph === copy.graph) return [other.base + number]
      iterations ??= new Map(iterationsIn(copy.graph, number).map(({ axis, iteration }) => [axis, iteration]))
      const there = numberOf(other.graph, node.id, iterations, axes)
      if (there >= 0) return [other.base + there]
    }
    return []
  }
}

/** Finds the sends behind a recv of a pipeline: one, or as many as iterations are folded into the recv. */
function senderNumbers(program: Program, axes: ReadonlySet<string> | undefined) {
  const { mesh, pipeline } = program
  const senderOf = sendersOf(program)
  const whole = new Map(nodesOf(program.items).map((node) => [node.id, node]))
  const across = pipelineAtoms(program)
  const atCoordinate = new Map<string, number>()
  /** The rank with the same other coordinates at one of the pipeline. */
  const rankWith = (rank: number, coordinate: number) => {
    const key = `${rank} ${coordinate}`
    const found =
      atCoordinate.get(key) ?? groupOf(mesh, rank, across).find((each) => coordinateOf(program, each) === coordinate)
    if (found !== undefined) atCoordinate.set(key, found)
    return found
  }
  return (copy: Copy, node: OperatorNode, byRank: ReadonlyMap<number, Copy>) => {
    // The ids of a second direction end in a sign that the whole program does not know.
    const recv = whole.get(node.id) ?? whole.get(node.id.slice(0, -1))
    if (!recv || !pipeline) return undefined
    const suffix = node.id.slice(recv.id.length)
    return (number: number): number[] => {
      const found = new Set<number>()
      for (const iterations of behind(copy, node, number)) {
        const send = senderOf({ node: recv, iterations })
        if (!send) continue
        const at = send.iterations.get(pipeline.over)
        const [coordinate = -1] = runsAt(pipeline, send.node, at, suffix ? 1 : 0) ?? []
        const partner = byRank.get(rankWith(copy.rank, coordinate) ?? -1)
        const there = partner ? numberOf(partner.graph, `${send.node.id}${suffix}`, send.iterations, axes) : -1
        if (partner && there >= 0) found.add(partner.base + there)
      }
      return [...found]
    }
  }

  /** The iterations of the whole program that a node stands for. */
  function behind(copy: Copy, node: OperatorNode, number: number): ReadonlyMap<string, number>[] {
    let all: ReadonlyMap<string, number>[] = [new Map()]
    const own = iterationsIn(copy.graph, number)
    const regions = axes ? regionsOf(programOf(program, copy.rank).items) : []
    copy.graph.addresses.get(node.id)?.path.forEach(({ layout: { region }, body }, depth) => {
      const real = axes && !axes.has(region.axis) ? regions.find(({ id }) => id === region.id) : undefined
      const alike = real
        ? Array.from({ length: real.extent }, (_, i) => i).filter((i) => bodyAt(real, i) === body)
        : [own[depth]?.iteration ?? 0]
      const some = real && region.axis !== pipeline?.over ? alike.slice(0, 1) : alike
      all = all.flatMap((each) => some.map((iteration) => new Map(each).set(region.axis, iteration)))
    })
    return all
  }
}
