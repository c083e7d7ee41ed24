import { type Program, regionsOf } from '@shardloom/core'
import { type Timeline, ticksPerSecond } from '@shardloom/simulator'
import { formatCount } from '../format.js'
import type { Chart, ChartPanel, ChartRow, ChartSlice } from './chart.js'
import {
  criticalNodes,
  type Grain,
  type Key,
  sliceKey,
  slicesOf,
  type TimelineRow,
  timelineRows,
} from './timeline-rows.js'

/** What of a simulation is drawn. */
export interface TimelineChartOptions {
  /** The ranks that are drawn, of those that were run. Default all, up to {@link mostRows} rows. */
  readonly ranks?: readonly number[]
  /** Default true. */
  readonly critical?: boolean
}

/** More rows than this are not read in one picture. */
const mostRows = 32
/** Below this many rows the streams of communication stand under the one that computes. */
const mostWithStreams = 16
/** Slices of a row that still have room for their labels. */
const labelled = 40

/**
 * A timeline as a chart: a row per rank and stream; slices are operators, layers or microbatches, whatever still can be read. Times are
 * in the unit of the longest step that stands on the same axis.
 */
export function simulationChart(
  timeline: Timeline,
  program: Program,
  options: TimelineChartOptions = {},
  longest = timeline.seconds,
): Omit<Chart, 'title' | 'subtitle'> {
  const { graph, streams, ranks: run } = timeline
  const asked = options.ranks ?? run
  const ranks = asked.slice(0, mostRows)
  const all = timelineRows(timeline, program)
  const drawn = ranks.flatMap((rank) => all.filter((row) => row.rank === rank))
  const used = streams.filter((stream) => drawn.some((row) => row.stream === stream && row.nodes.length > 0))
  const shown = used.filter((stream) => stream === 'compute' || used.length * ranks.length <= mostWithStreams)
  const [unit, perUnit] = unitOf(longest)
  const grain = grainOf(program, timeline, drawn.find(({ stream }) => stream === 'compute')?.nodes ?? [])
  const rowOf = new Map<string, number>()
  const rows: ChartRow[] = []
  const keys = { compute: sliceKey(grain, program, timeline), other: sliceKey('operator', program, timeline) }
  for (const row of drawn) {
    const { rank, stream, name, idle } = row
    if (!shown.includes(stream)) continue
    rowOf.set(`${rank} ${stream}`, rows.length)
    const own = stream === 'compute' ? keys.compute : keys.other
    rows.push({
      label: stream === 'compute' ? name : stream,
      slices: chartSlices(row, own, { timeline, program, perUnit }),
      ...(idle !== undefined && { idle, fact: computesText(idle) }),
    })
  }
  const hidden = [
    ...(asked.length > ranks.length ? [`${ranks.length} of ${formatCount(asked.length)} ranks shown`] : []),
    ...(shown.length < used.length ? ['computing shown: streams of communication are left out'] : []),
  ]
  const critical = options.critical === false ? [] : criticalRows(timeline, rowOf, perUnit)
  const panel: ChartPanel = { name: '', fact: '', rows, end: timeline.seconds * perUnit, critical }
  const grains = { operator: 'operators', layer: 'layers', action: actionWord(program) }
  const notes = [
    'computes: the rest of a row is exposed communication and waiting, of which the bubble is the waiting alone',
    ...(grain === 'operator' ? [] : [`slices are ${grains[grain]}, with the waits inside of them`]),
  ]
  const names = rows.map(({ label, idle }) => (idle === undefined ? label : `${label} ${computesText(idle)}`))
  return {
    alt: `${formatCount(graph.nodeCount)} nodes in ${Number((timeline.seconds * perUnit).toPrecision(3))} ${unit}. ${names.slice(0, 32).join('; ')}.`,
    panels: [panel],
    unit,
    notes,
    ...(hidden.length > 0 && { notice: hidden.join(' · ') }),
  }
}

/** The share of the step in which a row computes: its idle share would be taken for the bubble, which is only the waiting in it. */
const computesText = (idle: number) => `computes ${Math.round(100 * (1 - idle))}\u00a0%`

/** What a part of a program is called that runs again and again. */
function actionWord({ pipeline, phase, items }: Program): string {
  if (pipeline && phase === 'training') return 'actions of the schedule'
  if (phase !== 'decode') return phase === 'training' ? 'microbatches' : 'chunks'
  const isDivided = regionsOf(items).some(({ axis }) => axis === 'microbatch')
  return isDivided ? 'decode steps, numbered by the batch in flight' : 'decode steps'
}

/** The largest unit in which a step is at least one. */
export function unitOf(seconds: number): readonly [unit: string, perUnit: number] {
  if (seconds >= 1) return ['s', 1]
  if (seconds >= 1e-3) return ['ms', 1e3]
  return ['µs', 1e6]
}

/** The finest grain whose slices still have room. */
function grainOf(program: Program, timeline: Timeline, nodes: readonly number[]): Grain {
  if (program.pipeline && program.pipeline.actions.length > 0 && program.phase === 'training') return 'action'
  for (const grain of ['operator', 'layer'] as const) {
    const key = sliceKey(grain, program, timeline)
    let runs = 0
    let last: string | number = ''
    for (const node of nodes) {
      const { id } = key(node)
      if (id !== last) runs++
      last = id
    }
    if (runs <= labelled) return grain
  }
  return 'action'
}

interface Style {
  readonly timeline: Timeline
  readonly program: Program
  readonly perUnit: number
}

function chartSlices(row: TimelineRow, key: Key, { timeline, program, perUnit }: Style): ChartSlice[] {
  const scale = perUnit / ticksPerSecond
  return Array.from(slicesOf(row, key, timeline, program), ({ start, end, kind, label, partner, again, spent }) => {
    const busy = Math.round((100 * spent) / Math.max(1, end - start))
    const both = [label || kind, ...(partner ? [partner.label] : [])].join(' and ')
    const tooltip = `${both} · rank ${row.rank}${busy < 100 ? ` · ${busy} % busy` : ''}`
    return {
      start: start * scale,
      end: end * scale,
      kind,
      label,
      tooltip,
      ...(partner && { partner }),
      ...(again > 0 && { again }),
    }
  })
}

/** Pieces of a critical path shorter than this share of the step stay under the row that computes: more steps are not read. */
const visibleStep = 1 / 80

/** The chain that the length of the step consists of, under the rows that it runs on. */
function criticalRows(timeline: Timeline, rowOf: ReadonlyMap<string, number>, perUnit: number) {
  const { graph, times, streamOf } = timeline
  const { start, end, makespan } = times
  const scale = perUnit / ticksPerSecond
  const path: { row: number; start: number; end: number }[] = []
  for (const node of criticalNodes(timeline)) {
    const [from, to] = [start[node] ?? 0, end[node] ?? 0]
    const computing = rowOf.get(`${graph.rankOf(node)} compute`)
    const own = to - from < makespan * visibleStep ? computing : rowOf.get(`${graph.rankOf(node)} ${streamOf(node)}`)
    const row = own ?? computing
    const last = path.at(-1)
    if (row === undefined || to <= from) continue
    if (last?.row === row) last.end = to * scale
    else path.push({ row, start: from * scale, end: to * scale })
  }
  return path
}
