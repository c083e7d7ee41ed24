import {
  nodesOf,
  notBefore,
  type OperatorTable,
  type Program,
  programFromJson,
  programToJson,
  type Region,
  walk,
} from '@shardloom/core'
import { edgeKinds, unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import { findPreset } from '@shardloom/models'
import { measure, measureFolded } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { draw, operators } from './draw.js'
import { planned, ranksOf } from './planned.js'
import { thrown } from './thrown.js'
import { bodiesOf, into, trace } from './trace.js'

const moe = findPreset('deepseek-v3')
const shallow = { ...moe, order: { runs: moe.order.runs.map((run) => ({ ...run, count: 2 })) } }
const training = { phase: 'training', batch: 4, seq: 16 } as const
const cases: readonly [string, { program: Program; operators: OperatorTable }][] = [
  ['tiny, one device', planned('tiny', training, {})],
  ['tiny, dp 2 × tp 2, three microbatches', planned('tiny', { ...training, microbatches: 3 }, { dp: 2, tp: 2 })],
  ['tiny-moe, tp 2', planned('tiny-moe', training, { tp: 2 })],
  ['tiny-moe, materialised attention', planned('tiny-moe', { ...training, attention: 'materialised' }, { tp: 2 })],
  ['deepseek-v3, dense and expert layers', planned(shallow, { ...training, microbatches: 2 }, { dp: 2, tp: 2 })],
  [
    'gpt-oss-120b, a period of two bodies, prefill',
    planned('gpt-oss-120b', { phase: 'prefill', batch: 2, seq: 256 }, { tp: 2 }),
  ],
  ['tiny, decode of four steps', planned('tiny', { phase: 'decode', batch: 4, seq: 16, steps: 4 }, { dp: 2, tp: 2 })],
  ['deepseek-v3, decode of three steps', planned(shallow, { phase: 'decode', batch: 4, seq: 16, steps: 3 }, { tp: 2 })],
]

describe.each(cases)('%s', (_, { program, operators }) => {
  const graph = unroll(program)

  it('has as many nodes and data edges as the rolled program says', () => {
    const { nodes, edges } = measure(program, operators)
    const kinds = { compute: 0n, communication: 0n, control: 0n, memory: 0n }
    for (const template of graph.template) kinds[graph.templates[template]?.kind ?? 'compute']++
    expect(kinds).toEqual(nodes)
    expect(BigInt(graph.edgeKind.filter((kind) => edgeKinds[kind] === 'data').length)).toBe(edges.data)
    expect(BigInt(graph.edgeKind.filter((kind) => edgeKinds[kind] === 'temporal').length)).toBe(edges.temporal)
  })

  it('has the nodes and edges that running the loops gives', () => {
    const expected = trace(program)
    const found = new Map<string, string[]>()
    for (let node = 0; node < graph.nodeCount; node++) found.set(graph.idOf(node), into(graph, node))
    expect([...found.keys()]).toEqual([...expected.keys()])
    for (const [node, edges] of found)
      expect(edges.sort(), node).toEqual((expected.get(node) ?? []).map((source) => `data ${source}`).sort())
  })

  it('has no cycle: every edge comes from an earlier node', () => {
    for (let node = 0; node < graph.nodeCount; node++)
      for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++)
        expect(graph.edgeSource[edge]).toBeLessThan(node)
  })

  it('gives every node an id of its own', () => {
    const ids = new Set(Array.from({ length: graph.nodeCount }, (_, node) => graph.idOf(node)))
    expect(ids.size).toBe(graph.nodeCount)
  })

  it('unrolled along one axis only has one copy of every body of the others', () => {
    const axes = new Set<string>()
    walk(program.items, (_, { path }) => path.forEach(({ region }) => axes.add(region.axis)))
    expect(unroll(program, { axes: [...axes] }).nodeCount).toBe(graph.nodeCount)
    expect(unroll(program, { axes: [] }).nodeCount).toBe(nodesOf(program.items).length)
    for (const axis of axes) {
      let expected = 0
      walk(program.items, (_, { path }) => {
        expected += path.reduce(
          (product, { region, body }) =>
            region.axis === axis
              ? product * bodiesOf(region).filter((each) => each === region.bodies[body]).length
              : product,
          1,
        )
      })
      const part = unroll(program, { axes: [axis] })
      expect(part.nodeCount).toBe(expected)
      for (let node = 0; node < part.nodeCount; node++)
        for (let edge = part.edgeStart[node] ?? 0; edge < (part.edgeStart[node + 1] ?? 0); edge++)
          expect(part.edgeSource[edge]).toBeLessThan(node)
    }
  })
})

