import { summarise, tableJson } from 'shardloom'
import { type Grain, sliceKey, slicesOf, ticksPerSecond, timelineRows } from 'shardloom/charts'
import { rankOfStage } from '../graph/fold-stages.js'
import { subjectOf } from '../graph/selected.js'
import type { Known } from './cached.js'
import type { Inspected } from './protocol.js'

/** What of a row of the table of nodes is read. */
export interface Row {
  readonly id: string
  readonly kind: string
  readonly operator: string
  readonly phase: string
  readonly executions_per_step: number
  readonly flops_per_step: number
  readonly bytes_read_per_step: number
  readonly bytes_written_per_step: number
  readonly axes: string | null
  readonly sent_bytes_per_execution: number | null
}

/** A node with how often it runs in what is inspected, and seconds of that, where there are times. */
interface Member {
  readonly row: Row
  readonly runs: number
  readonly seconds?: number
}

const tables = new WeakMap<Known, Map<number, readonly Row[]>>()

/** The table of the nodes that a rank runs. */
export function rowsOf(known: Known, rank: number): readonly Row[] {
  const own = tables.get(known) ?? new Map<number, readonly Row[]>()
  tables.set(known, own)
  const before = own.get(rank)
  if (before) return before
  const { program, operators } = known.plan
  const { rows } = JSON.parse([...tableJson(program, operators, { rank })].join('')) as { rows: readonly Row[] } // its own format
  own.set(rank, rows)
  return rows
}

/** What layers beside a border of the pipeline are: they have bodies of their own, called after what they have more than others. */
const borders: readonly (readonly [ending: RegExp, text: string])[] = [
  [
    /-recv-send$/,
    'a layer between two borders of stages: in forward it receives what goes into it from the stage before and sends what comes out of it to the next one; in backward gradients go the other way.',
  ],
  [
    /-recv$/,
    'the first layer behind a border between stages: in forward it receives what goes into it from the stage before, and in backward it sends the gradient of that back.',
  ],
  [
    /-send$/,
    'the last layer before a border between stages: in forward it sends what comes out of it to the next stage, and in backward it receives the gradient of that.',
  ],
]

/** Why a layer of a pipeline, or one that a path is inside of, is called as it is. */
function borderText({ pipeline }: Known['plan']['program'], path: string): string | undefined {
  const [, body = ''] = path.split('/')
  const [, text] = (pipeline && borders.find(([ending]) => ending.test(body))) ?? []
  return text && `\`${body}\` is ${text}`
}

/** The most ids that are told one by one, and the most parts that are listed. */
const [mostIds, mostHeld] = [40, 12]

/**
 * What an id of any view is: a node, a part of the program, a stage, a slice of the timeline, `slice action 16 3`, or
 * communication that a plan lists in one row, `alike` and its first node.
 */
export function inspect(known: Known, id: string): Inspected | null {
  const [, alike] = /^alike (.+)$/.exec(id) ?? []
  if (alike !== undefined) return inspectAlike(known, alike)
  const slice = /^slice (operator|layer|action) (\d+) (\d+)$/.exec(id)
  if (slice) return inspectSlice(known, slice[1] as Grain, Number(slice[2]), Number(slice[3])) // the grains of the pattern
  const { place, path } = subjectOf(id)
  const { program } = known.plan
  const isPart = (row: Row) => path === '' || row.id.startsWith(`${path}/`)
  const own = place === undefined ? undefined : Number(place.split(' ')[1])
  const ranks = own === undefined ? ranksOf(known) : [place?.startsWith('stage') ? rankOfStage(program, own) : own]
  for (const rank of ranks) {
    const table = rowsOf(known, rank)
    const exact = table.find((row) => row.id === path)
    const rows = exact ? [exact] : table.filter(isPart)
    if (rows.length === 0) continue
    const seconds = secondsOf(known, rank)
    const members = rows.map((row) => memberOf(row, seconds))
    const title = path === '' ? (place ?? id) : (path.split('/').at(-1) ?? path)
    const single = exact !== undefined
    const border = borderText(program, path)
    return {
      ids: [id],
      title,
      id: path === '' ? id : path,
      ...(place !== undefined && { place }),
      rank,
      ...(single && { node: path }),
      ...(border !== undefined && { border }),
      ...totalsOf(members),
    }
  }
  return null
}

/** The nodes that stand in one row of what rank 0 communicates. */
function inspectAlike(known: Known, first: string): Inspected | null {
  const row = summarise(known.plan).communication.find(({ nodes }) => nodes[0] === first)
  if (!row) return null
  const seconds = secondsOf(known, 0)
  const nodes = new Set(row.nodes)
  const members = rowsOf(known, 0)
    .filter(({ id }) => nodes.has(id))
    .map((each) => memberOf(each, seconds))
  return {
    ids: row.nodes,
    title: [row.op, row.axes.join(', ')].filter(Boolean).join(' · '),
    id: row.reason,
    rank: 0,
    ...totalsOf(members, members.length),
  }
}

/** A node with all of its runs in a step. */
function memberOf(row: Row, seconds: ReadonlyMap<string, number> | undefined): Member {
  const spent = seconds?.get(row.id)
  return { row, runs: row.executions_per_step, ...(spent !== undefined && { seconds: spent }) }
}

