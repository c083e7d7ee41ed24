import {
  actionsOf,
  coordinateOf,
  coordinates,
  directionOf,
  groupOf,
  type OperatorTable,
  type Program,
  walk,
} from '@shardloom/core'
import { edgeKinds, programOf, unroll } from '@shardloom/core/unroll'
import { findPreset, type ModelArchitecture } from '@shardloom/models'
import { measure } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { planned, ranksOf } from './planned.js'
import { into, late, tiesInto, trace } from './trace.js'

const training = { phase: 'training', batch: 4, seq: 16 } as const

/** A small model of some layers. */
const layered = (count: number, tiedEmbeddings = false): ModelArchitecture => {
  const tiny = findPreset('tiny')
  return { ...tiny, tiedEmbeddings, order: { ...tiny.order, runs: tiny.order.runs.map((run) => ({ ...run, count })) } }
}
const pipelined = (
  degrees: Readonly<Record<string, number>>,
  schedule: string,
  microbatches: number,
  { model = layered(8), ...pp }: { readonly model?: ModelArchitecture; readonly virtual?: number } = {},
) => planned(model, { ...training, batch: 2 * microbatches, microbatches }, degrees, { pp: { schedule, ...pp } })
const pipelines: readonly [string, { program: Program; operators: OperatorTable }][] = [
  ['1F1B, pp 4 × tp 2', pipelined({ pp: 4, tp: 2 }, '1f1b', 5)],
  ['tied embeddings, dp 2 × pp 3', pipelined({ dp: 2, pp: 3 }, 'gpipe', 3, { model: layered(3, true) })],
  ['interleaved, pp 2', pipelined({ pp: 2 }, 'interleaved1f1b', 4, { virtual: 2 })],
  ['ZB-H1, pp 3', pipelined({ pp: 3 }, 'zbh1', 4)],
  ['ZB-V, pp 3', pipelined({ pp: 3 }, 'zbv', 6)],
  ['DualPipe, pp 4', pipelined({ pp: 4 }, 'dualpipe', 8)],
  ...(['zbh1', 'zbv', 'dualpipe'] as const).map((schedule): (typeof pipelines)[number] => [
    `${schedule}, dp 2 × pp 2, gathers and reloads one layer ahead`,
    planned(
      layered(12),
      { ...training, batch: 16, microbatches: 8 },
      { dp: 2, pp: 2 },
      { pp: { schedule }, dp: { zero: 3, prefetch: 1 }, models: { offload: { prefetch: 0 } } },
    ),
  ]),
  [
    'interleaved, dp 2 × pp 2, ZeRO-2',
    planned(
      layered(4),
      { ...training, batch: 8, microbatches: 4 },
      { dp: 2, pp: 2 },
      { pp: { schedule: 'interleaved1f1b', virtual: 2 }, dp: { zero: 2 } },
    ),
  ],
  [
    'prefill, pp 2 × tp 2',
    planned(layered(4), { phase: 'prefill', batch: 4, seq: 16, microbatches: 2 }, { pp: 2, tp: 2 }),
  ],
  ['decode of three steps, pp 3', planned(layered(4), { phase: 'decode', batch: 4, seq: 16, steps: 3 }, { pp: 3 })],
]
const onRanks = pipelines.flatMap(([name, { program, operators }]) =>
  ranksOf(program).map((rank) => ({ name, rank, program, operators })),
)

