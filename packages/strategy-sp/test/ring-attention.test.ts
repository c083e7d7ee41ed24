import { nodesOf, type Program, regionsOf } from '@shardloom/core'
import { unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import { communicationTable, measure } from '@shardloom/simulator'
import { type SequenceParallelOptions, sequenceParallel } from '@shardloom/strategy-sp'
import { checkPass } from '@shardloom/testing'
import { describe, expect, it } from 'vitest'
import { dense, grouped, layerOf, modelOf } from '../../../test/proof/architectures.js'
import { and } from '../../../test/proof/strategies.js'
import { planned, ranksOf } from '../../core/test/planned.js'
import { ringAttention } from '../src/ring-attention.js'

const [batch, seq, kvHeads, headDim, layers, microbatches] = [2, 24, 2, 4, 2, 3]
const model = modelOf('two layers', { layer: layerOf(grouped, dense) })
const build = { phase: 'training', batch, seq, microbatches } as const
const plan = (degrees: Readonly<Record<string, number>>, options: SequenceParallelOptions, more: object = {}) =>
  planned(model, { ...build, ...more }, degrees, and(sequenceParallel(options)))

const operatorCounts = (program: Program) => {
  const counts = new Map<string, number>()
  for (const { op } of nodesOf(program.items)) counts.set(op, (counts.get(op) ?? 0) + 1)
  return counts
}

/** Bytes of the keys, or of the values, of one microbatch in bf16. */
const whole = batch * seq * kvHeads * headDim * 2

describe.each([2, 3, 4])('a ring of %i', (n) => {
  const { program, operators } = plan({ cp: n }, { attention: 'ring' })
  const table = communicationTable(program, operators).filter(({ region }) => region === 'microbatch/layer/ring_step')
  const sends = (segment: string) => table.filter((row) => row.op === 'send' && row.segment === segment)

  it('hops n − 1 times forward; n − 1 times, and n times with gradients, backward (Liu et al. 2023, section 3)', () => {
    const runs = layers * microbatches
    const pair = 2
    expect(sends('forward').reduce((sum, { count }) => sum + count, 0)).toBe(pair * (n - 1) * runs)
    expect(sends('backward').reduce((sum, { count }) => sum + count, 0)).toBe(pair * (n - 1 + n) * runs)
    const recvs = table.filter(({ op }) => op === 'recv')
    expect(recvs.reduce((sum, { count }) => sum + count, 0)).toBe(pair * (3 * n - 2) * runs)
  })

  it('moves the block that a rank holds in each hop: together what the all-gather moves, (n − 1)/n · S', () => {
    for (const row of sends('forward')) expect([row.payloadBytes, row.bytesPerRank]).toEqual([whole / n, whole / n])
    const gathered = plan({ cp: n }, { attention: 'gather' })
    const rows = communicationTable(gathered.program, gathered.operators)
    const bytes = (list: typeof rows) => list.reduce((sum, { count, bytesPerRank }) => sum + count * bytesPerRank, 0)
    const gathers = rows.filter(({ op, segment, region }) => {
      return op === 'all-gather' && segment === 'forward' && region === 'microbatch/layer'
    })
    expect(bytes(sends('forward'))).toBe(bytes(gathers))
    expect(bytes(gathers)).toBe(((n - 1) / n) * whole * 2 * layers * microbatches)
    // Backward: keys and values again, and their gradients all the way round.
    expect(bytes(sends('backward'))).toBe(((n - 1) / n + 1) * whole * 2 * layers * microbatches)
    expect(
      communicationTable(program, operators).some(({ op }) => op === 'all-gather' || op === 'reduce-scatter'),
    ).toBe(false)
  })

  it('computes as many FLOPs of attention as one device, whole or halved, flash or not', () => {
    for (const causal of ['whole', 'halved']) {
      for (const attention of ['flash', 'materialised']) {
        const total = (degrees: Readonly<Record<string, number>>, options: SequenceParallelOptions) => {
          const made = plan(degrees, options, { causal, attention })
          const ranks = ranksOf(made.program).map((rank) => measure(made.program, made.operators, { rank }))
          return ranks.reduce((sum, { flopsByClass }) => sum + flopsByClass.attention, 0n)
        }
        expect(total({ cp: n }, { attention: 'ring' }), `${causal} ${attention}`).toBe(total({}, {}))
      }
    }
  })

  it('is rolled: as many nodes for any degree', () => {
    const two = plan({ cp: 2 }, { attention: 'ring' })
    expect([...operatorCounts(program)]).toEqual([...operatorCounts(two.program)])
    for (const { extent, bodies } of regionsOf(program.items).filter(({ axis }) => axis === 'ring_step'))
      expect([extent, bodies.map(({ name }) => name)]).toEqual([n, ['pass', 'last']])
  })

  it('keeps the rules of the verifier, and unrolls with each recv behind the send of the rank before it', () => {
    expect(verifyProgram(program, operators).flatMap(({ violations }) => violations)).toEqual([])
    const one = unroll(program)
    const { nodes, edges } = measure(program, operators)
    expect(BigInt(one.nodeCount)).toBe(nodes.compute + nodes.communication + nodes.control + nodes.memory)
    const kinds = [0n, 0n, 0n]
    for (const kind of one.edgeKind) kinds[kind] = (kinds[kind] ?? 0n) + 1n
    expect(kinds[0]).toBe(edges.data)
    const graph = unroll(program, { ranks: ranksOf(program) })
    let recvs = 0
    for (let node = 0; node < graph.nodeCount; node++) {
      if (graph.templates[graph.template[node] ?? 0]?.op !== 'recv') continue
      recvs++
      const sources = graph.edgeSource.subarray(graph.edgeStart[node], graph.edgeStart[node + 1])
      expect([...sources].map((source) => graph.rankOf(source))).toEqual([(graph.rankOf(node) - 1 + n) % n])
      expect([...graph.edgeKind.subarray(graph.edgeStart[node], graph.edgeStart[node + 1])]).toEqual([2])
      expect(graph.idOf(sources[0] ?? 0)).toBe(graph.idOf(node).replace('/recv', '/send'))
    }
    expect(recvs).toBe(n * 2 * (3 * n - 2) * layers * microbatches)
  })
})

it('keeps the laws of a pass', () => {
  const fixtures = [{ cp: 2 }, { cp: 3, tp: 2 }].map((degrees) => {
    return { name: JSON.stringify(degrees), before: plan(degrees, {}).program }
  })
  const { operators } = plan({ cp: 2 }, {})
  for (const { changed, laws } of checkPass(ringAttention, fixtures, { operators })) {
    expect(changed).toBe(true)
    expect(laws).toContain('verifies')
  }
  const alone = plan({ dp: 2 }, {}).program
  expect(ringAttention.run(alone, { operators, warn: () => {} })).toBe(alone)
})

it('a sequence that the ring cannot divide is refused with what would work', () => {
  const ragged = { uneven: 'ragged' as const, ...and(sequenceParallel({ attention: 'ring' })) }
  expect(() => planned(model, { ...build, seq: 25 }, { cp: 3 }, ragged)).toThrow(
    expect.objectContaining({ code: 'INDIVISIBLE', help: expect.stringContaining('that 3 divides') }),
  )
})