/** The first rank of each stage; without a pipeline, rank 0. */
function ranksOf({ plan: { program } }: Known): number[] {
  const stages = new Set(program.pipeline?.chunks.map(({ rank }) => rank) ?? [0])
  return [...stages].sort((a, b) => a - b).map((stage) => (program.pipeline ? rankOfStage(program, stage) : 0))
}

function inspectSlice(known: Known, grain: Grain, rank: number, index: number): Inspected | null {
  if (known.loaded.spec.cluster === undefined) return null
  const { timeline, timed } = known.simulation
  const { graph, times } = timeline
  const rows = timelineRows(timeline, timed.program)
  const row = rows.find((each) => each.rank === rank && each.stream === 'compute')
  if (!row) return null
  const key = sliceKey(grain, timed.program, timeline)
  const slice = [...slicesOf(row, key, timeline, timed.program)][index]
  if (!slice) return null
  const { id: same } = key(slice.node)
  const runs = new Map<string, { runs: number; ticks: number }>()
  for (const each of rows.filter((other) => other.rank === rank))
    for (const node of each.nodes) {
      const [start, end] = [times.start[node] ?? 0, times.end[node] ?? 0]
      // What other streams do for it may begin before or end after it.
      const inside = each === row ? start >= slice.start && end <= slice.end : start < slice.end && end > slice.start
      if (!inside || key(node).id !== same) continue
      const name = graph.templates[graph.template[node] ?? 0]?.id ?? ''
      const before = runs.get(name) ?? { runs: 0, ticks: 0 }
      runs.set(name, { runs: before.runs + 1, ticks: before.ticks + end - start })
    }
  const byId = new Map(rowsOf(known, rank).map((each) => [each.id, each]))
  const members = [...runs].flatMap(([name, spent]): Member[] => {
    const found = byId.get(name)
    return found ? [{ row: found, runs: spent.runs, seconds: spent.ticks / ticksPerSecond }] : []
  })
  const names = [...runs.keys()]
  const units = [...new Set(names.map((name) => name.split('/').slice(0, 2).join('/')))]
  const prefix = timed.program.pipeline ? `${row.name}/` : ''
  return {
    ids: (names.length <= mostIds ? names : units).map((name) => prefix + name),
    title:
      grain === 'layer' && /^\d+$/.test(slice.label)
        ? `layer ${slice.label}`
        : [slice.label, slice.partner?.label].filter(Boolean).join(' '),
    id: row.name,
    place: row.name,
    rank,
    from: slice.start / ticksPerSecond,
    to: slice.end / ticksPerSecond,
    ...totalsOf(members),
  }
}

/** Sums of what some nodes do, and the parts that take most of it, at most so many. */
function totalsOf(
  members: readonly Member[],
  most = mostHeld,
): Pick<
  Inspected,
  'nodes' | 'flops' | 'bytesRead' | 'bytesWritten' | 'sent' | 'computing' | 'communicating' | 'holds'
> {
  const share = ({ row, runs }: Member) => (row.executions_per_step > 0 ? runs / row.executions_per_step : 0)
  const sum = (of: (member: Member) => number) => members.reduce((total, member) => total + of(member), 0)
  const sent = (member: Member) => (member.row.sent_bytes_per_execution ?? 0) * member.runs
  const timed = members.some(({ seconds }) => seconds !== undefined)
  const communicates = ({ row }: Member) => row.kind === 'communication'
  const holds = members
    .filter(({ runs }) => runs > 0)
    .sort((a, b) => (b.seconds ?? 0) - (a.seconds ?? 0) || b.row.flops_per_step - a.row.flops_per_step)
  return {
    nodes: members.length,
    flops: sum((member) => member.row.flops_per_step * share(member)),
    bytesRead: sum((member) => (communicates(member) ? 0 : member.row.bytes_read_per_step * share(member))),
    bytesWritten: sum((member) => (communicates(member) ? 0 : member.row.bytes_written_per_step * share(member))),
    sent: sum(sent),
    ...(timed && {
      computing: sum((member) => (communicates(member) ? 0 : (member.seconds ?? 0))),
      communicating: sum((member) => (communicates(member) ? (member.seconds ?? 0) : 0)),
    }),
    holds: holds.slice(0, most).map((member) => ({
      node: member.row.id,
      kind: member.row.kind,
      runs: member.runs,
      ...(member.seconds !== undefined && { seconds: member.seconds }),
    })),
  }
}

/** Seconds of a step that each node takes on a rank that was run, or on one like it; undefined where there are no times. */
function secondsOf(known: Known, rank: number): ReadonlyMap<string, number> | undefined {
  if (known.loaded.spec.cluster === undefined) return undefined
  const { graph, times, ranks } = known.simulation.timeline
  // Stages are runs of ranks, and ranks of a stage are alike.
  const own = ranks.includes(rank) ? rank : (ranks.findLast((each) => each <= rank) ?? rank)
  const seconds = new Map<string, number>()
  for (let node = 0; node < graph.nodeCount; node++) {
    if (graph.rankOf(node) !== own) continue
    const name = graph.templates[graph.template[node] ?? 0]?.id ?? ''
    seconds.set(name, (seconds.get(name) ?? 0) + ((times.end[node] ?? 0) - (times.start[node] ?? 0)) / ticksPerSecond)
  }
  return seconds
}
