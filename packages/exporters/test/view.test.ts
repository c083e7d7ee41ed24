import type { Program } from '@shardloom/core'
import { unroll } from '@shardloom/core/unroll'
import { createView, type View, type ViewOptions } from '@shardloom/exporters'
import { measure } from '@shardloom/simulator'
import { describe, expect, test } from 'vitest'
import { depthOf } from '../src/fold.js'
import { operators, prefillProgram, trainingProgram } from './program.js'

const prefill = prefillProgram()
const training = trainingProgram()
const view = (options: ViewOptions = {}, program = prefill) => createView(program, operators, options)
const edgesOf = (each: View, role?: string) =>
  each.edges.filter((edge) => role === undefined || edge.role === role).map((edge) => `${edge.from} → ${edge.to}`)

describe('the operator level', () => {
  test('shows every node of the rolled program once, and all of its dependencies', () => {
    const each = view()
    expect(each.nodes.map((node) => node.id)).toEqual([
      'prefill/embedding/scale',
      'prefill/plain-layer/ffn/norm',
      'prefill/plain-layer/ffn/up',
      'prefill/plain-layer/ffn/down',
      'prefill/plain-layer/ffn/down/all-reduce(tp)',
      'prefill/plain-layer/ffn/residual',
      'prefill/cache-layer/ffn/norm',
      'prefill/cache-layer/ffn/up',
      'prefill/cache-layer/ffn/down',
      'prefill/cache-layer/ffn/down/all-reduce(tp)',
      'prefill/cache-layer/ffn/residual',
      'prefill/cache-layer/cache/write',
      'prefill/cache-layer/cache/read',
      'prefill/head/choose',
    ])
    expect(edgesOf(each)).toContain('prefill/plain-layer/ffn/residual → prefill/cache-layer/ffn/norm')
    expect(edgesOf(each)).toContain('prefill/cache-layer/ffn/residual → prefill/head/choose')
    expect(edgesOf(each)).not.toContain('prefill/plain-layer/ffn/residual → prefill/head/choose')
  })

  test.each([
    ['prefill', prefill],
    ['training', training],
    ['alternating bodies', alternating(prefill)],
    ['training with tp 4', trainingProgram({ layers: 5, tp: 4 })],
  ])('%s: draws each dependency between two nodes of the rolled program, and no other edge', (_, program) => {
    const drawn = new Set(
      view({ limit: { nodes: 1000, edges: 1000 } }, program).edges.map(({ from, to }) => `${from} → ${to}`),
    )
    expect([...drawn].sort()).toEqual(rolledDependencies(program))
  })

  test('marks the residual as a way beside the chain, and the cache order as temporal', () => {
    const each = view()
    expect(edgesOf(each, 'skip')).toContain('prefill/embedding/scale → prefill/plain-layer/ffn/residual')
    const temporal = each.edges.filter((edge) => edge.kind === 'temporal')
    expect(temporal).toMatchObject([{ from: 'prefill/cache-layer/cache/write', to: 'prefill/cache-layer/cache/read' }])
  })

  test('names what passes a partial sum on, what a collective changes and what it costs', () => {
    const each = view()
    const node = each.nodes.find(({ id }) => id.endsWith('plain-layer/ffn/down/all-reduce(tp)'))
    expect(node).toMatchObject({
      title: 'all-reduce · tp',
      facts: ['partial → whole', '16.4\u00A0kB, sends 16.4\u00A0kB'],
    })
    expect(each.edges.find((edge) => edge.to === node?.id)?.label).toBe('partial over tp')
  })

  test('nests at most three clusters and gives each body its repeats', () => {
    const each = view()
    const titles = each.clusters.map(({ title, repeat }) => `${title} ×${repeat}`)
    expect(titles).toContain('plain-layer ×1')
    expect(titles).toContain('cache-layer ×3')
    const depth = (id: string | undefined): number =>
      id === undefined ? 0 : 1 + depth(each.clusters.find((cluster) => cluster.id === id)?.parent)
    for (const each of [view(), view({}, training), view({ unroll: ['rank'] }, training)]) {
      expect(Math.max(...each.nodes.map((node) => depth(node.cluster)))).toBeLessThanOrEqual(3)
    }
  })

  test('the body that an iteration returns to is joined around the loop', () => {
    expect(edgesOf(view({}, alternating(prefill)), 'back')).toContain(
      'prefill/cache-layer/ffn/residual → prefill/plain-layer/ffn/norm',
    )
  })
})

