import { B, F, I, W } from './action.js'
import { figure, idleShare, kindsIn, type Slice, slicer } from './label.js'
import type { TimedSchedule } from './time.js'

/** How a schedule is drawn as SVG. */
export interface SvgOptions {
  /** What stands at the top; default the name of the schedule. */
  readonly title?: string
  /** What stands below it; default what the schedule is made of, its makespan and its idle share. */
  readonly subtitle?: string
  /** Pixels; default 1180, at least 400. */
  readonly width?: number
  /** The word after times, such as `ms`; default `units`. */
  readonly unit?: string
  /** What ids and classes begin with, so that several drawings can share a page; default `schedule`. */
  readonly prefix?: string
}

const rowHeight = 28
const rowStep = 38
const left = 92
const right = 92
const top = 76
const narrowest = 1

const letters = ['F', 'I', 'W', 'B']
const meanings = ['forward', 'input gradient', 'weight gradient', 'full backward']

const light =
  '.page{fill:#FFFFFF}.n,.h{fill:#1A2130}.s{fill:#525C70}.F{fill:#1F5FB4;stroke:#1F5FB4}.I{fill:#7AC4F0;stroke:#1B78B0}' +
  '.W{fill:#F2D95C;stroke:#8A7200}.tF{fill:#FFFFFF}.tI,.tW{fill:#1A2130}.idle{fill:#EEF0F3}.hatch{stroke:#D3D8E0}' +
  '.pair{stroke:#1A2130}'
const dark =
  '.page{fill:#12161D}.n,.h{fill:#E8ECF2}.s{fill:#A3ADBD}.F{fill:#4A86D8;stroke:#4A86D8}.I{fill:#9AD8FF;stroke:#9AD8FF}' +
  '.W{fill:#F7E58B;stroke:#F7E58B}.tF,.tI,.tW{fill:#12161D}.idle{fill:#1F2631}.hatch{stroke:#39424F}.pair{stroke:#E8ECF2}'
const base =
  ".root{font-family:system-ui,'Segoe UI',Roboto,'Noto Sans',sans-serif;font-size:12px;font-variant-numeric:tabular-nums}" +
  '.h{font-size:17px;font-weight:600}.s{font-size:11px}.l{font-size:11px;text-anchor:middle}.hatch{stroke-width:1.5}.pair{fill:none}'

/**
 * Draws a timed schedule as SVG: a row per rank on one axis of time. F is dark blue, I light blue, W yellow; a full
 * backward is I over W; two that overlap are two half-height cells in one outline; idle time is hatched, and its share
 * stands at the end of the row. Slices carry their label where it fits and always as a tooltip; slices under one pixel
 * merge into a strip. Light and dark colours follow the reader's preference. All text from outside is escaped.
 */
export function drawSvg(timed: TimedSchedule, options: SvgOptions = {}): string {
  const { schedule, makespan } = timed
  const unit = escapeText(options.unit ?? 'units')
  const width = Math.max(400, Math.min(20_000, Math.floor(options.width ?? 1180) || 1180))
  const prefix = (options.prefix ?? 'schedule').replace(/[^A-Za-z0-9_-]/g, '').replace(/^[^A-Za-z]+/, '') || 'schedule'
  const scale = makespan > 0 ? (width - left - right) / makespan : 0
  const legend = drawLegend(timed, prefix, top + schedule.ranks * rowStep + 18, width)
  const height = legend.end + 22
  const title = escapeText(options.title ?? schedule.name)
  const facts = [
    `${schedule.ranks} pipeline ranks, ${schedule.microbatches} microbatches`,
    ...(schedule.virtual > 1 ? [`${schedule.virtual} chunks per rank`] : []),
    `${figure(makespan)}\u00a0${unit}`,
    `idle ${(100 * idleShare(timed)).toFixed(1)}\u00a0%`,
  ].join(' · ')
  const subtitle = options.subtitle === undefined ? facts : escapeText(options.subtitle)
  const slices = slicer(timed)
  const rows = schedule.orders.map((_, rank) => drawRow(timed, rank, slices(rank), { scale, prefix, unit, width }))
  return `<svg xmlns="http://www.w3.org/2000/svg" class="${prefix}-root" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="${prefix}-title ${prefix}-desc">
<title id="${prefix}-title">${title}</title><desc id="${prefix}-desc">${facts}</desc>
<style>${scoped(base, prefix)}${scoped(light, prefix)}@media (prefers-color-scheme:dark){${scoped(dark, prefix)}}</style>
<defs><pattern id="${prefix}-idle" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6" class="${prefix}-hatch"/></pattern></defs>
<rect class="${prefix}-page" width="${width}" height="${height}"/>
<text x="24" y="32" class="${prefix}-h">${title}</text>
<text x="24" y="52" class="${prefix}-s">${subtitle}</text>
${rows.join('\n')}
${legend.text}
</svg>
`
}

