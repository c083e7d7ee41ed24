import { isSavedRole } from '../chain.js'
import type { View, ViewCluster, ViewEdge } from '../view.js'
import { drawBarAt } from './lane-bars.js'
import { graphLegend } from './legend.js'
import type { Drawing } from './page.js'
import { moved, type Point, path, type Rect, rect, text, widthOf } from './pen.js'
import { curvePath, headOf, type PlacedView, placeView } from './place-view.js'
import { drawNode, pill } from './shapes.js'

/** The border of a region. */
export const drawFrame = (at: Rect, depth: number) => rect(at, depth % 2 === 0 ? 'region' : 'inner', 10)

/** Along the top of a region its name, how often it runs, and on the right its totals. */
export function drawHead({ title, repeat, fact }: ViewCluster, at: Rect): string {
  const left = at.x + 14
  return [
    text({ x: left, y: at.y + 21 }, title, 'name clear'),
    pill(repeat, left + widthOf(title, 13, 'semibold') + 8, at.y + 16.5),
    fact ? text({ x: at.x + at.width - 14, y: at.y + 21 }, fact, 'fact clear', 'end') : '',
  ].join('')
}

/** The arrowheads of an edge. */
export const headsOf = ({ kind, both }: ViewEdge) => ({ end: kind, ...(both && { start: kind }) })

/** The classes of an edge. */
export const edgeClass = ({ kind, role }: ViewEdge) =>
  `edge-${kind}${isSavedRole(role) && kind === 'data' ? ' saved' : ''}`

/** A curve in the style of its edge. */
export function drawCurve(edge: ViewEdge, curve: readonly Point[]): string {
  return curve.length > 0 ? path(curvePath(curve), edgeClass(edge), headsOf(edge)) : ''
}

/** At the head of a row or column what it is, and in lines of their own what it holds. */
function drawTitle({ title, repeat }: ViewCluster, at: Rect): string {
  const [first = '', ...rest] = title.split(' · ')
  const top = at.y + (at.height - titleLine * (1 + rest.length)) / 2 + 12
  return [
    text({ x: at.x, y: top }, first, 'name clear'),
    pill(repeat, at.x + widthOf(first, 13, 'semibold') + 8, top - 4.5),
    ...rest.map((line, index) => text({ x: at.x, y: top + titleLine * (index + 1) }, line, 'fact clear')),
  ].join('')
}

const titleLine = 16

/** A graph of any shape, its places from Graphviz and its shapes our own. */
export const drawGraph = async (view: View): Promise<Drawing> => drawPlaced(view, await placeView(view))

/** A view whose places are known. */
export function drawPlaced(view: View, { bounds, clusters, titles = [], nodes, edges }: PlacedView): Drawing {
  const body = [
    ...clusters.map(({ at, depth }) => drawFrame(at, depth)),
    ...edges.map(({ edge, path: d }) => (d ? path(d, edgeClass(edge), headsOf(edge)) : '')),
    // Places from elsewhere may have no room for the totals of a region.
    ...clusters.map(({ cluster, at }) =>
      drawHead(headOf(cluster).width > at.width ? { ...cluster, fact: '' } : cluster, at),
    ),
    ...titles.map(({ cluster, at }) => drawTitle(cluster, at)),
    ...edges.map(({ edge, label: box }) =>
      box && edge.label ? text({ x: box.x + box.width / 2, y: box.y + 11 }, edge.label, 'fact clear', 'middle') : '',
    ),
    ...nodes.map(({ node, at, dots }) => {
      if (!dots) return drawNode(node, at)
      return drawBarAt(
        node,
        at,
        dots.map((x) => at.x + x),
      )
    }),
  ].filter(Boolean)
  return {
    title: view.title,
    subtitle: view.subtitle,
    notice: view.notice,
    alt: describe(view),
    width: bounds.width,
    height: bounds.height,
    body: moved(body.join('\n'), { x: -bounds.x, y: -bounds.y }),
    legend: graphLegend(view),
  }
}

/** What a graph is made of, in words. */
export function describe({ nodes, edges, title, subtitle }: View): string {
  const counts = new Map<string, number>()
  for (const { kind, outside } of nodes) if (!outside) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  const list = [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')
  const names = nodes.filter(({ kind }) => kind === 'communication').map((node) => node.title)
  const communication = [...new Set(names)].slice(0, 8).join('; ')
  return `${title}, ${subtitle}. ${nodes.length} nodes (${list}) and ${edges.length} edges.${communication ? ` Communication: ${communication}.` : ''}`
}
