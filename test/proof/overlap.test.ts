import { nodesOf, type OperatorNode } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { communicationTable, measure } from '@shardloom/simulator'
import { sequenceParallel } from '@shardloom/strategy-sp'
import { describe, expect, test } from 'vitest'
import { type PlannedOptions, planned } from '../../packages/core/test/planned.js'
import { architectures, dense, experts, grouped, latent, layerOf, modelOf } from './architectures.js'
import { covered } from './covering.js'
import { phases, prove } from './prove.js'
import { and } from './strategies.js'

const alone = { tp: {} }
const sequence = { tp: {}, ...and(sequenceParallel({ tensorRanks: true })) }
const inParts = (parts: number, options: PlannedOptions): PlannedOptions => ({ ...options, tp: { overlap: parts } })
const training = { ...phases.training, batch: 12, seq: 12 }

const ways = [
  ['training', training, { tp: 2, dp: 2 }, 3, alone],
  ['training, the sequence on tensor ranks', { ...training, batch: 2 }, { tp: 3 }, 4, sequence],
  ['training, the sequence on tensor ranks', { ...training, batch: 4 }, { dp: 2, tp: 4 }, 3, sequence],
  ['prefill, the sequence on tensor ranks', { ...phases.prefill, batch: 1, seq: 12 }, { tp: 2 }, 3, sequence],
  ['decode', phases.decode, { dp: 2, tp: 2 }, 3, alone],
] as const

describe.each(architectures.map((model, place) => [model.name, model, place] as const))(
  '%s in parts',
  (_, model, place) => {
    test.each(covered(3, ways, place))('%s, %#, is one device', (_name, build, degrees, parts, options) => {
      const { program, operators } = prove(model, build, degrees, inParts(parts, options))
      for (const rule of verifyProgram(program, operators)) expect(rule.violations).toEqual([])
      const whole = planned(model, build, degrees, options)
      for (let rank = 0; rank < program.mesh.world; rank++) {
        expect(measure(program, operators, { rank }).flops).toBe(measure(whole.program, operators, { rank }).flops)
        const sent = (each: typeof program) =>
          communicationTable(each, operators, { rank }).reduce((sum, row) => sum + row.count * row.bytesPerRank, 0)
        expect(sent(program)).toBeCloseTo(sent(whole.program), 6)
      }
      expect(nodesOf(program.items).some(({ op }) => op === 'concatenate')).toBe(true)
    })
  },
)

describe('parts beside other options', () => {
  const model = modelOf('mixed', { dense: layerOf(grouped, dense), moe: layerOf(latent, experts) })
  test.each([
    ['experts on other ranks', { ...training, batch: 8 }, { dp: 2, tp: 2, expertDp: 1, ep: 4 }, {}],
    ['experts on tensor ranks', training, { tp: 4, expertDp: 1, ep: 2, expertTp: 2 }, {}],
    ['sharded parameters and buckets', training, { dp: 2, tp: 3 }, { dp: { zero: 3, bucket: 64 } }],
    ['recomputation', training, { tp: 2 }, { models: { recompute: 'full' } }],
    ['offload that waits for what is divided', training, { tp: 2 }, { models: { offload: { prefetch: 0 } } }],
  ] as const)('%s', (_name, build, degrees, options) => {
    for (const base of 'expertTp' in degrees ? [alone] : [alone, sequence]) {
      const { program, operators } = prove(model, build, degrees, { ...options, ...inParts(3, base) })
      for (const rule of verifyProgram(program, operators)) expect(rule.violations).toEqual([])
    }
  })
})