interface Canvas {
  readonly scale: number
  readonly prefix: string
  readonly unit: string
  readonly width: number
}

function drawRow(
  timed: TimedSchedule,
  rank: number,
  slices: readonly Slice[],
  { scale, prefix, unit, width }: Canvas,
): string {
  const y = top + rank * rowStep
  const middle = y + rowHeight / 2 + 4
  const span = number(width - left - right)
  const share = timed.makespan > 0 ? (timed.idle.global[rank] as number) / timed.makespan : 0
  const parts = [
    `<text x="24" y="${middle}" class="${prefix}-n">rank ${rank}</text>`,
    `<rect x="${left}" y="${y}" width="${span}" height="${rowHeight}" class="${prefix}-idle"/>`,
    `<rect x="${left}" y="${y}" width="${span}" height="${rowHeight}" fill="url(#${prefix}-idle)"/>`,
  ]
  let thin: Slice[] = []
  const flush = () => {
    if (thin.length > 0) parts.push(drawStrip(thin, y, scale, prefix, width))
    thin = []
  }
  for (const slice of slices) {
    const pixels = (slice.end - slice.start) * scale
    if (pixels < narrowest + 2) {
      thin.push(slice)
      continue
    }
    flush()
    parts.push(drawSlice(slice, rank, y, { scale, prefix, unit, width }))
  }
  flush()
  parts.push(
    `<text x="${width - right + 10}" y="${middle}" class="${prefix}-s">${Math.round(100 * share)}\u00a0% idle</text>`,
  )
  return parts.join('\n')
}

function drawSlice({ labels, kinds, start, end }: Slice, rank: number, y: number, canvas: Canvas): string {
  const { scale, prefix, unit } = canvas
  const x = left + start * scale + 1
  const width = (end - start) * scale - 2
  const names = labels.join(' and ')
  const tip = `<title>${names} · rank ${rank} · ${figure(start)}–${figure(end)} ${unit}</title>`
  const cell = (kind: number, label: string, at: number, height: number) => {
    const rect = (letter: string, from: number, size: number) =>
      `<rect x="${number(x)}" y="${number(from)}" width="${number(width)}" height="${number(size)}" class="${prefix}-${letter}"/>`
    const text = (where: number) =>
      label.length * 6.9 + 2 <= width && height >= 13
        ? `<text x="${number(x + width / 2)}" y="${number(where)}" class="${prefix}-l ${prefix}-t${kind === B ? 'I' : letters[kind]}">${label}</text>`
        : ''
    if (kind !== B) return rect(letters[kind] as string, at, height) + text(at + height / 2 + 4)
    // A full backward is I above W: splitting it is what zero-bubble schedules do.
    const upper = (height * 2) / 3
    return rect('I', at, height) + rect('W', at + upper, height - upper) + text(at + upper / 2 + 4)
  }
  if (kinds.length === 1) return `<g>${tip}${cell(kinds[0] as number, labels[0] as string, y, rowHeight)}</g>`
  const half = rowHeight / 2
  const outline = `<rect x="${number(x)}" y="${y}" width="${number(width)}" height="${rowHeight}" class="${prefix}-pair"/>`
  return `<g>${tip}${cell(F, labels[0] as string, y, half)}${cell(kinds[1] as number, labels[1] as string, y + half, half)}${outline}</g>`
}

