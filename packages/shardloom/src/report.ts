import { checkOptions } from '@shardloom/core'
import {
  cutMiddle,
  formatBytes,
  formatCount,
  formatCounted,
  formatDifference,
  formatMesh,
  formatQuantity,
  formatSeconds,
  formatShare,
} from '@shardloom/exporters'
import {
  memorySvg,
  type ReportFigure,
  type ReportSection,
  type ReportTable,
  reportPage,
  type SvgTheme,
  timelineSvg,
  toSvg,
} from '@shardloom/exporters/svg'
import { formatWholeBytes } from './format-whole-bytes.js'
import { drawnProgram, type Simulation } from './simulate-plan.js'
import { type CommunicationSummary, summarise } from './summarise.js'
import { type SimulationSummary, summariseSimulation } from './summarise-simulation.js'

/** What stands in a report. */
export interface ReportOptions {
  /** Default `auto`: light, and dark where the reader prefers it. */
  readonly theme?: SvgTheme
  /** Default model, phase and hardware. */
  readonly title?: string
  /** Simulates again with one change at a time, which takes as long for each. Default false. */
  readonly whatIf?: boolean
}

/** Rows of a table that are printed; the rest is counted. */
const mostRows = 40

/**
 * A plan and its simulation as one page of HTML for reading, printing and sending on: key figures, the graph, the timeline, memory,
 * communication, and what limits the step. It runs no script and loads nothing.
 */
export async function htmlReport(simulation: Simulation, options: ReportOptions = {}): Promise<string> {
  checkOptions(options, { theme: 'light|dark|auto', title: 'string', whatIf: 'boolean' })
  const { theme = 'auto', whatIf = false } = options
  const { plan, timeline, memory, step } = simulation
  const program = drawnProgram(simulation)
  const summary = summariseSimulation(simulation, { whatIf })
  const { model, phase, world, conventions, batch } = summary
  const planned = summarise(plan)
  const level = plan.program.pipeline ? 'stage' : 'module'
  const { capacityBytes: limitBytes, reserveBytes } = summary.memory
  const subtitle = [
    `${conventions.cluster}: ${formatMesh(planned.mesh, world, ' · ') || '1 rank'}`,
    `batch ${formatCount(batch.sequences)}, ${formatCounted(batch.microbatches, 'microbatch', 'microbatches')}`,
    `seq ${formatCount(batch.seq)}`,
    ...(batch.schedule === undefined ? [] : [`schedule ${batch.schedule}`]),
    conventions.flops,
    `engine ${conventions.engine}`,
    `times good for ±${Math.round(100 * conventions.error)} %`,
    'numbers per rank',
  ]
  const sections: ReportSection[] = [
    { heading: 'Key figures', figures: figuresOf(summary) },
    {
      heading: 'What limits the step',
      sentences: summary.bottleneck,
      tables: [kindsTable(summary), ...whatIfTable(summary)],
    },
    {
      heading: level === 'stage' ? 'Stages' : 'Graph',
      picture: await toSvg(plan.program, plan.operators, { level, theme, prefix: 'graph' }),
    },
    { heading: 'Timeline', picture: timelineSvg(timeline, program, { theme, prefix: 'timeline' }) },
    {
      heading: 'Memory',
      picture: memorySvg(memory, program, step.seconds, { theme, limitBytes, reserveBytes, prefix: 'memory' }),
      tables: [memoryTable(summary)],
    },
    { heading: 'Communication', tables: [communicationTable(planned.communication)] },
  ]
  const title = options.title ?? `${model} · ${phase} on ${formatCount(world)} × ${conventions.accelerator}`
  return reportPage({ title, subtitle: subtitle.join(' · '), warnings: summary.warnings, sections }, theme)
}

