import type { EdgeKind, NodeKind } from '@shardloom/core'
import { edgeStyles, type MemoryBand, measures, type Theme, type ThemeName, themes } from '../tokens.js'
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
  saved: `stroke-width:${measures.savedStroke}`,
  'head-open': 'fill:none;stroke-width:1.25',
}

/** The colours of each class. */
const colours: Readonly<Record<string, (theme: Theme) => string>> = {
  page: ({ page }) => `fill:${page}`,
  ...all(['title', 'name', 'plain', 'ink'], ({ ink }) => `fill:${ink}`),
  fact: ({ secondary }) => `fill:${secondary}`,
  count: ({ page }) => `fill:${page}`,
  pill: ({ ink }) => `fill:${ink}`,
  region: ({ surface, rule }) => `fill:${surface};stroke:${rule}`,
  inner: ({ page, rule }) => `fill:${page};stroke:${rule}`,
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
  ...each(['F', 'I', 'W', 'optimizer'], (kind) => (theme) => {
    const outline = kind === 'I' || kind === 'W' ? theme.sliceOutlines[kind] : undefined
    return `fill:${theme.slices[kind]};stroke:${outline ?? theme.slices[kind]}`
  }),
  'slice-communication': ({ kinds: of }) => `fill:${of.communication.stroke};stroke:${of.communication.stroke}`,
  'slice-memory': ({ kinds: of }) => `fill:${of.memory.stroke};stroke:${of.memory.stroke}`,
  'slice-control': ({ kinds: of }) => `fill:${of.control.fill};stroke:${of.control.stroke}`,
  ...Object.fromEntries(
    (['F', 'I', 'W', 'optimizer', 'communication', 'memory'] as const).map((kind) => [
      `on-${kind}`,
      ({ sliceText }: Theme) => `fill:${sliceText[kind]}`,
    ]),
  ),
  'on-control': ({ ink }) => `fill:${ink}`,
  again: ({ sliceText }) => `stroke:${sliceText.F}`,
  idle: ({ slices }) => `fill:${slices.idle}`,
  ...all(['pair', 'critical', 'limit', 'step'], ({ ink }) => `stroke:${ink}`),
  clear: ({ surface }) => `stroke:${surface}`,
  halo: ({ page }) => `stroke:${page}`,
  over: ({ ink }) => `stroke:${ink}`,
  ...Object.fromEntries(bands.map((band) => [`band-${band}`, ({ bands: of }: Theme) => `fill:${of[band]}`])),
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
