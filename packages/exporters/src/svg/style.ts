import type { EdgeKind, NodeKind } from '@shardloom/core'
import { edgeStyles, type MemoryBand, measures, type Theme, type ThemeName, themes } from '../tokens.js'
import { fillOf, slicePaint } from './chart.js'
import { mark } from './pen.js'

/** A theme, or both of them, of which the reader's preference takes one. */
export type SvgTheme = ThemeName | 'auto'

const kinds: readonly NodeKind[] = ['compute', 'communication', 'control', 'memory']
const edges: readonly EdgeKind[] = ['data', 'temporal', 'communication']
const bands = Object.keys(themes.light.bands) as MemoryBand[] // a record of just these

/** What does not depend on the theme, by class. */
const shapes: Readonly<Record<string, string>> = {
  root: `font-family:${measures.text.replaceAll('"', "'")};font-variant-numeric:tabular-nums`,
  title: `font-size:${measures.title}px;font-weight:600`,
  name: `font-size:${measures.name}px;font-weight:600`,
  plain: 'font-size:12px',
  fact: `font-size:${measures.fact}px`,
  count: `font-size:${measures.fact}px;font-weight:600`,
  clear: 'stroke-width:3;paint-order:stroke;stroke-linejoin:round',
  slice: `font-size:${measures.fact}px;text-anchor:middle`,
  region: 'stroke-width:1',
  lane: 'fill:none;stroke-width:1;stroke-dasharray:1.5 4',
  outside: 'fill:none;stroke-width:1;stroke-dasharray:3 3',
  rule: 'fill:none;stroke-width:1',
  member: 'fill:none;stroke-width:2.25;stroke-dasharray:5 3',
  pair: 'fill:none;stroke-width:1',
  strip: 'stroke-width:0',
  critical: 'fill:none;stroke-width:3.5;stroke-linejoin:round',
  flow: 'fill:none;stroke-width:2',
  halo: 'fill:none;stroke-width:5',
  limit: 'fill:none;stroke-width:2',
  bound: 'fill:none;stroke-width:1;stroke-dasharray:5 4',
  step: 'fill:none;stroke-width:1.25',
  again: 'stroke-width:2',
  stripe: 'stroke-width:1.5',
  ...Object.fromEntries(kinds.map((kind) => [kind, `stroke-width:${measures.stroke}`])),
  ...Object.fromEntries(
    edges.map((kind) => {
      const { width, dash } = edgeStyles[kind]
      return [`edge-${kind}`, `fill:none;stroke-width:${width}${dash ? `;stroke-dasharray:${dash}` : ''}`]
    }),
  ),
  saved: `stroke-width:${measures.savedStroke};stroke-dasharray:${measures.savedDash}`,
  plot: 'stroke-width:1',
  front: 'fill:none;stroke-width:1.75;stroke-linejoin:round',
  'front-point': 'stroke-width:1.5',
  point: 'stroke-width:1',
  marked: 'fill:none;stroke-width:2.25',
  'head-open': 'fill:none;stroke-width:1.25',
  pointer: 'fill:none;stroke-width:1;stroke-dasharray:2 2',
  'count-ink': `font-size:${measures.fact}px;font-weight:600`,
  'clear-page': 'stroke-width:3;paint-order:stroke;stroke-linejoin:round',
}

