import type { UnrolledGraph } from '@shardloom/core/unroll'

/** What each template of an unrolled graph takes, and where it runs. Times are whole picoseconds, so that sums are exact. */
export interface Costs {
  /** Per node. */
  readonly ticks: Float64Array
  /** Per template: the stream of its rank; 0 is the compute stream, which runs nodes in their order; −1: none. */
  readonly stream: Int8Array
  readonly streams: number
  /** The share of time beside communication by which computing takes longer. */
  readonly contention: number
}

/** When each node of an unrolled graph runs, in picoseconds. */
export interface Times {
  readonly start: Float64Array
  readonly end: Float64Array
  /** The node whose end a node's start waited for last: one that it depends on or that its stream ran before. −1: none. */
  readonly cause: Int32Array
  readonly makespan: number
  /** Nodes that ran; fewer than all, where some wait for each other. */
  readonly ran: number
}

/** A binary heap of nodes by a time and, of equal ones, by their number. */
class Heap {
  private readonly keys: number[] = []
  private readonly nodes: number[] = []

  get size(): number {
    return this.nodes.length
  }

  get firstKey(): number {
    return this.keys[0] ?? Number.POSITIVE_INFINITY
  }

  get first(): number {
    return this.nodes[0] ?? -1
  }

  push(key: number, node: number): void {
    const { keys, nodes } = this
    let at = nodes.length
    while (at > 0) {
      const up = (at - 1) >> 1
      const [k, n] = [keys[up] as number, nodes[up] as number] // up < length
      if (k < key || (k === key && n < node)) break
      keys[at] = k
      nodes[at] = n
      at = up
    }
    keys[at] = key
    nodes[at] = node
  }

  pop(): number {
    const { keys, nodes } = this
    const top = this.first
    const key = keys.pop() ?? 0
    const node = nodes.pop() ?? -1
    const size = nodes.length
    if (size === 0) return top
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      if (down >= size) break
      if (down + 1 < size && this.before(down + 1, down)) down++
      const [k, n] = [keys[down] as number, nodes[down] as number] // down < length
      if (key < k || (key === k && node < n)) break
      keys[at] = k
      nodes[at] = n
      at = down
    }
    keys[at] = key
    nodes[at] = node
    return top
  }

  private before(a: number, b: number): boolean {
    const [x, y] = [this.keys[a] as number, this.keys[b] as number] // both < length
    return x < y || (x === y && (this.nodes[a] as number) < (this.nodes[b] as number))
  }
}

/**
 * Runs an unrolled graph: a node starts when all that it depends on has ended and its stream is free. The compute stream of
 * a rank runs nodes in their order, as a queue on the device does; other streams run whoever is ready first. Nodes without a
 * stream end when they begin. O((nodes + edges) · log streams).
 */
