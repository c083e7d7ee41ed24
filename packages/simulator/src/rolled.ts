import type { OperatorTable, Program } from '@shardloom/core'
import { unroll } from '@shardloom/core/unroll'
import { type BlockKind, blockKinds } from './block-kind.js'
import { type Carried, runBlock, type State } from './block-run.js'
import type { RankBreakdown } from './breakdown.js'
import { type Block, fewIterations } from './few-iterations.js'
import { follow, type LiveChain } from './live-chain.js'
import type { Machine } from './machine.js'
import { type Outcome, outcomeOf, type Touch } from './outcome.js'
import { type Prepared, prepare, toTicks } from './prepare.js'
import { finish } from './rolled-end.js'
import { representatives } from './simulate.js'
import { type Touches, touchesOf } from './touches.js'

/** What a step comes to, on one rank of every stage: as much of a {@link Timeline} as takes no list of all nodes. */
export interface Step {
  readonly seconds: number
  readonly ranks: readonly RankStep[]
}

/** One rank of a step. */
export interface RankStep extends RankBreakdown {
  /** When its last node ends. */
  readonly finish: number
  /** Seconds in which each stream is busy. */
  readonly busy: Readonly<Record<string, number>>
  /** The most bytes of activations at a time, and when. */
  readonly activations: { readonly bytes: number; readonly atSeconds: number }
}

/** What a rank is doing while its blocks run one after the other. */
export interface Course {
  readonly blocks: readonly Block[]
  /** The next block, and when the one before it has computed. */
  at: number
  now: number
  state: State
  /** Of each node in the state when it started, if it has, and what that waited for. */
  starts: number[]
  chains: (LiveChain | undefined)[]
  first: number
  computing: number
  idle: number
  readonly busy: Float64Array
  readonly exposed: Map<string, number>
  bytes: number
  peak: number
  peakAt: number
}

/** The blocks of all ranks and what they share. */
export interface Rolled {
  readonly prepared: Prepared
  readonly kinds: readonly BlockKind[]
  readonly touches: Touches
  readonly courses: readonly Course[]
}

/**
 * Runs a program on a machine as {@link simulate} does, and runs each block (an iteration of a loop at the top, an action of a
 * schedule) from each state of its rank's streams once: what it comes to is then added up. Undefined where loops are short, or
 * something joins ranks inside of them. Throws `NO_PEAK`.
 */
