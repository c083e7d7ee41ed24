import type { View, ViewEdge, ViewNode } from '../view.js'
import { describe, edgeClass } from './graph.js'
import { graphLegend } from './legend.js'
import type { Drawing } from './page.js'
import { type Point, path, px, type Rect, rounded, text, widthOf } from './pen.js'
import { drawNode, hexagon, sizeOf } from './shapes.js'

/** One column: a stage with its cards, or those that are left out as one card. */
interface Column {
  readonly title: string
  readonly nodes: readonly ViewNode[]
  readonly whole: boolean
}

const stageId = /^stage \d+$/
const transfer = { width: 46, height: 26 }
/** From one transfer to the next between the same cards. */
const lane = 50

const sheets = ({ repeat }: ViewNode) => (repeat > 1 ? 7 : 0)

/**
 * Reads the stages of a pipeline off a view: columns of cards. Undefined where cards stand in further regions, such as single
 * microbatches, or where there are no stages; such a picture is drawn as any other graph.
 */
export function stagesOf(view: View): readonly Column[] | undefined {
  if (view.level !== 'stage' || view.clusters.length < 2) return undefined
  if (view.clusters.some(({ id, parent }) => parent !== undefined || !stageId.test(id))) return undefined
  const columns = new Map<string, { title: string; nodes: ViewNode[]; whole: boolean }>()
  const titles = new Map(view.clusters.map(({ id, title }) => [id, title]))
  for (const node of view.nodes) {
    const id = node.cluster ?? node.id
    const column = columns.get(id) ?? { title: titles.get(id) ?? '', nodes: [], whole: node.cluster === undefined }
    column.nodes.push(node)
    columns.set(id, column)
  }
  return [...columns.values()]
}

/** The row of a card: the same for the same part of all stages. */
const rowName = ({ id }: ViewNode) => id.slice(id.indexOf('/') + 1)

/** Draws stages left to right, backward below its forward, and between neighbours a send and a recv. */
export function drawStages(view: View, columns: readonly Column[]): Drawing {
  const rows = [...new Set(columns.flatMap(({ nodes, whole }) => (whole ? [] : nodes.map(rowName))))]
  const order = ['forward', 'backward', 'optimizer']
  rows.sort((a, b) => (order.indexOf(a) + 1 || 1) - (order.indexOf(b) + 1 || 1))
  const labels = view.edges.flatMap(({ kind, label }) => (kind === 'communication' && label ? [widthOf(label)] : []))
  const gap = Math.max(
    130,
    2 * (transfer.width + 14) + Math.max(34, ...labels.map((width) => width - 60)),
    ...labels.map((width) => width + 24),
  )
  // All cards are equally wide, sheets behind them apart.
  const face = Math.max(
    ...columns.flatMap(({ nodes, title }) => [
      ...nodes.map((node) => sizeOf(node).width - sheets(node)),
      ...titleLines(title).map((line, index) =>
        widthOf(line, index === 0 ? 13 : 11, index === 0 ? 'semibold' : 'regular'),
      ),
    ]),
  )
  const widths = columns.map(({ nodes }) => face + Math.max(...nodes.map(sheets)))
  const lefts = widths.map((_, index) => widths.slice(0, index).reduce((sum, width) => sum + width + gap, 0))
  const heights = rows.map((row) => {
    const cards = columns.flatMap(({ nodes, whole }) => nodes.filter((node) => !whole && rowName(node) === row))
    const both = view.edges.some((edge) => rowOf(edge, columns) === row && abreast(edge, view, columns).length > 1)
    return Math.max(both ? 2 * lane : 0, ...cards.map((node) => sizeOf(node).height))
  })
  const loops = view.edges.filter((edge) => arcOf(edge, columns) !== 0)
  const head = 30 + (columns.some(({ title }) => titleLines(title).length > 1) ? 16 : 0)
  const arcs = (row: number) =>
    loops.filter(({ from }) => rows.indexOf(rowName({ id: from } as ViewNode)) === row).length
  const above = rows.map((_, row) => (arcs(row) > 0 ? 18 + 16 * arcs(row) : 0))
  const tops = rows.map(
    (_, row) =>
      head +
      rows.slice(0, row).reduce((sum, _row, index) => sum + (heights[index] ?? 0) + (above[index] ?? 0) + 56, 0) +
      (above[row] ?? 0),
  )
  const places = new Map<string, Rect>()
  const cards: string[] = []
  columns.forEach(({ nodes, whole, title }, index) => {
    const [left, width] = [lefts[index] ?? 0, widths[index] ?? face]
    titleLines(title).forEach((line, at) => {
      cards.push(text({ x: left + face / 2, y: 12 + 16 * at }, line, at === 0 ? 'name' : 'fact', 'middle'))
    })
    for (const node of nodes) {
      const row = rows.indexOf(rowName(node))
      const last = Math.min(1, rows.length - 1)
      const [top = head, bottom = head] = [tops[0], (tops[last] ?? 0) + (heights[last] ?? 0)]
      const at = whole
        ? { x: left, width, y: top, height: bottom - top }
        : { x: left, width: face + sheets(node), y: tops[row] ?? 0, height: heights[row] ?? 0 }
      places.set(node.id, at)
      cards.push(drawNode(node, at))
    }
  })
  const lines = view.edges.map((edge) =>
    drawStageEdge(edge, { view, columns, places, loops, lefts, widths, gap, face }),
  )
  const total = lefts.at(-1) !== undefined ? (lefts.at(-1) ?? 0) + (widths.at(-1) ?? 0) : 0
  return {
    title: view.title,
    subtitle: view.subtitle,
    notice: view.notice,
    alt: describe(view),
    width: Math.max(total, (lefts.at(-1) ?? 0) + face / 2 + 8 + widthOf('saved activations')),
    height: (tops.at(-1) ?? 0) + (heights.at(-1) ?? 0),
    body: [...lines, ...cards].filter(Boolean).join('\n'),
    legend: graphLegend(view),
  }
}

