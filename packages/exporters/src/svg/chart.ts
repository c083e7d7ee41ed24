import type { Paint, Theme } from '../tokens.js'

/** What a slice of a timeline is spent on. B is I and W in one. */
export type SliceKind = 'F' | 'I' | 'W' | 'B' | 'optimizer' | 'communication' | 'memory' | 'control'

/** How kinds of slices are called where they are explained. */
export const sliceNames: Readonly<Record<SliceKind, string>> = {
  F: 'F forward',
  I: 'I input gradient',
  W: 'W weight gradient',
  B: 'B = I + W, fused',
  optimizer: 'optimizer',
  communication: 'communication',
  memory: 'memory',
  control: 'control',
}

/** What fills, outlines and labels slices of a kind. B is drawn as its parts, I above W, and has the label of I. */
export function slicePaint(theme: Theme, kind: Exclude<SliceKind, 'B'>): Paint & { readonly text: string } {
  const { kinds, slices, sliceOutlines, sliceText } = theme
  if (kind === 'control') return { ...kinds.control, text: theme.ink }
  const { stroke } = kinds[kind === 'memory' ? 'memory' : 'communication']
  if (kind === 'communication' || kind === 'memory') return { fill: stroke, stroke, text: sliceText[kind] }
  const outline = kind === 'I' || kind === 'W' ? sliceOutlines[kind] : undefined
  return { fill: slices[kind], stroke: outline ?? slices[kind], text: sliceText[kind] }
}

/** The class that fills each kind; B is drawn as its parts. */
export const fillOf: Readonly<Record<Exclude<SliceKind, 'B'>, string>> = {
  F: 'F',
  I: 'I',
  W: 'W',
  optimizer: 'optimizer',
  communication: 'slice-communication',
  memory: 'slice-memory',
  control: 'slice-control',
}

/** Something that a row is busy with from one time to another. */
export interface ChartSlice {
  readonly start: number
  readonly end: number
  readonly kind: SliceKind
  /** Shown where it fits, such as `F5`. */
  readonly label: string
  readonly tooltip: string
  /** The part of its time in which forward is computed again. */
  readonly again?: number
  /** What runs beside it, in one with it. */
  readonly partner?: { readonly kind: SliceKind; readonly label: string }
}

/** One stream of a rank. */
export interface ChartRow {
  readonly label: string
  /** Ascending in time, none over another. */
  readonly slices: readonly ChartSlice[]
  /** The share of the whole in which the row is idle, where that is worth a word. */
  readonly idle?: number
  /** What stands behind the row in place of its idle share: `computes 76 %`. */
  readonly fact?: string
}

/** Rows that belong together, such as those of one schedule. */
export interface ChartPanel {
  readonly name: string
  readonly fact: string
  readonly rows: readonly ChartRow[]
  /** Until when its rows are hatched where they are idle. */
  readonly end: number
  /** A critical path, ascending in time: which row it runs under. */
  readonly critical?: readonly { readonly row: number; readonly start: number; readonly end: number }[]
  /** Arrows from a row at one time to a row at another. */
  readonly flows?: readonly {
    readonly from: number
    readonly at: number
    readonly to: number
    readonly until: number
  }[]
}

/** A timeline: panels above each other on one axis of time. */
export interface Chart {
  readonly title: string
  readonly subtitle: string
  readonly notice?: string
  readonly alt: string
  readonly panels: readonly ChartPanel[]
  /** The unit of all times. */
  readonly unit: string
  /** Further signs that are explained. */
  readonly notes?: readonly string[]
  /** What arrows stand for. */
  readonly flow?: string
}

/** Whole steps of about that many on an axis from 0, or from elsewhere: 1, 2 or 5 times a power of ten. */
export function ticksOf(end: number, about: number, start = 0): number[] {
  if (!(end > start)) return [start]
  const rough = (end - start) / about
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough * 0.999) ?? 10)
  const first = Math.ceil(start / step - 1e-9)
  return Array.from({ length: Math.floor(end / step + 1e-9) - first + 1 }, (_, index) => (first + index) * step)
}

/** A value on an axis: as many digits as neighbours need to differ. */
export const tickText = (value: number) => String(Number(value.toPrecision(6)))
