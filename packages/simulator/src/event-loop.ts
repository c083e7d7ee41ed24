import { EventHeap } from './event-heap.js'

/** Nodes to run in time. Times are whole picoseconds, so that sums are exact and equal states are equal bit by bit. */
export interface Work {
  readonly nodeCount: number
  /** Edges into node `n` are `edgeStart[n]` up to `edgeStart[n + 1]`. */
  readonly edgeStart: Uint32Array
  readonly edgeSource: Uint32Array
  /** The same edges by their source; absent: found anew, which runs of the same edges need not. */
  readonly reversed?: Dependents
  readonly ticks: Float64Array
  /**
   * Rank times `streams` plus a stream of that rank; stream 0 computes, in the order of the nodes. −1: none, the node ends when it
   * begins.
   */
  readonly lane: Int32Array
  readonly ranks: number
  readonly streams: number
  /** The share of time beside communication by which computing takes longer. */
  readonly contention: number
  /** Per node the first of those that begin and end with it, as the members of a collective do; −1 or absent: by itself. */
  readonly joint?: Int32Array
  /**
   * Overlapped pairs: the first node of each, the first of its second half and the first behind it. Either half computes in its order,
   * the first one wherever it can: others wait for what it hands on. The second one computes while the first waits.
   */
  readonly pairs?: readonly (readonly [from: number, second: number, to: number])[]
  /** Nodes that have begun before, such as a transfer under way, with their end; infinite: they never end. */
  readonly begun?: readonly { readonly node: number; readonly start: number; readonly end: number }[]
  /** Nodes that wait for their stream from before, in order. */
  readonly queued?: readonly number[]
  /** Stops when this node has ended and what that sets free has begun. −1: never; −2: at once. */
  readonly until?: number
}

/** When each node runs, in picoseconds. */
export interface Times {
  /** NaN: it has not begun. */
  readonly start: Float64Array
  /** NaN: it has not ended. Of a node without computing that has begun, the time at which it will. */
  readonly end: Float64Array
  /** The node whose end a node's start waited for last: one that it depends on or that its stream ran before. −1: none. */
  readonly cause: Int32Array
  readonly makespan: number
  /** Nodes that ran; fewer than all, where some wait for each other. */
  readonly ran: number
  /** Per node: 0 waits for others, 1 waits for its stream, 2 has begun, 3 has ended. */
  readonly status: Uint8Array
  /** When a node was free to begin, but for its stream. */
  readonly ready: Float64Array
}

/**
 * Runs nodes: one starts when all that it depends on has ended and its stream is free. Computing keeps the order of the nodes, as a
 * queue on the device does; other streams run whoever was ready first. At each moment first everything ends that does, then
 * begins what can, so that no result depends on the order of equal times. O((nodes + edges) · log streams).
 */
