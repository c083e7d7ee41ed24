import { formatBytes } from '../format.js'
import { ticksOf, tickText } from './chart.js'
import { levelLabelAt } from './level-label.js'
import { bandNames, type MemoryPanel } from './memory-chart.js'
import type { Drawing, LegendItem } from './page.js'
import { circle, group, path, px, type Rect, rect, reference, text, widthOf } from './pen.js'
import { unitOf } from './simulation-chart.js'

/** Memory over time before it has a frame. */
export interface MemoryChart {
  readonly title: string
  readonly subtitle: string
  readonly notice?: string
  readonly panels: readonly MemoryPanel[]
  /** Bytes that a step may take; none: unknown. */
  readonly limit?: number
  /** Bytes that the device has beside these. */
  readonly reserve?: number
}

const plotHeight = 190
const panelGap = 44
const flagWidth = 250
const left = 68

/** Steps of each part on top of each other, one panel for each rank, all on the same scales. */
export function drawMemory(
  { title, subtitle, notice, panels, limit, reserve = 0 }: MemoryChart,
  width: number,
): Drawing {
  const inner = Math.max(560, width - 48)
  const span = inner - left - flagWidth - 24
  const end = Math.max(...panels.map((panel) => panel.end))
  const peak = Math.max(...panels.map((panel) => panel.peak.bytes))
  // A limit far above what is held would leave no room for the steps; it is said in words then.
  const seen = limit !== undefined && limit <= peak * 2.5
  const top = Math.max(peak, seen ? limit : 0) * 1.06
  const [unit, perUnit] = unitOf(end)
  const parts: string[] = []
  let y = 0
  for (const panel of panels) {
    const fact = `peak ${formatBytes(panel.peak.bytes)} at ${Number((panel.peak.seconds * perUnit).toPrecision(3))}\u00a0${unit}`
    const room =
      limit === undefined
        ? ''
        : ` · ${formatBytes(Math.abs(limit - panel.peak.bytes))} ${panel.peak.bytes > limit ? 'too much' : 'free'} of ${formatBytes(limit)}`
    parts.push(text({ x: 0, y: y + 12 }, panel.name, 'name'), text({ x: left, y: y + 12 }, fact + room, 'fact'))
    const plot = { x: left, y: y + 26, width: span, height: plotHeight }
    const box = { plot, top, end, unit, perUnit, ...(seen && limit !== undefined && { limit }) }
    parts.push(drawPanel(panel, box))
    y += 26 + plotHeight + panelGap
  }
  const bands = new Set(panels.flatMap((panel) => panel.bands.map(({ band }) => band)))
  const legend: LegendItem[] = (Object.keys(bandNames) as (keyof typeof bandNames)[])
    .filter((band) => bands.has(band))
    .map((band) => ({
      sample: rect({ x: 0, y: 0, width: 16, height: 12 }, `band-${band}`),
      width: 16,
      text: bandNames[band],
    }))
  const device =
    limit !== undefined && reserve > 0
      ? `${formatBytes(limit + reserve)} of the device less ${formatBytes(reserve)} in reserve`
      : 'the limit of the device'
  if (seen) legend.push({ sample: path('M0 6H24', 'limit'), width: 24, text: device })
  const words = panels.map(
    ({ name, peak: most, flag }) =>
      `${name}: peak ${formatBytes(most.bytes)} (${flag
        .filter((words) => !words.endsWith(':'))
        .slice(0, 3)
        .join(', ')})`,
  )
  return {
    title,
    subtitle,
    ...(notice !== undefined && { notice }),
    alt: `${subtitle}. ${words.join('; ')}.${limit === undefined ? '' : ` The limit is ${formatBytes(limit)}${reserve > 0 ? `: ${device}` : ''}.`}`,
    width: inner,
    height: y - panelGap + 26,
    body: parts.filter(Boolean).join('\n'),
    legend,
  }
}

interface Box {
  readonly plot: Rect
  /** Bytes at the upper end. */
  readonly top: number
  readonly end: number
  readonly unit: string
  readonly perUnit: number
  readonly limit?: number
}

