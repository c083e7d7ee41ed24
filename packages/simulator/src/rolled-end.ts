import type { Course } from './course.js'
import { runEvents } from './event-loop.js'
import type { Block } from './few-iterations.js'
import { nodeIn } from './hosts.js'
import { follow } from './live-chain.js'
import { peakMemory } from './memory.js'
import { type Change, change, riseOf } from './rise.js'
import type { Rolled } from './rolled.js'
import type { RankStep, Step } from './step.js'
import { ticksPerSecond } from './ticks.js'

/** One rank's share of the end: its gate, what it has not finished, and what stands behind its loops. */
interface Share {
  readonly course: Course
  readonly gate: number
  readonly carried: number
  readonly own: number
  readonly end: number
  /** The part behind the loops and its first node in the smaller graph; −1: none. */
  readonly part: number
  readonly firstNode: number
}

/**
 * Runs what the ranks have not finished when their loops have computed, and what stands behind, all ranks together. Undefined where
 * that waits for something inside of another rank's loop.
 */
export function finish(
  { prepared, kinds, touches, courses, stored }: Rolled,
  sequences: readonly (readonly Block[])[],
): Step | undefined {
  const { work, places, leaderOf, axes, graph } = prepared
  const { streams, contention } = work
  let nodeCount = 0
  const shares = courses.map((course, rank): Share => {
    const behind = sequences[rank]?.[course.blocks.length]
    const kind = behind && kinds[behind.part]
    const [gate, carried] = [nodeCount, nodeCount + 1]
    const own = carried + course.state.carried.length
    nodeCount = own + (kind?.size ?? 0)
    return { course, gate, carried, own, end: nodeCount, part: kind?.part ?? -1, firstNode: kind?.firstNode ?? -1 }
  })
  /** Of a node of the smaller graph the number here; −1: it stands in a loop. */
  const numberOf = (node: number) => {
    const share = shares[places[node] ?? 0]
    const size = share ? share.end - share.own : 0
    return share && share.firstNode >= 0 && node >= share.firstNode && node < share.firstNode + size
      ? share.own + node - share.firstNode
      : -1
  }
  const lane = new Int32Array(nodeCount).fill(-1)
  const ticks = new Float64Array(nodeCount)
  const joint = new Int32Array(nodeCount).fill(-1)
  const original = new Int32Array(nodeCount).fill(-1)
  const edgeStart = new Uint32Array(nodeCount + 1)
  const edgeSource: number[] = []
  const begun: { node: number; start: number; end: number }[] = []
  const queued: number[] = []
  for (const [rank, { course, gate, carried, own, end, firstNode }] of shares.entries()) {
    edgeStart[gate] = edgeSource.length
    begun.push({ node: gate, start: course.now, end: course.now })
    const unfinished = course.state.carried
    for (const [index, each] of unfinished.entries()) {
      const node = carried + index
      edgeStart[node] = edgeSource.length
      for (const source of each.waits) edgeSource.push(carried + source)
      lane[node] = each.stream < 0 ? -1 : rank * streams + each.stream
      ticks[node] = each.ticks
      original[node] = nodeIn(course, kinds, course.at - each.distance, each.offset)
      const ends = course.now + each.remaining
      if (each.status === 2) begun.push({ node, start: ends - each.ticks, end: ends })
      else if (each.status === 1) queued.push(node)
    }
    for (let node = own; node < end; node++) {
      const there = firstNode + node - own
      original[node] = there
      edgeStart[node] = edgeSource.length
      if (course.hosts.placeOf(there)) {
        // It has run beside the loops, or is about to.
        const index = unfinished.findIndex((_, index) => original[carried + index] === there)
        edgeSource.push(index < 0 ? gate : carried + index)
        continue
      }
      ticks[node] = work.ticks[there] ?? 0
      const on = work.lane[there] ?? -1
      lane[node] = on < 0 ? -1 : rank * streams + (on % streams)
      const first = work.joint?.[there] ?? -1
      joint[node] = first < 0 ? -1 : numberOf(first)
      let isRoot = true
      for (let edge = work.edgeStart[there] ?? 0; edge < (work.edgeStart[there + 1] ?? 0); edge++) {
        const source = work.edgeSource[edge] ?? 0
        const number = numberOf(source)
        if (number >= 0) {
          edgeSource.push(number)
          if (number >= own && number < end) isRoot = false
          continue
        }
        if (places[source] !== rank) return undefined
        const isTail = source === leaderOf(firstNode - 1)
        for (const [index, { offset, distance }] of unfinished.entries()) {
          const part = course.blocks[course.at - distance]?.part ?? -1
          const is = original[carried + index] === source
          const ends = isTail && distance === 1 && offset === kinds[part]?.tail
          if (is || ends) edgeSource.push(carried + index)
        }
      }
      if (isRoot) edgeSource.push(gate)
    }
  }
  edgeStart[nodeCount] = edgeSource.length
  const times = runEvents({
    nodeCount,
    edgeStart,
    edgeSource: Uint32Array.from(edgeSource),
    ticks,
    lane,
    ranks: shares.length,
    streams,
    contention,
    joint,
    begun,
    queued,
  })
  if (times.ran < nodeCount) return undefined
  const { start, end, cause } = times
  const makespan = shares.reduce((most, { course }) => Math.max(most, course.now), times.makespan)
  const axesOf = (node: number) => {
    const there = original[node] ?? -1
    return there < 0 ? undefined : axes[graph.template[there] ?? 0]
  }
  const shareOf = (node: number) => shares.find((share) => node < share.end)
  const ranks = shares.map((share, rank): RankStep => {
    const { course, gate, own } = share
    const { exposed, busy } = course
    let { computing, idle, first } = course
    for (let node = gate; node < share.end; node++)
      if ((lane[node] ?? -1) >= 0) first = Math.min(first, start[node] ?? 0)
    let until = course.now
    const gap = (begin: number, to: number, blamed: number) => {
      idle += to - begin
      const from = Math.max(begin, first)
      let [at, node] = [to, blamed]
      while (at > from && node >= 0) {
        const of = shareOf(node)
        if (of?.gate === node) return follow(of.course.gate, from, at, exposed)
        if (of && node >= of.carried && node < of.own) {
          const index = node - of.carried
          if (of.course.state.carried[index]?.status === 2) {
            follow(of.course.chains[index], from, at, exposed)
            return
          }
        }
        const over = axesOf(node)
        const begun = Math.max(from, start[node] ?? 0)
        if (over === undefined && at > begun) return
        if (over !== undefined && at > begun) exposed.set(over, (exposed.get(over) ?? 0) + at - begun)
        at = Math.min(at, begun)
        node = cause[node] ?? -1
      }
    }
    let [finished, lastNode] = [course.now, -1]
    for (let node = gate; node < share.end; node++) {
      const on = (lane[node] ?? -1) < 0 ? -1 : (lane[node] ?? 0) % streams
      const [from, to] = [start[node] ?? 0, end[node] ?? 0]
      // What is but received takes no time of this rank.
      if (on < 0) continue
      if (to > finished) {
        finished = to
        lastNode = node
      }
      const isOld = node < own && course.state.carried[node - share.carried]?.status === 2
      if (isOld) continue
      busy[on] = (busy[on] ?? 0) + to - from
      if (on > 0) continue
      if (from > until) gap(until, from, cause[node] ?? -1)
      const over = axesOf(node)
      if (over === undefined) computing += to - from
      else exposed.set(over, (exposed.get(over) ?? 0) + to - from)
      until = Math.max(until, to)
    }
    if (finished > until) gap(until, finished, lastNode)
    let shown = 0
    for (const each of exposed.values()) shown += each
    // What communicates in the order of computing leaves no gap.
    const blocking = (busy[0] ?? 0) - computing
    const inside = Number.isFinite(first) ? idle - first - (shown - blocking) : 0
    const outside = Number.isFinite(first) ? first + makespan - finished : makespan
    release(share, rank, times, touches)
    return {
      rank: graph.ranks[rank] ?? 0,
      computing: computing / ticksPerSecond,
      exposed: Object.fromEntries([...exposed].sort().map(([over, each]) => [over, each / ticksPerSecond])),
      waiting: (inside + outside) / ticksPerSecond,
      waitingInside: inside / ticksPerSecond,
      finish: finished / ticksPerSecond,
      busy: Object.fromEntries(
        prepared.streams.flatMap((name, stream) => (busy[stream] ? [[name, busy[stream] / ticksPerSecond]] : [])),
      ),
      memory: peakMemory(stored[rank] ?? { parameters: 0, optimizer: 0, cache: 0 }, course.memory),
    }
  })
  return { seconds: makespan / ticksPerSecond, ranks }
}

