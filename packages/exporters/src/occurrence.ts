import {
  bodyAt,
  type EdgeKind,
  type Item,
  type OperatorNode,
  type Port,
  type Program,
  type Region,
  walk,
} from '@shardloom/core'
import { dependenciesOnEarlier } from './earlier.js'

/** Consecutive iterations of a region, by index, both ends included. */
export interface Run {
  readonly first: number
  readonly last: number
}

/** How a node stands inside one region: in which body, for which iterations. */
export interface Crossing {
  readonly region: Region
  readonly body: number
  readonly run: Run
  /** `rolled`: all iterations as one; `single`: one of them; `elided`: those in the middle of an unrolled axis. */
  readonly form: 'rolled' | 'single' | 'elided'
  /** How many iterations of the run are of this body. */
  readonly count: number
}

/** A node as it is drawn before folding: once per combination of unrolled iterations. */
export interface Occurrence {
  readonly node: OperatorNode
  /** The regions around it, outermost first. */
  readonly path: readonly Crossing[]
}

/** That one occurrence needs another; both are indices. */
export interface Dependency {
  readonly from: number
  readonly to: number
  readonly kind: EdgeKind
  /** The tensor that passes. */
  readonly tensor?: string
  /** It comes from an earlier iteration: around the loop. */
  readonly returns: boolean
}

/** What {@link expand} makes of a program. */
export interface Expansion {
  readonly occurrences: readonly Occurrence[]
  readonly dependencies: readonly Dependency[]
}

/** Which axes become iterations, and how many iterations are drawn one by one before the middle becomes one run. */
export interface Unrolling {
  readonly axes: ReadonlySet<string>
  readonly keep: number
}

/** The values of one tensor: where they hold, and the occurrences that made them. */
interface Value {
  readonly at: ReadonlyMap<string, Crossing>
  readonly sources: readonly number[]
}

/** All values of one tensor, and the same by the axes along which there are several, for finding one at once. */
interface Values {
  readonly all: Value[]
  readonly byRun: Map<string, { readonly axes: readonly string[]; readonly runs: Map<string, Value[]> }>
}

type Carry = Extract<Port, { kind: 'carry' }>

/** How many occurrences {@link expand} makes when it draws every iteration of `axes`. */
export function countOccurrences(program: Program, axes: ReadonlySet<string>): number {
  let total = 0
  walk(program.items, (_, place) => {
    let copies = place.executions
    for (const { region, body } of place.path) {
      if (!axes.has(region.axis)) copies /= Math.max(1, iterationsIn(region, wholeRun(region), body))
    }
    total += copies
  })
  return Math.round(total)
}

/**
 * Lists the occurrences of a program's nodes in program order and every dependency among them, followed through tensors
 * and ports: a carry links neighbouring iterations, `each` the same iteration of two regions, `reduce` all iterations.
 */
