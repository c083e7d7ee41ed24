import { createView, type Level, loadSpec, planLoaded, type SpecInput, type UnrollAxis } from 'shardloom'
import { placeView } from 'shardloom/svg'
import { describe, expect, test } from 'vitest'
import { placeGraph } from '../src/graph/place-graph.js'
import { fitZoom, overlaps, type Rect, readableZoom } from '../src/graph/placed.js'
import { placeSingleCards } from '../src/graph/single-cards.js'

const pipeline: SpecInput = {
  model: 'llama-3.1-70b',
  cluster: 'dgx-h100',
  batch: 64,
  seq: 8192,
  parallel: { dp: 2, tp: 8, pp: 4 },
  options: { zero: 1, sequenceParallel: true, schedule: '1f1b' },
}
const small: SpecInput = {
  model: 'llama-3.1-8b',
  cluster: 'dgx-h100',
  batch: 16,
  parallel: { dp: 2, tp: 4 },
  seq: 8192,
}
/** Between the panes of a window of 1280 by 720. */
const room = { width: 640, height: 490 }

const deep: SpecInput = {
  ...small,
  parallel: { tp: 2 },
  model: {
    model_type: 'llama',
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 27,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128256,
  },
}

const gathering: SpecInput = {
  ...small,
  batch: 4,
  parallel: { dp: 2 },
  options: { zero: 3 },
}
const grouped: SpecInput = {
  model: 'llama-3.1-70b',
  cluster: 'dgx-h100',
  phase: 'prefill',
  batch: 1,
  seq: 131072,
  parallel: { tp: 4, cp: 2 },
}

async function viewOf(spec: SpecInput, level: Level, unroll: readonly UnrollAxis[] = []) {
  const { program, operators } = planLoaded(await loadSpec(spec))
  const view = createView(program, operators, { level, unroll, limit: { nodes: 2000, edges: 8000 } })
  return { ...view, expandable: [], closes: {}, ports: [] }
}

const placed = async (spec: SpecInput, level: Level, unroll: readonly UnrollAxis[] = []) =>
  placeGraph(await viewOf(spec, level, unroll), room, placeView)

const pictures: readonly (readonly [string, SpecInput, Level, readonly UnrollAxis[]])[] = [
  ['stages', pipeline, 'stage', []],
  ['layers of a pipeline', pipeline, 'layer', []],
  ['layers', small, 'layer', []],
  ['modules', small, 'module', []],
  ['operators', small, 'operator', []],
  ['phases of ranks', pipeline, 'phase', ['rank']],
  ['layers of ranks', small, 'layer', ['rank']],
  ['operators of a pipeline', pipeline, 'operator', []],
  ['operators of every layer', deep, 'operator', ['layer']],
  ['operators of ranks', { ...small, parallel: { dp: 2, tp: 2 } }, 'operator', ['rank']],
  ['operators of ranks that gather weights', gathering, 'operator', ['rank']],
  ['operators of ranks of two kinds of groups', grouped, 'operator', ['rank']],
]

describe.each(pictures)('%s', (_, spec, level, unroll) => {
  test('every node has a place of its own, within its frames and the bounds', async () => {
    const view = await viewOf(spec, level, unroll)
    const { nodes, clusters, bounds } = await placeGraph(view, room, placeView)
    expect(nodes.map(({ node }) => node.id).sort()).toEqual(view.nodes.map(({ id }) => id).sort())
    const frames = new Map(clusters.map(({ cluster, at }) => [cluster.id, at]))
    for (const [index, { node, at }] of nodes.entries()) {
      expect(isInside(at, bounds), node.id).toBe(true)
      // What a frame holds in several places is in several frames.
      const first = frames.get(node.cluster ?? '')
      const rest = [2, 3].flatMap((run) => frames.get(`${node.cluster} ${run}`) ?? [])
      if (first) expect([first, ...rest].some((frame) => isInside(at, frame)) || node.id).toBe(true)
      for (const other of nodes.slice(index + 1))
        if (overlaps(at, other.at)) expect.fail(`${node.id} lies over ${other.node.id}`)
    }
  })
})

describe.each(pictures.filter(([, , , unroll]) => unroll.includes('rank')))('%s', (_, spec, level, unroll) => {
  test('every edge is drawn, from the border of one of its nodes to that of the other, at their dots', async () => {
    const view = await viewOf(spec, level, unroll)
    const { nodes, edges } = await placeGraph(view, room, placeView)
    expect(edges.length).toBe(view.edges.filter(({ from, to }) => from !== to).length)
    const places = new Map(nodes.map((each) => [each.node.id, each]))
    for (const { edge, path } of edges) {
      const points = [...path.matchAll(/(-?[\d.]+) (-?[\d.]+)/g)].map(([, x, y]) => ({ x: Number(x), y: Number(y) }))
      for (const [id, point] of [
        [edge.from, points[0]],
        [edge.to, points.at(-1)],
      ] as const) {
        const { at, dots = [] } = places.get(id) ?? expect.fail(`${id} has no place`)
        const { x, y } = point ?? expect.fail(`${edge.from} to ${edge.to} has no path`)
        const sides = dots.length > 0 ? [] : [x - at.x, at.x + at.width - x]
        const nearest = Math.min(...[y - at.y, at.y + at.height - y, ...sides].map(Math.abs))
        const inside = x > at.x - 4 && x < at.x + at.width + 4 && y > at.y - 4 && y < at.y + at.height + 4
        if (nearest > 4 || !inside) expect.fail(`${edge.from} to ${edge.to} ends off ${id}`)
        if (dots.length > 0 && !dots.some((dot) => Math.abs(at.x + dot - x) < 18))
          expect.fail(`${edge.from} to ${edge.to} misses its dot`)
      }
    }
  })
})