export function runEvents(work: Work): Times {
  const { nodeCount, edgeStart, edgeSource, ticks, lane, ranks, streams, contention, joint, until = -1 } = work
  const start = new Float64Array(nodeCount).fill(Number.NaN)
  const end = new Float64Array(nodeCount).fill(Number.NaN)
  const ready = new Float64Array(nodeCount).fill(Number.NaN)
  const cause = new Int32Array(nodeCount).fill(-1)
  const status = new Uint8Array(nodeCount)
  const open = new Int32Array(nodeCount)
  const { dependentStart, dependents } = work.reversed ?? reversed(nodeCount, edgeStart, edgeSource)
  const lanes = ranks * streams
  /** Of each stream the node that it runs, and the one that it ran last. */
  const running = new Int32Array(lanes).fill(-1)
  const previous = new Int32Array(lanes).fill(-1)
  const waiting: (EventHeap | undefined)[] = new Array(lanes).fill(undefined)
  /** Computing in order: of each rank the next node, and behind each node the next one. */
  const next = new Int32Array(ranks).fill(nodeCount)
  const after = new Int32Array(nodeCount)
  /** In a pair the next node of its second half, and what comes behind both. */
  const other = new Int32Array(ranks).fill(nodeCount)
  const behind = new Int32Array(ranks).fill(nodeCount)
  const pairs = new Map<number, readonly [second: number, behind: number]>()
  /** Time in which a rank communicates, up to `since` where it does so now, and what a running kernel found on its start. */
  const busy = new Float64Array(ranks)
  const since = new Float64Array(ranks)
  const active = new Int32Array(ranks)
  const found = new Float64Array(ranks)
  const extended = new Uint8Array(ranks)
  const missing = new Int32Array(joint ? nodeCount : 0)
  const members = joint ? membersOf(joint) : undefined
  const events = new EventHeap(64)
  const closing: number[] = []
  const touched: number[] = []
  const isTouched = new Uint8Array(lanes)
  let ran = 0
  let now = 0

  const touch = (slot: number) => {
    if (isTouched[slot]) return
    isTouched[slot] = 1
    touched.push(slot)
  }
  const wait = (slot: number, node: number) => {
    const line = waiting[slot] ?? new EventHeap(8)
    waiting[slot] = line
    line.push(now, node)
  }
  const communicated = (of: number) => (busy[of] as number) + (active[of] ? now - (since[of] as number) : 0)
  const finish = (node: number) => {
    end[node] = now
    status[node] = 3
    ran++
    closing.push(node)
  }
  /** The source that ended last; of several the one with the highest number. */
  const causeOf = (node: number) => {
    let last = -1
    for (let edge = edgeStart[node] as number; edge < (edgeStart[node + 1] as number); edge++) {
      const source = edgeSource[edge] as number
      if (last < 0 || (end[source] as number) > (end[last] as number)) last = source
      else if (end[source] === end[last] && source > last) last = source
    }
    return last
  }
  const enqueue = (node: number) => {
    const slot = lane[node] as number
    ready[node] = now
    status[node] = 1
    if (slot < 0) {
      start[node] = now
      cause[node] = causeOf(node)
      return finish(node)
    }
    if (slot % streams > 0) wait(slot, node)
    touch(slot)
  }
  const release = (node: number) => {
    const first = joint ? (joint[node] as number) : -1
    if (first < 0 || !members) return enqueue(node)
    const left = (missing[first] as number) - 1
    missing[first] = left
    if (left === 0) for (const member of members.get(first) ?? []) enqueue(member)
  }
  const close = () => {
    while (closing.length > 0) {
      const node = closing.pop() as number
      for (let at = dependentStart[node] as number; at < (dependentStart[node + 1] as number); at++) {
        const dependent = dependents[at] as number
        const rest = (open[dependent] as number) - 1
        open[dependent] = rest
        if (rest === 0 && status[dependent] === 0) release(dependent)
      }
    }
  }
  const occupy = (node: number, slot: number) => {
    running[slot] = node
    status[node] = 2
    const of = (slot / streams) | 0
    if (slot % streams === 0) {
      found[of] = communicated(of)
      extended[of] = 0
    } else {
      if (active[of] === 0) since[of] = now
      active[of] = (active[of] as number) + 1
    }
  }
  const begin = (node: number, length: number) => {
    const slot = lane[node] as number
    if (slot % streams > 0) (waiting[slot] as EventHeap).pop()
    const before = previous[slot] as number
    cause[node] = before >= 0 && end[before] === now ? before : causeOf(node)
    start[node] = now
    occupy(node, slot)
    if (slot % streams > 0) end[node] = now + length
    events.push(now + length, node)
  }
  /** The node that a free stream would begin now; −1: none. */
  const head = (slot: number): number => {
    if ((running[slot] as number) >= 0) return -1
    if (slot % streams > 0) return waiting[slot]?.first ?? -1
    const of = (slot / streams) | 0
    const one = next[of] as number
    if (one < nodeCount && status[one] === 1) return one
    if (pairs.size === 0) return -1
    const two = other[of] as number
    return two < nodeCount && status[two] === 1 ? two : -1
  }
  /** Takes a rank to a node behind those that have computed. */
  const enter = (of: number, node: number) => {
    const pair = pairs.get(node)
    next[of] = node
    other[of] = pair ? pair[0] : nodeCount
    behind[of] = pair ? pair[1] : nodeCount
  }
  const leave = (of: number, node: number) => {
    const isInPair = (behind[of] as number) < nodeCount || (other[of] as number) < nodeCount
    if (!isInPair) return enter(of, after[node] as number)
    if (node === other[of]) other[of] = after[node] as number
    else next[of] = after[node] as number
    if (next[of] === nodeCount && other[of] === nodeCount) enter(of, behind[of] as number)
  }
  const startHead = (slot: number) => {
    const node = head(slot)
    if (node < 0) return
    const first = joint ? (joint[node] as number) : -1
    if (first < 0 || !members) return begin(node, ticks[node] as number)
    const all = members.get(first) ?? []
    let length = 0
    for (const member of all) {
      const on = lane[member] as number
      if (on >= 0 && head(on) !== member) return
      length = Math.max(length, ticks[member] as number)
    }
    let slowest = -1
    for (const member of all) {
      if ((lane[member] as number) < 0) continue
      begin(member, length)
      const why = cause[member] as number
      if (slowest < 0 || (why >= 0 && (end[why] as number) > (end[slowest] as number))) slowest = why
    }
    for (const member of all) {
      const own = cause[member] as number
      // Who waits for another member waits for what that one waited for.
      if (slowest >= 0 && (own < 0 || (end[own] as number) < (end[slowest] as number))) cause[member] = slowest
    }
  }

  for (let node = nodeCount - 1; node >= 0; node--) {
    const slot = lane[node] as number
    if (slot < 0 || slot % streams > 0) continue
    const of = (slot / streams) | 0
    after[node] = next[of] as number
    next[of] = node
  }
  for (const [from, second, to] of work.pairs ?? []) {
    const one = computing(lane, streams, from, second)
    const two = computing(lane, streams, second, to)
    if (!one || !two) continue
    pairs.set(one.first, [two.first, after[two.last] as number])
    for (const { last } of [one, two]) after[last] = nodeCount
  }
  if (pairs.size > 0)
    next.forEach((node, of) => {
      enter(of, node)
    })
  for (let node = 0; node < nodeCount; node++) {
    open[node] = (edgeStart[node + 1] as number) - (edgeStart[node] as number)
    const first = joint ? (joint[node] as number) : -1
    if (first >= 0) missing[first] = (missing[first] as number) + 1
  }
  for (const each of work.begun ?? []) {
    start[each.node] = each.start
    status[each.node] = 2
    const slot = lane[each.node] as number
    if (slot >= 0) {
      occupy(each.node, slot)
      end[each.node] = each.end
    }
    if (each.end < Number.POSITIVE_INFINITY) events.push(each.end, each.node)
  }
  now = Number.NEGATIVE_INFINITY
  for (const node of work.queued ?? []) {
    ready[node] = now
    status[node] = 1
    wait(lane[node] as number, node)
    touch(lane[node] as number)
  }
  now = 0
  for (let node = 0; node < nodeCount; node++) if (open[node] === 0 && status[node] === 0) release(node)
  let stopped = until === -2
  for (;;) {
    while (events.firstKey === now) {
      const node = events.first
      events.pop()
      const slot = lane[node] as number
      if (slot >= 0) {
        const of = (slot / streams) | 0
        if (slot % streams > 0) {
          active[of] = (active[of] as number) - 1
          if (active[of] === 0) busy[of] = (busy[of] as number) + now - (since[of] as number)
        } else {
          if (!extended[of]) {
            const longer = Math.round(contention * (communicated(of) - (found[of] as number)))
            if (longer > 0) {
              extended[of] = 1
              events.push(now + longer, node)
              continue
            }
          }
          if (pairs.size === 0) next[of] = after[node] as number
          else leave(of, node)
        }
        running[slot] = -1
        previous[slot] = node
        touch(slot)
      }
      finish(node)
      if (node === until) stopped = true
    }
    close()
    for (let at = 0; at < touched.length; at++) {
      const slot = touched[at] as number
      isTouched[slot] = 0
      startHead(slot)
    }
    touched.length = 0
    if (stopped || events.size === 0) break
    now = events.firstKey
  }
  return { start, end, cause, makespan: now, ran, status, ready }
}

