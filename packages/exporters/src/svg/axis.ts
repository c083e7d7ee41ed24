import { formatQuantity, formatSeconds } from '../format.js'
import { ticksOf } from './chart.js'

/** Where values stand along an axis, from 0 to 1, and which are written beside it. */
export interface Axis {
  readonly place: (value: number) => number
  readonly ticks: readonly { readonly at: number; readonly text: string }[]
  /** What the numbers at the ticks are in, such as `GB`. */
  readonly unit: string
  readonly logarithmic: boolean
}

/** What units that take prefixes are multiplied with. */
const prefixes = [
  [1e15, 'P'],
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
  [1, ''],
  [1e-3, 'm'],
  [1e-6, 'µ'],
  [1e-9, 'n'],
] as const

/** From this ratio of the largest to the smallest on, equal distances are equal ratios: else most would stand in one corner. */
const wide = 30

/**
 * An axis on which all values have room: from 0 where the smallest is near it, logarithmic where they are far apart. Seconds, bytes and
 * FLOPs are written with the prefix that suits the largest.
 */
export function axisOf(values: readonly number[], unit: string, about: number): Axis {
  const [least, most] = [Math.min, Math.max].map((of) => normal(values.reduce((a, b) => of(a, b)))) as [number, number]
  const [factor, shown] = unitFor(Math.max(Math.abs(least), Math.abs(most)), unit)
  const logarithmic = least > 0 && most / least >= wide
  const [low, high] = logarithmic ? padded(Math.log10(least), Math.log10(most), 0.05) : linearRange(least, most)
  const place = (value: number) => ((logarithmic ? Math.log10(value) : normal(value)) - low) / (high - low)
  const marks = logarithmic
    ? decades(10 ** low / factor, 10 ** high / factor, about)
    : ticksOf(high / factor, about, low / factor)
  const step = (marks[1] ?? 0) - (marks[0] ?? 0)
  return {
    place,
    ticks: marks.map((mark) => ({ at: place(mark * factor), text: written(mark, logarithmic ? mark : step) })),
    unit: shown,
    logarithmic,
  }
}

/** Whether a unit is one whose multiples have prefixes: of others `k` would be taken for a part. */
export const hasPrefixes = (unit: string) => unit === 's' || unit === 'B' || unit === 'FLOP'

function unitFor(most: number, unit: string): readonly [factor: number, unit: string] {
  if (!hasPrefixes(unit)) return [1, unit]
  const [factor, prefix] =
    prefixes.find(([each]) => most >= each && !(unit === 's' ? each > 1 : each < 1)) ?? ([1, ''] as const)
  return [factor, `${prefix}${unit}`]
}

/** Numbers so small that they have fewer digits than others are taken for 0. */
const normal = (value: number) => (Math.abs(value) < 1e-290 ? 0 : value)

function linearRange(least: number, most: number): readonly [number, number] {
  if (least >= 0 && least < 0.35 * most) return [0, most * 1.04]
  return padded(least, most, 0.06)
}

/** With room at both ends; around a single value too, or several that differ in digits that nobody reads. */
function padded(least: number, most: number, share: number): readonly [number, number] {
  const size = Math.max(Math.abs(least), Math.abs(most))
  const room = most - least > 1e-9 * size ? share * (most - least) : size / 10 || 1
  return [least - room, most + room]
}

/** 1, 2 and 5 times powers of ten, fewer where there are many. */
function decades(least: number, most: number, about: number): number[] {
  const [first, last] = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))]
  const powers = Array.from({ length: last - first + 1 }, (_, index) => first + index)
  const all = (factors: readonly number[], each = 1) =>
    powers
      .filter((power) => power % each === 0)
      .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
      .filter((mark) => mark >= least && mark <= most)
  const fine = all([1, 2, 5])
  return fine.length <= 1.5 * about ? fine : all([1], Math.ceil(powers.length / (1.5 * about)))
}

/** A number with the digits that its distance from the next needs, thousands apart; very large and very small ones with an exponent. */
function written(value: number, step: number): string {
  const size = Math.abs(value)
  const last = Math.floor(Math.log10(Math.abs(step) || 1) + 1e-9)
  if (size < 10 ** last / 2) return last < -6 || last >= 0 ? '0' : (0).toFixed(-last)
  if (size >= 1e9 || last < -6) {
    const digits = Math.min(15, Math.max(0, Math.floor(Math.log10(size)) - last))
    return value.toExponential(digits).replace('e+', 'e').replaceAll('-', '−')
  }
  const [whole = '', behind] = size.toFixed(Math.max(0, -last)).split('.')
  return `${value < 0 ? '−' : ''}${whole.replace(/\B(?=(\d{3})+$)/g, ',')}${behind ? `.${behind}` : ''}`
}

/** A value beside its name, to three digits, such as `41.2 GB`. */
export function valueText(value: number, unit: string): string {
  if (unit === 's' && value >= 0) return formatSeconds(value)
  if (hasPrefixes(unit)) return formatQuantity(value, unit)
  const rounded = Number(value.toPrecision(3))
  const digits = Math.max(0, (String(rounded).split('.')[1] ?? '').length)
  return `${written(rounded, 10 ** -digits)}${unit && `\u00a0${unit}`}`
}
