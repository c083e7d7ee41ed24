import type { Simulation } from 'shardloom'
import { formatBytes, formatSeconds, stepFigures } from 'shardloom'
import {
  type ChartSlice,
  criticalNodes,
  type Grain,
  type ScheduleChartOptions,
  scheduleChart,
  scheduleFlows,
  sliceKey,
  slicesOf,
  ticksPerSecond,
  timelineRows,
} from 'shardloom/charts'
import type { TimedSchedule } from 'shardloom/schedules'
import { type Flows, flowsOf } from './flows.js'
import { firstEndingAfter, packSlices, type SliceInput, type Slices, type Sums, sliceAt, sumsOf } from './slices.js'

/** One stream of a rank. */
export interface Row {
  readonly label: string
  readonly rank: number
  readonly stream: string
  /** The row on which the same rank computes. */
  readonly computing: number
  /** Where it computes: the share of the whole in which it does not. */
  readonly idle?: number
}

/** A timeline as typed arrays: all that is drawn of it. Plain data, whose buffers a Worker can hand over. */
export interface TimelineData {
  readonly name: string
  /** A few figures beside the name. */
  readonly fact: string
  /** `s`, or the unit of the costs of a schedule. */
  readonly unit: string
  /** Ticks in one of that unit. */
  readonly perUnit: number
  /** Ticks. */
  readonly end: number
  /** The relative error that its times are good for; none of costs that are given. */
  readonly error?: number
  readonly rows: readonly Row[]
  /** What slices are called; `node` is that of the rolled program, or the part of it that a coarser slice is of. */
  readonly names: readonly { readonly label: string; readonly node: string }[]
  /** The same time in slices that grow coarser: operators first, then layers and actions of the schedule, on rows that compute. */
  readonly grains: readonly Slices[]
  /** What the slices of each grain are. */
  readonly grainNames: readonly Grain[]
  /** Of the finest slices. */
  readonly sums: Sums
  /** A critical path: its pieces, ascending in time. */
  readonly critical: { readonly row: Uint32Array; readonly start: Float64Array; readonly end: Float64Array }
  /** From slice to slice of other rows, where one of the two communicates. */
  readonly flows: Flows
  /** The iteration of each axis in which the finest slices stand; −1: none. */
  readonly iterations: readonly { readonly axis: string; readonly at: Int32Array }[]
}

/** Numbers names as they come. */
class Names {
  readonly list: { label: string; node: string }[] = []
  private readonly numbers = new Map<string, number>()
  number(label: string, node = ''): number {
    const key = `${node} ${label}`
    const known = this.numbers.get(key)
    if (known !== undefined) return known
    this.numbers.set(key, this.list.length)
    return this.list.push({ label, node }) - 1
  }
}

/** Coarser slices are kept where there are at most so many of them for one of the finer. */
const coarser = 0.7