/** Counts what comes and goes with nodes of the end. */
function release(
  { course, carried, own, part, firstNode }: Share,
  rank: number,
  { start, end }: ReturnType<typeof runEvents>,
  { held, lasting }: Rolled['touches'],
): void {
  const changes: Change[] = []
  /** What the nodes of each block that is carried on take and free, by id and how far back it is. */
  const takes = new Map<number, { readonly id: number; at: number }>()
  const frees = new Map<number, { readonly id: number; at: number }>()
  course.state.carried.forEach((each, index) => {
    const [begun, ended] = [start[carried + index] ?? 0, end[carried + index] ?? 0]
    const key = (id: number) => id * 1e6 + each.distance
    for (const id of each.takes) takes.set(key(id), { id, at: Math.min(takes.get(key(id))?.at ?? begun, begun) })
    for (const id of each.frees) frees.set(key(id), { id, at: Math.max(frees.get(key(id))?.at ?? ended, ended) })
  })
  for (const { id, at } of takes.values()) changes.push(change(held(id), at, 1))
  for (const { id, at } of frees.values()) changes.push(change(held(id), at, -1))
  const before = new Set(course.blocks.map((block) => block.part))
  for (const { id, parts } of lasting[rank] ?? []) {
    const all = parts.get(part)
    if (!all) continue
    let [first, last, count] = [Number.POSITIVE_INFINITY, 0, 0]
    for (const node of all) {
      if (course.hosts.placeOf(firstNode + node)) continue
      first = Math.min(first, start[own + node] ?? 0)
      last = Math.max(last, end[own + node] ?? 0)
      count++
    }
    if (count === 0) continue
    let isNew = count === all.length
    if (isNew) for (const each of parts.keys()) if (before.has(each)) isNew = false
    if (isNew) changes.push(change(held(id), first, 1))
    changes.push(change(held(id), last, -1))
  }
  const rise = riseOf(changes, course.now, Number.POSITIVE_INFINITY)
  course.memory.add(rise, rise.at)
}