export function expand(program: Program, unrolling: Unrolling): Expansion {
  const occurrences: Occurrence[] = []
  const dependencies = new Map<string, Dependency>()
  const values = new Map<string, Values>()
  const latest = new Map<string, number>()

  const depend = (from: number, to: number, tensor: string | undefined, returns: boolean) => {
    if (from === to) return
    const recv = occurrences[to]?.node
    // What one rank runs has no pipeline: there only the hops of a ring are sent to itself, as all ranks do the same.
    const meets = program.pipeline !== undefined || recv?.communication?.shift !== undefined
    const sent = meets && occurrences[from]?.node.op === 'send' && recv?.op === 'recv'
    const kind: EdgeKind = tensor === undefined ? 'temporal' : sent ? 'communication' : 'data'
    const key = `${from} ${to} ${kind}`
    if (!dependencies.has(key))
      dependencies.set(key, { from, to, kind, returns, ...(tensor !== undefined && { tensor }) })
  }
  const read = (id: string, path: readonly Crossing[]): readonly Value[] => {
    const known = values.get(id)
    if (!known) return []
    const exact = [...known.byRun].flatMap(([, { axes, runs }]) => runs.get(runsText(axes, path) ?? '') ?? [])
    const found = exact.length > 0 ? exact : known.all.filter((value) => overlaps(value, path))
    const alike = found.filter((value) =>
      path.every((crossing) => {
        const other = value.at.get(crossing.region.axis)
        return !other || bodyName(other) === bodyName(crossing)
      }),
    )
    return alike.length > 0 ? alike : found
  }
  const write = (id: string, added: readonly Value[]) => {
    const known: Values = values.get(id) ?? { all: [], byRun: new Map() }
    values.set(id, known)
    for (const value of added) {
      known.all.push(value)
      const axes = [...value.at.keys()]
      const name = axes.join(' ')
      const index = known.byRun.get(name) ?? { axes, runs: new Map<string, Value[]>() }
      known.byRun.set(name, index)
      const runs = runsText(axes, [...value.at.values()]) ?? ''
      const list = index.runs.get(runs)
      if (list) list.push(value)
      else index.runs.set(runs, [value])
    }
  }
  const visitNode = (node: OperatorNode, path: readonly Crossing[]) => {
    const index = occurrences.push({ node, path }) - 1
    for (const id of node.inputs) {
      for (const { sources } of read(id, path)) for (const source of sources) depend(source, index, id, false)
    }
    for (const item of node.after ?? []) {
      const before = typeof item === 'string' ? latest.get(item) : undefined
      if (before !== undefined) depend(before, index, undefined, false)
    }
    const at = new Map(path.map((crossing) => [crossing.region.axis, crossing]))
    for (const id of node.outputs) write(id, [{ at, sources: [index] }])
    latest.set(node.id, index)
  }
  const visitRegion = (region: Region, path: readonly Crossing[]) => {
    const carries = region.ports.filter((port) => port.kind === 'carry')
    let incoming = new Map(carries.map((port) => [port, read(port.initial, path)]))
    const start = occurrences.length
    for (const { run, form } of runsOf(region, unrolling)) {
      incoming = visitRun(region, path, carries, incoming, { run, form })
    }
    for (const { from, to, returns } of dependenciesOnEarlier(occurrences, start, path.length))
      depend(from, to, undefined, returns)
    for (const port of carries) write(port.result, incoming.get(port) ?? [])
    for (const port of region.ports) {
      if (port.kind !== 'reduce') continue
      for (const inner of new Set(port.inner)) {
        if (inner !== null)
          write(
            port.result,
            (values.get(inner)?.all ?? []).filter((value) => within(value, path)).map((value) => leave(value, region)),
          )
      }
    }
    latest.set(region.id, occurrences.length - 1)
  }
  const visitRun = (
    region: Region,
    path: readonly Crossing[],
    carries: readonly Carry[],
    incoming: ReadonlyMap<Carry, readonly Value[]>,
    { run, form }: Pick<Crossing, 'run' | 'form'>,
  ) => {
    const { order, steps } = sequenceOf(region, run)
    const spans = new Map<number, readonly [number, number]>()
    const handed = new Map<Carry, Map<number, readonly Value[]>>(carries.map((port) => [port, new Map()]))
    const crossingOf = (body: number): Crossing => ({ region, body, run, form, count: iterationsIn(region, run, body) })
    for (const body of order) {
      const crossing = crossingOf(body)
      const before = [...steps].filter(([from, to]) => to === body && from !== body && spans.has(from))
      for (const port of carries) {
        const given = body === order[0] ? (incoming.get(port) ?? []) : []
        const passed = before.flatMap(([from]) => handed.get(port)?.get(from) ?? [])
        write(
          port.inner,
          [...given, ...passed].map((value) => enter(value, crossing)),
        )
      }
      const start = occurrences.length
      visit(body, region, [...path, crossing])
      spans.set(body, [start, occurrences.length])
      for (const port of carries) {
        const next = read(port.next[body] ?? '', [...path, crossing]).map((value) => leave(value, region))
        handed.get(port)?.set(body, next)
      }
    }
    // What an iteration hands to the next one around the loop. Later readers (backward) need it as well.
    for (const [from, to] of steps) {
      if (from !== to && order.indexOf(from) < order.indexOf(to)) continue
      for (const port of carries) {
        const passed = handed.get(port)?.get(from) ?? []
        write(
          port.inner,
          passed.map((value) => enter(value, crossingOf(to))),
        )
        const [start, end] = spans.get(to) ?? [0, 0]
        for (let reader = start; reader < end; reader++) {
          if (!occurrences[reader]?.node.inputs.includes(port.inner)) continue
          for (const { sources } of passed) for (const source of sources) depend(source, reader, port.inner, true)
        }
      }
    }
    const last = bodyAt(region, region.order === 'reverse' ? run.first : run.last)
    return new Map(carries.map((port) => [port, handed.get(port)?.get(last) ?? []]))
  }
  const visit = (body: number, region: Region, path: readonly Crossing[]) =>
    visitItems(region.bodies[body]?.items ?? [], path)
  const visitItems = (items: readonly Item[], path: readonly Crossing[]) => {
    for (const item of items) {
      if (item.type === 'node') visitNode(item, path)
      else visitRegion(item, path)
    }
  }
  visitItems(program.items, [])
  return { occurrences, dependencies: [...dependencies.values()] }
}

