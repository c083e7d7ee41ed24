import { createView, toDot, toMermaid, type View } from '@shardloom/exporters'
import { findPreset } from '@shardloom/models'
import graphlibDot from 'graphlib-dot'
import { describe, expect, test } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { hasGraphviz, render } from './graphviz.js'

const tiny = findPreset('tiny')
const layered = (count: number, tiedEmbeddings = false) => ({
  ...tiny,
  tiedEmbeddings,
  order: { ...tiny.order, runs: tiny.order.runs.map((run) => ({ ...run, count })) },
})
const training = (degrees: Record<string, number>, layers: number, schedule = '1f1b', tied = false) =>
  planned(layered(layers, tied), { phase: 'training', batch: 16, seq: 16, microbatches: 8 }, degrees, {
    pp: { schedule },
  })
const transfers = (view: View) =>
  view.edges.filter(({ kind }) => kind === 'communication').map(({ from, to, label }) => `${from} → ${to}: ${label}`)

describe('stages of a pipeline', () => {
  test('each is a cluster named with its layers; sends say how often and how much', () => {
    const { program, operators } = training({ pp: 4 }, 9)
    const view = createView(program, operators, { level: 'stage' })
    const titles = view.clusters.map(({ title }) => title)
    expect(titles[0]).toMatch(/^stage 0 · layers 0–\d · embedding$/)
    expect(titles[3]).toMatch(/^stage 3 · layers \d–8 · .*head$/)
    expect(view.nodes.map(({ id }) => id)).toContain('stage 2/backward')
    // One microbatch of activations in bf16: 16 sequences of 16 tokens.
    const bytes = 16 * 16 * tiny.hidden * 2
    const label = `8 × ${Number((bytes / 1000).toPrecision(3))} kB`
    const plain = transfers(view).map((text) => text.replaceAll('\u00a0', ' '))
    expect(plain.sort()).toEqual(
      [0, 1, 2]
        .flatMap((stage) => [
          `stage ${stage}/forward → stage ${stage + 1}/forward: ${label}`,
          `stage ${stage + 1}/backward → stage ${stage}/backward: ${label}`,
        ])
        .sort(),
    )
  })

  test('on a V each stage has two runs of layers, and the ends share one', () => {
    const { program, operators } = training({ pp: 2 }, 8, 'zbv')
    const view = createView(program, operators, { level: 'stage' })
    expect(view.clusters.map(({ title }) => title.split(' · ').slice(0, 2).join(' · '))).toEqual([
      'stage 0 · layers 0–1, 6–7',
      'stage 1 · layers 2–5',
    ])
    expect(view.clusters[0]?.title).toContain('embedding')
    expect(view.clusters[0]?.title).toContain('head')
  })

  test('of many the first and the last ones are drawn', () => {
    const { program, operators } = training({ pp: 12 }, 12, 'gpipe')
    const view = createView(program, operators, { level: 'stage' })
    expect(view.clusters.map(({ id }) => id)).toEqual(['stage 0', 'stage 1', 'stage 10', 'stage 11'])
    const between = view.nodes.find(({ id }) => id === 'stages 2–9')
    expect([between?.title, ...(between?.facts ?? [])]).toEqual(['… 8 more stages …', 'layers 2–9'])
    expect(transfers(view).filter((text) => text.includes('stages 2–9'))).toHaveLength(4)
  })

  test('ranks side by side draw what each runs, joined from send to recv', () => {
    const { program, operators } = training({ pp: 2, tp: 2 }, 4)
    const view = createView(program, operators, {
      level: 'operator',
      unroll: ['rank'],
      limit: { nodes: 1e4, edges: 1e5 },
    })
    const ids = new Set(view.nodes.map(({ id }) => id))
    for (const rank of [0, 1]) {
      expect([...ids].some((id) => id.startsWith(`rank ${rank}/forward/embedding`))).toBe(true)
      expect([...ids].some((id) => id.startsWith(`rank ${rank}/forward/head`))).toBe(false)
    }
    const across = view.edges.filter(({ from, to }) => from.endsWith('/send') && to.endsWith('/recv'))
    const pairs = across.map(({ from, to }) => `${from.split('/')[0]} → ${to.split('/')[0]}`)
    // Each tp rank sends to the one with its own coordinate: forward and back.
    expect(pairs.sort()).toEqual(['rank 0 → rank 2', 'rank 1 → rank 3', 'rank 2 → rank 0', 'rank 3 → rank 1'])
  })

  test('a rank that is asked for is drawn alone', () => {
    const { program, operators } = training({ pp: 4 }, 8)
    const drawn = (rank?: number) =>
      createView(program, operators, { level: 'module', ...(rank !== undefined && { rank }) })
    const modules = (view: View) => view.nodes.map(({ id }) => id)
    expect(modules(drawn(1)).some((id) => /embedding|head/.test(id))).toBe(false)
    expect(modules(drawn(3)).some((id) => /head/.test(id))).toBe(true)
    expect(modules(drawn()).some((id) => /embedding/.test(id))).toBe(true)
  })

  test.runIf(hasGraphviz()).each(['1f1b', 'dualpipe', 'interleaved1f1b'])(
    'Graphviz draws every edge of %s, in one picture and stage by stage',
    (schedule) => {
      for (const pp of [2, 4]) {
        const { program, operators } = training({ pp, tp: 2 }, 8, schedule)
        for (const level of ['stage', 'layer', 'module'] as const) {
          const svg = render(toDot(program, operators, { level }))
          expect(svg.match(/class="edge"/g)).toHaveLength(createView(program, operators, { level }).edges.length)
        }
      }
    },
  )

  test('what forward sends stands above what backward receives of it', () => {
    const { program, operators } = training({ pp: 2 }, 4)
    const text = toDot(program, operators, { level: 'module' })
    for (const [above, below] of [
      ['forward/layer-send/send', 'backward/layer-send/recv'],
      ['forward/layer-recv/recv', 'backward/layer-recv/send'],
    ])
      expect(text).toContain(`"${below}" -> "${above}" [style=invis`)
  })

  test('looks as it did', async () => {
    const { program, operators } = training({ pp: 2 }, 4, '1f1b', true)
    await expect(toDot(program, operators, { level: 'stage' })).toMatchFileSnapshot('golden/training-stages.dot')
    const read = graphlibDot.read(toDot(program, operators, { level: 'stage' }))
    const ids = createView(program, operators, { level: 'stage' }).nodes.map(({ id }) => id)
    expect(
      read
        .nodes()
        .filter((id) => id.startsWith('stage '))
        .sort(),
    ).toEqual(ids.sort())
    await expect(toMermaid(program, operators, { level: 'stage' })).toMatchFileSnapshot('golden/training-stages.mmd')
  })

  test('of one rank alone everything stands inside of its frame', () => {
    const { program, operators } = training({ pp: 2, tp: 2 }, 4)
    for (const level of ['operator', 'module', 'layer'] as const) {
      const view = createView(program, operators, { level, unroll: ['rank'], ranks: [1, 1] })
      expect(view.nodes.some(({ facts }) => facts.includes('1 of 2 members shown'))).toBe(true)
      expect(view.nodes.filter(({ cluster }) => cluster === undefined)).toEqual([])
    }
  })

  test('a frame counts the send inside of it, with modules as with operators', () => {
    const { program, operators } = training({ pp: 2, tp: 2 }, 4)
    const facts = (['operator', 'module'] as const).map((level) => {
      const view = createView(program, operators, { level, unroll: ['rank'], limit: { nodes: 1e4, edges: 1e5 } })
      return view.clusters.find(({ id }) => id === 'rank 0/layers forward/layers forward/layer-send')?.fact
    })
    // Two all-reduces over two ranks and one send, each of a microbatch's activations in bf16.
    const bytes = 3 * 16 * 16 * tiny.hidden * 2
    expect(facts[0]?.replaceAll('\u00a0', ' ')).toContain(`sends ${Number((bytes / 1000).toPrecision(3))} kB`)
    expect(facts[1]).toBe(facts[0])
  })
})
