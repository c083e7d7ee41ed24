import type { OperatorTable, Program } from '@shardloom/core'
import { unroll } from '@shardloom/core/unroll'
import { alikeInMemory, type BlockKind, blockKinds, likeKinds, nodeAt, type Reference } from './block-kind.js'
import { type BlockWork, blockWork, type Carried, quietBefore, runBlock, type State } from './block-run.js'
import { Course, type Sent } from './course.js'
import { type Block, fewIterations } from './few-iterations.js'
import { type Ahead, firstTeller } from './first-sent.js'
import { hostsOf, nodeIn } from './hosts.js'
import type { Machine } from './machine.js'
import { storedParts } from './memory.js'
import { type Outcome, outcomeOf, type Running, type Sending, sentOf, type Touch } from './outcome.js'
import { type Prepared, prepare, toTicks } from './prepare.js'
import { ranksToRun } from './ranks.js'
import { finish } from './rolled-end.js'
import type { Step } from './step.js'
import { type Touches, touchesOf } from './touches.js'
import { waitsInTurn } from './turns.js'

/** The blocks of all ranks and what they share. */
export interface Rolled {
  readonly prepared: Prepared
  readonly kinds: readonly BlockKind[]
  readonly touches: Touches
  readonly courses: readonly Course[]
  /** Of each rank what it holds all through the step. */
  readonly stored: readonly ReturnType<typeof storedParts>[]
}

/** What is known of running one kind of block from one state: by when what it waits for arrives. */
interface Site {
  work: BlockWork | undefined
  readonly outcomes: Map<number | string, Outcome>
  /** What comes of an arrival that finds everything else at rest, at a time. */
  late: { readonly time: number; readonly outcome: Outcome } | undefined
  /** What is sent where nothing arrives, and when the block has computed all the same; NaN: it waits. */
  ahead: { readonly sending: readonly Sending[]; readonly ticks: number } | undefined
}

/**
 * Runs a program on a machine as `simulate` does, but each kind of block (an iteration of a loop at the top, an action of a schedule)
 * once from each state of its rank's streams: what it comes to is then added up. Undefined where loops are short, or something joins
 * ranks inside of them. Throws `NO_PEAK`.
 */
