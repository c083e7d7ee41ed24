import type { BlockKind } from './block-kind.js'
import type { BlockRun, Carried, State } from './block-run.js'
import { type Change, change, type Rise, riseOf } from './rise.js'
import type { Touches } from './touches.js'

/** Communication that ends without a break when something starts, the last of it first; times are from the block's begin. */
export interface Chain {
  readonly axes: readonly string[]
  readonly starts: readonly number[]
  /** What it follows on: the chain of what another rank has sent, or of what was carried in, by place; what the block before ended
   * with; undefined: computing. */
  readonly tail: { readonly of: 'arrival' | 'carried' | 'gate'; readonly index: number } | undefined
}

/** A buffer, of which nodes of a block are the first to touch it, or the last. */
export interface Touch {
  readonly id: number
  readonly nodes: readonly number[]
}

/** A node that other ranks wait for, in the block that is `distance` before this one. */
export interface Sending {
  readonly distance: number
  readonly offset: number
  readonly end: number
  readonly chain: Chain
}

/** What running a block from a state comes to. Times are in ticks from its begin; those after `quiet` wait for an arrival. */
export interface Outcome {
  readonly ticks: number
  readonly next: State
  readonly quiet: number
  /** Nodes that other ranks wait for and whose end is known now. */
  readonly sent: readonly Sending[]
  /** Of the node with which the block has computed; undefined: it computes nothing. */
  readonly gate: Chain | undefined
  /** Of each node that is carried on and runs. */
  readonly chains: readonly (Chain | undefined)[]
  /** The first start of a node with a stream. */
  readonly first: number
  /** Ticks in which each stream is busy, by its number. */
  readonly busy: readonly number[]
  readonly computing: number
  /** Ticks in which nothing is computed; what of them is communication, by axes; and waits for arrivals, whose chains go on. */
  readonly idle: number
  readonly exposed: readonly (readonly [axes: string, ticks: number])[]
  readonly open: readonly { readonly tail: NonNullable<Chain['tail']>; readonly from: number; readonly at: number }[]
  readonly memory: Rise
}

/** A block that has run from a state, and what its nodes are. */
export interface Running {
  readonly kind: BlockKind
  readonly state: State
  readonly run: BlockRun
  /** The axes that a node communicates over, in the block that is `distance` before this one. */
  readonly axesOf: (distance: number, offset: number) => string | undefined
  /** Whether other ranks wait for a node. */
  readonly awaits: (part: number, offset: number) => boolean
}

/** How the nodes of a run are read. */
export interface Reading extends Running {
  /** The part and the bytes of a buffer, by the id of a touch. */
  readonly held: Touches['held']
  readonly takes: readonly Touch[]
  readonly frees: readonly Touch[]
  readonly quiet: number
  readonly streams: number
  readonly intern: (carried: readonly Carried[]) => State
}