describe('coarser levels', () => {
  test.each(['phase', 'stage', 'layer', 'module'] as const)(
    '%s: numbers of all cards and clusters add up to the step',
    (level) => {
      const each = view({ level })
      expect(each.nodes.length).toBe({ phase: 1, stage: 1, layer: 4, module: 5 }[level])
      expect(each.nodes.every((node) => node.kind !== 'communication')).toBe(true)
    },
  )

  test('a phase card covers its iterations: the FLOPs are those of the step', () => {
    const [card] = view({ level: 'phase' }).nodes
    const { bytesRead, bytesWritten } = measure(prefill, operators)
    expect(card?.facts).toEqual([`${(Number(bytesRead + bytesWritten) / 1e6).toPrecision(3)}\u00A0MB moved`])
    expect(card?.chips).toEqual(['tp · 4 · sends 65.5\u00A0kB'])
  })

  test('training folds to forward, backward and optimizer, joined by what backward keeps', () => {
    const each = view({ level: 'phase' }, training)
    expect(each.nodes.map(({ title, repeat }) => `${title} ×${repeat}`)).toEqual([
      'forward ×4',
      'backward ×4',
      'optimizer ×1',
    ])
    expect(each.edges).toMatchObject([
      { from: 'forward', to: 'backward', role: 'mirror' },
      { from: 'backward', to: 'optimizer' },
    ])
  })

  test('layer cards stand in the frame of the microbatch', () => {
    const each = view({ level: 'layer' }, training)
    expect(each.clusters).toMatchObject([{ title: 'microbatch', repeat: 4 }])
    expect(each.nodes.map((node) => node.title)).toEqual([
      'embedding forward',
      'layer forward',
      'head forward',
      'head backward',
      'layer backward',
      'optimizer',
    ])
    expect(edgesOf(each, 'return')).toEqual(['backward/head → backward/layer'])
  })
})