describe.each(onRanks)('$name, rank $rank', ({ program, operators, rank }) => {
  const graph = unroll(program, { ranks: [rank] })
  const part = programOf(program, rank)

  it('has the nodes and edges that the rank runs', () => {
    const { nodes, edges } = measure(program, operators, { rank })
    const kinds = { compute: 0n, communication: 0n, control: 0n, memory: 0n }
    for (const template of graph.template) kinds[graph.templates[template]?.kind ?? 'compute']++
    expect(kinds).toEqual(nodes)
    expect(BigInt(graph.edgeKind.filter((kind) => edgeKinds[kind] === 'data').length)).toBe(edges.data)
    expect(BigInt(graph.edgeKind.filter((kind) => edgeKinds[kind] === 'temporal').length)).toBe(edges.temporal)
    const expected = trace(part)
    const found = new Map<string, string[]>()
    for (let node = 0; node < graph.nodeCount; node++)
      found.set(
        graph.idOf(node),
        into(graph, node).filter((edge) => edge.startsWith('data')),
      )
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort())
    for (const [node, edges] of found)
      expect(edges.sort(), node).toEqual((expected.get(node) ?? []).map((source) => `data ${source}`).sort())
  })

  it('has no cycle: every edge comes from an earlier node', () => {
    expect(late(graph)).toEqual([])
  })

  it('runs the actions of its schedule one after the other', () => {
    const { pipeline } = program
    if (
      !pipeline?.actions.length ||
      !program.items.some((item) => item.type === 'region' && item.axis === 'microbatch')
    )
      return
    const actions = actionsOf(pipeline, coordinateOf(program, rank))
    const steps: string[] = []
    for (let node = 0; node < graph.nodeCount; node++) {
      const at = new Map(graph.iterationsOf(node).map(({ axis, iteration }) => [axis, iteration]))
      const template = graph.templates[graph.template[node] ?? 0]
      const microbatch = at.get('microbatch')
      if (microbatch === undefined || !template) continue
      const layer = at.get('layer')
      const chunk = pipeline?.chunks.findIndex(
        ({ from, to, rank: holder }, index) =>
          holder === coordinateOf(program, rank) &&
          directionOf(pipeline, microbatch, 8) === Math.floor((index * pipeline.directions) / pipeline.chunks.length) &&
          (layer === undefined || (layer >= from && layer < to)),
      )
      const kind = template.segment !== 'backward' ? 'F' : template.gradient === 'input' ? 'I' : 'W'
      const step = layer === undefined ? `${kind} ${microbatch}` : `${kind} ${microbatch} of ${chunk}`
      if (layer !== undefined && steps.at(-1) !== step) steps.push(step)
    }
    // The layers of each action stand together; those of a B mix I with W.
    const whole = actions.every(({ kind }) => kind !== 'B')
    if (whole) expect(steps).toEqual(actions.map(({ kind, chunk, microbatch }) => `${kind} ${microbatch} of ${chunk}`))
    const forward = actions.filter(({ kind }) => kind === 'F')
    expect(steps.filter((step) => step.startsWith('F'))).toEqual(
      actions.length ? forward.map(({ chunk, microbatch }) => `F ${microbatch} of ${chunk}`) : expect.anything(),
    )
  })
})