function figuresOf(summary: SimulationSummary): ReportFigure[] {
  const { stepSeconds, memory, bubble, budget, conventions, hfu, mfu } = summary
  const tokens = (count: number) =>
    formatQuantity(Math.round(count), 'tokens/s').replace(/([kMGT])tokens/, '$1\u00a0tokens')
  const exposed = Object.entries(summary.exposedCommunicationSeconds).map(([axis, seconds]) => ({
    name: `Exposed communication, ${axis}`,
    value: formatSeconds(seconds),
    note: `${formatShare(seconds / stepSeconds)} of the step`,
  }))
  const room = memory.fits ? 'fits' : 'does not fit'
  return [
    {
      name: summary.batch.steps === undefined ? 'Step time' : `Time of ${formatCount(summary.batch.steps)} steps`,
      value: formatSeconds(stepSeconds),
      note: `good for ±${Math.round(100 * conventions.error)} %`,
    },
    ...(summary.ttftSeconds === undefined
      ? []
      : [{ name: 'TTFT', value: formatSeconds(summary.ttftSeconds), note: 'without a queue' }]),
    ...(summary.tpotSeconds === undefined ? [] : [{ name: 'TPOT', value: formatSeconds(summary.tpotSeconds) }]),
    {
      name: 'Throughput',
      value: tokens(summary.tokensPerSecond),
      note: `${tokens(summary.tokensPerSecondPerRank)} per rank`,
    },
    {
      name: 'MFU',
      value: formatShare(mfu),
      note: `of ${formatQuantity(conventions.peak, 'FLOP/s')}${hfu > mfu ? `; HFU ${formatShare(hfu)}` : ''}`,
    },
    {
      name: 'Peak memory',
      value: formatBytes(memory.peakBytes),
      note: `of ${formatBytes(memory.capacityBytes)}, ${formatBytes(memory.reserveBytes)} kept free: ${room}`,
    },
    ...(summary.stages.length > 1
      ? [
          {
            name: 'Bubble',
            value: formatShare(bubble.global),
            note: `${formatShare(bubble.ownSpan)} inside of own spans`,
          },
        ]
      : []),
    ...exposed,
    ...(summary.energyJoules === undefined
      ? []
      : [
          {
            name: 'Energy',
            value: formatQuantity(summary.energyJoules, 'J'),
            note: `${summary.batch.steps === undefined ? 'per step' : 'in all'}, at rated power`,
          },
        ]),
    ...(budget?.days === undefined
      ? []
      : [
          {
            name: 'Time for the budget',
            value: `${formatQuantity(budget.days, '')} days`,
            note: `${formatQuantity(budget.tokens ?? 0, '')} tokens`,
          },
        ]),
    ...(budget?.cost === undefined ? [] : [{ name: 'Cost of the budget', value: formatQuantity(budget.cost, '') }]),
    ...(budget?.costPerMillionTokens === undefined
      ? []
      : [{ name: 'Cost per million tokens', value: String(Number(budget.costPerMillionTokens.toPrecision(3))) }]),
  ]
}

const numeric = (title: string) => ({ title, numeric: true })

function kindsTable({ criticalKinds }: SimulationSummary): ReportTable {
  return {
    caption: 'What the length of the step consists of, along a critical path',
    columns: [{ title: 'Kind of work' }, numeric('Time'), numeric('Share of the step')],
    rows: criticalKinds.map(({ kind, seconds, share }) => [kind, formatSeconds(seconds), formatShare(share)]),
  }
}

function whatIfTable({ whatIf, stepSeconds }: SimulationSummary): ReportTable[] {
  if (whatIf.length === 0) return []

  return [
    {
      caption: `One change at a time, against ${formatSeconds(stepSeconds)}`,
      columns: [
        { title: 'Change' },
        numeric('Step time'),
        numeric('Difference'),
        numeric('Peak memory'),
        { title: 'Fits' },
      ],
      rows: whatIf.map((each) => [
        each.change,
        formatSeconds(each.stepSeconds),
        formatDifference(each.difference),
        formatBytes(each.peakBytes),
        each.fits ? 'yes' : 'no',
      ]),
    },
  ]
}

function memoryTable({ memory }: SimulationSummary): ReportTable {
  const parts = ['parameters', 'gradients', 'optimizer', 'cache', 'activations', 'buffers', 'working'] as const
  const used = parts.filter((part) => memory.perStage.some((stage) => stage.parts[part] > 0))
  const titles = { cache: 'KV cache', working: 'temporary' } as Readonly<Record<string, string>>
  const shown = memory.perStage.slice(0, mostRows)
  return {
    caption: `What each ${memory.perStage.length > 1 ? 'stage' : 'rank'} holds at its peak${more(memory.perStage.length)}`,
    columns: [
      { title: 'Stage' },
      { title: 'Rank' },
      numeric('Peak'),
      numeric('At'),
      ...used.map((part) => numeric(titles[part] ?? part)),
    ],
    rows: shown.map((stage) => [
      String(stage.stage),
      String(stage.rank),
      formatBytes(stage.peakBytes),
      formatSeconds(stage.atSeconds),
      ...used.map((part) => formatBytes(stage.parts[part])),
    ]),
  }
}

function communicationTable(rows: readonly CommunicationSummary[]): ReportTable {
  const sent = rows.reduce((sum, { count, bytesPerRank }) => sum + count * bytesPerRank, 0)
  return {
    caption: `What rank 0 communicates in a step: it sends ${formatWholeBytes(sent)} in all${more(rows.length)}`,
    columns: [
      { title: 'Communication' },
      { title: 'In' },
      numeric('Group'),
      numeric('Count'),
      numeric('Payload'),
      numeric('Sends'),
      { title: 'Why' },
    ],
    rows: rows
      .slice(0, mostRows)
      .map((row) => [
        row.axes.length > 0 ? `${row.op} · ${row.axes.join('.')}` : row.op,
        [row.phase, row.region].filter(Boolean).join(' · '),
        formatCount(row.groupSize),
        formatCount(row.count),
        formatWholeBytes(row.payloadBytes),
        formatWholeBytes(row.bytesPerRank),
        cutMiddle(row.reason, 120),
      ]),
  }
}

const more = (count: number) => (count > mostRows ? `; ${mostRows} of ${formatCount(count)} rows shown` : '')