/** Reads off a run what it comes to. Linear in its nodes. */
export function outcomeOf(reading: Reading): Outcome {
  const { kind, state, run, quiet, streams } = reading
  const { times, base, waiting } = run
  const { start, end, status } = times
  const count = base + kind.size
  const { axes, isCarried, chainOf } = chainsOf(reading)
  const busy = new Array<number>(streams).fill(0)
  const exposed = new Map<string, number>()
  const expose = (over: string, ticks: number) => exposed.set(over, (exposed.get(over) ?? 0) + ticks)
  const open: Outcome['open'][number][] = []
  let [computing, idle, until] = [0, 0, 0]
  let first = Number.POSITIVE_INFINITY
  const blame = (from: number, to: number, blamed: number) => {
    let [at, node] = [to, blamed]
    while (at > from && node >= 0) {
      if (node < base && node >= waiting) {
        open.push({ tail: { of: 'arrival', index: node - waiting }, from, at })
        return
      }
      if (state.carried[node]?.offset === -1 && node < waiting) {
        open.push({ tail: { of: 'carried', index: node }, from, at })
        return
      }
      const over = axes(node)
      const begun = Math.max(from, start[node] ?? 0)
      if (over === undefined && at > begun) return
      if (over !== undefined && at > begun) expose(over, at - begun)
      at = Math.min(at, begun)
      node = times.cause[node] ?? -1
    }
  }
  for (let node = 0; node < count; node++) {
    if ((status[node] ?? 0) < 2) continue
    const on = run.stream[node] ?? -1
    if (on < 0 || isCarried(node)) continue
    const [from, to] = [start[node] ?? 0, end[node] ?? 0]
    busy[on] = (busy[on] ?? 0) + to - from
    first = Math.min(first, from)
    if (on > 0) continue
    if (from > until) {
      idle += from - until
      blame(until, from, times.cause[node] ?? -1)
    }
    const over = axes(node)
    if (over === undefined) computing += to - from
    else expose(over, to - from)
    until = Math.max(until, to)
  }
  const { memory, pending } = memoryOf(reading)
  const place = new Map(run.unfinished.map((node, index) => [node, index]))
  const carried = run.unfinished.map((node): Carried => {
    const known = node < waiting ? state.carried[node] : undefined
    const isArrival = node < base && node >= waiting
    const { takes = [], frees = [] } = pending.get(node) ?? {}
    const now = status[node] ?? 0
    const until = isArrival || known?.offset === -1 ? arrivalEnd(node, reading) : (end[node] ?? 0)
    return {
      part: known?.part ?? kind.part,
      offset: known ? known.offset : isArrival ? -1 : node - base,
      distance: (known?.distance ?? 0) + 1,
      status: now,
      remaining: now === 2 ? until - run.ticks : 0,
      ticks: known?.ticks ?? (isArrival ? 0 : (run.lengths[node] ?? 0)),
      stream: run.stream[node] ?? -1,
      waits: now === 0 ? run.sources(node).flatMap((source) => place.get(source) ?? []) : [],
      takes,
      frees,
    }
  })
  return {
    ticks: run.ticks,
    next: reading.intern(carried),
    quiet,
    sent: sentOf(reading),
    gate: kind.last < 0 ? undefined : chainOf(base + kind.last),
    chains: run.unfinished.map((node) => (status[node] === 2 ? chainOf(node) : undefined)),
    first,
    busy,
    computing,
    idle,
    exposed: [...exposed],
    open,
    memory,
  }
}

/** Who communicates in a run, and the chains that end with its nodes. */
function chainsOf({ state, run, axesOf }: Running) {
  const { times, base, waiting } = run
  const { start, end } = times
  const axes = (node: number) => {
    if (node >= base) return axesOf(0, node - base)
    const carried = state.carried[node]
    return carried && carried.offset >= 0 ? axesOf(carried.distance, carried.offset) : undefined
  }
  const isCarried = (node: number) => node < waiting && state.carried[node]?.status === 2
  const chainOf = (from: number): Chain => {
    const found: string[] = []
    const starts: number[] = []
    let earliest = 0
    for (let node = from; node >= 0; node = times.cause[node] ?? -1) {
      if (node < base && node >= waiting) return { axes: found, starts, tail: { of: 'arrival', index: node - waiting } }
      if (isCarried(node)) return { axes: found, starts, tail: { of: 'carried', index: node } }
      const over = axes(node)
      const [begun, ended] = [start[node] ?? 0, end[node] ?? 0]
      earliest = begun
      if (over === undefined && ended > begun) return { axes: found, starts, tail: undefined }
      if (over === undefined || ended === begun) continue
      found.push(over)
      starts.push(begun)
    }
    return { axes: found, starts, tail: earliest <= 0 ? { of: 'gate', index: 0 } : undefined }
  }
  return { axes, isCarried, chainOf }
}

/** Finds what other ranks wait for whose end is known when a run stops. Linear in its nodes. */
export function sentOf(reading: Running): Sending[] {
  const { kind, state, run, awaits } = reading
  const { times, base, waiting } = run
  const { end, status } = times
  const { axes, isCarried, chainOf } = chainsOf(reading)
  const count = base + kind.size
  const sent: Sending[] = []
  const queued = queuedLinks(run)
  for (let node = 0; node < count; node++) {
    const isKnown = (status[node] ?? 0) >= 2 || queued.has(node)
    if ((node < base && node >= waiting) || !isKnown || isCarried(node)) continue
    const carried = state.carried[node]
    const [part, offset, distance] =
      node >= base ? [kind.part, node - base, 0] : [carried?.part ?? 0, carried?.offset ?? 0, carried?.distance ?? 0]
    if (!awaits(part, offset)) continue
    const { end: until, behind } = queued.get(node) ?? {}
    if (until === undefined || behind === undefined) {
      sent.push({ offset, distance, end: end[node] ?? 0, chain: chainOf(node) })
      continue
    }
    const own = axes(node)
    const before = queued.get(behind)?.chain ?? chainOf(behind)
    const begun = until - (run.lengths[node] ?? 0)
    const chain =
      own === undefined ? before : { ...before, axes: [own, ...before.axes], starts: [begun, ...before.starts] }
    queued.set(node, { end: until, behind, chain })
    sent.push({ offset, distance, end: until, chain })
  }
  return sent
}

