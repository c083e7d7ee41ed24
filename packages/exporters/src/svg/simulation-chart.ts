import { axesOf, coordinateOf, type Mesh, type OperatorNode, type Program } from '@shardloom/core'
import { type Timeline, ticksPerSecond } from '@shardloom/simulator'
import { formatCount } from '../format.js'
import type { Chart, ChartPanel, ChartRow, ChartSlice, SliceKind } from './chart.js'
import { actionsByNode } from './timeline-actions.js'

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

/** What one slice is made of: nodes of one stream that belong together. */
type Grain = 'operator' | 'layer' | 'action'

/** A timeline as a chart: a row per rank and stream; slices are operators, layers or microbatches, whatever still can be read. */
export function simulationChart(
  timeline: Timeline,
  program: Program,
  options: TimelineChartOptions = {},
): Omit<Chart, 'title' | 'subtitle'> {
  const { graph, streams } = timeline
  const asked = options.ranks ?? timeline.ranks
  const ranks = asked.slice(0, mostRows)
  const lists = nodesByRow(timeline)
  const used = streams.filter(
    (stream) => stream !== 'none' && ranks.some((rank) => (lists.get(rank)?.get(stream)?.length ?? 0) > 0),
  )
  const shown = used.filter((stream) => stream === 'compute' || used.length * ranks.length <= mostWithStreams)
  const [unit, perUnit] = unitOf(timeline.seconds)
  const grain = grainOf(program, timeline, lists.get(ranks[0] ?? 0)?.get('compute') ?? [])
  const rowOf = new Map<string, number>()
  const rows: ChartRow[] = []
  const key = keyed(grain, program, timeline)
  for (const rank of ranks)
    for (const stream of shown) {
      const nodes = lists.get(rank)?.get(stream) ?? []
      if (nodes.length === 0 && stream !== 'compute') continue
      rowOf.set(`${rank} ${stream}`, rows.length)
      const own = stream === 'compute' ? key : keyed('operator', program, timeline)
      const slices = slicesOf(nodes, { timeline, key: own, perUnit, rank, program })
      const name = program.pipeline ? `stage ${coordinateOf(program, rank)}` : `rank ${rank}`
      const spent = nodes.reduce((sum, node) => sum + (computes(timeline, node) ? ticksOfNode(timeline, node) : 0), 0)
      rows.push({
        label: stream === 'compute' ? name : stream,
        slices,
        ...(stream === 'compute' && { idle: Math.max(0, 1 - spent / (timeline.times.makespan || 1)) }),
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
    'idle: nothing is computed, communication that is waited for included',
    ...(grain === 'operator' ? [] : [`slices are ${grains[grain]}, with the waits inside of them`]),
  ]
  const names = rows.map(({ label, idle }) =>
    idle === undefined ? label : `${label}: ${Math.round(100 * idle)} % idle`,
  )
  return {
    alt: `${formatCount(graph.nodeCount)} nodes in ${Number((timeline.seconds * perUnit).toPrecision(3))} ${unit}. ${names.slice(0, 32).join('; ')}.`,
    panels: [panel],
    unit,
    notes,
    ...(hidden.length > 0 && { notice: hidden.join(' · ') }),
  }
}

const ticksOfNode = ({ times }: Timeline, node: number) => (times.end[node] ?? 0) - (times.start[node] ?? 0)

/** Whether a node of the compute stream computes: communication that nothing runs beside stands there too. */
const computes = ({ graph }: Timeline, node: number) => !graph.templates[graph.template[node] ?? 0]?.communication

/** What a part of a program is called that runs again and again. */
function actionWord({ pipeline, phase }: Program): string {
  if (pipeline && phase === 'training') return 'actions of the schedule'
  return phase === 'training' ? 'microbatches' : phase === 'decode' ? 'decode steps' : 'chunks'
}

/** The largest unit in which a step is at least one. */
export function unitOf(seconds: number): readonly [unit: string, perUnit: number] {
  if (seconds >= 1) return ['s', 1]
  if (seconds >= 1e-3) return ['ms', 1e3]
  return ['µs', 1e6]
}

/** Of each rank and stream its nodes that take time, in the order of their starts. */
function nodesByRow(timeline: Timeline): Map<number, Map<string, number[]>> {
  const { graph, times } = timeline
  const rows = new Map<number, Map<string, number[]>>(timeline.ranks.map((rank) => [rank, new Map()]))
  for (let node = 0; node < graph.nodeCount; node++) {
    const stream = timeline.streamOf(node)
    if (stream === 'none' || times.start[node] === times.end[node]) continue
    const own = rows.get(graph.rankOf(node))
    const list = own?.get(stream)
    if (list) list.push(node)
    else own?.set(stream, [node])
  }
  for (const own of rows.values())
    for (const list of own.values()) list.sort((a, b) => (times.start[a] ?? 0) - (times.start[b] ?? 0) || a - b)
  return rows
}

/** The finest grain whose slices still have room. */
function grainOf(program: Program, timeline: Timeline, nodes: readonly number[]): Grain {
  if (program.pipeline && program.pipeline.actions.length > 0 && program.phase === 'training') return 'action'
  for (const grain of ['operator', 'layer'] as const) {
    const key = keyed(grain, program, timeline)
    let [runs, last] = [0, '']
    for (const node of nodes) {
      const { id } = key(node)
      if (id !== last) runs++
      last = id
    }
    if (runs <= labelled) return grain
  }
  return 'action'
}

/** What a node belongs to: nodes that follow each other with the same id are one slice. */
type Key = (node: number) => { readonly id: string; readonly label: string }

function keyed(grain: Grain, program: Program, timeline: Timeline): Key {
  const { graph } = timeline
  const templateOf = (node: number) => graph.templates[graph.template[node] ?? 0] as OperatorNode // every node has one
  if (grain === 'operator') return (node) => ({ id: String(node), label: shortName(templateOf(node), program.mesh) })
  if (grain === 'action') return actionsByNode(program, timeline)
  return (node) => {
    const { segment } = templateOf(node)
    const at = graph.iterationsOf(node)
    const layer = at.find(({ axis }) => axis === 'layer')?.iteration
    const outer = at
      .filter(({ axis }) => axis !== 'layer' && axis !== 'expert')
      .map(({ axis, iteration }) => `${axis} ${iteration}`)
    const id = [segment, ...outer, layer ?? templateOf(node).module.split('/')[0]].join(' ')
    return { id, label: layer === undefined ? (templateOf(node).module.split('/')[0] ?? '') : String(layer) }
  }
}

const abbreviations: Readonly<Record<string, string>> = {
  'all-gather': 'AG',
  'reduce-scatter': 'RS',
  'all-reduce': 'AR',
  'all-to-all': 'A2A',
}

function shortName({ op, id, communication }: OperatorNode, mesh: Mesh): string {
  if (communication) return `${abbreviations[op] ?? op} ${axesOf(mesh, communication.atoms).join('.')}`.trim()
  return id.split('/').at(-1)?.replaceAll('_', ' ') ?? op
}

/** What a node is drawn as. */
function kindOf({ kind, segment, gradient, recompute, outputs }: OperatorNode, { tensors }: Program): SliceKind {
  if (kind !== 'compute') return kind
  if (segment === 'optimizer') return 'optimizer'
  if (recompute || segment !== 'backward') return 'F'
  // Only pipelines tell the two apart by themselves.
  const weight = gradient ? gradient === 'weight' : outputs.some((id) => tensors.get(id)?.role === 'gradient')
  return weight ? 'W' : 'I'
}

interface Rows {
  readonly timeline: Timeline
  readonly key: Key
  readonly perUnit: number
  readonly rank: number
  readonly program: Program
}

/** Waits inside of a slice as long as this share of the step are shown: the slice is cut there. */
const visibleWait = 1 / 400

function slicesOf(nodes: readonly number[], { timeline, key, perUnit, rank, program }: Rows): ChartSlice[] {
  const { graph, times } = timeline
  const scale = perUnit / ticksPerSecond
  const kindOfTemplate = graph.templates.map((template) => kindOf(template, program))
  const slices: ChartSlice[] = []
  let [id, label, begun, until, again, spent] = ['', '', 0, 0, 0, 0]
  let kinds = new Map<SliceKind, number>()
  const flush = () => {
    if (kinds.size === 0) return
    const kind = mainKind(kinds)
    const share = spent > 0 ? again / spent : 0
    const busy = Math.round((100 * spent) / Math.max(1, until - begun))
    const tooltip = `${label || kind} · rank ${rank}${busy < 100 ? ` · ${busy} % busy` : ''}`
    slices.push({ start: begun * scale, end: until * scale, kind, label, tooltip, ...(share > 0 && { again: share }) })
    kinds = new Map()
    ;[again, spent] = [0, 0]
  }
  for (const node of nodes) {
    const template = graph.templates[graph.template[node] ?? 0]
    const [from, to] = [times.start[node] ?? 0, times.end[node] ?? 0]
    const own = key(node)
    if (own.id !== id || from - until > times.makespan * visibleWait) {
      flush()
      begun = from
    }
    ;[id, label] = [own.id, own.label]
    until = Math.max(until, to)
    spent += to - from
    const kind = kindOfTemplate[graph.template[node] ?? 0] ?? 'F'
    if (template?.recompute) again += to - from
    else kinds.set(kind, (kinds.get(kind) ?? 0) + to - from)
    if (kinds.size === 0) kinds.set('F', 0)
  }
  flush()
  return slices
}

/** What a slice of several kinds is: both gradients are B; else what most of its time is. */
function mainKind(kinds: ReadonlyMap<SliceKind, number>): SliceKind {
  const [input = 0, weight = 0] = [kinds.get('I'), kinds.get('W')]
  if (input > 0 && weight > 0) return 'B'
  return [...kinds].sort(([, a], [, b]) => b - a)[0]?.[0] ?? 'F'
}

/** Pieces of a critical path shorter than this share of the step stay under the row that computes: more steps are not read. */
const visibleStep = 1 / 80

/** The chain that the length of the step consists of, under the rows that it runs on. */
function criticalRows({ graph, times, streamOf }: Timeline, rowOf: ReadonlyMap<string, number>, perUnit: number) {
  const { start, end, cause, makespan } = times
  const scale = perUnit / ticksPerSecond
  let node = -1
  for (let each = 0; each < graph.nodeCount && node < 0; each++) if (end[each] === makespan) node = each
  const path: { row: number; start: number; end: number }[] = []
  while (node >= 0) {
    const [from, to] = [start[node] ?? 0, end[node] ?? 0]
    const computing = rowOf.get(`${graph.rankOf(node)} compute`)
    const own = to - from < makespan * visibleStep ? computing : rowOf.get(`${graph.rankOf(node)} ${streamOf(node)}`)
    const row = own ?? computing
    const last = path.at(-1)
    if (row !== undefined && to > from) {
      if (last?.row === row) last.start = from * scale
      else path.push({ row, start: from * scale, end: to * scale })
    }
    node = cause[node] ?? -1
  }
  return path.reverse()
}