/** A simulated step as typed arrays. O(n log n) in its nodes. */
export function timelineOfSimulation(simulation: Simulation, name: string): TimelineData {
  const {
    timeline,
    timed: { program },
  } = simulation
  const { memory, conventions } = stepFigures(simulation)
  const { graph, times, seconds } = timeline
  const rows = timelineRows(timeline, program)
  const names = new Names()
  const nodes: number[] = []
  function* packed(
    row: (typeof rows)[number],
    grain: Grain,
    key = sliceKey(grain, program, timeline),
  ): Generator<SliceInput> {
    for (const { start, end, partner, again, node, ...first } of slicesOf(row, key, timeline, program)) {
      // Of an overlapped pair backward takes longer.
      const { kind, label } = partner ? { kind: partner.kind, label: `${first.label} ${partner.label}` } : first
      const whole = graph.templates[graph.template[node] ?? 0]?.id ?? ''
      const id =
        grain === 'operator'
          ? whole
          : whole
              .split('/')
              .slice(0, grain === 'layer' ? 2 : 1)
              .join('/')
      if (grain === 'operator') nodes.push(node)
      const called = grain === 'layer' && /^\d+$/.test(label) ? `layer ${label}` : label
      yield { start, end, kind, name: names.number(called, id), again }
    }
  }
  const operators = packSlices(rows.map((row) => packed(row, 'operator')))
  const grains = [operators]
  const grainNames: Grain[] = ['operator']
  for (const grain of ['layer', 'action'] as const) {
    const key = sliceKey(grain, program, timeline)
    const slices = packSlices(rows.map((row) => (row.stream === 'compute' ? packed(row, grain, key) : [])))
    const finer = grains.at(-1) as Slices // the first is there
    const count = rows.reduce((sum, { stream }, row) => sum + (stream === 'compute' ? countOf(finer, row) : 0), 0)
    if (slices.start.length >= coarser * count) continue
    grains.push(slices)
    grainNames.push(grain)
  }
  const computing = new Map(rows.flatMap(({ rank, stream }, row) => (stream === 'compute' ? [[rank, row]] : [])))
  const rowOf = new Map(rows.map(({ rank, stream }, row) => [`${rank} ${stream}`, row]))
  const chain = criticalNodes(timeline).filter((node) => (times.end[node] ?? 0) > (times.start[node] ?? 0))
  const own = (node: number) => rowOf.get(`${graph.rankOf(node)} ${timeline.streamOf(node)}`)
  const shown = chain.filter((node) => own(node) !== undefined)
  const idle = rows.flatMap((row) => (row.idle === undefined ? [] : [row.idle]))
  const share = idle.reduce((sum, each) => sum + each, 0) / (idle.length || 1)
  return {
    name,
    fact: `${formatSeconds(seconds)} · idle ${(100 * share).toFixed(1)}\u00a0% · peak ${formatBytes(memory.peakBytes)}`,
    error: conventions.error,
    unit: 's',
    perUnit: ticksPerSecond,
    end: times.makespan,
    rows: rows.map(({ rank, stream, name: called, idle: unused }, row) => ({
      label: stream === 'compute' ? called : stream,
      rank,
      stream,
      computing: computing.get(rank) ?? row,
      ...(unused !== undefined && { idle: unused }),
    })),
    names: names.list,
    grains,
    grainNames,
    sums: sumsOf(operators),
    critical: {
      row: Uint32Array.from(shown, (node) => own(node) ?? 0),
      start: Float64Array.from(shown, (node) => times.start[node] ?? 0),
      end: Float64Array.from(shown, (node) => times.end[node] ?? 0),
    },
    flows: flowsOf(timeline, nodes, operators.rowStart),
    iterations: iterationsOf(timeline, nodes),
  }
}

const countOf = ({ rowStart }: Slices, row: number) => (rowStart[row + 1] ?? 0) - (rowStart[row] ?? 0)

function iterationsOf({ graph }: Simulation['timeline'], nodes: readonly number[]): TimelineData['iterations'] {
  const axes = new Map<string, Int32Array>()
  nodes.forEach((node, slice) => {
    for (const { axis, iteration } of graph.iterationsOf(node)) {
      const known = axes.get(axis) ?? new Int32Array(nodes.length).fill(-1)
      axes.set(axis, known)
      known[slice] = iteration
    }
  })
  return [...axes].map(([axis, at]) => ({ axis, at }))
}

/** Timed schedules as typed arrays, in the order given; the first is what the others are compared with. */
export function timelinesOfSchedules(
  schedules: readonly TimedSchedule[],
  options: Omit<ScheduleChartOptions, 'microbatch'> = {},
): TimelineData[] {
  const { panels, unit } = scheduleChart(schedules, options)
  return panels.map((panel, index): TimelineData => {
    const timed = schedules[index] as TimedSchedule // a panel each
    const names = new Names()
    const packed = function* (slices: readonly ChartSlice[]): Generator<SliceInput> {
      for (const { start, end, kind, label, again = 0, partner } of slices) {
        const second = partner && { kind: partner.kind, name: names.number(partner.label) }
        yield { start, end, kind, name: names.number(label), again, ...(second && { partner: second }) }
      }
    }
    const slices = packSlices(panel.rows.map((row) => packed(row.slices)))
    const critical = panel.critical ?? []
    const flows = scheduleFlows(timed).map(({ from, at, to, until }) => [
      // The last that has ended.
      firstEndingAfter(slices, from, at) - 1,
      sliceAt(slices, to, until),
    ])
    const drawn = flows.filter(([from = -1, to = -1]) => from >= 0 && to >= 0)
    return {
      name: panel.name || timed.schedule.name,
      fact: panel.fact,
      unit,
      perUnit: 1,
      end: panel.end,
      rows: panel.rows.map(({ label, idle }, rank) => ({
        label,
        rank,
        stream: 'compute',
        computing: rank,
        ...(idle !== undefined && { idle }),
      })),
      names: names.list,
      grains: [slices],
      grainNames: ['action'],
      sums: sumsOf(slices),
      critical: {
        row: Uint32Array.from(critical, ({ row }) => row),
        start: Float64Array.from(critical, ({ start }) => start),
        end: Float64Array.from(critical, ({ end }) => end),
      },
      flows: {
        from: Uint32Array.from(drawn, ([from]) => from ?? 0),
        to: Uint32Array.from(drawn, ([, to]) => to ?? 0),
      },
      iterations: [],
    }
  })
}