/** `stage 3` and, in a line of its own, what it holds. */
function titleLines(title: string): string[] {
  const [first = '', ...rest] = title.split(' · ')
  return rest.length > 0 ? [first, rest.join(' · ')] : [first]
}

const columnOf = (id: string, columns: readonly Column[]) =>
  columns.findIndex(({ nodes }) => nodes.some((node) => node.id === id))

/** By how many columns a transfer leads past its neighbour, which takes it around what is between; 0: to the next one, or down. */
function arcOf({ from, to, kind }: ViewEdge, columns: readonly Column[]): number {
  const distance = columnOf(to, columns) - columnOf(from, columns)
  return kind === 'communication' && Math.abs(distance) > 1 ? distance : 0
}

interface StagePlaces {
  readonly view: View
  readonly columns: readonly Column[]
  readonly places: ReadonlyMap<string, Rect>
  readonly loops: readonly ViewEdge[]
  readonly lefts: readonly number[]
  readonly widths: readonly number[]
  readonly gap: number
  /** The width of cards without the sheets behind them. */
  readonly face: number
}

function drawStageEdge(edge: ViewEdge, stage: StagePlaces): string {
  const { columns, places } = stage
  const [from, to] = [places.get(edge.from), places.get(edge.to)]
  if (!from || !to) return ''
  const [start, end] = [columnOf(edge.from, columns), columnOf(edge.to, columns)]
  if (start === end) return drawDown(edge, from, to, stage)
  if (Math.abs(start - end) > 1) return drawArc(edge, from, to, stage)
  return drawTransfer(edge, start, end, stage)
}

/** What a card hands on below it; past another one on the left. */
function drawDown(edge: ViewEdge, from: Rect, to: Rect, { places, face }: StagePlaces): string {
  const x = from.x + face / 2
  const [top, bottom] = [from.y + from.height, to.y]
  const between = [...places.values()].some(
    (at) => at.y > top - 1 && at.y + at.height < bottom + 1 && at.x < x && at.x + at.width > x,
  )
  if (!between && bottom > top) {
    const label =
      edge.role === 'mirror' || edge.role === 'saved' ? 'saved activations' : edge.role === 'chain' ? 'gradients' : ''
    const middle = { x: x + 8, y: (top + bottom) / 2 + 4 }
    return (
      path(`M${px(x)} ${px(top)}V${px(bottom)}`, edgeClass(edge), { end: edge.kind }) +
      (label ? text(middle, label, 'fact') : '')
    )
  }
  const left = Math.min(from.x, to.x) - 14
  const leaves = from.y + from.height - 12 // below the transfers that arrive at half its height
  const points = [
    { x: from.x, y: leaves },
    { x: left, y: leaves },
    { x: left, y: to.y + to.height / 2 },
    { x: to.x, y: to.y + to.height / 2 },
  ]
  return path(rounded(points), edgeClass(edge), { end: edge.kind })
}

