import {
  type Chart,
  type ChartPanel,
  type ChartRow,
  type ChartSlice,
  fillOf,
  type SliceKind,
  sliceNames,
  ticksOf,
  tickText,
} from './chart.js'
import type { Drawing, LegendItem } from './page.js'
import { group, path, px, type Rect, rect, reference, text, widthOf } from './pen.js'
import { drawStrip } from './strip.js'

const rowHeight = 28
const rowStep = 38
const headHeight = 24
const panelGap = 22
/** Slices narrower than this merge into a strip: one pixel is left free on each side. */
const narrowest = 3

/** Where times stand. */
interface Scale {
  readonly left: number
  readonly span: number
  readonly perUnit: number
}

/** Draws a timeline; `width` is that of the picture, in pixels. */
export function drawTimeline(chart: Chart, width: number): Drawing {
  const inner = Math.max(360, width - 48)
  const names = chart.panels.flatMap(({ name, rows }) => [
    widthOf(name, 13, 'semibold'),
    ...rows.map(({ label }) => widthOf(label, 12)),
  ])
  const left = Math.max(56, ...names) + 12
  const last = Math.max(...chart.panels.map(({ end }) => end))
  const idles = chart.panels.some(({ rows }) => rows.some(({ idle }) => idle !== undefined))
  const facts = chart.panels.flatMap(({ rows }) => rows.map(({ fact = '' }) => widthOf(fact)))
  const span = inner - left - (idles ? Math.max(78, ...facts.map((width) => width + 18)) : 24)
  const scale: Scale = { left, span, perUnit: last > 0 ? span / last : 0 }
  const parts: string[] = []
  let y = 0
  for (const panel of chart.panels) {
    if (panel.name || panel.fact) {
      parts.push(text({ x: 0, y: y + 12 }, panel.name, 'name'), text({ x: left, y: y + 12 }, panel.fact, 'fact'))
      y += headHeight
    }
    parts.push(drawPanel(panel, y, scale, chart.unit))
    y += panel.rows.length * rowStep - (rowStep - rowHeight) + panelGap
  }
  y -= panelGap - 14
  parts.push(drawAxis(last, y, scale, chart.unit))
  return {
    title: chart.title,
    subtitle: chart.subtitle,
    ...(chart.notice !== undefined && { notice: chart.notice }),
    alt: chart.alt,
    width: inner,
    height: y + 22,
    body: parts.filter(Boolean).join('\n'),
    legend: legendOf(chart),
  }
}

function drawPanel(
  { rows, end, critical = [], flows = [] }: ChartPanel,
  top: number,
  scale: Scale,
  unit: string,
): string {
  const yOf = (row: number) => top + row * rowStep
  const parts = rows.map((row, index) => drawRow(row, yOf(index), end, scale, unit))
  const xOf = (time: number) => scale.left + time * scale.perUnit
  if (critical.length > 0) {
    const points = critical.flatMap(({ row, start, end: until }) => {
      const y = yOf(row) + rowHeight + 2.5
      return [
        { x: xOf(start), y },
        { x: xOf(until), y },
      ]
    })
    const d = points.map(({ x, y }, index) => `${index === 0 ? 'M' : 'L'}${px(x)} ${px(y)}`)
    // Between rows the line steps: first down or up, then on.
    const stepped = points.flatMap(({ x, y }, index) => {
      const before = points[index - 1]
      return before && before.y !== y && before.x !== x
        ? [`L${px(before.x)} ${px(y)}`, d[index] ?? '']
        : [d[index] ?? '']
    })
    parts.push(path(stepped.join(''), 'critical'))
  }
  for (const { from, at, to, until } of flows) {
    const down = to > from
    // From inside of the one slice to inside of the other: often one ends when the other begins.
    const [x1, x2] = [xOf(at) - 10, xOf(until) + 7]
    const y1 = yOf(from) + (down ? rowHeight : 0)
    const y2 = yOf(to) + (down ? 0 : rowHeight)
    const d = `M${px(x1)} ${px(y1)}C${px(x1)} ${px((y1 + y2) / 2)} ${px(x2)} ${px((y1 + y2) / 2)} ${px(x2)} ${px(y2)}`
    parts.push(path(d, 'halo'), path(d, 'flow', { end: 'communication' }))
  }
  return parts.join('\n')
}

function drawRow({ label, slices, idle, fact }: ChartRow, y: number, end: number, scale: Scale, unit: string): string {
  const { left, perUnit } = scale
  const whole: Rect = { x: left, y, width: end * perUnit, height: rowHeight }
  const parts = [text({ x: 0, y: y + rowHeight / 2 + 4 }, label, 'plain'), rect(whole, 'idle'), hatch(whole, 'idle')]
  let thin: ChartSlice[] = []
  const flush = () => {
    if (thin.length > 0) parts.push(drawStrip(thin, { x: left, y, width: whole.width, height: rowHeight }, perUnit))
    thin = []
  }
  for (const slice of slices) {
    if ((slice.end - slice.start) * perUnit < narrowest) {
      thin.push(slice)
      continue
    }
    flush()
    parts.push(drawSlice(slice, y, scale, unit))
  }
  flush()
  if (idle !== undefined) {
    const share = fact ?? `${Math.round(100 * idle)}\u00a0% idle`
    parts.push(text({ x: left + whole.width + 10, y: y + rowHeight / 2 + 4 }, share, 'fact'))
  }
  return parts.join('')
}

