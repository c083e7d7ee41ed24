import { createView, type Level, loadSpec, planLoaded, type SpecInput, type UnrollAxis } from 'shardloom'
import { placeView } from 'shardloom/svg'
import { describe, expect, test } from 'vitest'
import { placeGraph } from '../src/graph/place-graph.js'
import { fitZoom, overlaps, readableZoom } from '../src/graph/placed.js'
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

async function placed(spec: SpecInput, level: Level, unroll: readonly UnrollAxis[] = []) {
  const { program, operators } = planLoaded(await loadSpec(spec))
  const view = createView(program, operators, { level, unroll, limit: { nodes: 2000, edges: 8000 } })
  return placeGraph({ ...view, expandable: [], closes: {}, ports: [] }, room, placeView)
}

const pictures: readonly (readonly [string, SpecInput, Level, readonly UnrollAxis[]])[] = [
  ['stages', pipeline, 'stage', []],
  ['layers of a pipeline', pipeline, 'layer', []],
  ['layers', small, 'layer', []],
  ['modules', small, 'module', []],
  ['operators', small, 'operator', []],
  ['phases of ranks', pipeline, 'phase', ['rank']],
  ['layers of ranks', small, 'layer', ['rank']],
  ['operators of ranks', { ...small, parallel: { tp: 2 } }, 'operator', ['rank']],
]

describe.each(pictures)('%s', (_, spec, level, unroll) => {
  test('no card lies over another, and all are within the bounds', async () => {
    const { nodes, bounds } = await placed(spec, level, unroll)
    expect(nodes.length).toBeGreaterThan(2)
    for (const [index, { node, at }] of nodes.entries()) {
      expect(at.x).toBeGreaterThanOrEqual(bounds.x)
      expect(at.y + at.height).toBeLessThanOrEqual(bounds.y + bounds.height + 0.1)
      // Among operators a bar passes behind what stands between its members.
      for (const other of nodes.slice(index + 1))
        if (level !== 'operator' || (!node.id.includes(' over ranks ') && !other.node.id.includes(' over ranks ')))
          expect(overlaps(at, other.at) && `${node.id} over ${other.node.id}`).toBe(false)
    }
  })
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