/** The colours of each class. */
const colours: Readonly<Record<string, (theme: Theme) => string>> = {
  page: ({ page }) => `fill:${page}`,
  ...all(['title', 'name', 'plain', 'ink', 'count-ink'], ({ ink }) => `fill:${ink}`),
  fact: ({ secondary }) => `fill:${secondary}`,
  count: ({ page }) => `fill:${page}`,
  pill: ({ ink }) => `fill:${ink}`,
  region: ({ surface, rule }) => `fill:${surface};stroke:${rule}`,
  ...all(['inner', 'plot'], ({ page, rule }) => `fill:${page};stroke:${rule}`),
  'front-point': ({ ink, page }) => `fill:${ink};stroke:${page}`,
  point: ({ page, secondary }) => `fill:${page};stroke:${secondary}`,
  marked: ({ accent }) => `stroke:${accent}`,
  ...all(['lane', 'rule', 'stripe'], ({ rule }) => `stroke:${rule}`),
  ...all(['outside', 'saved', 'edge-data', 'edge-temporal', 'head-open'], ({ secondary }) => `stroke:${secondary}`),
  'head-data': ({ secondary }) => `fill:${secondary}`,
  ...all(['edge-communication', 'member', 'flow'], (theme) => `stroke:${theme.kinds.communication.stroke}`),
  ...all(['head-communication', 'dot'], (theme) => `fill:${theme.kinds.communication.stroke}`),
  ...each(
    kinds,
    (kind) =>
      ({ kinds: of }) =>
        `fill:${of[kind].fill};stroke:${of[kind].stroke}`,
  ),
  ...Object.fromEntries(
    (['F', 'I', 'W', 'optimizer', 'communication', 'memory', 'control'] as const).flatMap((kind) => [
      [
        fillOf[kind],
        (theme: Theme) => {
          const { fill, stroke } = slicePaint(theme, kind)
          return `fill:${fill};stroke:${stroke}`
        },
      ],
      [`on-${kind}`, (theme: Theme) => `fill:${slicePaint(theme, kind).text}`],
    ]),
  ),
  again: ({ sliceText }) => `stroke:${sliceText.F}`,
  idle: ({ slices }) => `fill:${slices.idle}`,
  ...all(['pair', 'critical', 'limit', 'bound', 'step', 'pointer', 'front'], ({ ink }) => `stroke:${ink}`),
  clear: ({ surface }) => `stroke:${surface}`,
  ...all(['clear-page', 'halo'], ({ page }) => `stroke:${page}`),
  over: ({ ink }) => `stroke:${ink}`,
  ...each(
    bands.map((band) => `band-${band}` as const),
    (name) =>
      ({ bands: of }) =>
        `fill:${of[bandIn(name)]}`,
  ),
  ...each(
    bands.map((band) => `on-band-${band}` as const),
    (name) => (theme) => `fill:${readableOn(theme.bands[bandIn(name)], theme)}`,
  ),
}

/** Of the ink and the page of a theme the one that stands out more from a colour; white on what is too near to both. */
export function readableOn(colour: string, { ink, page }: Theme): string {
  const contrast = (other: string) => {
    const [a, b] = [luminance(colour), luminance(other)].sort((x, y) => y - x)
    return ((a ?? 0) + 0.05) / ((b ?? 0) + 0.05)
  }
  const best = contrast(ink) >= contrast(page) ? ink : page
  return contrast(best) >= 4.5 ? best : '#FFFFFF'
}

/** Relative luminance (WCAG 2.2) of `#RRGGBB`. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/** The band that a class is of. */
function bandIn(name: `${string}band-${MemoryBand}`): MemoryBand {
  return name.slice(name.lastIndexOf('-') + 1) as MemoryBand // which its type says
}

/** One rule for several classes. */
function all(names: readonly string[], rule: (theme: Theme) => string): Record<string, (theme: Theme) => string> {
  return Object.fromEntries(names.map((name) => [name, rule]))
}

function each<Name extends string>(names: readonly Name[], rule: (name: Name) => (theme: Theme) => string) {
  return Object.fromEntries(names.map((name) => [name, rule(name)]))
}

/** The style sheet of a picture: literal colours, of the classes that it uses. */
export function styleSheet(used: ReadonlySet<string>, theme: SvgTheme): string {
  const select = (name: string, rules: string) => `.${mark}-${name}{${rules}}`
  const coloured = (name: ThemeName) =>
    Object.entries(colours)
      .filter(([key]) => used.has(key))
      .map(([key, rule]) => select(key, rule(themes[name])))
      .join('')
  const base = Object.entries(shapes)
    .filter(([key]) => used.has(key))
    .map(([key, rules]) => select(key, rules))
    .join('')
  if (theme !== 'auto') return base + coloured(theme)
  return `${base}${coloured('light')}@media (prefers-color-scheme:dark){${coloured('dark')}}`
}
