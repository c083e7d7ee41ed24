import { measures } from '../tokens.js'

/**
 * Stands for the prefix of ids and classes until all of a picture is drawn, since the prefix may depend on it. A character of
 * private use, which {@link escapeText} takes out of everything that comes from outside.
 */
export const mark = '\uE000'

/** Where text begins, or its middle or end stands. */
export type Anchor = 'start' | 'middle' | 'end'

/** A place, in pixels from the top left. */
export interface Point {
  readonly x: number
  readonly y: number
}

/** A place with a size, in pixels. */
export interface Rect extends Point {
  readonly width: number
  readonly height: number
}

/**
 * Text from outside, as content or as the value of an attribute: no markup, no characters that XML forbids, and none that turn the
 * direction of what follows (Unicode 15, section 23.2).
 */
export function escapeText(text: string): string {
  return String(text)
    .replace(/[^\t\n\r\u0020-\uD7FF\uE001-\uFFFD\u{10000}-\u{10FFFF}]/gu, '')
    .replace(/[\u202A-\u202E\u2066-\u2069]/g, '')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/'/g, '&#39;')
}

/** A coordinate with two digits behind the point. */
export const px = (value: number) => String(Math.round(value * 100) / 100)

/** Class names of this picture alone. */
const classes = (names: string) =>
  names
    .split(' ')
    .map((name) => `${mark}-${name}`)
    .join(' ')

/** The attribute that refers to something in `<defs>`. */
export const reference = (name: string) => `url(#${mark}-${name})`

export function rect({ x, y, width, height }: Rect, names: string, radius = 0): string {
  const round = radius > 0 ? ` rx="${radius}"` : ''
  return `<rect x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}"${round} class="${classes(names)}"/>`
}

export function path(d: string, names: string, heads: { readonly start?: string; readonly end?: string } = {}): string {
  const start = heads.start ? ` marker-start="${reference(heads.start)}"` : ''
  const end = heads.end ? ` marker-end="${reference(heads.end)}"` : ''
  return `<path d="${d}" class="${classes(names)}"${start}${end}/>`
}

export function circle({ x, y }: Point, radius: number, names: string): string {
  return `<circle cx="${px(x)}" cy="${px(y)}" r="${radius}" class="${classes(names)}"/>`
}

export function text({ x, y }: Point, content: string, names: string, anchor: Anchor = 'start'): string {
  const at = anchor === 'start' ? '' : ` text-anchor="${anchor}"`
  return `<text x="${px(x)}" y="${px(y)}" class="${classes(names)}"${at}>${escapeText(content)}</text>`
}

/** Several parts as one thing with a tooltip; `node` is the id of what it shows. */
export function group(content: string, tooltip: string, node?: string): string {
  const id = node === undefined ? '' : ` data-node="${escapeText(node)}"`
  return `<g${id}><title>${escapeText(tooltip)}</title>${content}</g>`
}

/** Several parts, moved. */
export const moved = (content: string, { x, y }: Point) =>
  x === 0 && y === 0 ? content : `<g transform="translate(${px(x)} ${px(y)})">${content}</g>`

/** Characters that are about as wide as they are high: of East Asia, and pictures. */
const wide = /[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\u{1F300}-\u{1FAFF}]/gu

/** The width to reserve for text, in pixels: the fonts of readers differ. */
export function widthOf(
  content: string,
  size: number = measures.fact,
  weight: 'regular' | 'semibold' = 'regular',
): number {
  const each = weight === 'semibold' ? measures.semiboldCharacterWidth : measures.characterWidth
  const count = [...content].length
  const broad = content.match(wide)?.length ?? 0
  return Math.ceil(size * (each * (count - broad) + broad))
}

/** Parts joined by ` · ` on as many lines as a width takes; a part is never broken. */
export function wrap(content: string, width: number): string[] {
  const lines: string[] = []
  for (const part of content.split(' · ')) {
    const last = lines.at(-1)
    if (last !== undefined && widthOf(`${last} · ${part}`) <= width) lines[lines.length - 1] = `${last} · ${part}`
    else lines.push(part)
  }
  return lines
}

/** A line through points with rounded corners. */
export function rounded(points: readonly Point[], radius = 7): string {
  const [first, ...rest] = points
  if (!first) return ''
  let d = `M${px(first.x)} ${px(first.y)}`
  rest.forEach((point, index) => {
    const before = points[index] ?? point
    const after = rest[index + 1]
    if (!after) {
      d += `L${px(point.x)} ${px(point.y)}`
      return
    }
    const near = (other: Point) => {
      const length = Math.hypot(other.x - point.x, other.y - point.y) || 1
      const share = Math.min(radius, length / 2) / length
      return { x: point.x + (other.x - point.x) * share, y: point.y + (other.y - point.y) * share }
    }
    const [into, out] = [near(before), near(after)]
    d += `L${px(into.x)} ${px(into.y)}Q${px(point.x)} ${px(point.y)} ${px(out.x)} ${px(out.y)}`
  })
  return d
}
