import { figure, idleShare, type Slice, slicer, type TimedSchedule } from '@shardloom/schedules'
import type { Chart, ChartPanel, ChartSlice, SliceKind } from './chart.js'

/** How schedules are drawn beside each other. */
export interface ScheduleChartOptions {
  /** What the schedules are called, in their order; default their own names. */
  readonly names?: readonly string[]
  /** The unit of the costs; default `units`. */
  readonly unit?: string
  /** A microbatch whose way from stage to stage arrows show. */
  readonly microbatch?: number
  /** Whether a critical path is drawn. Default true. */
  readonly critical?: boolean
}

/** Timed schedules as panels of one timeline, in the order given; the first is what the others are compared with. */
export function scheduleChart(schedules: readonly TimedSchedule[], options: ScheduleChartOptions = {}): Chart {
  const { unit = 'units', microbatch, critical = true, names: called = [] } = options
  const [first, ...others] = schedules
  const alone = others.length === 0
  const panels = schedules.map(
    (timed, at): ChartPanel => ({
      ...panelOf(timed, first, { unit, microbatch, critical }),
      name: called[at] ?? timed.schedule.name,
    }),
  )
  const sizes = [
    ...new Set(
      schedules.map(({ schedule }) => `${schedule.ranks} pipeline ranks, ${schedule.microbatches} microbatches`),
    ),
  ]
  const chunks = [...new Set(schedules.map(({ schedule }) => schedule.virtual))].filter((count) => count > 1)
  const facts = [
    ...sizes,
    ...chunks.map((count) => `${count} chunks per rank`),
    ...(alone && panels[0] ? [panels[0].fact] : []),
  ]
  const names = panels.map(({ name }) => name).join(' against ')
  return {
    title: names,
    subtitle: facts.join(' · '),
    alt: `${facts.join(', ')}. ${panels.map(({ name, fact }) => `${name}: ${fact}`).join('; ')}.`,
    panels: alone ? panels.map((panel) => ({ ...panel, name: '', fact: '' })) : panels,
    unit,
    notes: chunks.length > 0 ? ['F0b: second chunk of the rank'] : [],
    ...(microbatch !== undefined && { flow: `microbatch ${microbatch}, stage to stage` }),
  }
}

type PanelOptions = { readonly unit: string; readonly microbatch: number | undefined; readonly critical: boolean }

function panelOf(
  timed: TimedSchedule,
  first: TimedSchedule | undefined,
  { unit, microbatch, critical }: PanelOptions,
): Omit<ChartPanel, 'name'> {
  const { schedule, makespan, idle } = timed
  const slices = slicer(timed)
  const rows = schedule.orders.map((_, rank) => slices(rank))
  const against =
    first && first !== timed && first.makespan > 0 ? (100 * (makespan - first.makespan)) / first.makespan : 0
  const change = Math.round(against)
  const facts = [
    `${figure(makespan)}\u00a0${unit}`,
    `idle ${(100 * idleShare(timed)).toFixed(1)}\u00a0%`,
    ...(change === 0 ? [] : [`${change < 0 ? '−' : '+'}${Math.abs(change)}\u00a0% step time`]),
  ]
  return {
    fact: facts.join(' · '),
    end: makespan,
    rows: rows.map((row, rank) => ({
      label: `rank ${rank}`,
      slices: row.map((slice) => sliceOf(slice, rank)),
      idle: makespan > 0 ? (idle.global[rank] ?? 0) / makespan : 0,
    })),
    ...(critical && { critical: criticalPath(rows, makespan) }),
    ...(microbatch !== undefined && { flows: wayOf(index(rows), microbatch, schedule.stageRanks.length) }),
  }
}

function sliceOf({ labels, actions, start, end }: Slice, rank: number): ChartSlice {
  const [label = '', other = ''] = labels
  const [action, partner] = actions
  return {
    start,
    end,
    kind: kindOf(action),
    label,
    tooltip: `${labels.join(' and ')} · rank ${rank}`,
    ...(partner && { partner: { kind: kindOf(partner), label: other } }),
  }
}

// A schedule has computations only.
const kindOf = (action: Slice['actions'][number] | undefined) =>
  (action?.kind ?? 'F') as SliceKind & ('F' | 'I' | 'W' | 'B')

/** Which slice ran an action, by `F stage microbatch`; the gradient for a stage's input is made by I or B. */
function index(rows: readonly (readonly Slice[])[]) {
  const found = new Map<string, { readonly row: number; readonly slice: Slice }>()
  for (const [row, slices] of rows.entries())
    for (const slice of slices)
      for (const { kind, stage, microbatch } of slice.actions) {
        found.set(`${kind === 'B' ? 'I' : kind} ${stage} ${microbatch}`, { row, slice })
      }
  return found
}

/** From the last slice to end back to the start, through whatever ended when the next began. */
function criticalPath(rows: readonly (readonly Slice[])[], makespan: number): NonNullable<ChartPanel['critical']> {
  const found = index(rows)
  const places = new Map(rows.flatMap((slices, row) => slices.map((slice, at) => [slice, { row, at }] as const)))
  const path: { row: number; start: number; end: number }[] = []
  const close = (a: number, b: number) => Math.abs(a - b) <= makespan * 1e-9
  let current = rows.flat().find(({ end }) => close(end, makespan))
  while (current) {
    const { row, at } = places.get(current) ?? { row: 0, at: 0 }
    path.push({ row, start: current.start, end: current.end })
    if (current.start <= 0) break
    const before: readonly (Slice | undefined)[] = [
      ...current.actions.flatMap(({ kind, stage, microbatch }) => {
        const from =
          kind === 'F' ? [`F ${stage - 1} ${microbatch}`] : [`I ${stage + 1} ${microbatch}`, `F ${stage} ${microbatch}`]
        return from.map((key) => found.get(key)?.slice)
      }),
      rows[row]?.[at - 1],
    ]
    const start: number = current.start
    const candidates = before.filter((each): each is Slice => each !== undefined && each.end <= start + makespan * 1e-9)
    // Sends take time: of what it waited for, the last to end.
    current = candidates.sort((a, b) => b.end - a.end).find(({ start: from }) => from < start)
  }
  return path.reverse()
}

/** What goes from one rank to another: from the end of a slice to the begin of one that reads what it makes. */
export interface ScheduleFlow {
  readonly microbatch: number
  readonly from: number
  readonly at: number
  readonly to: number
  readonly until: number
}

/** The way of each microbatch of a timed schedule: from each stage to the next, and back, where that is another rank. */
export function scheduleFlows(timed: TimedSchedule): ScheduleFlow[] {
  const { orders, microbatches, stageRanks } = timed.schedule
  const slices = slicer(timed)
  const found = index(orders.map((_, rank) => slices(rank)))
  return Array.from({ length: microbatches }, (_, each) => wayOf(found, each, stageRanks.length)).flat()
}

/** The way of a microbatch: from each stage to the next, and back. */
function wayOf(found: ReturnType<typeof index>, microbatch: number, stages: number): ScheduleFlow[] {
  const flows: ScheduleFlow[] = []
  const add = (from: string, to: string) => {
    const [a, b] = [found.get(from), found.get(to)]
    if (a && b && a.row !== b.row)
      flows.push({ microbatch, from: a.row, at: a.slice.end, to: b.row, until: b.slice.start })
  }
  for (let stage = 0; stage + 1 < stages; stage++) {
    add(`F ${stage} ${microbatch}`, `F ${stage + 1} ${microbatch}`)
    add(`I ${stage + 1} ${microbatch}`, `I ${stage} ${microbatch}`)
  }
  return flows
}