describe('several ranks', () => {
  const { program } = planned('tiny', training, { dp: 2, tp: 2 })
  const one = unroll(program)

  it('each have the same graph, and every collective chains the members of its group', () => {
    const ranks = ranksOf(program)
    const graph = unroll(program, { ranks })
    expect(graph.nodeCount).toBe(4 * one.nodeCount)
    const chained = new Map<string, number>()
    for (let node = 0; node < graph.nodeCount; node++) {
      const rank = graph.rankOf(node)
      const own = into(graph, node)
      const template = graph.templates[graph.template[node] ?? 0]
      expect(own.filter((edge) => !edge.startsWith('communication'))).toEqual(into(one, node % one.nodeCount))
      const ties = own.flatMap((_, index) => {
        const edge = (graph.edgeStart[node] ?? 0) + index
        return edgeKinds[graph.edgeKind[edge] ?? 0] === 'communication' ? [graph.edgeSource[edge] ?? 0] : []
      })
      expect(ties.length > 0 && !template?.communication).toBe(false)
      for (const source of ties) {
        expect(graph.idOf(source)).toBe(graph.idOf(node))
        // dp is the slow axis and tp the fast one: ranks 0 1 | 2 3.
        const near = template?.communication?.atoms.includes('tp')
          ? graph.rankOf(source) === rank - 1
          : graph.rankOf(source) === rank - 2
        if (template?.communication?.atoms.length === 1) expect(near).toBe(true)
        else expect(graph.rankOf(source)).toBe(rank - 1)
      }
      if (template?.communication) chained.set(graph.idOf(node), (chained.get(graph.idOf(node)) ?? 0) + ties.length)
    }
    for (const [id, ties] of chained) {
      const atoms =
        nodesOf(program.items).find((node) => id.startsWith(`${node.id}[`) || id === node.id)?.communication?.atoms ??
        []
      // Two groups of two need two ties; one group of four needs three.
      expect(ties, id).toBe(atoms.length === 1 ? 2 : 3)
    }
  })

  it('some ranks only: members that were not asked for are skipped', () => {
    const graph = unroll(program, { ranks: [0, 3] })
    expect(graph.ranks).toEqual([0, 3])
    expect(graph.rankOf(one.nodeCount)).toBe(3)
    for (let node = one.nodeCount; node < graph.nodeCount; node++) {
      const template = graph.templates[graph.template[node] ?? 0]
      const tied = into(graph, node).some((edge) => edge.startsWith('communication'))
      expect(tied).toBe(template?.communication?.atoms.length === 2)
    }
  })

  it('that do not exist are refused', () => {
    expect(thrown(() => unroll(program, { ranks: [4] })).code).toBe('RANK')
  })
})

const broken = (program: Program) =>
  verifyProgram(program, operators).flatMap(({ rule, violations }) => (violations.length > 0 ? rule : []))

describe('limits', () => {
  it('more nodes than the limit are refused before they are made', () => {
    const { program } = planned('tiny', training, {})
    const { nodeCount } = unroll(program)
    expect(unroll(program, { limit: nodeCount }).nodeCount).toBe(nodeCount)
    const error = thrown(() => unroll(program, { limit: nodeCount - 1 }))
    expect(error.code).toBe('UNROLL_SIZE')
    expect(error.message.replaceAll(',', '')).toContain(`${nodeCount} nodes`)
  })

  it('a loop without end is refused at once', () => {
    for (const extent of [1e8, 2 ** 31, 1e12, Number.MAX_SAFE_INTEGER]) {
      const endless = draw({ a: 2 }, 'e = gelu(x): a -> a', {
        id: 'loop',
        axis: 'layer',
        extent,
        bodies: { layer: 'y = gelu(r): a -> a' },
        carry: { initial: 'e', inner: 'r', next: ['y'], result: 'out' },
      })
      expect(thrown(() => unroll(endless)).code, String(extent)).toBe('UNROLL_SIZE')
    }
  })

  it('items that wait for each other get temporal edges', () => {
    const waiting = draw({ a: 2 }, 'y = gelu(x): a -> a', 'z = gelu(x): a -> a')
    const items = waiting.items.map((item) => (item.id === 'z' ? { ...item, after: ['y'] } : item))
    const graph = unroll({ ...waiting, items })
    expect([into(graph, 0), into(graph, 1)]).toEqual([[], ['temporal y']])
  })

  it.each(['forward', 'reverse'] as const)('and those of an iteration two earlier, %s', (order) => {
    // Five layers a a b a b; each waits for whatever the layer two before it ended with.
    const drawn = draw({ x: 2 }, 'e = gelu(i): x -> x', {
      id: 'loop',
      axis: 'layer',
      extent: 5,
      order,
      bodies: { a: 'p = gelu(r): x -> x\nq = gelu(p): x -> x', b: 's = gelu(r): x -> x\nt = gelu(s): x -> x' },
      select: [2, 1, 1, 1].map((count, at) => ({ body: at % 2, count })),
      carry: { initial: 'e', inner: 'r', next: ['q', 't'], result: 'out' },
    })
    const items = drawn.items.map((item) => {
      if (item.type === 'node') return item
      const after = notBefore(item, 1)
      const bodies = item.bodies.map((body) => ({
        ...body,
        items: body.items.map((each) => (each.id === 'p' || each.id === 's' ? { ...each, after } : each)),
      }))
      return { ...item, bodies }
    })
    const program = { ...drawn, items }
    const graph = unroll(program)
    const waits = Array.from({ length: graph.nodeCount }, (_, node) =>
      into(graph, node).flatMap((edge) =>
        edge.startsWith('temporal') ? `${graph.idOf(node)} ${edge.slice('temporal '.length)}` : [],
      ),
    ).flat()
    expect(waits).toEqual(
      order === 'forward'
        ? ['s[layer=2] q[layer=0]', 'p[layer=3] q[layer=1]', 's[layer=4] t[layer=2]']
        : ['s[layer=2] t[layer=4]', 'p[layer=1] q[layer=3]', 'p[layer=0] t[layer=2]'],
    )
    expect(measure(program, operators).edges.temporal).toBe(3n)
    expect(measureFolded(program).edges.temporal).toBe(4n)
    expect(broken(program)).not.toContain(1)
    expect(programFromJson(programToJson(program))).toEqual(program)
    const wrong = (change: (region: Region) => Region) =>
      broken({ ...program, items: items.map((item) => (item.type === 'node' ? item : change(item))) })
    expect(wrong((region) => ({ ...region, order: 'parallel' }))).toContain(1)
    expect(
      wrong((region) => ({
        ...region,
        bodies: region.bodies.map((body) => ({ ...body, items: body.items.slice(0, 1) })),
      })),
    ).toContain(1)
  })
})
