import { checkOptions } from '@shardloom/core'
import { measures } from '../tokens.js'
import { escapeText, mark, moved, px, rect, text, widthOf, wrap } from './pen.js'
import { type SvgTheme, styleSheet } from './style.js'

/** What every picture may be told. */
export interface SvgOptions {
  /** Default `auto`: light, and dark where the reader prefers it. */
  readonly theme?: SvgTheme
  /** What stands at the top; default what the picture is of. */
  readonly title?: string
  /** What readers are told who do not see the picture; default what it is made of. */
  readonly alt?: string
  /**
   * What ids and classes begin with, letters, digits, `-` and `_`; default made from the picture, so that different pictures
   * can stand in one page.
   */
  readonly prefix?: string
}

/** The options of {@link SvgOptions}, for checks. */
export const svgOptions = { theme: 'light|dark|auto', title: 'string', alt: 'string', prefix: 'string' } as const

/** Refuses options that a picture does not have: `OPTION`. */
export function checkSvgOptions(options: object, own: Readonly<Record<string, string>> = {}): void {
  checkOptions(options, { ...svgOptions, ...own })
}

/** One entry of a legend: what is drawn, in a box 24 wide and 12 high, and what it means. */
export interface LegendItem {
  readonly sample: string
  readonly width: number
  readonly text: string
}

/** A picture before it has a frame. */
export interface Drawing {
  readonly title: string
  readonly subtitle: string
  readonly notice?: string
  readonly alt: string
  readonly width: number
  readonly height: number
  /** Drawn from the origin on. */
  readonly body: string
  /** Marker ids that it refers to are found by themselves. */
  readonly legend: readonly LegendItem[]
}

const margin = 24
const least = 420

/** What is referred to by its id. */
const definitions: Readonly<Record<string, string>> = {
  data: head('M0 0L8 3.2L0 6.4Z', 'head-data', 8, 6.4, 8),
  communication: head('M0 0L10 5L0 10Z', 'head-communication', 10, 10, 10),
  temporal: head('M1 1L7 4.5L1 8', 'head-open', 8, 9, 7),
  idle: pattern(6, `<path d="M0 0V6" class="${mark}-stripe"/>`),
  recompute: pattern(5, `<path d="M0 0V5" class="${mark}-again"/>`),
  over: pattern(7, `<path d="M0 0V7" class="${mark}-over"/>`),
}

function head(d: string, name: string, width: number, height: number, tip: number): string {
  return `<marker id="ID" markerUnits="userSpaceOnUse" markerWidth="${width}" markerHeight="${height}" refX="${tip}" refY="${px(height / 2)}" orient="auto-start-reverse"><path d="${d}" class="${mark}-${name}"/></marker>`
}

function pattern(size: number, content: string): string {
  return `<pattern id="ID" width="${size}" height="${size}" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">${content}</pattern>`
}

/** Puts heading, legend, styles and what it refers to around a drawing: a file that needs nothing else. */
export function page(drawing: Drawing, options: SvgOptions): string {
  const { theme = 'auto', alt = drawing.alt } = options
  const title = options.title ?? drawing.title
  const inner = Math.max(drawing.width, widthOf(title, measures.title, 'semibold'), least)
  const width = Math.ceil(inner + 2 * margin)
  const lines = [...wrap(drawing.subtitle, inner), ...wrap(drawing.notice ?? '', inner)].filter(Boolean)
  const top = 36 + 16 * lines.length + 20
  const legend = drawLegend(drawing.legend, inner)
  const bottom = top + drawing.height + 28
  const height = Math.ceil(legend.height > 0 ? bottom + legend.height + 14 : bottom)
  const content = [
    rect({ x: 0, y: 0, width, height }, 'page'),
    text({ x: margin, y: 32 }, title, 'title'),
    ...lines.map((line, index) => text({ x: margin, y: 52 + 16 * index }, line, 'fact')),
    moved(drawing.body, { x: margin, y: top }),
    moved(legend.body, { x: margin, y: bottom }),
  ].join('\n')
  const referred = Object.entries(definitions).filter(([id]) => content.includes(`url(#${mark}-${id})`))
  const defs = referred.map(([id, definition]) => definition.replace('id="ID"', `id="${mark}-${id}"`)).join('')
  const used = new Set(['root'])
  for (const [, list = ''] of `${content}${defs}`.matchAll(/ class="([^"]*)"/g))
    for (const name of list.split(' ')) used.add(name.slice(mark.length + 1))
  const whole = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" class="${mark}-root" role="img" aria-labelledby="${mark}-title ${mark}-desc">
<title id="${mark}-title">${escapeText(title)}</title><desc id="${mark}-desc">${escapeText(alt)}</desc>
<style>${styleSheet(used, theme)}</style>
${defs && `<defs>${defs}</defs>\n`}${content}
</svg>
`
  return whole.replaceAll(mark, prefixOf(options.prefix, whole))
}

/** The prefix that was asked for, of characters that names may have, or one made of the picture. */
function prefixOf(asked: string | undefined, whole: string): string {
  const clean = (asked ?? '').replace(/[^A-Za-z0-9_-]/g, '').replace(/^[^A-Za-z]+/, '')
  if (clean) return clean
  // FNV-1a, 32 bits: enough to tell the pictures of a page apart.
  let hash = 0x811c9dc5
  for (let at = 0; at < whole.length; at++) hash = Math.imul(hash ^ whole.charCodeAt(at), 0x01000193)
  return `s${(hash >>> 0).toString(36)}`
}

/** Lays the legend out in lines. */
function drawLegend(items: readonly LegendItem[], width: number): { body: string; height: number } {
  const [parts, step]: [string[], number] = [[], 20]
  let [x, y] = [0, 0]
  for (const { sample, width: indent, text: label } of items) {
    const size = indent + 6 + widthOf(label)
    if (x > 0 && x + size > width) [x, y] = [0, y + step]
    parts.push(moved(sample, { x, y: y - 6 }), text({ x: x + indent + 6, y: y + 4 }, label, 'fact'))
    x += size + 14
  }
  return { body: parts.join('\n'), height: items.length > 0 ? y + 10 : 0 }
}
