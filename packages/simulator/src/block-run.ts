import { add, type BlockKind } from './block-kind.js'
import { reversed, runEvents, type Times, type Work } from './event-loop.js'

/** A node of an earlier block that has not ended when a block begins. */
export interface Carried {
  readonly part: number
  /** −1: what another rank has sent, on its way. */
  readonly offset: number
  /** How many blocks before the one that begins it stands. */
  readonly distance: number
  /** 0 waits for others, 1 for its stream, 2 runs. */
  readonly status: number
  /** Ticks from now to its end, where it runs. */
  readonly remaining: number
  readonly ticks: number
  readonly stream: number
  /** What it waits for, by place in the list. */
  readonly waits: readonly number[]
  /** The value of memory that it is the first to touch, and those that it is among the last to. */
  readonly takes: readonly number[]
  readonly frees: readonly number[]
}

/** What a rank has not finished when it has computed a block: equal states go on equally, whenever that is. */
export interface State {
  readonly id: number
  readonly carried: readonly Carried[]
}

/** A block run from a state: `times` are from its begin, of first what was carried, then what arrived, then its own nodes. */
export interface BlockRun {
  readonly times: Times
  readonly stream: Int32Array
  readonly lengths: Float64Array
  readonly arrivals: readonly number[]
  /** The number of the block's first node. */
  readonly base: number
  readonly waiting: number
  /** Ticks until the block has computed. */
  readonly ticks: number
  /** Nodes that have not ended then, in the order in which they go on. */
  readonly unfinished: readonly number[]
  readonly sources: (node: number) => readonly number[]
}

/** A block as it begins from a state: what is carried, then what arrives, then its own nodes. Only when something arrives is open. */
export interface BlockWork {
  readonly kind: BlockKind
  readonly work: Work
  /** How many nodes are carried. */
  readonly waiting: number
  /** The number of the block's first node. */
  readonly base: number
}

/** Prepares a block to be run from a state, for any times of its arrivals. `waits` are edges from what is carried, by node. */
export function blockWork(
  kind: BlockKind,
  { carried }: State,
  waits: readonly { readonly node: number; readonly carried: number }[],
  ticks: Float64Array,
  streams: number,
  contention: number,
): BlockWork {
  const before = carried.length
  const base = before + kind.arrivals.length
  const nodeCount = base + kind.size
  const edgeStart = new Uint32Array(nodeCount + 1)
  const most =
    kind.edgeSource.length + waits.length + kind.arrivals.length + carried.reduce((n, each) => n + each.waits.length, 0)
  const edgeSource = new Uint32Array(most)
  const lane = new Int32Array(nodeCount).fill(-1)
  const lengths = new Float64Array(nodeCount)
  const begun: { node: number; start: number; end: number }[] = []
  const queued: number[] = []
  let count = 0
  carried.forEach((each, node) => {
    edgeStart[node] = count
    lane[node] = each.stream
    lengths[node] = each.ticks
    for (const source of each.waits) edgeSource[count++] = source
    if (each.status === 2) begun.push({ node, start: each.remaining - each.ticks, end: each.remaining })
    else if (each.status === 1) queued.push(node)
  })
  edgeStart.fill(count, before, base)
  const extra = new Map<number, number[]>()
  for (const { node, carried: source } of waits) add(extra, node, source)
  kind.arrivals.forEach(({ node }, index) => {
    add(extra, node, before + index)
  })
  for (let node = 0; node < kind.size; node++) {
    edgeStart[base + node] = count
    lane[base + node] = kind.stream[node] as number
    lengths[base + node] = ticks[node] as number
    for (let edge = kind.edgeStart[node] as number; edge < (kind.edgeStart[node + 1] as number); edge++)
      edgeSource[count++] = base + (kind.edgeSource[edge] as number)
    const more = extra.size > 0 ? extra.get(node) : undefined
    if (more) for (const source of more) edgeSource[count++] = source
  }
  edgeStart[nodeCount] = count
  const until = kind.last < 0 ? -2 : base + kind.last
  const edges = { nodeCount, edgeStart, edgeSource, reversed: reversed(nodeCount, edgeStart, edgeSource) }
  return {
    kind,
    waiting: before,
    base,
    work: { ...edges, ticks: lengths, lane, ranks: 1, streams, contention, begun, queued, until },
  }
}

/** Runs a block; `arrivals` are the times for those of its kind, infinite: never. */
export function runBlock({ kind, work, waiting, base }: BlockWork, arrivals: readonly number[]): BlockRun {
  const { nodeCount, edgeStart, edgeSource, lane } = work
  const begun = [...(work.begun ?? []), ...arrivals.map((end, index) => ({ node: waiting + index, start: 0, end }))]
  const times = runEvents({ ...work, begun })
  const unfinished: number[] = []
  for (let node = 0; node < nodeCount; node++) if (times.status[node] !== 3) unfinished.push(node)
  const order = (node: number) => {
    if (times.status[node] === 0) return Number.POSITIVE_INFINITY
    const ready = times.ready[node] ?? Number.NaN
    return Number.isNaN(ready) ? Number.NEGATIVE_INFINITY : ready
  }
  unfinished.sort((a, b) => (order(a) === order(b) ? a - b : order(a) - order(b)))
  return {
    times,
    stream: lane,
    lengths: work.ticks,
    arrivals,
    base,
    waiting,
    ticks: kind.last < 0 ? 0 : (times.end[base + kind.last] ?? Number.NaN),
    unfinished,
    sources: (node) => Array.from(edgeSource.subarray(edgeStart[node], edgeStart[node + 1])),
  }
}

/**
 * When all that does not wait for what arrives at a time has ended, where nothing else is under way then and the block computes on after it:
 * from there on all would follow any later arrival at the same distance. Infinite otherwise.
 */
export function quietBefore({ times: { start, end }, waiting, base }: BlockRun, { last }: BlockKind, arrival: number) {
  if (last < 0 || (start[base + last] as number) < arrival) return Number.POSITIVE_INFINITY
  let quiet = 0
  for (let node = 0; node < start.length; node++) {
    if ((node >= waiting && node < base) || !((start[node] as number) < arrival)) continue
    if (!((end[node] as number) < arrival)) return Number.POSITIVE_INFINITY
    quiet = Math.max(quiet, end[node] as number)
  }
  return quiet
}