export function simulateRolled(program: Program, operators: OperatorTable, machine: Machine): Step | undefined {
  const few = fewIterations(program)
  if (!few) return undefined
  const graph = unroll(few.program, { ranks: ranksToRun(program, operators, machine) })
  const prepared = prepare(graph, few.program, operators, machine)
  const kinds = blockKinds(prepared)
  if (!kinds) return undefined
  const equal = likeKinds(kinds, prepared)
  const touches = touchesOf(prepared, kinds, program, operators, equal)
  if (!touches) return undefined
  const { streams, contention } = prepared.work
  const like = alikeInMemory(equal, touches)
  const states = new Map<string, State>()
  const intern = (carried: readonly Carried[]): State => {
    const key = carried.map((each) => Object.values(each).join(' ')).join(';')
    const known = states.get(key) ?? { id: states.size, carried }
    states.set(key, known)
    return known
  }
  const none = intern([])
  const sequences = few.blocks(graph)
  const hosts = sequences.map((blocks) => {
    // What stands behind the loops joins ranks: all run that together.
    const isBehind = blocks.length > 1 && graph.parts[blocks.at(-1)?.part ?? 0]?.region === undefined
    const inLoops = isBehind ? blocks.slice(0, -1) : blocks
    return { inLoops, found: hostsOf(prepared, kinds, inLoops, isBehind ? blocks.at(-1) : undefined) }
  })
  const hosting = hosts.flatMap(({ found }) => (found ? [...found.kinds.values()] : []))
  const stride = [...kinds, ...hosting].reduce((most, kind) => Math.max(most, kind.size), 0) + 1
  const courses = hosts.flatMap(({ inLoops, found }) =>
    found ? [new Course(inLoops, found, none, streams, stride)] : [],
  )
  if (courses.length < hosts.length) return undefined
  const blockOf = finder(prepared, courses)
  const lasting = lastingTouches(touches, courses, kinds)
  const inTurn = waitsInTurn(prepared, kinds)
  const sites = new Map<number | string, Site>()
  const awaits = (part: number, offset: number) => offset >= 0 && kinds[part]?.awaited[offset] === 1

  /** What the next block of a rank waits for of others; undefined: that is not known yet. */
  const arrivalsOf = ({ blocks, at }: Course): readonly (Sent | undefined)[] => {
    const block = blocks[at]
    const { arrivals = [] } = kinds[block?.part ?? -1] ?? {}
    return arrivals.map((reference) => {
      const from = courses[kinds[reference.part]?.rank ?? 0]
      return block && from?.sent.get(blockOf(block, reference) * stride + reference.offset)
    })
  }
  const waitsOf = (kind: BlockKind, course: Course, block: Block) => {
    const waits: { node: number; carried: number }[] = []
    course.state.carried.forEach(({ part, offset, distance }, carried) => {
      if (offset < 0) return
      if (block.follows && distance === 1 && kinds[part]?.tail === offset) waits.push({ node: 0, carried })
      for (const reference of kind.outer.get(offset) ?? [])
        if (blockOf(block, reference) === course.at - distance) waits.push({ node: reference.node, carried })
      for (const node of inTurn(course, offset, distance)) waits.push({ node, carried })
      if (!course.hosts.kinds.has(course.at)) return
      for (const node of course.hosts.waiting(course.at, nodeIn(course, kinds, course.at - distance, offset)))
        waits.push({ node, carried })
    })
    return waits
  }
  /** The next block of a rank as it begins, with what is known of beginning so; undefined at the end of its course. */
  const siteOf = (course: Course) => {
    const block = course.blocks[course.at]
    const own = block && kinds[block.part]
    const host = course.hosts.kinds.get(course.at)
    const kind = block && (host ?? kinds[like[block.part] as number])
    if (!block || !own || !kind) return undefined
    const { state } = course
    const waits = state.carried.length > 0 ? waitsOf(own, course, block) : []
    const touch = lasting.size > 0 ? lasting.get(own.rank * 1e6 + course.at) : undefined
    const step = kind.growing.length > 0 ? block.iteration : 0
    const plain = (state.id * kinds.length + kind.part) * 2 + Number(block.follows)
    const [wait] = waits
    // Mostly at most what the block before has sent is on its way; text would cost more than the rest.
    const isPlain = waits.length < 2 && !touch && !host && step === 0 && (!wait || wait.node === 0)
    const key = isPlain
      ? plain * stride + (wait ? wait.carried + 1 : 0)
      : `${plain} ${step} ${touch || host ? `${own.rank} ${course.at}` : ''} ${waits.map(({ node, carried }) => `${node}:${carried}`)}`
    const site = sites.get(key) ?? { work: undefined, outcomes: new Map(), late: undefined, ahead: undefined }
    sites.set(key, site)
    return { course, kind, state, waits, touch, step, site }
  }
  type Next = NonNullable<ReturnType<typeof siteOf>>
  /** Runs a block; `arrivals` are from its begin. */
  const runNext = ({ course, kind, state, waits, step, site }: Next, arrivals: readonly number[]): Running => {
    const ticks = step > 0 ? grown(kind, step, prepared) : kind.ticks
    site.work ??= blockWork(kind, state, waits, ticks, streams, contention)
    const axesOf = (distance: number, offset: number) => {
      const node = distance === 0 ? nodeAt(kind, offset) : nodeIn(course, kinds, course.at - distance, offset)
      return prepared.axes[graph.template[node] as number]
    }
    return { kind, state, run: runBlock(site.work, arrivals), axesOf, awaits }
  }
  const outcomeNow = (next: Next, times: readonly number[]): Outcome | undefined => {
    const running = runNext(next, times)
    const { kind, run } = running
    if (Number.isNaN(run.ticks)) return undefined
    const quiet = times.length === 1 ? quietBefore(run, kind, times[0] as number) : Number.POSITIVE_INFINITY
    const takes = [...touches.first(kind.part), ...(next.touch?.takes ?? [])]
    const frees = [...touches.last(kind.part), ...(next.touch?.frees ?? [])]
    const { held } = touches
    return outcomeOf({ ...running, held, takes, frees, quiet, streams, intern })
  }
  const advance = (course: Course): boolean => {
    const arrived = arrivalsOf(course)
    if (!areKnown(arrived)) return false
    const next = siteOf(course)
    if (!next) return false
    const { site } = next
    const times = arrived.map(({ end }) => Math.max(0, end - course.now))
    const [time = 0] = times
    // What waits for the arrival alone follows it at a distance that is always the same.
    if (times.length === 1 && site.late && time > site.late.outcome.quiet) {
      course.apply(site.late.outcome, time - site.late.time, arrived)
      return true
    }
    const name = times.length < 2 ? time : `${times}`
    const outcome = site.outcomes.get(name) ?? outcomeNow(next, times)
    if (!outcome) return false
    if (outcome.quiet < time) site.late = { time, outcome }
    else site.outcomes.set(name, outcome)
    course.apply(outcome, 0, arrived)
    return true
  }

  const sentAhead = (next: Next, arrived: readonly (Sent | undefined)[]) => {
    const { now } = next.course
    const times = arrived.map((each) => (each ? Math.max(0, each.end - now) : Number.POSITIVE_INFINITY))
    const running = runNext(next, times)
    return { sending: sentOf(running), ticks: running.run.ticks }
  }
  const aheadOf = (course: Course, known: Ahead | undefined): Ahead => {
    const { at, now, state, sent } = course
    const arrived = arrivalsOf(course)
    if (known?.at === at && arrived.every((each, index) => each === known.arrived[index])) return known
    const next = siteOf(course)
    if (!next) {
      const sends = state.carried.some((each) => awaits(each.part, each.offset) && !sent.has(course.keyOf(each)))
      return { at, arrived, sending: [], until: sends ? now : Number.POSITIVE_INFINITY }
    }
    const isAlone = arrived.every((each) => !each)
    const found = (isAlone ? next.site.ahead : undefined) ?? sentAhead(next, arrived)
    if (isAlone) next.site.ahead = found
    const { sending, ticks } = found
    return { at, arrived, sending, until: Number.isNaN(ticks) ? Number.POSITIVE_INFINITY : now + ticks }
  }
  const tellFirst = firstTeller(courses, aheadOf)
  for (let moved = true; moved; ) {
    moved = false
    for (const course of courses) while (advance(course)) moved = true
    if (!moved && courses.some(({ at, blocks }) => at < blocks.length)) moved = tellFirst()
  }
  if (courses.some(({ at, blocks }) => at < blocks.length)) return undefined
  const stored: ReturnType<typeof storedParts>[] = []
  prepared.graph.ranks.forEach((rank, index) => {
    stored.push(stored[prepared.alike[index] ?? index] ?? storedParts(program, operators, rank))
  })
  return finish({ prepared, kinds, touches, courses, stored }, sequences)
}