/** What two neighbours exchange: a send, the line between ranks, and a recv, at the height of the smaller card. */
function drawTransfer(
  edge: ViewEdge,
  start: number,
  end: number,
  { places, view, columns, lefts, widths, gap }: StagePlaces,
): string {
  const [from, to] = [places.get(edge.from) as Rect, places.get(edge.to) as Rect] // asked before
  const forth = end > start
  const whole = columns[start]?.whole ? to : from
  const same = abreast(edge, view, columns)
  const at = same.indexOf(edge) - (same.length - 1) / 2
  const y = whole.y + whole.height / 2 + lane * at
  const left = forth ? start : end
  const gapLeft = (lefts[left] ?? 0) + (widths[left] ?? 0)
  const edgeOf = (rect: Rect, right: boolean) => (right ? rect.x + rect.width : rect.x)
  const near = { x: gapLeft + 14, right: gapLeft + 14 + transfer.width }
  const far = { x: gapLeft + gap - 14 - transfer.width, right: gapLeft + gap - 14 }
  const box = (x: number): Rect => ({ x, y: y - transfer.height / 2, ...transfer })
  const word = (x: number, content: string) => text({ x: x + transfer.width / 2, y: y + 4 }, content, 'fact', 'middle')
  const [first, second] = forth ? [near, far] : [far, near]
  const out = edgeOf(from, forth)
  const into = edgeOf(to, !forth)
  return [
    path(`M${px(out)} ${px(y)}H${px(forth ? first.x : first.right)}`, 'edge-data', { end: 'data' }),
    hexagon(box(first.x), 'communication'),
    word(first.x, 'send'),
    path(`M${px(forth ? first.right : first.x)} ${px(y)}H${px(forth ? second.x : second.right)}`, edgeClass(edge), {
      end: 'communication',
    }),
    hexagon(box(second.x), 'communication'),
    word(second.x, 'recv'),
    path(`M${px(forth ? second.right : second.x)} ${px(y)}H${px(into)}`, 'edge-data', { end: 'data' }),
    edge.label
      ? text(
          { x: gapLeft + gap / 2, y: at > 0 ? y + transfer.height / 2 + 14 : y - transfer.height / 2 - 6 },
          edge.label,
          'fact',
          'middle',
        )
      : '',
  ].join('')
}

/** The transfers between the same two neighbours in the same row. */
function abreast(edge: ViewEdge, view: View, columns: readonly Column[]): ViewEdge[] {
  const ends = ({ from, to }: ViewEdge) =>
    [columnOf(from, columns), columnOf(to, columns)].sort((a, b) => a - b).join(' ')
  return view.edges.filter(
    (each) =>
      each.kind === 'communication' && ends(each) === ends(edge) && rowOf(each, columns) === rowOf(edge, columns),
  )
}

const rowOf = ({ from, to }: ViewEdge, columns: readonly Column[]) => {
  const whole = columns[columnOf(from, columns)]?.whole
  const id = whole ? to : from
  return id.slice(id.indexOf('/') + 1)
}

/** A transfer to a stage further off: over the cards between. */
function drawArc(edge: ViewEdge, from: Rect, to: Rect, { loops }: StagePlaces): string {
  const own = loops.filter((each) => rowName({ id: each.from } as ViewNode) === rowName({ id: edge.from } as ViewNode))
  const y = Math.min(from.y, to.y) - 16 - 16 * own.indexOf(edge)
  const lean = (rect: Rect, other: Rect) => rect.x + rect.width * (other.x > rect.x ? 0.7 : 0.3)
  const points: Point[] = [
    { x: lean(from, to), y: from.y },
    { x: lean(from, to), y },
    { x: lean(to, from), y },
    { x: lean(to, from), y: to.y },
  ]
  const label = edge.label
    ? text({ x: ((points[1]?.x ?? 0) + (points[2]?.x ?? 0)) / 2, y: y - 4 }, edge.label, 'fact clear-page', 'middle')
    : ''
  return path(rounded(points), edgeClass(edge), { end: 'communication' }) + label
}