describe.each(pipelines)('%s, all ranks', (_, { program, operators }) => {
  const ranks = ranksOf(program)
  const graph = unroll(program, { ranks })
  const named = new Map(
    Array.from({ length: graph.nodeCount }, (_, node) => [`${graph.rankOf(node)} ${graph.idOf(node)}`, node]),
  )

  it('stand one after the other, each with what it runs', () => {
    expect(named.size).toBe(graph.nodeCount)
    const alone = ranks.map((rank) => unroll(program, { ranks: [rank] }).nodeCount)
    expect(graph.nodeCount).toBe(alone.reduce((sum, count) => sum + count, 0))
    const counts = ranks.map(() => 0)
    for (let node = 0; node < graph.nodeCount; node++)
      counts[graph.rankOf(node)] = (counts[graph.rankOf(node)] ?? 0) + 1
    expect(counts).toEqual(alone)
    const total = ranks.reduce((sum, rank) => sum + measure(program, operators, { rank }).edges.data, 0n)
    expect(BigInt(graph.edgeKind.filter((kind) => edgeKinds[kind] === 'data').length)).toBe(total)
  })

  it('each recv has one send, of the same microbatch, on another rank that differs along the pipeline only', () => {
    const sent = new Map<number, number>()
    let received = 0
    for (let node = 0; node < graph.nodeCount; node++) {
      const template = graph.templates[graph.template[node] ?? 0]
      const ties = tiesInto(graph, node)
      if (template?.op !== 'recv') {
        if (template?.op === 'send') expect(ties).toEqual([])
        continue
      }
      received++
      expect(ties.length, graph.idOf(node)).toBe(1)
      const [source = -1] = ties
      sent.set(source, (sent.get(source) ?? 0) + 1)
      expect(graph.templates[graph.template[source] ?? 0]?.op).toBe('send')
      const at = (of: number, axis: string) => graph.iterationsOf(of).find((each) => each.axis === axis)?.iteration
      expect(at(source, 'microbatch')).toBe(at(node, 'microbatch'))
      const [from, to] = [at(source, 'layer'), at(node, 'layer')]
      if (from !== undefined && to !== undefined) expect(to - from).toBe(template.segment === 'backward' ? -1 : 1)
      const [here, there] = [node, source].map((each) => coordinates(program.mesh, graph.rankOf(each)))
      for (const [atom, coordinate] of here ?? [])
        expect(there?.get(atom) === coordinate, `${graph.idOf(node)} ${atom}`).toBe(atom !== 'pp')
    }
    const sends = [...named.values()].filter((node) => graph.templates[graph.template[node] ?? 0]?.op === 'send')
    expect(received).toBeGreaterThan(0)
    expect([...sent.keys()].sort((a, b) => a - b)).toEqual(sends.sort((a, b) => a - b))
    expect([...sent.values()].every((count) => count === 1)).toBe(true)
  })

  it('every other communication chains those of its group that run it', () => {
    const chains = new Map<string, number>()
    for (let node = 0; node < graph.nodeCount; node++) {
      const template = graph.templates[graph.template[node] ?? 0]
      if (!template?.communication || template.op === 'recv' || template.op === 'send') continue
      for (const source of tiesInto(graph, node)) expect(graph.idOf(source)).toBe(graph.idOf(node))
      const group = groupOf(program.mesh, graph.rankOf(node), template.communication.atoms)
      const members = group.filter((rank) => named.has(`${rank} ${graph.idOf(node)}`))
      const key = `${graph.idOf(node)} over ${members}`
      chains.set(key, (chains.get(key) ?? members.length - 1) - tiesInto(graph, node).length)
    }
    for (const [key, missing] of chains) expect(missing, key).toBe(0)
  })

  it('wait for each other without a circle', () => {
    const next = new Map<number, number[]>()
    const waits = new Int32Array(graph.nodeCount)
    for (let node = 0; node < graph.nodeCount; node++)
      for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
        const source = graph.edgeSource[edge] ?? 0
        next.set(source, [...(next.get(source) ?? []), node])
        waits[node] = (waits[node] ?? 0) + 1
      }
    const ready = Array.from(waits.keys()).filter((node) => waits[node] === 0)
    for (let at = 0; at < ready.length; at++)
      for (const node of next.get(ready[at] ?? 0) ?? []) {
        waits[node] = (waits[node] ?? 0) - 1
        if (waits[node] === 0) ready.push(node)
      }
    expect(ready.length).toBe(graph.nodeCount)
  })

  const bodiesRun = (rank: number) => {
    let count = 0
    walk(programOf(program, rank).items, (_, { executions }) => (count += executions > 0 ? 1 : 0))
    return count
  }

  it('folded, have one copy of each body that a rank runs, and its sends and receives still meet', () => {
    for (const axes of [[], ['microbatch'], ['layer']]) {
      const folded = unroll(program, { axes, ranks })
      if (axes.length === 0) expect(folded.nodeCount).toBe(ranks.reduce((sum, rank) => sum + bodiesRun(rank), 0))
      for (let node = 0; node < folded.nodeCount; node++) {
        const template = folded.templates[folded.template[node] ?? 0]
        if (template?.op !== 'recv') continue
        const ties = tiesInto(folded, node)
        expect(ties.length, folded.idOf(node)).toBeGreaterThan(0)
        for (const source of ties) {
          expect(folded.templates[folded.template[source] ?? 0]?.op).toBe('send')
          expect(folded.rankOf(source)).not.toBe(folded.rankOf(node))
        }
      }
    }
  })
})