/** Whether all that a block waits for is known. */
const areKnown = (arrived: readonly (Sent | undefined)[]): arrived is readonly Sent[] => !arrived.includes(undefined)

/** Finds the block, by its place in its rank's course, in which a block finds what it refers to; −1: none. */
function finder({ graph: { parts } }: Prepared, courses: readonly Course[]) {
  const isScheduled = courses.map(({ blocks }) => blocks.some(({ follows }) => follows))
  let most = 1
  for (const { blocks } of courses) for (const { iteration } of blocks) most = Math.max(most, iteration + 1)
  const indices = courses.map(
    ({ blocks }) => new Map(blocks.map(({ part, iteration }, index) => [part * most + iteration, index])),
  )
  return (block: Block, reference: Reference): number => {
    const [own, other] = [parts[block.part], parts[reference.part]]
    if (!own || !other) return -1
    const index = indices[other.rank]
    if (other.region === undefined) return index?.get(reference.part * most) ?? -1
    if (isScheduled[own.rank] || other.region !== own.region)
      return index?.get(reference.part * most + block.iteration) ?? -1
    // Of other loops the first iteration and the second stand for all.
    const iteration = block.iteration + (other.place ?? 0) - (own.place ?? 0)
    const part = reference.part + Math.min(iteration, 1) - (other.place ?? 0)
    return index?.get(part * most + iteration) ?? -1
  }
}

/** Of values that stay over iterations, by rank and block, what it is the first to touch and the last. */
function lastingTouches({ lasting }: Touches, courses: readonly Course[], kinds: readonly BlockKind[]) {
  const found = new Map<number, { takes: Touch[]; frees: Touch[] }>()
  const places = courses.map(({ blocks }) => placesOf(blocks))
  for (const [rank, values] of lasting.entries())
    for (const { id, parts } of values) {
      const at = (block: number) => {
        const known = found.get(rank * 1e6 + block) ?? { takes: [], frees: [] }
        found.set(rank * 1e6 + block, known)
        return known
      }
      let [first, last, isBehind] = [Number.POSITIVE_INFINITY, -1, false]
      const hosted: { block: number; offset: number }[] = []
      for (const [part, nodes] of parts) {
        const place = places[rank]?.get(part)
        if (place) {
          first = Math.min(first, place.first)
          last = Math.max(last, place.last)
          continue
        }
        for (const node of nodes) {
          const host = courses[rank]?.hosts.placeOf((kinds[part]?.firstNode ?? 0) + node)
          if (!host) isBehind = true
          else hosted.push(host)
        }
      }
      for (const { block } of hosted) {
        first = Math.min(first, block)
        last = Math.max(last, block)
      }
      const touches = (index: number) => {
        const own = parts.get(courses[rank]?.blocks[index]?.part ?? -1) ?? []
        if (hosted.length === 0) return { id, nodes: own }
        return { id, nodes: [...own, ...hosted.flatMap(({ block, offset }) => (block === index ? [offset] : []))] }
      }
      if (last >= 0) at(first).takes.push(touches(first))
      if (last >= 0 && !isBehind) at(last).frees.push(touches(last))
    }
  return found
}

/** The first and last place of each part in a course. */
function placesOf(blocks: readonly Block[]) {
  const places = new Map<number, { first: number; last: number }>()
  blocks.forEach(({ part }, index) => {
    places.set(part, { first: places.get(part)?.first ?? index, last: index })
  })
  return places
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
    own[offset] = toTicks(byRank[rank]?.times.get(id)?.seconds(step) ?? 0, id)
  }
  return own
}