describe('unrolling', () => {
  test('layers follow each other through the carry, backward in reverse with the activations of the same layer', () => {
    const each = view({ level: 'layer', unroll: ['layer'] }, training)
    const edges = edgesOf(each)
    expect(edges).toContain('forward/layer[0] → forward/layer[1]')
    expect(edges).not.toContain('forward/layer[0] → forward/layer[2]')
    expect(edges).toContain('backward/layer[2] → backward/layer[1]')
    expect(edges).toContain('forward/layer[0] → backward/layer[1]') // the residual stream that layer 1 read
    expect(edges).toContain('forward/layer[1] → backward/layer[1]')
    expect(edges).not.toContain('forward/layer[2] → backward/layer[1]')
  })

  test('microbatches do not depend on each other, and all meet in the optimizer', () => {
    const each = view({ level: 'phase', unroll: ['microbatch'] }, training)
    expect(edgesOf(each)).toEqual([
      ...[0, 1, 2, 3].map((index) => `microbatch[${index}]/forward → microbatch[${index}]/backward`),
      ...[0, 1, 2, 3].map((index) => `microbatch[${index}]/backward → optimizer`),
    ])
  })

  test('the middle is folded before the level is, and the notice says so', () => {
    const each = view(
      { level: 'layer', unroll: ['layer'], limit: { nodes: 12, edges: 40 } },
      trainingProgram({ layers: 40 }),
    )
    expect(each.notice).toBe('first and last iterations shown: all have 40 iterations')
    expect(each.nodes.map((node) => node.title)).toContain('… 37 more layers …')
    expect(edgesOf(each)).toContain('forward/layer[1] → forward/layer[2-38]')
    expect(edgesOf(each)).toContain('forward/layer[2-38] → backward/layer[2-38]')
  })

  test('beyond the limit the next coarser level is taken', () => {
    expect(view({ limit: { nodes: 10, edges: 300 } })).toMatchObject({
      level: 'module',
      notice: 'module level shown: operator level has 14 nodes',
    })
  })

  test('ranks share one bar per group and have no edge between them', () => {
    const each = view({ unroll: ['rank'] }, training)
    const bars = each.nodes.filter((node) => node.kind === 'communication')
    const groups = [...new Set(bars.map((node) => / over ranks (.*)$/.exec(node.id)?.[1]))].sort()
    expect(groups).toEqual(['0 1', '0 2', '1 3', '2 3'])
    for (const edge of each.edges) {
      const ranks = [edge.from, edge.to].map((id) => /^rank (\d)\//.exec(id)?.[1])
      if (ranks[0] !== undefined && ranks[1] !== undefined) expect(ranks[0]).toBe(ranks[1])
      else expect(edge.kind).toBe('communication')
    }
  })

  test('more than eight ranks are one lane, and groups that reach outside say so', () => {
    const wide = trainingProgram({ dp: 4, tp: 4 })
    const each = view({ level: 'layer', unroll: ['rank'], ranks: [0, 11] }, wide)
    expect(each.clusters[0]).toMatchObject({ title: 'ranks 0–11', repeat: 12 })
    expect(each.notice).toBe('ranks 0–11 of 16 shown')
    expect(each.nodes.find((node) => node.title.startsWith('dp'))?.facts).toEqual(['3 of 4 members shown'])
  })

  test('ranks that the mesh lacks are refused', () => {
    expect(() => view({ unroll: ['rank'], ranks: [0, 9] })).toThrow(expect.objectContaining({ code: 'RANK' }))
    expect(() => view({ unroll: ['rank'], ranks: [1, 0] })).toThrow(expect.objectContaining({ code: 'RANK' }))
    expect(() => view({ rank: 2 })).toThrow(expect.objectContaining({ code: 'RANK' }))
  })
})

test('the caption names model, mesh, element type, conventions and whose numbers they are', () => {
  expect(view()).toMatchObject({
    title: 'prefill · operators',
    subtitle: 'toy · tp 2 · bf16 · seq 64 · causal FLOPs whole · numbers per rank',
    notice: '',
  })
  expect(view({ rank: 1 }).subtitle).toMatch(/numbers per rank, of rank 1$/)
})

test('the legend has only what the picture contains', () => {
  expect(view().legend.map((entry) => entry.text)).toEqual([
    'compute',
    'communication',
    'control',
    'memory',
    'data',
    'order only',
    'runs 3 times',
  ])
  expect(view({ level: 'phase' }).legend.map((entry) => entry.text)).toEqual([
    'compute',
    'tp · n · sends B: n collectives over tp, bytes this rank sends',
  ])
})

test('a view is JSON, and the same program gives the same view', () => {
  const each = view({ unroll: ['rank', 'layer'] }, training)
  expect(JSON.parse(JSON.stringify(each))).toEqual(each)
  expect(view({ unroll: ['rank', 'layer'] }, trainingProgram())).toEqual(each)
})

/** The program with the bodies of its layers taking turns. */
function alternating(program: Program): Program {
  const select = [0, 1].map((body) => ({ body, count: 1 }))
  return { ...program, items: program.items.map((item) => (item.type === 'region' ? { ...item, select } : item)) }
}

/** Which node needs which, from the graph with every iteration of its own: an edge joins the templates of its ends. */
function rolledDependencies(program: Program): string[] {
  const graph = unroll(program)
  const idOf = (node: number) => graph.templates[graph.template[node] ?? -1]?.id ?? ''
  const pairs = new Set<string>()
  for (let node = 0; node < graph.nodeCount; node++) {
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      const from = idOf(graph.edgeSource[edge] ?? -1)
      if (from !== idOf(node)) pairs.add(`${from} → ${idOf(node)}`)
    }
  }
  return [...pairs].sort()
}

test('the depth of a picture is found for any number of cards', () => {
  const frame = { key: 'layer', title: 'layer', repeat: 1 }
  const cards = Array.from({ length: 300_000 }, (_, index) => ({ frames: index === 7 ? [frame, frame] : [] }))
  expect(depthOf(cards)).toBe(2)
})

