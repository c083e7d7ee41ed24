import { type Layout, type RegionLayout, startOf, timed } from './layout.js'
import { actionsOf, coordinateOf, directionOf, type Pipeline, type PipelineAction } from './pipeline.js'
import { bodyAt, type Item, type OperatorNode, type Program, type Region, walk } from './program.js'
import { programOf } from './stage-program.js'
import type { Emitted, PartGraph } from './unroll.js'

const kindOf = ({ gradient }: OperatorNode) => (gradient === undefined ? 0 : gradient === 'input' ? 1 : 2)

/** The parts, F, I and W as 0, 1 and 2, that an action runs. */
const kindsOf: Readonly<Record<PipelineAction['kind'], readonly number[]>> = { F: [0], I: [1], W: [2], B: [1, 2] }

/** Finds the chunk of one direction that a node of a coordinate stands in; −1: none. */
function chunkFinder({ chunks, directions }: Pipeline, coordinate: number) {
  const each = chunks.length / directions
  const extent = chunks.reduce((most, { to }) => Math.max(most, to), 0)
  const held = new Int32Array(directions * extent).fill(-1)
  chunks.forEach(({ rank, from, to }, chunk) => {
    const begin = Math.floor(chunk / each) * extent
    if (rank === coordinate) held.fill(chunk, begin + from, begin + to)
  })
  return ({ stages }: OperatorNode, iteration: number | undefined, direction: number): number => {
    if (iteration !== undefined) return held[direction * extent + iteration] ?? -1
    const [first, last] = [direction * each, (direction + 1) * each - 1]
    if (stages?.includes('first') && chunks[first]?.rank === coordinate) return first
    return stages?.includes('last') && chunks[last]?.rank === coordinate ? last : -1
  }
}

/** What the schedule of a coordinate orders, as text: equal for those that differ in the numbers of their chunks alone. */
export function scheduleShape({ pipeline }: Program, coordinate: number): string {
  if (!pipeline) return ''
  const own = pipeline.chunks.flatMap(({ rank }, chunk) => (rank === coordinate ? [chunk] : []))
  const slots = slotsOf(pipeline, coordinate)
  return actionsOf(pipeline, coordinate)
    .map(({ kind, chunk, microbatch }, action) => `${own.indexOf(chunk)}${kind}${microbatch}@${slots[action]}`)
    .join()
}

/** Per action of a coordinate its slot, in order: both of an overlapped pair share one. */
export function slotsOf({ actions }: Pipeline, coordinate: number): Int32Array {
  let slot = -1
  const found = (actions[coordinate] ?? '').matchAll(/\d+[FIWB]\d+(\)OVERLAP_F_B)?/g)
  return Int32Array.from(found, ([, second]) => (second === undefined ? ++slot : slot))
}

/** Where the executions of a coordinate's nodes stand in its schedule. */
export interface ScheduledPlaces {
  /**
   * The index of the action that runs a node, by the iteration of the axis that chunks divide, where it stands inside of
   * it, and the microbatch; −1: no action runs it.
   */
  readonly positionOf: (node: OperatorNode, iteration: number | undefined, microbatch: number) => number
  /** The index of the first action of a microbatch. */
  readonly first: (microbatch: number) => number
}

/** Finds which action of a coordinate's schedule runs a node, in constant time per question. */
export function scheduledPlaces(pipeline: Pipeline, coordinate: number, microbatches: number): ScheduledPlaces {
  const actions = actionsOf(pipeline, coordinate)
  const chunkOf = chunkFinder(pipeline, coordinate)
  const position = new Int32Array(pipeline.chunks.length * 3 * microbatches).fill(-1)
  const earliest = new Int32Array(microbatches)
  for (let index = actions.length - 1; index >= 0; index--) {
    const { kind, chunk, microbatch } = actions[index] ?? { kind: 'F', chunk: 0, microbatch: 0 }
    for (const each of kindsOf[kind]) position[(chunk * 3 + each) * microbatches + microbatch] = index
    earliest[microbatch] = index
  }
  return {
    positionOf(node, iteration, microbatch) {
      const direction = directionOf(pipeline, microbatch, microbatches)
      const chunk = chunkOf(node, iteration, direction)
      return chunk < 0 ? -1 : (position[(chunk * 3 + kindOf(node)) * microbatches + microbatch] ?? -1)
    },
    first: (microbatch) => earliest[microbatch] ?? 0,
  }
}

/** The action that runs each node of a loop over microbatches, by its place there, and per action its slot: both of an overlapped pair share one. */
interface Ordered {
  readonly actionOf: Int32Array
  readonly slots: Int32Array
}