export function runGraph(graph: UnrolledGraph, { ticks, stream, streams, contention }: Costs): Times {
  const { nodeCount, edgeCount, edgeStart, edgeSource, template } = graph
  const start = new Float64Array(nodeCount).fill(Number.NaN)
  const end = new Float64Array(nodeCount).fill(Number.NaN)
  const cause = new Int32Array(nodeCount).fill(-1)
  const open = new Int32Array(nodeCount)
  const place = new Int32Array(nodeCount)
  const dependentStart = new Uint32Array(nodeCount + 1)
  const dependents = new Uint32Array(edgeCount)
  for (let edge = 0; edge < edgeCount; edge++) {
    const after = (edgeSource[edge] as number) + 1
    dependentStart[after] = (dependentStart[after] as number) + 1
  }
  for (let node = 0; node < nodeCount; node++)
    dependentStart[node + 1] = (dependentStart[node + 1] as number) + (dependentStart[node] as number)
  const fill = dependentStart.slice(0, nodeCount)
  const bases: number[] = []
  graph.ranks.forEach(() => bases.push(0))
  let rank = -1
  let last = Number.NaN
  for (let node = 0; node < nodeCount; node++) {
    const own = graph.rankOf(node)
    if (own !== last) {
      rank++
      last = own
      bases[rank] = node
    }
    place[node] = rank
    open[node] = (edgeStart[node + 1] as number) - (edgeStart[node] as number)
    for (let edge = edgeStart[node] as number; edge < (edgeStart[node + 1] as number); edge++) {
      const source = edgeSource[edge] as number
      const at = fill[source] as number
      dependents[at] = node
      fill[source] = at + 1
    }
  }
  const ranks = graph.ranks.length
  const running = new Int32Array(ranks * streams).fill(-1)
  const previous = new Int32Array(ranks * streams).fill(-1)
  const waiting = Array.from({ length: ranks * streams }, () => new Heap())
  /** Per rank the next node of its compute stream. */
  const next = Int32Array.from(bases)
  const limit = Int32Array.from({ length: ranks }, (_, index) => bases[index + 1] ?? nodeCount)
  /** Time in which a rank communicates, up to `since` where it does so now, and what a running kernel found on its start. */
  const busy = new Float64Array(ranks)
  const since = new Float64Array(ranks)
  const active = new Int32Array(ranks)
  const found = new Float64Array(ranks)
  const extended = new Uint8Array(ranks)
  const events = new Heap()
  const ended: number[] = []
  let ran = 0
  let now = 0

  const communicated = (of: number) => (busy[of] as number) + (active[of] ? now - (since[of] as number) : 0)
  const begin = (node: number, slot: number, on: number, of: number) => {
    const before = previous[slot] as number
    if (before >= 0 && end[before] === now) cause[node] = before
    start[node] = now
    running[slot] = node
    if (on === 0) {
      found[of] = communicated(of)
      extended[of] = 0
    } else {
      if (active[of] === 0) since[of] = now
      active[of] = (active[of] as number) + 1
    }
    events.push(now + (ticks[node] as number), node)
  }
  /** Starts what the compute stream of a rank has next, if it is ready. */
  const advance = (of: number) => {
    const slot = of * streams
    if ((running[slot] as number) >= 0) return
    let node = next[of] as number
    while (node < (limit[of] as number) && stream[template[node] as number] !== 0) node++
    next[of] = node
    if (node < (limit[of] as number) && open[node] === 0) begin(node, slot, 0, of)
  }
  const ready = (node: number) => {
    const on = stream[template[node] as number] as number
    const of = place[node] as number
    if (on < 0) {
      start[node] = now
      end[node] = now
      ran++
      ended.push(node)
    } else if (on === 0) advance(of)
    else {
      const slot = of * streams + on
      if ((running[slot] as number) < 0 && (waiting[slot] as Heap).size === 0) begin(node, slot, on, of)
      else (waiting[slot] as Heap).push(now, node)
    }
  }
  const release = () => {
    while (ended.length > 0) {
      const node = ended.pop() as number
      for (let at = dependentStart[node] as number; at < (dependentStart[node + 1] as number); at++) {
        const dependent = dependents[at] as number
        const rest = (open[dependent] as number) - 1
        open[dependent] = rest
        if (rest > 0) continue
        cause[dependent] = node
        ready(dependent)
      }
    }
  }
  for (let node = 0; node < nodeCount; node++) if (open[node] === 0) ready(node)
  release()
  while (events.size > 0) {
    const node = events.first
    const of = place[node] as number
    const on = stream[template[node] as number] as number
    const key = events.firstKey
    now = key
    events.pop()
    if (on === 0 && !extended[of]) {
      const beside = communicated(of) - (found[of] as number)
      const longer = Math.round(contention * beside)
      if (longer > 0) {
        extended[of] = 1
        events.push(now + longer, node)
        continue
      }
    }
    const slot = of * streams + on
    end[node] = now
    ran++
    running[slot] = -1
    previous[slot] = node
    if (on > 0) {
      active[of] = (active[of] as number) - 1
      if (active[of] === 0) busy[of] = (busy[of] as number) + now - (since[of] as number)
    } else next[of] = node + 1
    ended.push(node)
    release()
    if (on === 0) advance(of)
    else if ((running[slot] as number) < 0 && (waiting[slot] as Heap).size > 0)
      begin((waiting[slot] as Heap).pop(), slot, on, of)
  }
  return { start, end, cause, makespan: now, ran }
}