describe('a layer of two matmuls beside each of its collectives', () => {
  const model = modelOf('plain', { layer: layerOf({ ...grouped, kvHeads: 12 }, dense) })
  const plan = (build: Parameters<typeof planned>[1], options: PlannedOptions) =>
    planned(model, build, { tp: 2 }, options)
  const prefill = { ...phases.prefill, batch: 4, seq: 8 }

  test('communicates in parts, each behind its own matmul alone', () => {
    for (const [parts, options] of [
      [2, alone],
      [4, alone],
      [4, sequence],
    ] as const) {
      const { program, operators } = plan(prefill, inParts(parts, options))
      const nodes = nodesOf(program.items)
      const makers = new Map(nodes.flatMap((node) => node.outputs.map((id) => [id, node] as const)))
      const behind = (node: OperatorNode, seen = new Set<OperatorNode>()): Set<OperatorNode> => {
        const all = [
          ...node.inputs.map((id) => makers.get(id)),
          ...(node.after ?? []).map((id) => nodes.find((each) => each.id === id)),
        ]
        for (const each of all)
          if (each && !seen.has(each)) {
            seen.add(each)
            behind(each, seen)
          }
        return seen
      }
      for (const name of ['attention/out', 'ffn/down']) {
        const matmuls = nodes.filter(({ id }) => id.startsWith(`prefill/layer/${name}/part`))
        expect(matmuls).toHaveLength(parts)
        const collectives = nodes.filter(({ communication }) =>
          matmuls.some(({ id }) => communication?.reason.producer === id),
        )
        expect(collectives).toHaveLength(parts)
        collectives.forEach((collective, index) => {
          const waits = behind(collective)
          expect(matmuls.map((matmul) => waits.has(matmul))).toEqual(matmuls.map((_, at) => at === index))
          for (const [at, matmul] of matmuls.entries()) expect(behind(matmul).has(collective), `${at}`).toBe(false)
        })
      }
      const rows = (each: typeof program) =>
        communicationTable(each, operators).filter(({ region, op }) => region === 'layer' && op !== 'all-to-all')
      const whole = plan(prefill, options).program
      const sum = (list: ReturnType<typeof rows>, field: 'count' | 'payloadBytes') =>
        list.reduce((total, row) => total + (field === 'count' ? row.count : row.payloadBytes * row.count), 0)
      expect(sum(rows(program), 'count')).toBe(parts * sum(rows(whole), 'count'))
      expect(sum(rows(program), 'payloadBytes')).toBe(sum(rows(whole), 'payloadBytes'))
    }
  })

  test('matmuls read their weights once per part, and what they multiply them with once in all', () => {
    const read = (options: PlannedOptions) => {
      const { program, operators } = plan(prefill, options)
      return measure(program, operators)
    }
    const [whole, parts] = [read(alone), read(inParts(4, alone))]
    // Output and down projection of two layers in bf16, halves of them on a rank: 12 heads of 4 and a width of 12, by 8.
    const weights = 2n * 2n * ((12n * 4n * 8n) / 2n + (12n * 8n) / 2n)
    expect(parts.bytesRead - whole.bytesRead).toBe(3n * weights)
    expect(parts.bytesWritten).toBe(whole.bytesWritten)
    expect(parts.parameters).toBe(whole.parameters)
  })
})

describe('overlap that is refused', () => {
  const model = modelOf('plain', { layer: layerOf(grouped, dense) })
  const refusal = (build: Parameters<typeof planned>[1], degrees: Record<string, number>, overlap: number) => {
    try {
      planned(model, build, degrees, { tp: { overlap } })
    } catch (error) {
      const { code, message, help } = error as { code: string; message: string; help: string } // a ShardloomError
      return `${code} ${message} ${help}`
    }
    return ''
  }

  test('says which numbers of parts work', () => {
    const text = refusal({ ...phases.prefill, batch: 6, seq: 9 }, { tp: 2 }, 4)
    expect(text).toContain('into 4 parts: a rank has 6 of dim `batch` and 9 of dim `seq`')
    expect(text).toContain('Use `overlap: 2, 3, 6 or 9`')
    expect(refusal({ ...phases.prefill, batch: 6, seq: 9 }, { tp: 2 }, 2 ** 40)).toContain(
      'Use `overlap: 2, 3, 6 or 9`',
    )
  })

  test('says when it would change nothing', () => {
    expect(refusal(phases.prefill, {}, 2)).toMatch(/^OPTION `overlap: 2` changes nothing: `tp` is 1/)
    expect(refusal(phases.prefill, { dp: 2 }, 2)).toMatch(/`tp` is 1/)
    const halves = () =>
      planned(model, phases.prefill, { tp: 2 }, { models: { interleave: 'all' }, tp: { overlap: 2 } })
    expect(halves).toThrow(/changes nothing: .* matmul that is not divided already/)
    for (const parts of [1, 0, 2.5]) expect(refusal(phases.prefill, { tp: 2 }, parts)).toMatch(/^OPTION `overlap` is /)
  })
})