export function simulateRolled(program: Program, operators: OperatorTable, machine: Machine): Step | undefined {
  const few = fewIterations(program)
  if (!few) return undefined
  const graph = unroll(few.program, { ranks: representatives(program) })
  const prepared = prepare(graph, program, operators, machine)
  const kinds = blockKinds(prepared)
  const touches = kinds && touchesOf(prepared, kinds, program, operators)
  if (!kinds || !touches) return undefined
  const sequences = few.blocks(graph)
  const states = new Map<string, State>()
  const intern = (carried: readonly Carried[]): State => {
    const key = carried.map((each) => Object.values(each).join(' ')).join(';')
    const known = states.get(key) ?? { id: states.size, carried }
    states.set(key, known)
    return known
  }
  const none = intern([])
  const { streams, contention } = prepared.work
  const courses = sequences.map((blocks): Course => {
    // What stands behind the loops joins ranks: all run that together.
    const behind = blocks.at(-1)
    const isBehind = behind && graph.parts[behind.part]?.region === undefined && blocks.length > 1
    return {
      blocks: isBehind ? blocks.slice(0, -1) : blocks,
      at: 0,
      now: 0,
      state: none,
      starts: [],
      chains: [],
      first: Number.POSITIVE_INFINITY,
      computing: 0,
      idle: 0,
      busy: new Float64Array(streams),
      exposed: new Map(),
      bytes: 0,
      peak: 0,
      peakAt: 0,
    }
  })
  const regions = graph.parts.map(({ region }) => region)
  const isScheduled = graph.parts.map(({ rank }) => (sequences[rank] ?? []).some(({ follows }) => follows))
  /** Where the block of a part and iteration stands in its rank's course. */
  const indices = courses.map(
    ({ blocks }) => new Map(blocks.map(({ part, iteration }, index) => [`${part} ${iteration}`, index])),
  )
  const sentTo = courses.map(() => new Map<number, { readonly end: number; readonly chain: LiveChain }>())
  const size = Math.max(...kinds.map((kind) => kind.size)) + 1
  const touchAt = lastingTouches(touches, courses)
  const memo = new Map<string, Outcome>()

  /** The iteration in which a block finds what it refers to. */
  const iterationOf = (block: Block, reference: { readonly part: number }) => {
    const [own, other] = [regions[block.part], regions[reference.part]]
    if (other === undefined) return 0
    if (own !== other || isScheduled[block.part]) return block.iteration
    const place = (part: number) => graph.parts[part]?.place ?? 0
    return block.iteration + place(reference.part) - place(block.part)
  }
  const blockOf = (block: Block, reference: { readonly part: number }) => {
    const iteration = iterationOf(block, reference)
    const rank = graph.parts[reference.part]?.rank ?? 0
    const region = regions[reference.part]
    const index = indices[rank]?.get(`${reference.part} ${iteration}`)
    if (index !== undefined || isScheduled[reference.part] || region === undefined) return index
    // Of other loops the first iteration and the second stand for all.
    const part = graph.parts.findIndex(
      (each) => each.rank === rank && each.region === region && each.place === Math.min(iteration, 1),
    )
    return indices[rank]?.get(`${part} ${iteration}`)
  }
  const arrivalsOf = (kind: BlockKind, block: Block) => {
    const found: { readonly end: number; readonly chain: LiveChain }[] = []
    for (const reference of kind.arrivals) {
      const from = kinds[reference.part]
      const index = blockOf(block, reference)
      const sent = from && index !== undefined ? sentTo[from.rank]?.get(index * size + reference.offset) : undefined
      if (!sent) return undefined
      found.push(sent)
    }
    return found
  }
  const waitsOf = (kind: BlockKind, course: Course, block: Block) => {
    const waits: { node: number; carried: number }[] = []
    course.state.carried.forEach(({ part, offset, distance }, carried) => {
      if (offset < 0) return
      const before = course.blocks[course.at - distance]
      if (block.follows && distance === 1 && kinds[part]?.tail === offset) waits.push({ node: 0, carried })
      for (const reference of kind.outer) {
        if (reference.offset !== offset || !before) continue
        if (blockOf(block, reference) === course.at - distance) waits.push({ node: reference.node, carried })
      }
    })
    return waits
  }

  const advance = (course: Course): boolean => {
    const block = course.blocks[course.at]
    const kind = block && kinds[block.part]
    if (!block || !kind) return false
    const arrived = arrivalsOf(kind, block)
    if (!arrived) return false
    const waits = course.state.carried.length > 0 ? waitsOf(kind, course, block) : []
    const touch = touchAt.get(`${kind.rank} ${course.at}`)
    const step = kind.growing.length > 0 ? block.iteration : 0
    const key = `${course.state.id} ${block.part} ${step} ${touch ? course.at : ''} ${block.follows} ${waits.map(({ node, carried }) => `${node}:${carried}`)}`
    const times = arrived.map(({ end }) => Math.max(0, end - course.now))
    const outcomeAt = (name: string, arrivals: readonly number[], quiet: number): Outcome | undefined => {
      const known = memo.get(name)
      if (known) return known
      const ticks = step > 0 ? grown(kind, step, prepared) : kind.ticks
      const run = runBlock(kind, course.state, waits, arrivals, ticks, streams, contention)
      if (Number.isNaN(run.ticks)) return undefined
      const outcome = outcomeOf({
        kind,
        state: course.state,
        run,
        axesOf: (part, offset) => prepared.axes[graph.template[(kinds[part]?.firstNode ?? 0) + offset] ?? 0],
        awaits: (part, offset) => offset >= 0 && kinds[part]?.awaited[offset] === 1,
        bytesOf: touches.bytesOf,
        takes: [...touches.first(block.part), ...(touch?.takes ?? [])] as readonly Touch[],
        frees: [...touches.last(block.part), ...(touch?.frees ?? [])] as readonly Touch[],
        quiet,
        streams,
        intern,
      })
      memo.set(name, outcome)
      return outcome
    }
    let outcome: Outcome | undefined
    let extra = 0
    const [time] = times
    if (times.length === 1 && time !== undefined && time > 0) {
      // Once all is quiet that does not wait for the arrival, it makes no difference how long that takes.
      const quiet = quietAfter(key, () => {
        const ticks = step > 0 ? grown(kind, step, prepared) : kind.ticks
        const alone = runBlock(kind, course.state, waits, [Number.POSITIVE_INFINITY], ticks, streams, contention)
        return Number.isNaN(alone.ticks) ? alone.times.makespan : Number.POSITIVE_INFINITY
      })
      if (time > quiet) {
        outcome = outcomeAt(`${key} late`, [quiet + 1], quiet)
        extra = time - quiet - 1
      }
    }
    outcome ??= outcomeAt(`${key} ${times}`, times, Number.POSITIVE_INFINITY)
    if (!outcome) return false
    apply(
      course,
      outcome,
      extra,
      arrived.map(({ chain }) => chain),
      kind,
    )
    return true
  }
  const quiets = new Map<string, number>()
  const quietAfter = (key: string, find: () => number) => {
    const known = quiets.get(key) ?? find()
    quiets.set(key, known)
    return known
  }
  const apply = (course: Course, outcome: Outcome, extra: number, arrived: readonly LiveChain[], kind: BlockKind) => {
    const base = course.now
    const absolute = (time: number) => base + (time > outcome.quiet ? time + extra : time)
    const live = (chain: Outcome['chains'][number]): LiveChain => {
      const { tail } = chain
      return {
        axes: chain.axes,
        starts: chain.starts.map(absolute),
        tail: tail && (tail.of === 'arrival' ? arrived[tail.index] : course.chains[tail.index]),
      }
    }
    for (const { distance, offset, end, chain } of outcome.sent)
      sentTo[kind.rank]?.set((course.at - distance) * size + offset, { end: absolute(end), chain: live(chain) })
    for (const [axes, ticks] of outcome.exposed) course.exposed.set(axes, (course.exposed.get(axes) ?? 0) + ticks)
    course.first = Math.min(course.first, absolute(outcome.first))
    for (const { tail, from, at } of outcome.open) {
      const chain = tail.of === 'arrival' ? arrived[tail.index] : course.chains[tail.index]
      follow(chain, Math.max(absolute(from), course.first), absolute(at), course.exposed)
    }
    outcome.busy.forEach((ticks, stream) => {
      course.busy[stream] = (course.busy[stream] ?? 0) + ticks
    })
    course.computing += outcome.computing
    course.idle += outcome.idle + extra
    if (course.bytes + outcome.memory.most > course.peak) {
      course.peak = course.bytes + outcome.memory.most
      course.peakAt = absolute(outcome.memory.at)
    }
    course.bytes += outcome.memory.net
    course.chains = outcome.chains.map(live)
    course.starts = outcome.starts.map(absolute)
    course.state = outcome.next
    course.now = absolute(outcome.ticks)
    course.at++
  }

  for (let moved = true; moved; ) {
    moved = false
    for (const course of courses) while (advance(course)) moved = true
  }
  if (courses.some(({ at, blocks }) => at < blocks.length)) return undefined
  return finish({ prepared, kinds, touches, courses }, sequences)
}

