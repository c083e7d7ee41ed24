import { nodesOf, type Program } from '@shardloom/core'
import { edgeKinds, unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import { measure } from '@shardloom/simulator'
import { parseProgram, printProgram } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { type PlannedOptions, planned, ranksOf } from '../../packages/core/test/planned.js'
import { architectures } from './architectures.js'
import { phases, prove } from './prove.js'

const [model] = architectures
if (!model) throw new Error('there are no architectures')
const build = { ...phases.training, batch: 12, seq: 6, microbatches: 4 } as const
const cases: readonly (readonly [Readonly<Record<string, number>>, PlannedOptions])[] = [
  [{ dp: 2 }, {}],
  [{ dp: 3, tp: 2 }, { dp: { zero: 1 } }],
  [{ pp: 2, tp: 2 }, { pp: { schedule: '1f1b' } }],
  [
    { dp: 3, pp: 2 },
    { pp: { schedule: 'zbh1' }, dp: { zero: 3, prefetch: 0 } },
  ],
  [{ pp: 2 }, { pp: { schedule: 'dualpipe' } }],
]

/** What each node of one rank comes after, as sets of barriers; and what comes before each barrier. */
function around(program: Program, rank: number) {
  const graph = unroll(program, { ranks: [rank] })
  const template = (node: number) => graph.templates[graph.template[node] ?? 0]
  const behind: Set<string>[] = []
  const before = new Map<string, Set<number>>()
  for (let node = 0; node < graph.nodeCount; node++) {
    const own = new Set<string>()
    const sources = [...graph.edgeSource.subarray(graph.edgeStart[node], graph.edgeStart[node + 1])]
    for (const source of sources) {
      expect(source).toBeLessThan(node)
      for (const each of behind[source] ?? []) own.add(each)
      if (template(source)?.op === 'barrier') own.add(template(source)?.id ?? '')
    }
    behind.push(own)
    if (template(node)?.op === 'barrier') before.set(template(node)?.id ?? '', new Set(sources))
  }
  return { graph, template, behind, before }
}

describe.each(cases)('%j %j', (degrees, options) => {
  const plan = (barriers: boolean) => planned(model, build, degrees, { ...options, models: { barriers } })
  const [free, bound] = [plan(false), plan(true)]

  test('all ranks wait behind the last microbatch and before the update, and nowhere else', () => {
    for (const rank of ranksOf(bound.program)) {
      const { graph, template, behind, before } = around(bound.program, rank)
      for (let node = 0; node < graph.nodeCount; node++) {
        const { op, segment, updates } = template(node) ?? {}
        const inLoop = graph.iterationsOf(node).some(({ axis }) => axis === 'microbatch')
        expect(behind[node]?.has('optimizer/flush'), template(node)?.id).toBe(
          !inLoop && template(node)?.id !== 'optimizer/flush',
        )
        expect(behind[node]?.has('optimizer/step')).toBe(
          op === 'adam' ||
            (segment === 'optimizer' && updates === undefined && readsUpdate(bound.program, template(node)?.inputs)),
        )
      }
      // The flush waits for whatever the rank's schedule ends with.
      const [last = -1] = before.get('optimizer/flush') ?? []
      expect(graph.iterationsOf(last).some(({ axis }) => axis === 'microbatch')).toBe(true)
      expect(graph.iterationsOf(last + 1).some(({ axis }) => axis === 'microbatch')).toBe(false)
    }
  })

  test('cost nothing, and are counted as nodes and edges', () => {
    for (const rank of ranksOf(bound.program)) {
      const [without, having] = [free, bound].map(({ program, operators }) => measure(program, operators, { rank }))
      expect(having?.nodes.control).toBe((without?.nodes.control ?? 0n) + 2n)
      expect(having?.nodes.communication).toBe(without?.nodes.communication)
      expect(having?.flops).toBe(without?.flops)
      expect(having?.bytesRead).toBe(without?.bytesRead)
      expect(having?.edges.data).toBe(without?.edges.data)
      const graph = unroll(bound.program, { ranks: [rank] })
      const temporal = graph.edgeKind.filter((kind) => edgeKinds[kind] === 'temporal').length
      expect(having?.edges.temporal).toBe(BigInt(temporal))
    }
  })

  test('join all ranks in time', () => {
    const ranks = ranksOf(bound.program)
    const graph = unroll(bound.program, { ranks })
    for (const id of ['optimizer/flush', 'optimizer/step']) {
      const met: number[] = []
      for (let node = 0; node < graph.nodeCount; node++) {
        if (graph.templates[graph.template[node] ?? 0]?.id !== id) continue
        for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
          expect(edgeKinds[graph.edgeKind[edge] ?? 0]).toBe('temporal')
          const from = graph.rankOf(graph.edgeSource[edge] ?? 0)
          if (from !== graph.rankOf(node)) met.push(from)
        }
      }
      expect(met).toEqual(ranks.slice(0, -1))
    }
  })

  test('leave numbers as they are, hold all rules, and can be written and read', () => {
    const { program, operators } = bound
    if (!program.pipeline) prove(model, build, degrees, { ...options, models: { barriers: true } })
    for (const { rule, violations } of verifyProgram(program, operators)) expect(violations, `${rule}`).toEqual([])
    expect(parseProgram(printProgram(program))).toEqual(program)
  })
})

/** Whether an optimizer node works on what an update made: a gather of the parameter. */
function readsUpdate({ tensors }: Program, inputs: readonly string[] = []): boolean {
  return inputs.some((id) => {
    const tensor = tensors.get(id)
    return tensor?.nextOf !== undefined || tensors.get(tensor?.versionOf ?? '')?.nextOf !== undefined
  })
}

describe('barriers', () => {
  test('for ranks that do not come there are a fault', () => {
    const { program, operators } = planned(model, build, { pp: 2 }, { models: { barriers: true } })
    const broken = (change: (program: Program) => Program['items']) =>
      verifyProgram({ ...program, items: change(program) }, operators).flatMap(({ rule, violations }) =>
        violations.length > 0 ? rule : [],
      )
    const [flush] = nodesOf(program.items).filter(({ id }) => id === 'optimizer/flush')
    expect(
      broken(({ items }) => items.map((item) => (item === flush ? { ...item, barrier: ['nobody'] } : item))),
    ).toEqual([4])
    const inside = broken(({ items }) =>
      items.map((item) => {
        if (item.type === 'node' || item.axis !== 'microbatch' || !flush) return item
        const { after: _, ...stray } = { ...flush, id: 'stray' }
        return { ...item, bodies: item.bodies.map((body) => ({ ...body, items: [...body.items, stray] })) }
      }),
    )
    expect(inside).toContain(4)
    expect(broken(({ items }) => [...(flush ? [flush] : []), ...items.filter((item) => item !== flush)])).toContain(1)
  })
})