/** Lines over a rectangle. */
const hatch = ({ x, y, width, height }: Rect, pattern: string) =>
  `<rect x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}" fill="${reference(pattern)}"/>`

function drawSlice(
  { start, end, kind, label, tooltip, again = 0, partner }: ChartSlice,
  y: number,
  { left, perUnit }: Scale,
  unit: string,
): string {
  const x = left + start * perUnit + 1
  const width = (end - start) * perUnit - 2
  const cell = (of: SliceKind, words: string, from: number, height: number, repeats: number) => {
    const parts: string[] = []
    const band = (fill: Exclude<SliceKind, 'B'>, at: number, high: number, hatched = false) => {
      const box = { x, y: at, width, height: high }
      parts.push(rect(box, fillOf[fill]), hatched ? hatch(box, 'recompute') : '')
    }
    const repeated = height * repeats
    if (repeated > 0.5) band('F', from, repeated, true)
    const [low, rest] = [from + repeated, height - repeated]
    let [textAt, on]: [number, SliceKind] = [from + height / 2, of]
    if (of === 'B') {
      // A full backward is I above W: splitting it is what zero-bubble schedules do.
      const upper = (rest * 2) / 3
      band('I', low, upper)
      band('W', low + upper, rest - upper)
      textAt = low + upper / 2
      on = 'I'
    } else if (rest > 0.5) band(of, low, rest)
    if (words && widthOf(words) + 2 <= width && height >= 13)
      parts.push(text({ x: x + width / 2, y: textAt + 4 }, words, `slice on-${on}`))
    return parts.join('')
  }
  const tip = `${tooltip} · ${tickText(start)}–${tickText(end)} ${unit}`
  if (!partner) return group(cell(kind, label, y, rowHeight, again), tip)
  const half = rowHeight / 2
  const outline = rect({ x, y, width, height: rowHeight }, 'pair')
  return group(cell(kind, label, y, half, 0) + cell(partner.kind, partner.label, y + half, half, 0) + outline, tip)
}

function drawAxis(end: number, y: number, { left, span, perUnit }: Scale, unit: string): string {
  const parts = [path(`M${px(left)} ${px(y)}H${px(left + span)}`, 'rule')]
  const ticks = ticksOf(end, Math.max(3, Math.floor(span / 90)))
  for (const tick of ticks) {
    const x = left + tick * perUnit
    parts.push(path(`M${px(x)} ${px(y)}v4`, 'rule'), text({ x, y: y + 17 }, tickText(tick), 'fact', 'middle'))
  }
  const after = left + (ticks.at(-1) ?? 0) * perUnit + widthOf(tickText(ticks.at(-1) ?? 0)) / 2 + 8
  parts.push(text({ x: after, y: y + 17 }, unit, 'fact'))
  return parts.join('')
}

/** Only what the picture contains. */
function legendOf({ panels, notes = [], flow }: Chart): LegendItem[] {
  const kinds = new Set<SliceKind>()
  let [pairs, again, idle] = [false, false, false]
  for (const { rows, end } of panels)
    for (const { slices } of rows) {
      let until = 0
      for (const slice of slices) {
        kinds.add(slice.kind)
        if (slice.partner) {
          kinds.add(slice.partner.kind)
          pairs = true
        }
        again ||= (slice.again ?? 0) > 0
        idle ||= slice.start - until > end * 1e-3
        until = slice.end
      }
      idle ||= end - until > end * 1e-3
    }
  const box = { x: 0, y: 0, width: 16, height: 12 }
  const items: LegendItem[] = []
  const add = (sample: string, label: string, width = 16) => items.push({ sample, width, text: label })
  for (const kind of Object.keys(sliceNames) as SliceKind[]) {
    if (!kinds.has(kind)) continue
    if (kind !== 'B') add(rect(box, fillOf[kind]), sliceNames[kind])
    else add(rect({ ...box, height: 8 }, 'I') + rect({ ...box, y: 8, height: 4 }, 'W'), sliceNames.B)
  }
  if (again) add(rect(box, 'F') + hatch(box, 'recompute'), 'forward again (recompute)')
  if (pairs)
    add(
      rect({ ...box, height: 6 }, 'F') + rect({ ...box, y: 6, height: 6 }, 'I') + rect(box, 'pair'),
      'overlapped pair',
    )
  if (idle) add(rect(box, 'idle') + hatch(box, 'idle'), 'idle')
  if (panels.some(({ critical = [] }) => critical.length > 0)) add(path('M0 6H24', 'critical'), 'a critical path', 24)
  if (flow) add(path('M0 6H26', 'flow', { end: 'communication' }), flow, 26)
  return [...items, ...notes.map((note) => ({ sample: '', width: 0, text: note }))]
}
