import type { View } from '../view.js'
import { describe, drawFrame, drawHead } from './graph.js'
import { barStep, barWidth, drawBar, rowsOf } from './lane-bars.js'
import { drawEdges } from './lane-edges.js'
import { besideOthers, placeLane } from './lane-places.js'
import type { Lanes } from './lanes.js'
import { graphLegend } from './legend.js'
import type { Drawing } from './page.js'
import { moved, path, px, text, widthOf } from './pen.js'
import { depthsOf, headOf } from './place-view.js'
import { drawNode, pill, pillWidth } from './shapes.js'

/** How much further in the border of a region stands than that of the one around it. */
const inset = 10

/** Draws ranks side by side, one layout for all of them; what a group does together is one bar across its lanes. */
export async function drawLanes(view: View, { lanes, bars, edges }: Lanes): Promise<Drawing> {
  const [first] = lanes
  if (!first) throw new Error('internal error: no lane')
  const regions = view.clusters.filter(({ id }) => id.startsWith(first.prefix))
  const rows = new Map([...bars].map(([key, list]) => [key, rowsOf(list.map(({ members }) => members))]))
  const sideways = edges.map(({ role }) => role === 'skip' || role === 'back')
  let places = await placeLane(view, { lanes, bars, edges }, rows, sideways, 'narrow')
  // Regions reach across all lanes, so that their heads need no room in one; those beside others do.
  if (regions.some((cluster) => besideOthers(cluster, regions, places.clusters)))
    places = await placeLane(view, { lanes, bars, edges }, rows, sideways, 'wide')
  const boxes = [...places.nodes.values()]
  const half = (lanes.length - 1) / 2
  const drawn = lanes.map((_, index) =>
    drawEdges(edges, places, boxes, index <= half && lanes.length > 1 ? -1 : 1, sideways, bars),
  )
  const heads = lanes.map(({ cluster }) => widthOf(cluster.title, 13, 'semibold') + pillWidth(cluster.repeat) + 16)
  const depths = depthsOf(view.clusters)
  const side = 18 + inset * Math.max(0, ...regions.map(({ id }) => (depths.get(id) ?? 1) - 1))
  const spans = drawn.map(({ bounds }, index) => {
    for (const box of boxes) bounds.add(box)
    const [left, right] = [bounds.x - side, bounds.x + bounds.width + side]
    const spare = Math.max(0, (heads[index] ?? 0) - (right - left)) / 2
    return { left: left - spare, right: right + spare }
  })
  const barTexts = [...bars.values()].flatMap((list) => list.map(({ node, members }) => ({ node, members })))
  const widest = Math.max(0, ...spans.map(({ left, right }) => right - left))
  const needed = barTexts.map(
    ({ node, members }) => barWidth(node) / Math.max(1, (members.at(-1) ?? 0) - (members[0] ?? 0) + 0.6),
  )
  const headsOfRegions = regions.map((cluster) => (headOf(cluster).width + 60) / lanes.length)
  const pitch = Math.max(
    widest,
    ...(lanes.length > 1 ? needed : barTexts.map(({ node }) => barWidth(node) + 24)),
    ...headsOfRegions,
  )
  const gap = 24
  const offsets = spans.map(({ left, right }, index) => index * (pitch + gap) + (pitch - (right - left)) / 2 - left)
  const total = lanes.length * pitch + (lanes.length - 1) * gap
  const ends = drawn.map(({ bounds }, index) => {
    const left = bounds.x + (offsets[index] ?? 0)
    return { left, right: left + bounds.width }
  })
  const inner = { left: ends[0]?.left ?? 0, right: ends.at(-1)?.right ?? total }
  const above = 34
  const parts: string[] = []
  const outerFirst = [...regions].sort((a, b) => (depths.get(a.id) ?? 0) - (depths.get(b.id) ?? 0))
  const alone = outerFirst.filter((cluster) => besideOthers(cluster, regions, places.clusters))
  const frames = outerFirst.flatMap((cluster) => {
    const at = places.clusters.get(cluster.id)
    const depth = (depths.get(cluster.id) ?? 1) - 1
    if (!at) return []
    if (alone.includes(cluster))
      return offsets.map((offset) => {
        const own = { ...at, x: at.x + offset, y: at.y + above }
        return { cluster, depth, at: own, head: own }
      })
    const wide = { x: inset * depth, y: at.y + above, width: total - 2 * inset * depth, height: at.height }
    // Residuals of the outer lanes run between the border and the head.
    return [{ cluster, depth, at: wide, head: { ...wide, x: inner.left - 2, width: inner.right - inner.left + 4 } }]
  })
  for (const { at, depth } of frames) parts.push(drawFrame(at, depth))
  for (let index = 1; index < lanes.length; index++) {
    const x = index * (pitch + gap) - gap / 2
    parts.push(path(`M${px(x)} 0V${px(places.height + above)}`, 'lane'))
  }
  // Residuals run between the border and the head.
  for (const { head, cluster } of frames) parts.push(drawHead(cluster, head))
  // A lane's name stands over where it begins.
  const [entry] = places.nodes.values()
  for (const [index, { cluster }] of lanes.entries()) {
    const centre = (offsets[index] ?? 0) + (entry ? entry.x + entry.width / 2 : 0)
    const pills = cluster.repeat > 1 ? pillWidth(cluster.repeat) + 8 : 0
    const title = { x: centre - pills / 2, y: 12 }
    parts.push(text(title, cluster.title, 'name clear', 'middle'))
    parts.push(pill(cluster.repeat, title.x + widthOf(cluster.title, 13, 'semibold') / 2 + 8, 8))
    parts.push(moved(drawn[index]?.lines ?? '', { x: offsets[index] ?? 0, y: above }))
  }
  for (const [key, list] of bars) {
    const at = places.nodes.get(key)
    if (!at) continue
    for (const [index, { node, members }] of list.entries()) {
      const y = at.y + above + barStep * (rows.get(key)?.rowOf[index] ?? 0)
      parts.push(
        drawBar(
          node,
          members.map((lane) => (offsets[lane] ?? 0) + at.x + at.width / 2),
          y,
        ),
      )
    }
  }
  for (const [index, { nodes }] of lanes.entries())
    for (const [key, node] of nodes) {
      const at = places.nodes.get(key)
      if (at) parts.push(drawNode(node, { x: at.x + (offsets[index] ?? 0), y: at.y + above }))
    }
  for (const [index] of lanes.entries())
    parts.push(moved(drawn[index]?.labels ?? '', { x: offsets[index] ?? 0, y: above }))
  return {
    title: view.title,
    subtitle: view.subtitle,
    notice: view.notice,
    alt: `${describe(view)} Each collective is one bar across the lanes of its group.`,
    width: total,
    height: places.height + above,
    body: parts.filter(Boolean).join('\n'),
    legend: graphLegend(view),
  }
}
