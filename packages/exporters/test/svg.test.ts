import { createView, type View, type ViewOptions } from '@shardloom/exporters'
import { placedSvg, placeView, toSvg, viewSvg } from '@shardloom/exporters/svg'
import fc from 'fast-check'
import { plan } from 'shardloom'
import { describe, expect, test } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { lanesOf } from '../src/svg/lanes.js'
import { stagesOf } from '../src/svg/stages.js'
import { hostileTexts, hostileView } from './hostile.js'
import { operators, trainingProgram } from './program.js'
import { boxesOf, namesIn, parseSvg } from './svg-page.js'

const training = { phase: 'training', batch: 8, seq: 16, microbatches: 4 } as const
const prefill = { phase: 'prefill', batch: 8, seq: 16 } as const
const plans = {
  dense: planned('tiny', training, { tp: 2 }),
  pipeline: planned('tiny', training, { pp: 2, tp: 2 }, { pp: { schedule: '1f1b' } }),
  deep: planned('llama-3.1-70b', training, { pp: 4, tp: 8 }, { pp: { schedule: '1f1b' } }),
  zbv: planned('gpt2', training, { pp: 2 }, { pp: { schedule: 'zbv' } }),
  prefill: planned('tiny', prefill, { dp: 2, tp: 2 }),
}

const pictures: readonly (readonly [name: string, keyof typeof plans, ViewOptions])[] = [
  ['phases', 'dense', { level: 'phase' }],
  ['modules', 'dense', { level: 'module' }],
  ['modules of a pipeline', 'deep', { level: 'module' }],
  ['operators', 'dense', {}],
  ['ranks of modules', 'dense', { level: 'module', unroll: ['rank'] }],
  ['lanes', 'prefill', { unroll: ['rank'] }],
  ['a lane alone', 'prefill', { unroll: ['rank'], ranks: [1, 1] }],
  ['lanes of a selection', 'dense', { unroll: ['rank'], where: { segment: ['forward'] } }],
  ['lanes of two stages', 'pipeline', { unroll: ['rank'], where: { segment: ['forward'] } }],
  ['stages', 'pipeline', { level: 'stage' }],
  ['stages of a V', 'zbv', { level: 'stage' }],
  ['stages by microbatch', 'pipeline', { level: 'stage', unroll: ['microbatch'] }],
]