function drawPanel(panel: MemoryPanel, { plot, top, end, unit, perUnit, limit }: Box): string {
  const xOf = (seconds: number) => plot.x + (end > 0 ? (seconds / end) * plot.width : 0)
  const yOf = (bytes: number) => plot.y + plot.height - (bytes / top) * plot.height
  const parts: string[] = []
  const gigabyte = top >= 1e9 ? 1e9 : top >= 1e6 ? 1e6 : 1e3
  const bytesUnit = { 1e9: 'GB', 1e6: 'MB', 1e3: 'kB' }[gigabyte] ?? 'B'
  for (const tick of ticksOf(top / gigabyte, 4)) {
    const y = yOf(tick * gigabyte)
    parts.push(path(`M${px(plot.x)} ${px(y)}h${px(plot.width)}`, 'rule'))
    parts.push(text({ x: plot.x - 8, y: y + 4 }, `${tickText(tick)}\u00a0${bytesUnit}`, 'fact', 'end'))
  }
  const columns = columnsOf(panel, Math.ceil(plot.width), end)
  const lower = columns.map(() => 0)
  const labels: string[] = []
  for (const { band, bytes } of panel.bands) {
    const upper = columns.map(({ at }, index) => (lower[index] ?? 0) + (bytes[at] ?? 0))
    const edge = steps(columns, upper, xOf, yOf, panel.end)
    const back = steps(columns, lower, xOf, yOf, panel.end).reverse()
    const line = rightAngled([...edge, ...back])
    const most = bytes.reduce((max, each) => Math.max(max, each), 0)
    parts.push(group(path(`${line}Z`, `band-${band}`), `${bandNames[band]} · at most ${formatBytes(most)}`))
    labels.push(bandLabel(band, columns, lower, upper, xOf, yOf, panel.end))
    upper.forEach((value, index) => {
      lower[index] = value
    })
  }
  const outline = rightAngled(steps(columns, lower, xOf, yOf, panel.end))
  parts.push(path(outline, 'step'), ...labels)
  if (limit !== undefined) {
    const y = yOf(limit)
    const over = lower.map((value) => Math.max(value, limit))
    if (lower.some((value) => value > limit)) {
      const edge = steps(columns, over, xOf, yOf, panel.end)
      const d = `${rightAngled([[plot.x, y], ...edge, [xOf(panel.end), y]])}Z`
      parts.push(`<path d="${d}" fill="${reference('over')}"/>`)
    }
    parts.push(path(`M${px(plot.x)} ${px(y)}h${px(plot.width)}`, 'limit'))
    const words = `${formatBytes(limit)} limit`
    const curve = columns.map(({ seconds }, index) => ({
      x: xOf(seconds),
      until: xOf(columns[index + 1]?.seconds ?? panel.end),
      y: yOf(lower[index] ?? 0),
    }))
    const corner = { x: xOf(panel.peak.seconds), y: bendOf(plot) }
    const taken = [
      { ...corner, width: 1, height: Math.max(1, yOf(panel.peak.bytes) - corner.y) },
      { ...corner, width: plot.x + plot.width - corner.x, height: 1 },
    ]
    const room = { width: widthOf(words, 12) + 6, height: 15 }
    const at = levelLabelAt(curve, { level: y, left: plot.x, right: plot.x + plot.width, taken, ...room })
    parts.push(text({ x: at.x + 3, y: at.y + 11 }, words, 'plain clear-page'))
  }
  parts.push(drawFlag(panel, { x: xOf(panel.peak.seconds), y: yOf(panel.peak.bytes) }, plot))
  const axisY = plot.y + plot.height
  const ticks = ticksOf(end * perUnit, Math.max(3, Math.floor(plot.width / 100)))
  for (const tick of ticks) {
    const x = xOf(tick / perUnit)
    parts.push(path(`M${px(x)} ${px(axisY)}v4`, 'rule'), text({ x, y: axisY + 17 }, tickText(tick), 'fact', 'middle'))
  }
  const last = ticks.at(-1) ?? 0
  parts.push(text({ x: xOf(last / perUnit) + widthOf(tickText(last)) / 2 + 6, y: axisY + 17 }, unit, 'fact'))
  return parts.join('\n')
}