/** The first and the last node of some that compute; undefined: none does. */
function computing(lane: Int32Array, streams: number, from: number, to: number) {
  let [first, last] = [-1, -1]
  for (let node = from; node < to; node++) {
    if ((lane[node] as number) < 0 || (lane[node] as number) % streams > 0) continue
    if (first < 0) first = node
    last = node
  }
  return first < 0 ? undefined : { first, last }
}

function membersOf(joint: Int32Array): Map<number, number[]> {
  const members = new Map<number, number[]>()
  joint.forEach((first, node) => {
    if (first < 0) return
    const list = members.get(first)
    if (list) list.push(node)
    else members.set(first, [node])
  })
  return members
}

/** Edges by their source: the nodes that wait for node `n` are `dependents[dependentStart[n]]` up to that of the next. */
export interface Dependents {
  readonly dependentStart: Uint32Array
  readonly dependents: Uint32Array
}

/** Turns edges around. Linear. */
export function reversed(nodeCount: number, edgeStart: Uint32Array, edgeSource: Uint32Array): Dependents {
  const dependentStart = new Uint32Array(nodeCount + 1)
  const edges = edgeStart[nodeCount] as number
  const dependents = new Uint32Array(edges)
  for (let edge = 0; edge < edges; edge++) {
    const at = (edgeSource[edge] as number) + 1
    dependentStart[at] = (dependentStart[at] as number) + 1
  }
  for (let node = 0; node < nodeCount; node++)
    dependentStart[node + 1] = (dependentStart[node + 1] as number) + (dependentStart[node] as number)
  const fill = dependentStart.slice(0, nodeCount)
  for (let node = 0; node < nodeCount; node++) {
    for (let edge = edgeStart[node] as number; edge < (edgeStart[node + 1] as number); edge++) {
      const source = edgeSource[edge] as number
      const at = fill[source] as number
      dependents[at] = node
      fill[source] = at + 1
    }
  }
  return { dependentStart, dependents }
}