describe.each(pictures)('%s', (_, name, options) => {
  const { program, operators: table } = plans[name]
  const view = createView(program, table, options)

  test('are well-formed, with every node once, and the same to the byte', async () => {
    const svg = await toSvg(program, table, options)
    expect(await toSvg(program, table, options)).toBe(svg)
    expect(svg).not.toMatch(/NaN|undefined|Infinity|\uE000/)
    const document = parseSvg(svg)
    const drawn = [...document.querySelectorAll('g[data-node]')].map((element) => element.getAttribute('data-node'))
    expect(drawn.sort()).toEqual(view.nodes.map(({ id }) => id).sort())
    const text = document.documentElement.textContent ?? ''
    for (const { kind, title } of view.nodes) if (kind === 'communication') expect(text).toContain(title)
    for (const { title, notice } of [view]) expect(text).toContain(`${title}${notice}`.slice(0, title.length))
    const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const line of document.querySelectorAll('path[marker-end]')) expect(line.getAttribute('d')).toMatch(/[CHLQV]/)
    for (const [, id] of svg.matchAll(/url\(#([^)]+)\)/g)) expect(ids).toContain(id)
  })

  test('keep their nodes apart and inside of the picture', async () => {
    const document = parseSvg(await toSvg(program, table, options))
    const [, , width = 0, height = 0] = (document.documentElement.getAttribute('viewBox') ?? '').split(' ').map(Number)
    // Compute nodes that run once are one rectangle each, all in the same frame of reference.
    const once = new Set(
      view.nodes.filter(({ repeat, kind }) => repeat === 1 && kind === 'compute').map(({ id }) => id),
    )
    const boxes = [...document.querySelectorAll('g[data-node]')]
      .filter((element) => once.has(element.getAttribute('data-node') ?? ''))
      .flatMap((element) =>
        boxesOf(element, `${document.documentElement.getAttribute('class')?.replace(/-root$/, '')}-compute`).slice(
          0,
          1,
        ),
      )
    boxes.forEach((a, index) => {
      expect(a.width).toBeLessThan(width)
      expect(a.height).toBeLessThan(height)
      for (const b of boxes.slice(index + 1)) {
        const apart = a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y
        expect(apart, JSON.stringify([a, b])).toBe(true)
      }
    })
  })
})

test('ranks that do the same are lanes, with one bar for each group', async () => {
  const { program, operators: table } = plans.prefill
  const lanes = lanesOf(createView(program, table, { unroll: ['rank'] }))
  expect(lanes?.lanes).toHaveLength(4)
  // tp 2 is the inner axis: ranks 0 and 1, 2 and 3.
  for (const groups of lanes?.bars.values() ?? [])
    expect(groups.map(({ members }) => members)).toEqual([
      [0, 1],
      [2, 3],
    ])
  const svg = await toSvg(program, table, { unroll: ['rank'] })
  const dots = parseSvg(svg).querySelectorAll('circle').length
  expect(dots).toBe([...(lanes?.bars.values() ?? [])].flat().length * 2)
})

test('stages of a pipeline send right in forward and left in backward, with their schedule below', async () => {
  const { program, operators: table } = plans.pipeline
  const view = createView(program, table, { level: 'stage' })
  expect(stagesOf(view)?.map(({ nodes }) => nodes.length)).toEqual([3, 3])
  const text = parseSvg(await toSvg(program, table, { level: 'stage' })).documentElement.textContent ?? ''
  const transfers = view.edges.filter(({ kind }) => kind === 'communication').length
  expect(text.match(/send(?!s)/g)?.length).toBeGreaterThanOrEqual(transfers)
  expect(text).toContain('schedule 1f1b')
  expect(text).toContain('B3')
})

test('beyond the limit a coarser level is drawn, and the picture says so', async () => {
  const { program, operators: table } = plans.dense
  const svg = await toSvg(program, table, { limit: { nodes: 12, edges: 40 } })
  expect(parseSvg(svg).documentElement.textContent).toContain('level shown: operator level has')
})

test('hostile texts never become markup', async () => {
  await fc.assert(
    fc.asyncProperty(hostileTexts, hostileTexts, hostileTexts, async (title, label, id) => {
      const view = hostileView(title, label, id)
      for (const direction of ['down', 'right'] as const) {
        const svg = await viewSvg(view, { direction, title, alt: label, prefix: id })
        const document = parseSvg(svg)
        expect(document.querySelectorAll('script, foreignObject, a, image, use')).toHaveLength(0)
        for (const element of document.querySelectorAll('*'))
          for (const { name } of element.attributes) expect(name).not.toMatch(/^on|href/i)
      }
    }),
    { numRuns: 15 },
  )
})

test('pictures in one page share no name', async () => {
  const program = trainingProgram()
  const [a, b, dark] = await Promise.all([
    toSvg(program, operators, { level: 'layer' }),
    toSvg(program, operators, { level: 'module' }),
    toSvg(program, operators, { level: 'layer', theme: 'dark' }),
  ])
  for (const other of [b, dark]) {
    const names = new Set(namesIn(other))
    expect(namesIn(a).filter((name) => names.has(name))).toEqual([])
  }
})

test('what is no view and options that there are not are refused', async () => {
  const program = trainingProgram()
  await expect(viewSvg({} as View)).rejects.toThrow(/a view/)
  await expect(toSvg(program, operators, { colour: 'red' } as object)).rejects.toThrow(/colour/)
  await expect(toSvg(program, operators, { theme: 'blue' as 'dark' })).rejects.toThrow(/theme/)
})

test('a view in given places is drawn there, with its titles', async () => {
  const view = hostileView('title', 'label', 'id')
  const placed = await placeView(view)
  expect(placedSvg(view, placed)).toBe(await viewSvg(view))
  const cluster = { id: 'stage 0', title: 'stage 0 · layers 0 – 3', repeat: 1, fact: '' }
  const titled = placedSvg(view, { ...placed, titles: [{ cluster, at: { x: 0, y: 0, width: 90, height: 32 } }] })
  expect(titled).toContain('>stage 0</text>')
  expect(titled).toContain('>layers 0 – 3</text>')
  expect(() => placedSvg(view, {} as typeof placed)).toThrow(/a placed view/)
})

test('a gradient that goes past a module runs between forward and backward, not around the layers', async () => {
  const { program, operators: table } = plans.dense
  const view = createView(program, table, { level: 'module' })
  const placed = await placeView(view)
  const head = (id: string) => placed.nodes.find(({ node }) => node.id === id)?.at.y ?? Number.NaN
  const highest = (path: string) => Math.min(...[...path.matchAll(/-?[\d.]+ (-?[\d.]+)/g)].map(([, y]) => Number(y)))
  const returns = placed.edges.filter(({ edge }) => edge.role === 'return')
  expect(returns.some(({ edge }) => edge.from === 'backward/head' && edge.to === 'backward/layer/attention')).toBe(true)
  for (const { edge, path } of returns)
    expect(highest(path), `${edge.from} → ${edge.to}`).toBeGreaterThan(head('forward/layer/attention'))
})

test('a collective that has a module for itself says which it is', async () => {
  const parallel = { pp: 2, tp: 8 }
  const options = { sequenceParallel: true, schedule: '1f1b' }
  const own = await plan({ model: 'llama-3.1-8b', batch: 8, seq: 64, microbatch: 1, parallel, options })
  const { nodes } = createView(own.program, own.operators, { level: 'module' })
  const alone = nodes.filter(({ kind, title }) => kind === 'communication' && !/^(send|recv)/.test(title))
  expect(alone.map(({ title, facts }) => [title, facts[0]])).toEqual([['attention backward', 'all-gather · tp']])
})