describe('a selection', () => {
  const whole = view()
  const inFfn = (id: string) => id.includes('/ffn/')
  const selected = (each: View) => each.nodes.filter(({ outside }) => !outside)

  test('draws the same cards as the whole picture, those that match; and every edge among them', () => {
    const each = view({ where: { module: 'ffn' } })
    expect(selected(each)).toEqual(whole.nodes.filter(({ id }) => inFfn(id)))
    const within = (one: View) => edgesOf(one).filter((edge) => edge.split(' → ').every(inFfn))
    expect(within(each)).toEqual(within(whole))
  })

  test('an edge that leaves it ends at the one card of the module there, which has no numbers', () => {
    const each = view({ where: { module: 'ffn' } })
    const outside = each.nodes.filter((node) => node.outside)
    expect(outside.map(({ title }) => title).sort()).toEqual(['… cache', '… embedding', '… head'])
    for (const { facts, chips, repeat } of outside) expect([facts, chips, repeat]).toEqual([[], [], 1])
    const leaving = whole.edges.filter(({ from, to }) => inFfn(from) !== inFfn(to))
    const ends = (one: View) => new Set(one.edges.map(({ from, to }) => (inFfn(from) ? `${from} →` : `→ ${to}`)))
    for (const { from, to } of leaving) expect(ends(each)).toContain(inFfn(from) ? `${from} →` : `→ ${to}`)
    for (const { from, to } of each.edges)
      expect([from, to].some((id) => selected(each).some((node) => node.id === id))).toBe(true)
    expect(each.subtitle).toContain('only module ffn')
    expect(each.legend).toContainEqual({ type: 'note', sign: '…', text: 'beside the selection' })
  })

  test('a body that several layers share is drawn for one of them; one by one, only those that are meant', () => {
    const where = { layers: 2 }
    const titles = (each: View) => each.clusters.map(({ title, repeat }) => `${title} ×${repeat}`)
    expect(titles(view({ where }))).toContain('cache-layer ×3')
    const each = view({ where, unroll: ['layer'] })
    const ids = selected(each).map(({ id }) => id)
    expect(ids.length).toBeGreaterThan(0)
    for (const id of ids) expect(id).toContain('[layer=2]')
  })

  test('every field of a selector, and what it excepts', () => {
    const ids = (where: ViewOptions['where']) => selected(view({ ...(where && { where }) })).map(({ id }) => id)
    const all = ids(undefined)
    expect(ids({ segment: 'prefill' })).toEqual(all)
    expect(ids({ operator: 'matmul', body: 'plain-layer' })).toEqual(
      ['up', 'down'].map((name) => `prefill/plain-layer/ffn/${name}`),
    )
    expect(ids({ name: 'all-reduce*' })).toHaveLength(2)
    expect(ids({ role: 'parameter' })).toContain('prefill/plain-layer/ffn/up')
    const rest = ids({ except: { module: 'ffn' } })
    expect([...rest, ...ids({ module: 'ffn' })].sort()).toEqual([...all].sort())
  })

  test('fits where the whole picture does not', () => {
    const limit = { nodes: 10, edges: 20 }
    expect(view({ limit }).level).not.toBe('operator')
    const each = view({ limit, where: { module: 'cache' } })
    expect([each.level, each.notice]).toEqual(['operator', ''])
  })

  test('numbers at coarser levels are those of the selection', () => {
    const flopsOf = (each: View, key: string) => each.nodes.find(({ id }) => id === key)?.facts[0]
    const each = view({ level: 'phase', where: { name: 'up' } })
    const one = view({ level: 'phase', where: { name: 'up', body: 'plain-layer' } })
    expect(flopsOf(each, 'prefill')).not.toBe(flopsOf(one, 'prefill'))
    expect(each.nodes.find(({ id }) => id === 'prefill')?.chips).toEqual([])
  })

  test('that is empty is refused, with the modules that there are', () => {
    expect(() => view({ where: { module: 'attention' } })).toThrow(
      expect.objectContaining({ code: 'SELECTOR', help: expect.stringContaining('ffn, cache') }),
    )
    expect(() => view({ where: { layers: 'x' } })).toThrow(expect.objectContaining({ code: 'LAYER_RANGE' }))
  })

  test('works in pictures of ranks and of stages', () => {
    const each = view({ unroll: ['rank'], where: { module: 'ffn' } }, training)
    expect(each.nodes.length).toBeGreaterThan(0)
    const ids = new Set(each.nodes.map(({ id }) => id))
    for (const { from, to } of each.edges) expect([ids.has(from), ids.has(to)]).toEqual([true, true])
  })
})

test('says in one place how causal FLOPs count and how they are timed', () => {
  const notes = { ...training.notes, causal: 'whole', causalTime: 'halved' }
  const { subtitle } = createView({ ...training, notes }, operators)
  expect(subtitle).toContain('causal FLOPs whole as MFU counts, halved as kernels are timed')
  expect(subtitle.match(/causal/g)).toHaveLength(1)
})
