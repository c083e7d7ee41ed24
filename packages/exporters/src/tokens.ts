import type { EdgeKind, NodeKind } from '@shardloom/core'

/** What fills and outlines one kind of node. */
export interface Paint {
  readonly fill: string
  readonly stroke: string
}

/** The colours of one theme, as `#RRGGBB`. */
export interface Theme {
  readonly page: string
  readonly surface: string
  readonly rule: string
  readonly ink: string
  readonly secondary: string
  readonly kinds: Readonly<Record<NodeKind, Paint>>
  /** Slices of a timeline: forward, input gradient, weight gradient, optimizer, idle time. */
  readonly slices: Readonly<Record<'F' | 'I' | 'W' | 'optimizer' | 'idle', string>>
  /** Text on a slice of that colour. */
  readonly sliceText: Readonly<Record<'F' | 'I' | 'W' | 'optimizer' | 'communication' | 'memory', string>>
  /** Outlines of the pale slices, where the page is light. */
  readonly sliceOutlines: Readonly<Partial<Record<'I' | 'W', string>>>
  /** Bands of the memory chart, bottom up. */
  readonly bands: Readonly<Record<MemoryBand, string>>
  /** Selection and focus. */
  readonly accent: string
}

/** What fills a rank's memory, in the order in which it is stacked, bottom up. */
export type MemoryBand = 'parameters' | 'gradients' | 'optimizer' | 'cache' | 'activations' | 'buffers' | 'temporary'

/** The name of a theme. */
export type ThemeName = 'light' | 'dark'

/** The colours of every output. Their contrast and their distance for colour-blind readers are measured in the tests. */
export const themes: Readonly<Record<ThemeName, Theme>> = {
  light: {
    page: '#FFFFFF',
    surface: '#F5F6F8',
    rule: '#D3D8E0',
    ink: '#1A2130',
    secondary: '#525C70',
    kinds: {
      compute: { fill: '#E8F0FA', stroke: '#1F5FB4' },
      communication: { fill: '#FDE7D3', stroke: '#BD540C' },
      control: { fill: '#E9EBEE', stroke: '#3A4150' },
      memory: { fill: '#DDF1E8', stroke: '#08694B' },
    },
    slices: { F: '#1F5FB4', I: '#7AC4F0', W: '#F2D95C', optimizer: '#6B7482', idle: '#EEF0F3' },
    sliceText: {
      F: '#FFFFFF',
      I: '#1A2130',
      W: '#1A2130',
      optimizer: '#FFFFFF',
      communication: '#FFFFFF',
      memory: '#FFFFFF',
    },
    sliceOutlines: { I: '#1B78B0', W: '#8A7200' },
    bands: {
      parameters: '#08694B',
      gradients: '#4FA384',
      optimizer: '#A9D9C3',
      cache: '#7A5BB5',
      activations: '#7AC4F0',
      buffers: '#BD540C',
      temporary: '#B4BAC5',
    },
    accent: '#B0136F',
  },
  dark: {
    page: '#12161D',
    surface: '#1A202A',
    rule: '#39424F',
    ink: '#E8ECF2',
    secondary: '#A3ADBD',
    kinds: {
      compute: { fill: '#182B47', stroke: '#6FA3EA' },
      communication: { fill: '#43270F', stroke: '#EE8434' },
      control: { fill: '#2B313B', stroke: '#C9D0DB' },
      memory: { fill: '#0F352A', stroke: '#2FB488' },
    },
    slices: { F: '#4A86D8', I: '#9AD8FF', W: '#F7E58B', optimizer: '#6B7280', idle: '#1F2631' },
    sliceText: {
      F: '#12161D',
      I: '#12161D',
      W: '#12161D',
      optimizer: '#FFFFFF',
      communication: '#12161D',
      memory: '#12161D',
    },
    sliceOutlines: {},
    bands: {
      parameters: '#2FB488',
      gradients: '#1F8464',
      optimizer: '#0F5A45',
      cache: '#A78BE0',
      activations: '#9AD8FF',
      buffers: '#EE8434',
      temporary: '#6B7280',
    },
    accent: '#FF7CC4',
  },
}

/** How each kind of node looks besides its colour. */
export const nodeShapes: Readonly<
  Record<NodeKind, { readonly dot: string; readonly glyph: string; readonly ascii: string }>
> = {
  compute: { dot: 'box', glyph: '■', ascii: 'c' },
  communication: { dot: 'hexagon', glyph: '⬡', ascii: 'x' },
  control: { dot: 'diamond', glyph: '◆', ascii: '!' },
  memory: { dot: 'cylinder', glyph: '▤', ascii: 'm' },
}

/** How each kind of edge looks besides its colour. Widths in pixels; `dash` is that of an SVG stroke. */
export const edgeStyles: Readonly<
  Record<EdgeKind, { readonly dot: string; readonly arrow: string; readonly width: number; readonly dash: string }>
> = {
  data: { dot: 'solid', arrow: 'normal', width: 1.25, dash: '' },
  temporal: { dot: 'dotted', arrow: 'vee', width: 1.25, dash: '1.5 4' },
  communication: { dot: 'dashed', arrow: 'normal', width: 2.25, dash: '7 4' },
}

/** Lines as text, for legends. */
const edgeSamples: Readonly<Record<EdgeKind | 'saved', string>> = {
  data: '──▶',
  saved: '──▸',
  temporal: '┈┈>',
  communication: '╌╌▶',
}

/** How lines look, in words: fonts draw their samples alike. */
const edgeLooks: typeof edgeSamples = {
  data: 'full line',
  saved: 'thin line',
  temporal: 'dots',
  communication: 'orange dashes',
}

/** A line of a legend that is text: sample, meaning and look of a kind of edge. */
export function edgeSampleText(kind: keyof typeof edgeSamples, meaning: string): string {
  return `${edgeSamples[kind]}  ${meaning}, ${edgeLooks[kind]}`
}

/** Widths, corner radii and sizes in pixels, and font families. */
export const measures = {
  stroke: 1.5,
  savedStroke: 0.75,
  savedDash: '4 2.5',
  nodeRadius: 6,
  regionRadius: 10,
  title: 17,
  name: 13,
  fact: 11,
  /** Width to reserve per character, in em: viewers' fonts differ. */
  characterWidth: 0.62,
  semiboldCharacterWidth: 0.68,
  text: 'system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  monospace: 'ui-monospace, Consolas, monospace',
  dotFont: 'Helvetica',
} as const

/** How much may be drawn at once before a picture is no longer read. */
export const readableLimits = {
  mermaid: { nodes: 60, edges: 480 },
  dot: { nodes: 150, edges: 300 },
  svg: { nodes: 150, edges: 300 },
} as const