/** The name of the body that a crossing stands in. */
export function bodyName(crossing: Crossing): string {
  return crossing.region.bodies[crossing.body]?.name ?? crossing.region.axis
}

/** The runs of `path` along `axes`; undefined when it lacks one of them. */
function runsText(axes: readonly string[], path: readonly Crossing[]): string | undefined {
  let text = ''
  for (const axis of axes) {
    const crossing = path.find((each) => each.region.axis === axis)
    if (!crossing) return undefined
    text += `${crossing.run.first}-${crossing.run.last} `
  }
  return text
}

function overlaps(value: Value, path: readonly Crossing[]): boolean {
  return path.every((crossing) => {
    const other = value.at.get(crossing.region.axis)
    return !other || (other.run.first <= crossing.run.last && crossing.run.first <= other.run.last)
  })
}

function within(value: Value, path: readonly Crossing[]): boolean {
  return path.every((crossing) => {
    const other = value.at.get(crossing.region.axis)
    return !other || other.run.first === crossing.run.first
  })
}

function enter(value: Value, crossing: Crossing): Value {
  return { at: new Map(value.at).set(crossing.region.axis, crossing), sources: value.sources }
}

function leave(value: Value, region: Region): Value {
  const at = new Map(value.at)
  at.delete(region.axis)
  return { at, sources: value.sources }
}

function wholeRun(region: Region): Run {
  return { first: 0, last: region.extent - 1 }
}

/** The runs of a region in the order in which they execute. */
function runsOf(region: Region, { axes, keep }: Unrolling): Pick<Crossing, 'run' | 'form'>[] {
  const { extent } = region
  if (extent <= 1 || !axes.has(region.axis)) return [{ run: wholeRun(region), form: 'rolled' }]
  const single = (first: number) => ({ run: { first, last: first }, form: 'single' as const })
  const all = extent <= keep + 1
  const head = all ? extent : Math.max(1, Math.ceil(keep / 2))
  const tail = all ? 0 : Math.max(1, keep - head)
  const runs: Pick<Crossing, 'run' | 'form'>[] = Array.from({ length: head }, (_, index) => single(index))
  if (!all) runs.push({ run: { first: head, last: extent - tail - 1 }, form: 'elided' })
  for (let index = extent - tail; index < extent; index++) if (!all) runs.push(single(index))
  return region.order === 'reverse' ? runs.reverse() : runs
}

function iterationsIn(region: Region, run: Run, body: number): number {
  let count = 0
  for (let iteration = run.first; iteration <= run.last; iteration++) if (bodyAt(region, iteration) === body) count++
  return count
}

/** The bodies of a run in the order of their first iteration, and which body follows which. */
function sequenceOf(region: Region, run: Run): { order: number[]; steps: (readonly [number, number])[] } {
  const order: number[] = []
  const steps = new Map<string, readonly [number, number]>()
  let previous: number | undefined
  for (let offset = 0; offset <= run.last - run.first; offset++) {
    const body = bodyAt(region, region.order === 'reverse' ? run.last - offset : run.first + offset)
    if (!order.includes(body)) order.push(body)
    if (previous !== undefined) steps.set(`${previous} ${body}`, [previous, body])
    previous = body
  }
  return { order, steps: [...steps.values()] }
}