/**
 * What waits for a link when a block has computed: others wait for what is sent there, perhaps before this rank goes on. Links take what is ready
 * in order and for a time that nothing changes, so that its end is known: the link is free when what it waits behind has ended.
 */
function queuedLinks({ unfinished, times, stream, lengths }: BlockRun) {
  const free = new Map<number, { readonly node: number; readonly at: number }>()
  const found = new Map<number, { readonly end: number; readonly behind: number; readonly chain?: Chain }>()
  for (const node of unfinished) {
    const on = stream[node] ?? -1
    if (on > 0 && times.status[node] === 2) free.set(on, { node, at: times.end[node] ?? 0 })
  }
  for (const node of unfinished) {
    const on = stream[node] ?? -1
    const before = free.get(on)
    if (on <= 0 || times.status[node] !== 1 || !before) continue
    const end = before.at + (lengths[node] ?? 0)
    found.set(node, { end, behind: before.node })
    free.set(on, { node, at: end })
  }
  return found
}

/** When what another rank has sent arrives. */
function arrivalEnd(node: number, { run, state }: Reading): number {
  return node < run.waiting ? (state.carried[node]?.remaining ?? 0) : (run.arrivals[node - run.waiting] ?? 0)
}

/** The bytes that come and go in a run, and what is left to come and go by those that have not begun or ended. */
function memoryOf({ state, run, takes, frees, held }: Reading) {
  const { start, end, status } = run.times
  const changes: Change[] = []
  const pending = new Map<number, { takes: number[]; frees: number[] }>()
  const leave = (node: number, what: 'takes' | 'frees', id: number) => {
    const known = pending.get(node) ?? { takes: [], frees: [] }
    known[what].push(id)
    pending.set(node, known)
  }
  const take = (id: number, nodes: readonly number[], base: number) => {
    let first = Number.POSITIVE_INFINITY
    for (const node of nodes)
      if ((status[base + node] as number) >= 2) first = Math.min(first, start[base + node] as number)
    if (first < Number.POSITIVE_INFINITY && first <= run.ticks) changes.push(change(held(id), first, 1))
    else for (const node of nodes) leave(base + node, 'takes', id)
  }
  const free = (id: number, nodes: readonly number[], base: number) => {
    let [last, isLeft] = [0, false]
    for (const node of nodes) {
      if (status[base + node] === 3) last = Math.max(last, end[base + node] as number)
      else {
        isLeft = true
        leave(base + node, 'frees', id)
      }
    }
    if (!isLeft) changes.push(change(held(id), last, -1))
  }
  for (const { id, nodes } of carriedTouches(state, 'takes')) take(id, nodes, 0)
  for (const { id, nodes } of carriedTouches(state, 'frees')) free(id, nodes, 0)
  for (const { id, nodes } of takes) take(id, nodes, run.base)
  for (const { id, nodes } of frees) free(id, nodes, run.base)
  return { memory: riseOf(changes, 0, run.ticks), pending }
}

/** What the carried nodes of each block before take or free, with those nodes. */
function carriedTouches({ carried }: State, what: 'takes' | 'frees'): Iterable<Touch> {
  const groups = new Map<number, { readonly id: number; readonly nodes: number[] }>()
  carried.forEach((each, node) => {
    for (const id of each[what]) {
      const key = id * 1e6 + each.distance
      const known = groups.get(key)
      if (known) known.nodes.push(node)
      else groups.set(key, { id, nodes: [node] })
    }
  })
  return groups.values()
}
