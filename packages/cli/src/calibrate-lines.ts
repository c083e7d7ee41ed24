import { type CalibrationSummary, formatDifference, formatSeconds } from 'shardloom'
import type { Style } from './style.js'
import { table, wrapped } from './table.js'

/** How many measurements are printed with what is predicted of them. */
const shownSteps = 10

/** A share that is rounding alone. */
const negligible = 1e-9

/** What each constant is of, in so few words that they stand with its unit beside its values. */
const meanings: Readonly<Record<keyof CalibrationSummary['start'], string>> = {
  matmul: 'products of 2 bytes',
  matmul8: 'products of 1 byte',
  memory: 'element-wise',
  reading: 'reading alone',
  write: 'write not hidden',
  prologue: 'start of a tile',
  kernelSeconds: 'kernel beside its work',
  batched: 'unfused attention',
  flashForward: 'fused attention',
  flashBackward: 'its backward',
  contention: 'beside sending',
}

/** What a calibration came to, for people, within 80 columns. */
export function calibrationLines(summary: CalibrationSummary, style: Style): string[] {
  const { file, steps, bounded, before, after } = summary
  return [
    style.bold(`${file.accelerator}, ${file.source}`),
    '',
    ...table(
      [
        { header: 'constant', align: 'left' },
        { header: 'before', align: 'right' },
        { header: 'fitted', align: 'right' },
        { header: 'by measurement', align: 'right' },
        { header: 'what it is, in which unit', align: 'left' },
      ],
      Object.entries(meanings).map(([name, what]) => constantCells(name, what, summary)),
      style,
    ),
    ...wrapped(
      'By measurement: 0\u00a0%, no measurement depends on it and it stays as it was; 100\u00a0%, it is what the measurements say alone. It is no share of agreement: errors of predictions are below.',
      2,
    ).map((line) => style.dim(line.replaceAll('\u00a0', ' '))),
    ...(bounded.length === 0
      ? []
      : wrapped(
          `At its bound: ${bounded.join(', ')}. Measurements ask for more than can be: something else is faster than predicted.`,
          2,
        )),
    '',
    ...table(
      [
        { header: 'measurement', align: 'right' },
        { header: 'measured', align: 'right' },
        { header: 'predicted', align: 'right' },
        { header: 'error', align: 'right' },
      ],
      steps.slice(0, shownSteps).map((step, index) => stepCells(step, index)),
      style,
    ),
    ...(steps.length > shownSteps ? [`  and ${steps.length - shownSteps} more: --json`] : []),
    '',
    `mean error ${meanText(before)} with the constants before, ${meanText(after)} with the fitted ones`,
  ]
}

function stepCells({ measured, predicted }: CalibrationSummary['steps'][number], index: number): string[] {
  const cells = [
    String(index + 1),
    formatSeconds(measured),
    formatSeconds(predicted),
    formatDifference(predicted / measured - 1),
  ]
  return cells.map((cell) => cell.replaceAll('\u00a0', ' '))
}

function constantCells(name: string, what: string, { file, start, settled, units }: CalibrationSummary): string[] {
  const of = (values: object) => Number(Object.entries(values).find(([key]) => key === name)?.[1] ?? 0)
  const [before, share] = [of(start), of(settled)]
  const after = of({ ...start, ...file.values })
  const unit = units[name]
  return [
    name,
    shortNumber(before),
    shortNumber(after),
    shareText(share),
    unit === undefined ? what : `${what}, ${unit}`,
  ]
}

/** A share in percent: 0 % is none. */
function shareText(share: number): string {
  const percent = (100 * share).toFixed(0)
  return percent === '0' && share > negligible ? '< 1 %' : `${percent} %`
}

/** A number of three digits, with an exponent where most of its places would be zeros. */
export function shortNumber(value: number): string {
  const rounded = Number(value.toPrecision(3))
  return Math.abs(rounded) > 0 && Math.abs(rounded) < 1e-3 ? rounded.toExponential() : String(rounded)
}

/** The mean size of errors. */
export const meanOf = (errors: readonly number[]): number =>
  errors.reduce((sum, each) => sum + Math.abs(each), 0) / errors.length

function meanText(errors: readonly number[]): string {
  const mean = meanOf(errors)
  return mean < 9 ? `${(100 * mean).toFixed(1)} %` : formatDifference(mean).replaceAll('\u00a0', ' ')
}