/** Of values that stay over iterations, by rank and block what it is the first to touch and the last. */
function lastingTouches({ lasting }: Touches, courses: readonly Course[]) {
  const found = new Map<
    string,
    { takes: { id: number; nodes: readonly number[] }[]; frees: { id: number; nodes: readonly number[] }[] }
  >()
  for (const { id, rank, parts } of lasting) {
    const blocks = courses[rank]?.blocks ?? []
    const at = (index: number) => {
      const key = `${rank} ${index}`
      const known = found.get(key) ?? { takes: [], frees: [] }
      found.set(key, known)
      return known
    }
    const first = blocks.findIndex(({ part }) => parts.has(part))
    const last = blocks.findLastIndex(({ part }) => parts.has(part))
    const behind = [...parts.keys()].some((part) => !blocks.some((block) => block.part === part))
    if (first >= 0) at(first).takes.push({ id, nodes: parts.get(blocks[first]?.part ?? -1) ?? [] })
    if (last >= 0 && !behind) at(last).frees.push({ id, nodes: parts.get(blocks[last]?.part ?? -1) ?? [] })
  }
  return found
}

/** The ticks of a block's nodes in an iteration, where some grow from one to the next. */
function grown(
  { ticks, growing, firstNode, rank }: BlockKind,
  step: number,
  { graph, byRank }: Prepared,
): Float64Array {
  const own = ticks.slice()
  for (const offset of growing) {
    const id = graph.templates[graph.template[firstNode + offset] ?? 0]?.id ?? ''
    own[offset] = toTicks(byRank[rank]?.times.get(id)?.seconds(step) ?? 0)
  }
  return own
}