/** One moment for each pixel: that of its highest sum, so that no peak is lost. */
function columnsOf(
  { seconds, bands }: MemoryPanel,
  width: number,
  end: number,
): { readonly at: number; readonly seconds: number }[] {
  const totals = seconds.map((_, at) => bands.reduce((sum, { bytes }) => sum + (bytes[at] ?? 0), 0))
  if (seconds.length <= width) return seconds.map((each, at) => ({ at, seconds: each }))
  const columns: { at: number; seconds: number }[] = []
  let column = -1
  for (const [at, each] of seconds.entries()) {
    const own = Math.floor((each / end) * width)
    const last = columns.at(-1)
    if (own !== column || !last) columns.push({ at, seconds: each })
    else if ((totals[at] ?? 0) > (totals[last.at] ?? 0)) last.at = at
    column = own
  }
  // The last of all is what the step ends with.
  if (columns.at(-1)?.at !== seconds.length - 1)
    columns.push({ at: seconds.length - 1, seconds: seconds.at(-1) ?? end })
  return columns
}

/** The corners of steps: each value holds until the next moment. */
function steps(
  columns: readonly { readonly seconds: number }[],
  values: readonly number[],
  xOf: (seconds: number) => number,
  yOf: (bytes: number) => number,
  end: number,
): [x: number, y: number][] {
  return columns.flatMap(({ seconds }, index): [number, number][] => {
    const y = yOf(values[index] ?? 0)
    return [
      [xOf(seconds), y],
      [xOf(columns[index + 1]?.seconds ?? end), y],
    ]
  })
}

/** A line of level and upright pieces in as few characters as can be: steps of a tenth of a pixel are not seen. */
function rightAngled(points: readonly (readonly [x: number, y: number])[]): string {
  const tenth = (value: number) => String(Math.round(value * 10) / 10)
  let d = ''
  let [lastX, lastY, level] = ['', '', '']
  for (const [x, y] of points) {
    const [nextX, nextY] = [tenth(x), tenth(y)]
    if (d === '') d = `M${nextX} ${nextY}`
    else if (nextY === lastY) level = nextX
    else {
      // Level pieces at one height are one.
      if (level !== '') d += `H${level}`
      level = ''
      d += nextX === lastX ? `V${nextY}` : `L${nextX} ${nextY}`
    }
    ;[lastX, lastY] = [nextX, nextY]
  }
  return level === '' ? d : `${d}H${level}`
}

/** The name of a band inside of it, where it is high and wide enough. */
function bandLabel(
  band: keyof typeof bandNames,
  columns: readonly { readonly seconds: number }[],
  lower: readonly number[],
  upper: readonly number[],
  xOf: (seconds: number) => number,
  yOf: (bytes: number) => number,
  end: number,
): string {
  const name = bandNames[band]
  const needed = widthOf(name) + 10
  for (let first = 0; first < columns.length; first++) {
    const from = xOf(columns[first]?.seconds ?? 0)
    // The room that is left over all columns from here on, as long as it is high enough.
    let [high, low] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
    for (let at = first; at < columns.length; at++) {
      high = Math.max(high, yOf(upper[at] ?? 0))
      low = Math.min(low, yOf(lower[at] ?? 0))
      if (low - high < 15) break
      if (xOf(columns[at + 1]?.seconds ?? end) - from >= needed)
        return text({ x: from + 6, y: (high + low) / 2 + 4 }, name, `fact on-band-${band}`)
    }
  }
  return ''
}

/** How high the line from the peak goes aside. */
const bendOf = (plot: Rect) => plot.y + 5

/** A list beside the plot of what is alive at the peak, and a line from there. */
function drawFlag({ flag, peak }: MemoryPanel, at: { readonly x: number; readonly y: number }, plot: Rect): string {
  const x = plot.x + plot.width + 24
  const box = { x, y: plot.y - 8, width: flagWidth, height: 26 + 15 * flag.length }
  const line = `M${px(at.x)} ${px(at.y)}V${px(bendOf(plot))}H${px(x)}`
  return [
    path(line, 'pointer'),
    circle(at, 3.5, 'ink'),
    rect(box, 'region', 6),
    text({ x: x + 10, y: box.y + 17 }, `alive at the peak, ${formatBytes(peak.bytes)}`, 'count-ink'),
    ...flag.map((words, index) => text({ x: x + 10, y: box.y + 33 + 15 * index }, words, 'fact')),
  ].join('')
}