/** The order of a coordinate's actions. */
function byActions(graph: PartGraph, region: RegionLayout, pipeline: Pipeline, coordinate: number): Ordered {
  const { starts, sources } = graph
  const { extent } = region.region
  const { positionOf, first: earliest } = scheduledPlaces(pipeline, coordinate, extent)
  const begin = region.offset
  const actionOf = new Int32Array(region.starts[extent] ?? 0)
  const visit = (layout: Layout, base: number, microbatch: number, iteration: number | undefined) => {
    layout.items.forEach((item, index) => {
      if (item.type === 'node') {
        const place = base + (layout.offsets[index] ?? 0)
        let action = positionOf(item, iteration, microbatch)
        if (action < 0) {
          // What stands nowhere runs as soon as what it reads is there.
          action = earliest(microbatch)
          for (let edge = starts[place] ?? 0; edge < (starts[place + 1] ?? 0); edge++)
            action = Math.max(action, actionOf[(sources[edge] ?? 0) - begin] ?? 0)
        }
        actionOf[place - begin] = action
        return
      }
      const inner = layout.regions.get(item.id)
      if (!inner) return
      for (let step = 0; step < item.extent; step++) {
        const at = timed(item, step)
        const body = inner.bodies[bodyAt(item, at)]
        if (body) visit(body, base + startOf(inner, at), microbatch, item.axis === pipeline.over ? at : iteration)
      }
    })
  }
  for (let microbatch = 0; microbatch < extent; microbatch++) {
    const body = region.bodies[bodyAt(region.region, microbatch)]
    if (body) visit(body, startOf(region, microbatch), microbatch, undefined)
  }
  return { actionOf, slots: slotsOf(pipeline, coordinate) }
}

/** Microbatches in flight that go round a loop: each runs one iteration of it before any runs the next, which waits for the last stage. */
export interface Rounds {
  /** The loop, such as the steps of decoding. */
  readonly loop: Region
  /** How many turns they take. */
  readonly turns: number
  /** The slot of a turn: those behind the last iteration only receive, and share one, for none waits for another. */
  readonly slotOf: (turn: number) => number
  /** In which turn an item runs, by its microbatch and when its iteration runs: what is received last, for the next one, as that begins. */
  readonly turnOf: (item: Item, microbatch: number, place: number) => number
}

/** Of a loop over microbatches that no schedule orders, how they go round; undefined: they do not, as they run more than one loop. */
export function roundsOf({ axis, extent, bodies }: Region, pipeline: Pipeline | undefined): Rounds | undefined {
  const [loop, more] = bodies[0]?.items ?? []
  if (!pipeline || axis !== 'microbatch' || bodies.length > 1 || more || loop?.type !== 'region') return undefined
  if (loop.axis === pipeline.over || loop.extent < 2 || pipeline.actions.some((list) => list !== '')) return undefined
  const isOther = (item: Item) => item.type === 'region' || item.op !== 'recv'
  const received = new Set<Item>(loop.bodies.flatMap(({ items }) => items.slice(items.findLastIndex(isOther) + 1)))
  return {
    loop,
    turns: extent * (loop.extent + Number(received.size > 0)),
    slotOf: (turn) => Math.min(turn, extent * loop.extent),
    turnOf: (item, microbatch, place) => (place + Number(received.has(item))) * extent + microbatch,
  }
}

/** The order of microbatches that go round: the iterations of the loop inside of them, and in each of these all microbatches. */
function byRounds({ region, starts, bodies: [body] }: RegionLayout, { loop, turns, slotOf, turnOf }: Rounds): Ordered {
  const inner = body?.regions.get(loop.id)
  const actionOf = new Int32Array(starts[region.extent] ?? 0)
  for (let microbatch = 0; microbatch < region.extent; microbatch++)
    for (let place = 0; place < loop.extent; place++) {
      const base = (starts[microbatch] ?? 0) + (inner?.starts[place] ?? 0)
      const { items = [], offsets = [], size = 0 } = inner?.bodies[bodyAt(loop, timed(loop, place))] ?? {}
      items.forEach((item, index) => {
        actionOf.fill(
          turnOf(item, microbatch, place),
          base + (offsets[index] ?? 0),
          base + (offsets[index + 1] ?? size),
        )
      })
    }
  return { actionOf, slots: Int32Array.from({ length: turns }, (_, turn) => slotOf(turn)) }
}

/**
 * Numbers the nodes of a pipeline's microbatches action by action, and adds a temporal edge from what an action computes last to the next
 * action, but none inside of an overlapped pair: from what comes before it to both, and from both to what comes behind.
 * The same graph where nothing orders them or they, or the axis that chunks divide, are not unrolled. Linear.
 */