const isInside = (at: Rect, outer: Rect) =>
  at.x > outer.x - 0.1 &&
  at.y > outer.y - 0.1 &&
  at.x + at.width < outer.x + outer.width + 0.1 &&
  at.y + at.height < outer.y + outer.height + 0.1

test('every edge between the operators of all layers is drawn, at once or where one of its ends is selected', async () => {
  const view = await viewOf(deep, 'operator', ['layer'])
  const { edges } = await placeGraph(view, room, placeView)
  const key = ({ from, to, kind }: (typeof view.edges)[number]) => `${from} ${to} ${kind}`
  const drawn = new Set(edges.map(({ edge }) => key(edge)))
  expect(view.edges.filter((edge) => edge.from !== edge.to && !drawn.has(key(edge)))).toEqual([])
  expect(edges.filter(({ edge, quiet }) => !quiet && edge.to === 'optimizer/norm').length).toBeLessThan(5)
})

test('the operators of all layers are a column with an optimizer beside it, not a strip', async () => {
  const { bounds, nodes } = await placed(deep, 'operator', ['layer'])
  expect(bounds.width).toBeLessThan(6000)
  const tops = Array.from(
    { length: 27 },
    (_, layer) => nodes.find(({ node }) => node.id === `forward/layer/attention/q[layer=${layer}]`)?.at.y,
  )
  expect(tops).toEqual([...tops].sort((a, b) => (a ?? 0) - (b ?? 0)))
})

test('without Graphviz, single cards have the places that they have with it', async () => {
  for (const [spec, level, unroll] of [
    [pipeline, 'stage', []],
    [small, 'module', []],
    [pipeline, 'phase', ['rank']],
  ] as const) {
    const { program, operators } = planLoaded(await loadSpec(spec))
    const view = { ...createView(program, operators, { level, unroll }), expandable: [], closes: {}, ports: [] }
    const [alone, whole] = [await placeSingleCards(view, room), await placeGraph(view, room, placeView)]
    if (level === 'stage') expect(alone).not.toBeNull()
    // The same whatever was asked for before.
    expect((await placeSingleCards(view, room))?.nodes.length).toBe(alone?.nodes.length)
    if (alone) expect(alone.nodes.length).toBe(whole.nodes.length)
    for (const [index, { at }] of (alone?.nodes ?? []).entries()) {
      const other = whole.nodes[index]?.at
      for (const side of ['x', 'y', 'width', 'height'] as const) expect(other?.[side]).toBeCloseTo(at[side], 1)
    }
  }
})

test('a weight that every layer gathers stands in the layers of ranks, before what reads it, and says so', async () => {
  const { nodes, clusters } = await placed(gathering, 'operator', ['rank'])
  const placeOf = (id: string) => nodes.find(({ node }) => node.id === id) ?? expect.fail(`${id} has no place`)
  const layer = clusters.find(({ cluster }) => cluster.title === 'layer forward')
  for (const reader of ['attention/q', 'attention/out', 'ffn/down']) {
    const { node, at } = placeOf(`forward/layer/${reader}/weight/all-gather(dp) over ranks 0 1`)
    expect(node.repeat).toBe(32)
    expect(node.facts).toContain(`${reader.split('/')[1]}/weight`)
    expect(layer && layer.at.y < at.y && at.y + at.height < layer.at.y + layer.at.height).toBe(true)
    expect(at.y + at.height).toBeLessThan(placeOf(`rank 0/forward/layer/${reader}`).at.y)
  }
  expect(placeOf('forward/head/weight/all-gather(dp) over ranks 0 1').node.repeat).toBe(1)
})

test('four stages, and the layers of a model, can be read as a whole between the panes', async () => {
  for (const [spec, level] of [
    [pipeline, 'stage'],
    [small, 'layer'],
  ] as const)
    expect(fitZoom((await placed(spec, level)).bounds, room), level).toBeGreaterThanOrEqual(readableZoom)
})

test('ranks stand in their order, and a collective reaches from its first member to its last', async () => {
  const { titles, nodes } = await placed(small, 'layer', ['rank'])
  expect(titles.map(({ cluster }) => cluster.id)).toEqual(Array.from({ length: 8 }, (_, rank) => `rank ${rank}`))
  const lefts = titles.map(({ at }) => at.x)
  expect(lefts).toEqual([...lefts].sort((a, b) => a - b))
  const bars = nodes.filter(({ node }) => / over ranks 0 1 2 3( |$)/.test(node.id))
  expect(bars.length).toBeGreaterThan(0)
  for (const { at, dots = [] } of bars) {
    expect(dots).toHaveLength(4)
    for (const [rank, dot] of dots.entries()) {
      const card = nodes.find(({ node }) => node.id === `rank ${rank}/forward/layer`)
      expect(card && Math.abs(at.x + dot - card.at.x - card.at.width / 2)).toBeLessThan(60)
    }
  }
})
