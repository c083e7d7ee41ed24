import { axesOf, groupOf, nodesOf, type Program } from '@shardloom/core'
import { unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import { measure, replication } from '@shardloom/simulator'
import { parseProgram, printProgram } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { planned, ranksOf } from '../../packages/core/test/planned.js'
import { dense, experts, grouped, layerOf, modelOf } from './architectures.js'
import { generate, generatePlainly, promptsOf } from './generate.js'
import { phases, prove } from './prove.js'

const plain = modelOf('dense', { layer: layerOf(grouped, dense) })
const mixture = modelOf('mixture', { layer: layerOf(grouped, experts) })

/** Engines, and whether ranks of `dp` need one another within a step. */
const engines = [
  [plain, { replicas: 2, tp: 2 }, false],
  [plain, { replicas: 3, dp: 2 }, false],
  [plain, { replicas: 2, pp: 2, tp: 2 }, false],
  [mixture, { dp: 2, tp: 2 }, false],
  [mixture, { dp: 4, ep: 4 }, true],
  [mixture, { replicas: 2, dp: 2, ep: 2 }, true],
  [mixture, { dp: 2, tp: 2, ep: 1, expertTp: 4 }, true],
  [mixture, { pp: 2, dp: 2, ep: 2 }, true],
] as const

const named = (model: typeof plain, degrees: object) => `${model.name} ${JSON.stringify(degrees)}`

describe.each(engines.map((engine) => [named(engine[0], engine[1]), ...engine] as const))(
  '%s',
  (_, model, degrees, inStep) => {
    const plans = (['prefill', 'decode'] as const).map(
      (phase) => [phase, planned(model, phases[phase] ?? { phase, batch: 12, seq: 5 }, degrees)] as const,
    )
    const replicas = 'replicas' in degrees ? degrees.replicas : 1

    test('computes what one device does, and holds all rules', () => {
      for (const [phase, { program, operators }] of plans) {
        const build = phases[phase]
        if (!program.pipeline && build) prove(model, build, degrees)
        for (const { rule, violations } of verifyProgram(program, operators)) expect(violations, `${rule}`).toEqual([])
        expect(parseProgram(printProgram(program))).toEqual(program)
      }
    })

    test('one router gives each engine its requests, and engines exchange nothing', () => {
      for (const [, { program, operators }] of plans) {
        const nodes = nodesOf(program.items)
        const routers = nodes.filter(({ op }) => op === 'request_router')
        expect(routers.length).toBe(replicas > 1 ? 1 : 0)
        for (const { communication, barrier } of nodes)
          expect(axesOf(program.mesh, communication?.atoms ?? barrier ?? [])).not.toContain('replicas')
        const readers = nodes.filter(({ inputs }) => inputs.includes(routers[0]?.id ?? ''))
        if (program.phase === 'prefill') expect(readers.length).toBe(routers.length)
        // An engine holds the whole model: what is more than one device holds, it holds once more.
        const all = replication(program, operators)
        const engine = planned(model, phases[program.phase] ?? { phase: 'prefill', batch: 12, seq: 5 }, {
          ...degrees,
          replicas: 1,
        })
        const one = replication(engine.program, engine.operators)
        expect(all.parameters).toBe(BigInt(replicas) * one.parameters)
        expect(all.flops).toBe(one.flops)
      }
    })

    test('ranks that need one another within a step begin it together', () => {
      for (const [phase, { program, operators }] of plans) {
        const id = `${phase}/lockstep`
        expect(nodesOf(program.items).some((node) => node.id === id)).toBe(inStep)
        if (inStep) expectLockstep(program, id)
        const steps = phase === 'decode' ? 3n : 1n
        const bare = { ...program, items: without(program.items, id) }
        for (const rank of ranksOf(program)) {
          const [having, lacking] = [measure(program, operators, { rank }), measure(bare, operators, { rank })]
          expect(having.nodes.control - lacking.nodes.control).toBe(inStep ? steps : 0n)
          expect([having.flops, having.bytesRead, having.bytesWritten]).toEqual([
            lacking.flops,
            lacking.bytesRead,
            lacking.bytesWritten,
          ])
        }
      }
    })
  },
)

const unstaged = engines.filter(([, degrees]) => !('pp' in degrees))
test.each(unstaged.map(([model, degrees]) => [named(model, degrees), model, degrees] as const))(
  '%s generates what one device does',
  (_, model, degrees) => {
    const prompts = promptsOf(model, 12, 4)
    const pool = { degrees }
    expect(generate(model, prompts, 3, { prefill: pool, decode: pool })).toEqual(generatePlainly(model, prompts, 3))
  },
)

/** The items without one node and whatever waits for it. */
function without(items: Program['items'], id: string): Program['items'] {
  return items.flatMap((item): Program['items'] => {
    if (item.id === id) return []
    if (item.type === 'node') {
      const after = item.after?.filter((each) => each !== id)
      const { after: _, ...rest } = item
      return [after?.length ? { ...rest, after } : rest]
    }
    return [{ ...item, bodies: item.bodies.map((body) => ({ ...body, items: without(body.items, id) })) }]
  })
}

/** Every node of a step comes behind the barrier of that step on all ranks of the engine, and of no other engine. */
function expectLockstep(program: Program, id: string): void {
  const ranks = ranksOf(program)
  const graph = unroll(program, { ranks })
  const stepOf = (node: number) => graph.iterationsOf(node).find(({ axis }) => axis === 'decode_step')?.iteration ?? 0
  const dp = program.mesh.axes.find(({ name }) => name === 'dp')?.atoms ?? []
  const behind: Set<string>[] = []
  for (let node = 0; node < graph.nodeCount; node++) {
    const own = new Set<string>()
    for (const source of graph.edgeSource.subarray(graph.edgeStart[node], graph.edgeStart[node + 1]))
      for (const each of behind[source] ?? []) own.add(each)
    const [rank, step] = [graph.rankOf(node), stepOf(node)]
    const name = graph.templates[graph.template[node] ?? 0]
    if (name?.id === id) own.add(`${rank}:${step}`)
    behind.push(own)
  }
  const engine = program.mesh.atoms.flatMap(({ name }) => (name.startsWith('replicas') ? [] : [name]))
  const group = (rank: number, atoms = dp) => groupOf(program.mesh, rank, atoms)
  for (let node = 0; node < graph.nodeCount; node++) {
    const [rank, step] = [graph.rankOf(node), stepOf(node)]
    const name = graph.templates[graph.template[node] ?? 0]
    if (name?.op === 'request_router') continue
    expect(behind[node]?.has(`${rank}:${step}`), `${name?.id} of rank ${rank} in step ${step}`).toBe(true)
    const members = [...(behind[node] ?? [])]
      .filter((each) => each.endsWith(`:${step}`))
      .map((each) => Number(each.split(':')[0]))
    expect(members.filter((member) => !group(rank, engine).includes(member))).toEqual([])
    // The last rank of a group is tied to all of the others.
    if (rank === group(rank).at(-1)) expect(members).toEqual(expect.arrayContaining(group(rank)))
  }
}

describe('replicas', () => {
  test('train nothing', () => {
    expect(() => planned(plain, { phase: 'training', batch: 12, seq: 5 }, { replicas: 2 })).toThrow(
      /`replicas` is 2, but engines behind a request router only serve/,
    )
  })
})
