import type { Command } from 'commander'
import {
  type Comparison,
  compare,
  formatBytes,
  formatQuantity,
  ShardloomError,
  type Simulation,
  simulateLoaded,
} from 'shardloom'
import type { Call, Io } from './io.js'
import { printJson, printLines } from './output.js'
import { difference, duration, percent } from './quantities.js'
import { naming, UsageError } from './report-error.js'
import { addSpecFlags, type Flags, loadFrom } from './spec-flags.js'
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
      const comparison = compare(list)
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
    help: 'Compare one of its phases, with `--phase prefill` or `--phase decode`; `shardloom simulate` serves requests.',
  })
}

const letter = (index: number) => String.fromCharCode(65 + (index % 26))

const names: Readonly<Record<string, string>> = {
  stepSeconds: 'step',
  ttftSeconds: 'TTFT',
  tpotSeconds: 'TPOT',
  tokensPerSecond: 'tokens/s',
  tokensPerSecondPerRank: 'tokens/s per rank',
  mfu: 'MFU',
  hfu: 'HFU',
  peakBytes: 'memory at most',
  energyJoules: 'energy',
  costPerMillionTokens: 'cost per million tokens',
}

const written: Readonly<Record<Comparison['metrics'][number]['unit'], (value: number) => string>> = {
  s: duration,
  B: formatBytes,
  J: (value) => formatQuantity(value, 'J'),
  'tokens/s': (value) => formatQuantity(Math.round(value), ''),
  days: (value) => formatQuantity(value, ''),
  money: (value) => formatQuantity(value, ''),
  share: percent,
}

function comparisonLines(comparison: Comparison, style: Style): string[] {
  const { specs, phase, notes, error } = comparison
  const lines = [
    style.bold(`${specs.length} specs of ${phase}`),
    ...pairs(
      specs.map(({ name, model, cluster, world, fits }, index) => [
        letter(index),
        `${singleLine(name)}: ${singleLine(model)} on ${world} ranks of ${singleLine(cluster)}${fits ? '' : ', which does not fit'}`,
      ]),
    ),
    '',
    ...parameterLines(comparison, style),
    // Each table has room for two beside the first.
    ...specs.slice(1).flatMap((_, index) => (index % 2 === 0 ? ['', ...metricLines(comparison, index, style)] : [])),
    '',
    ...wrapped(
      `Differences of times up to ±${Math.round(100 * error)} %, for which the model is good, are ties. What is a part of a step, such as exposed communication, ties by its share of the step, however much the part itself changed.`,
      2,
    ),
    ...notes.flatMap((note) => wrapped(note, 2)),
  ]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
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
  const rows = metrics.map(({ metric, unit, values, differences }) => [
    names[metric] ?? metric,
    written[unit](values[0] ?? 0),
    ...others.flatMap((index) => {
      const { relative, tie } = differences[index - 1] ?? { relative: 0, tie: true }
      const changed = relative === null ? 'new' : relative === 0 ? 'same' : difference(relative)
      return [written[unit](values[index] ?? 0), tie && relative !== 0 ? `${changed} tie` : changed]
    }),
  ])
  return table(columns, rows, style)
}