/** Slices too thin to draw: columns of one pixel in the colour of what fills most of each. */
function drawStrip(slices: readonly Slice[], y: number, scale: number, prefix: string, width: number): string {
  const first = Math.floor((slices[0] as Slice).start * scale)
  const last = Math.min(width - left - right, Math.ceil((slices.at(-1) as Slice).end * scale))
  const columns = Math.max(1, last - first)
  const filled = new Float64Array(columns * 3)
  const add = (kind: number, from: number, to: number) => {
    for (let column = Math.max(0, Math.floor(from)); column < Math.min(columns, Math.ceil(to)); column++) {
      const at = column * 3 + kind
      filled[at] = (filled[at] as number) + Math.max(0, Math.min(to, column + 1) - Math.max(from, column))
    }
  }
  for (const { kinds, start, end } of slices) {
    const from = start * scale - first
    const each = ((end - start) * scale) / kinds.length
    for (const [index, kind] of kinds.entries()) {
      const begin = from + index * each
      if (kind === B) {
        add(I, begin, begin + (each * 2) / 3)
        add(W, begin + (each * 2) / 3, begin + each)
      } else {
        add(kind, begin, begin + each)
      }
    }
  }
  let strip = ''
  let run = 0
  const dominant = (column: number) => {
    const parts = [F, I, W].map((kind) => filled[column * 3 + kind] as number)
    const most = Math.max(...parts)
    return most > 0.25 ? parts.indexOf(most) : -1
  }
  for (let column = 0; column < columns; column += run) {
    const kind = dominant(column)
    run = 1
    while (column + run < columns && dominant(column + run) === kind) run++
    if (kind >= 0) {
      strip += `<rect x="${left + first + column}" y="${y}" width="${run}" height="${rowHeight}" class="${prefix}-${letters[kind]}" stroke-width="0"/>`
    }
  }
  return strip
}

/** What the shapes mean, from the baseline `y` on, and the baseline of its last line. */
function drawLegend(timed: TimedSchedule, prefix: string, y: number, width: number): { text: string; end: number } {
  const parts: string[] = []
  let x = 24
  const entry = (shape: (() => string) | undefined, text: string) => {
    const indent = shape ? 22 : 0
    const size = indent + Math.ceil(text.length * 6.9)
    if (x + size > width) {
      x = 24
      y += 20
    }
    parts.push(`${shape?.() ?? ''}<text x="${x + indent}" y="${y}" class="${prefix}-s">${text}</text>`)
    x += size + 18
  }
  const box = (letter: string, from = 0, height = 12) =>
    `<rect x="${x}" y="${y - 10 + from}" width="16" height="${height}" class="${prefix}-${letter}"/>`
  for (const kind of [...kindsIn(timed.schedule)].sort()) {
    const letter = letters[kind] as string
    entry(() => (kind === B ? box('I') + box('W', 8, 4) : box(letter)), `${letter} ${meanings[kind]}`)
  }
  if (timed.schedule.orders.some((order) => order.some((code) => code & 8))) {
    entry(() => box('F', 0, 6) + box('I', 6, 6) + box('pair'), 'overlapped pair')
  }
  if (timed.schedule.virtual > 1) entry(undefined, 'F0b: second chunk of the rank')
  if (idleShare(timed) > 0)
    entry(
      () => `${box('idle')}<rect x="${x}" y="${y - 10}" width="16" height="12" fill="url(#${prefix}-idle)"/>`,
      'idle',
    )
  return { text: parts.join('\n'), end: y }
}

/** Rules with the drawing's own classes: drawings inlined in one page share a namespace. */
function scoped(rules: string, prefix: string): string {
  return rules.replace(/\.(?=[A-Za-z][A-Za-z]*[,{])/g, `.${prefix}-`)
}

const number = (value: number) => String(Math.round(value * 100) / 100)

/** Text from outside: no markup, no characters that XML forbids. */
function escapeText(text: string): string {
  return String(text)
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/'/g, '&#39;')
}
