import type { Command } from 'commander'
import {
  type Comparison,
  compare,
  formatBytes,
  formatCounted,
  formatDifference,
  formatMetric,
  metricName,
  ShardloomError,
  type Simulation,
  simulateLoaded,
} from 'shardloom'
import type { Call, Io } from './io.js'
import { printJson, printLines } from './output.js'
import { naming, UsageError } from './report-error.js'
import { addSpecFlags, type Flags, loadFrom, phaseFlags } from './spec-flags.js'
import { type Style, singleLine } from './style.js'
import { pairs, table, wrapped } from './table.js'

/** `shardloom compare`: one step of several specs, side by side. */
export function addCompare(program: Command, { io }: Call): void {
  const command = program
    .command('compare <specs...>')
    .description('Run one step of several specs (training, prefill or decode), and say in what they differ.')
    .option('--json', 'print one JSON document (shardloom.compare/1)')
    .addHelpText('after', '\nExample:\n  shardloom compare a.yaml b.yaml --cluster dgx-h100')
    .action(async (paths: readonly string[], flags: Flags) => {
      if (paths.length < 2)
        throw new UsageError(
          'There is nothing to compare with: one spec was given.',
          'Give two: `shardloom compare a.yaml b.yaml`.',
        )
      const list = []
      for (const path of paths)
        list.push({ name: path, simulation: await naming(path, () => simulated(io, path, flags)) })
      const warnings = list.flatMap(({ name, simulation }) =>
        (simulation.loaded.warnings ?? []).map((warning) => `${name}: ${warning}`),
      )
      const found = compare(list)
      const comparison = { ...found, notes: [...found.notes, ...new Set(warnings)] }
      if (flags.json === true) return printJson(io, comparison)
      printLines(io, (style) => comparisonLines(comparison, style))
    })
  addSpecFlags(command)
}

/** One step of a spec. Throws `COMPARE` for serving, which is many steps of two kinds. */
async function simulated(io: Io, path: string, flags: Flags): Promise<Simulation> {
  const loaded = await loadFrom(io, path, flags)
  if (loaded.spec.phase !== 'serving') return simulateLoaded(loaded)
  throw new ShardloomError('COMPARE', `${path} is serving: one step of training, prefill or decode is compared.`, {
    subject: path,
    help: `Compare one phase: ${phaseFlags}. \`shardloom simulate\` serves requests.`,
  })
}

const letter = (index: number) => String.fromCharCode(65 + (index % 26))

function comparisonLines(comparison: Comparison, style: Style): string[] {
  const { specs, phase, notes } = comparison
  const lines = [
    style.bold(`${specs.length} specs of ${phase}`),
    ...pairs(
      specs.map(({ name, model, cluster, world, fits }, index) => [
        letter(index),
        `${singleLine(name)}: ${singleLine(model)} on ${formatCounted(world, 'rank')} of ${singleLine(cluster)}${fits ? '' : ', which does not fit'}`,
      ]),
    ),
    '',
    ...parameterLines(comparison, style),
    // Each table has room for two beside the first.
    ...specs.slice(1).flatMap((_, index) => (index % 2 === 0 ? ['', ...metricLines(comparison, index, style)] : [])),
    '',
    ...footnotes(comparison).flatMap((note) => wrapped(note, 2)),
    ...notes.flatMap((note) => wrapped(note, 2)),
  ]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

/** What the table's marks mean. */
function footnotes({ error, metrics, specs }: Comparison): string[] {
  const within = `${Math.round(100 * error)} %`
  const kept = new Set(specs.flatMap(({ fits, reserveBytes }) => (fits ? [] : formatBytes(reserveBytes))))
  return [
    `Differences of times up to ±${within}, for which the model is good, are ties; those of parts of a step, such as exposed communication, are small up to ${within} of the step.`,
    ...(kept.size > 0 ? [`!: does not fit in a device, beside the ${[...kept].join(' or ')} that are kept free.`] : []),
    ...(metrics.some(({ metric }) => metric === 'energyJoules')
      ? ['Energy is at rated power while busy: waiting for other stages counts nothing.']
      : []),
  ]
}

function parameterLines({ parameters }: Comparison, style: Style): string[] {
  if (parameters.length === 0) return [`${style.bold('Parameters')}: all the same`]
  const text = (value: unknown) => (typeof value === 'string' ? value : value === null ? '–' : JSON.stringify(value))
  return [
    style.bold('Parameters that differ'),
    ...pairs(
      parameters.map(({ field, values }): [string, string[]] => [
        singleLine(field),
        values.map((value, index) => `${letter(index)}\u00a0${singleLine(text(value)).slice(0, 50)}`),
      ]),
    ),
  ]
}

function metricLines({ metrics, specs }: Comparison, from: number, style: Style): string[] {
  const others = specs.slice(from + 1, from + 3).map((_, index) => from + 1 + index)
  const columns = [
    { header: '', align: 'left' },
    { header: 'A', align: 'right' },
    ...others.flatMap((index) => [
      { header: letter(index), align: 'right' } as const,
      { header: `to A`, align: 'right' } as const,
    ]),
  ] as const
  const rows = metrics.flatMap((each) => {
    const { metric, part, values, differences } = each
    const value = (index: number) => {
      const text = formatMetric(each, values[index] ?? 0)
      return metric === 'peakBytes' && specs[index]?.fits === false ? style.bad(`${text} !`) : text
    }
    const changed = (index: number) => {
      const { relative, tie } = differences[index - 1] ?? { relative: 0, tie: true }
      if (relative === 0) return 'same'
      if (tie && part) return 'small'
      return `${relative === null ? 'new' : formatDifference(relative)}${tie ? ' tie' : ''}`
    }
    const row = [metricName(each), value(0), ...others.flatMap((index) => [value(index), changed(index)])]
    if (metric !== 'peakBytes') return [row]
    const device = (index: number) => formatBytes(specs[index]?.capacityBytes ?? 0)
    return [row, ['  of a device', device(0), ...others.flatMap((index) => [device(index), ''])]]
  })
  return table(columns, rows, style)
}