export function inScheduledOrder(
  graph: PartGraph,
  { pipeline }: Program,
  coordinate: number,
  axes: ReadonlySet<string> | undefined,
): Emitted {
  const { template, starts, sources, kinds, top } = graph
  const region = [...top.regions.values()].find(({ region }) => region.axis === 'microbatch')
  const whole = !axes || (axes.has('microbatch') && axes.has(pipeline?.over ?? ''))
  const rounds = region && (!axes || axes.has('microbatch')) ? roundsOf(region.region, pipeline) : undefined
  const isScheduled = whole && (pipeline?.actions[coordinate] ?? '') !== ''
  const ordered =
    region && pipeline && isScheduled
      ? byActions(graph, region, pipeline, coordinate)
      : region && rounds && byRounds(region, rounds)
  if (!region || !ordered) return { template, starts, sources, kinds }
  const { actionOf, slots } = ordered
  const begin = region.offset
  const end = begin + actionOf.length
  const next = new Uint32Array(slots.length + 1)
  for (const action of actionOf) next[action + 1] = (next[action + 1] ?? 0) + 1
  next[0] = begin
  for (let action = 0; action < slots.length; action++) next[action + 1] = (next[action + 1] ?? 0) + (next[action] ?? 0)
  const firsts = next.slice()
  const places = Uint32Array.from({ length: top.size }, (_, place) => place)
  actionOf.forEach((action, index) => {
    const number = next[action] ?? 0
    next[action] = number + 1
    places[number] = begin + index
  })
  const computes = graph.templates.map(({ kind }) => kind === 'compute')
  /** The node with which an action has computed: what it sends or reduces behind it goes on beside the next one. */
  const lastComputing = (from: number, to: number) => {
    for (let number = to - 1; number >= from; number--)
      if (computes[template[places[number] as number] ?? 0]) return number
    return to - 1
  }
  const begins: number[] = []
  const seconds: number[] = []
  /** The nodes with which a slot begins, and those that they wait for: with which the one before ends. */
  const gates = new Map<number, readonly number[]>()
  let before: readonly number[] = []
  for (let action = 0; action < slots.length; ) {
    const spans: (readonly [from: number, to: number])[] = []
    const slot = slots[action]
    begins.push(firsts[action] ?? begin)
    for (; action < slots.length && slots[action] === slot; action++) {
      const [from = begin, to = begin] = [firsts[action], firsts[action + 1]]
      if (from < to) spans.push([from, to])
    }
    seconds.push(rounds ? -1 : (spans[1]?.[0] ?? -1))
    if (before.length > 0) for (const [from] of spans) gates.set(from, before)
    if (spans.length > 0) before = spans.map(([from, to]) => lastComputing(from, to))
  }
  const numbers = new Uint32Array(top.size)
  places.forEach((place, number) => {
    numbers[place] = number
  })
  const gated = Array.from(gates.values()).reduce((sum, { length }) => sum + length, 0)
  const reordered = {
    template: new Int32Array(top.size),
    starts: new Uint32Array(top.size + 1),
    sources: new Uint32Array((starts[top.size] ?? 0) + gated),
    kinds: new Uint8Array((starts[top.size] ?? 0) + gated),
  }
  let count = 0
  for (let number = 0; number < top.size; number++) {
    const place = places[number] ?? 0
    reordered.template[number] = template[place] ?? 0
    reordered.starts[number] = count
    for (let edge = starts[place] ?? 0; edge < (starts[place + 1] ?? 0); edge++) {
      const source = sources[edge] ?? 0
      // What waits for the loop waits for its last action.
      const waits = kinds[edge] === 1 && place >= end && source >= begin && source < end
      reordered.sources[count] = waits ? end - 1 : (numbers[source] ?? 0)
      reordered.kinds[count++] = kinds[edge] ?? 0
    }
    for (const source of gates.get(number) ?? []) {
      reordered.sources[count] = source
      reordered.kinds[count++] = 1
    }
  }
  reordered.starts[top.size] = count
  return { ...reordered, order: { numbers, places, begins, seconds } }
}

/**
 * How many actions each slot of a rank's schedule has that run something, in order: two in an overlapped pair, else one. An I of a chunk
 * without layers, which hands no gradient on, runs nothing. So for turns of microbatches that go round; none where nothing orders them.
 */
export function slotsRun(program: Program, rank: number): readonly number[] {
  const { pipeline } = program
  const part = programOf(program, rank)
  const loop = part.items.find((item) => item.type === 'region' && item.axis === 'microbatch')
  if (!pipeline || loop?.type !== 'region') return []
  const rounds = roundsOf(loop, pipeline)
  if (rounds) {
    const received = rounds.turns - loop.extent * rounds.loop.extent
    return [...new Array<number>(rounds.turns - received).fill(1), ...(received > 0 ? [received] : [])]
  }
  const chunkOf = chunkFinder(pipeline, coordinateOf(program, rank))
  const run = new Set<string>()
  walk(part.items, (node, { path }) => {
    const at = path.find(({ region }) => region.axis === pipeline.over)
    const microbatch = path.find(({ region }) => region.axis === 'microbatch')
    if (!microbatch) return
    const iterations = at ? Array.from({ length: at.region.extent }, (_, i) => i) : [undefined]
    for (const iteration of iterations) {
      if (at && bodyAt(at.region, iteration ?? 0) !== at.body) continue
      run.add(`${chunkOf(node, iteration, microbatch.body)} ${kindOf(node)}`)
    }
  })
  const counts: number[] = []
  const slots = slotsOf(pipeline, coordinateOf(program, rank))
  actionsOf(pipeline, coordinateOf(program, rank)).forEach(({ chunk, kind }, action) => {
    const slot = slots[action] ?? 0
    if (kindsOf[kind].some((each) => run.has(`${chunk} ${each}`))) counts[slot] = (counts[slot] ?? 0) + 1
  })
  return counts.filter((count) => count > 0)
}
