import { composePlugins, corePasses, createMesh, dataTypes, lookup, type Phase, runPasses } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { type BuildOptions, buildProgram, findPreset, type ModelArchitecture, transformers } from '@shardloom/models'
import { communicationTable, measure } from '@shardloom/simulator'
import { type DataParallelOptions, dataParallel } from '@shardloom/strategy-dp'
import { describe, expect, it, test } from 'vitest'

/** The model of the runs that the figures below come from: two dense layers, 1448 parameters. */
const tiny: ModelArchitecture = {
  schema: 'shardloom.model/1',
  name: 'tiny',
  family: 'tiny',
  hidden: 8,
  vocab: 16,
  tiedEmbeddings: false,
  norm: { kind: 'rms', bias: false },
  layers: {
    layer: {
      attention: { kind: 'grouped', heads: 4, kvHeads: 2, headDim: 4, bias: { qkv: false, out: false }, rotary: true },
      ffn: { kind: 'dense', intermediate: 8, activation: 'swiglu', bias: false },
      residual: 'sequential',
      norms: 'pre',
    },
  },
  order: { runs: [{ layer: 'layer', count: 2 }] },
}
const parameters = 1448
const step: BuildOptions = { phase: 'training', batch: 12, seq: 8, microbatches: 4 }

function plan(dp: DataParallelOptions, degree: number, options: Partial<BuildOptions> = {}, model = tiny) {
  const { operators, passes, axes } = composePlugins([transformers(), dataParallel(dp)])
  const factors = axes
    .find(({ name }) => name === 'dp')
    ?.factors?.(
      degree,
      () => [],
      () => 1,
    )
  const mesh = createMesh([{ name: 'dp', degree, ...(factors && { factors }) }])
  const warnings: string[] = []
  const context = { operators, warn: (message: string) => warnings.push(message) }
  const program = runPasses(
    { ...buildProgram(model, { ...step, ...options }), mesh },
    [...passes, ...corePasses],
    context,
  )
  return { program, operators, warnings }
}

/** Elements of parameters and gradients that a rank sends in a step; single numbers, such as the loss, left out. */
function sent(dp: DataParallelOptions, degree: number): Record<string, number> {
  const { program, operators } = plan(dp, degree)
  const sums: Record<string, number> = {}
  for (const { nodes, op, axes, segment, region, count, bytesPerRank } of communicationTable(program, operators)) {
    const { dtype, shape } = lookup(program.tensors, nodes[0] ?? '')
    if (shape.length === 0) continue
    const key = `${op} over ${axes}, ${segment}${region.includes('microbatch') ? ' of each microbatch' : ''}`
    sums[key] = (sums[key] ?? 0) + (count * bytesPerRank) / dataTypes[dtype]
  }
  return sums
}

describe('elements that a rank sends in a step of four microbatches', () => {
  /** Executed on two ranks and counted there, for the same model: 2640 is without the embedding, which backward never reads. */
  test.each<[string, DataParallelOptions, Record<string, number>]>([
    ['without ZeRO', {}, { 'all-reduce over dp, optimizer': 1448 }],
    ['ZeRO-1', { zero: 1 }, { 'reduce-scatter over dp, optimizer': 724, 'all-gather over dp, optimizer': 724 }],
    [
      'ZeRO-2',
      { zero: 2 },
      { 'reduce-scatter over dp, backward of each microbatch': 2896, 'all-gather over dp, optimizer': 724 },
    ],
    [
      'ZeRO-3',
      { zero: 3 },
      {
        'all-gather over dp, forward of each microbatch': 2896,
        'all-gather over dp, backward of each microbatch': 2640,
        'reduce-scatter over dp, backward of each microbatch': 2896,
      },
    ],
    [
      'ZeRO-3, gathered parameters kept',
      { zero: 3, gather: 'keep' },
      {
        'all-gather over dp, forward of each microbatch': 2896,
        'reduce-scatter over dp, backward of each microbatch': 2896,
      },
    ],
    [
      'ZeRO-3, gathered once',
      { zero: 3, gather: 'step' },
      { 'all-gather over dp, forward': 724, 'reduce-scatter over dp, backward of each microbatch': 2896 },
    ],
    [
      'ZeRO-3, gathered and reduced once',
      { zero: 3, gather: 'step', reduce: 'step' },
      { 'all-gather over dp, forward': 724, 'reduce-scatter over dp, optimizer': 724 },
    ],
  ])('%s', (_, dp, expected) => {
    expect(sent(dp, 2)).toEqual(expected)
  })

  it('hybrid sharding is ZeRO-3 over shards, and an all-reduce of the shard over replicas', () => {
    const zero3 = {
      'all-gather over dp.1, forward of each microbatch': 2896,
      'all-gather over dp.1, backward of each microbatch': 2640,
      'reduce-scatter over dp.1, backward of each microbatch': 2896,
    }
    expect(sent({ zero: 3, dpReplicate: 2 }, 4)).toEqual({ ...zero3, 'all-reduce over dp.0, optimizer': 724 })
    // As FSDP2 does unless it is told not to.
    expect(sent({ zero: 3, dpReplicate: 2, reduce: 'microbatch' }, 4)).toEqual({
      ...zero3,
      'all-reduce over dp.0, backward of each microbatch': 4 * 724,
    })
  })

  it('of one microbatch is 2Ψ with stages 1 and 2, as without, and 3Ψ with stage 3 (Rajbhandari et al. 2020, section 7)', () => {
    const total = (zero: number) => {
      const { program, operators } = plan({ zero }, 4, { microbatches: 1 })
      const rows = communicationTable(program, operators).filter(({ payloadBytes }) => payloadBytes > 4)
      return rows.reduce((sum, { count, payloadBytes, bytesPerRank, nodes, op }) => {
        const size = dataTypes[lookup(program.tensors, nodes[0] ?? '').dtype]
        expect(bytesPerRank).toBe((payloadBytes * (op === 'all-reduce' ? 2 : 1) * 3) / 4)
        return sum + (count * payloadBytes * (op === 'all-reduce' ? 2 : 1)) / size
      }, 0)
    }
    expect([0, 1, 2].map(total)).toEqual([2 * parameters, 2 * parameters, 2 * parameters])
    // The embedding is not gathered for backward.
    expect(total(3)).toBe(3 * parameters - 16 * 8)
  })
})

describe('bytes that a rank stores', () => {
  const stored = (dp: DataParallelOptions, degree: number, options: Partial<BuildOptions> = {}) => {
    const { program, operators } = plan(dp, degree, options)
    const { parameterBytes, gradientBytes, optimizerBytes } = measure(program, operators)
    return [parameterBytes, gradientBytes, optimizerBytes].map((bytes) => Number(bytes) / parameters)
  }

  it.each([2, 4, 8])(
    'per parameter are those of the ZeRO paper (figure 1), N = %i, with half-precision gradients',
    (n) => {
      const half = { dtype: 'fp16', gradientDtype: 'fp16', batch: 8 } as const
      expect(stored({}, n, half)).toEqual([2, 2, 12])
      expect(stored({ zero: 1 }, n, half)).toEqual([2, 2, 12 / n])
      expect(stored({ zero: 2 }, n, half)).toEqual([2, 2 / n, 12 / n])
      expect(stored({ zero: 3 }, n, half)).toEqual([2 / n, 2 / n, 12 / n])
    },
  )

  it('per parameter are 18, or 6 + 12/d with the optimizer sharded over d (Korthikanti et al. 2022; Megatron-LM)', () => {
    const sum = (dp: DataParallelOptions, n: number) => stored(dp, n, { batch: 8 }).reduce((a, b) => a + b, 0)
    expect(sum({}, 2)).toBe(18)
    for (const n of [2, 4, 8]) expect(sum({ zero: 1 }, n)).toBe(6 + 12 / n)
    expect(sum({ zero: 1, dpReplicate: 2 }, 8)).toBe(6 + 12 / 4)
  })

  it('a parameter in single precision is its own master copy', () => {
    expect(stored({}, 2, { dtype: 'fp32' })).toEqual([4, 4, 8])
    expect(stored({ zero: 1 }, 2, { dtype: 'fp32' })).toEqual([4, 4, 4])
    expect(stored({ zero: 3 }, 2, { dtype: 'fp32' })).toEqual([2, 2, 4])
  })

  it('shares that nothing divides differ by little, and add up', () => {
    for (const zero of [1, 2, 3]) {
      const { program, operators } = plan({ zero }, 3)
      const ranks = [0, 1, 2].map((rank) => measure(program, operators, { rank }))
      const optimizer = ranks.map(({ optimizerBytes }) => Number(optimizerBytes))
      expect(optimizer.reduce((a, b) => a + b)).toBe(12 * parameters)
      expect(Math.max(...optimizer)).toBeLessThan((1.2 * 12 * parameters) / 3)
      const gradients = ranks.reduce((sum, { gradientBytes }) => sum + Number(gradientBytes), 0)
      expect(gradients).toBe((zero >= 2 ? 4 : 12) * parameters)
      const held = ranks.reduce((sum, each) => sum + Number(each.parameters), 0)
      expect(held).toBe((zero === 3 ? 1 : 3) * parameters)
      for (const { rule, violations } of verifyProgram(program, operators)) expect(violations, `${rule}`).toEqual([])
    }
  })
})

describe('options that cannot be meant', () => {
  const refused = (dp: DataParallelOptions, degree = 4, phase: Phase = 'training'): string => {
    try {
      plan(dp, degree, phase === 'training' ? {} : { phase, microbatches: 1 })
    } catch (error) {
      const { code, message, help } = error as { code: string; message: string; help: string } // a ShardloomError, or the test fails
      return `${code}: ${message} ${help}`
    }
    return 'nothing refused'
  }

  it.each<[DataParallelOptions, RegExp]>([
    [{ dpReplicate: 2 }, /^OPTION: `dpReplicate: 2` and `zero: 0` contradict each other.* Use `zero: 3`/],
    [{ zero: 2, gather: 'keep' }, /^OPTION: `gather: keep` and `zero: 2` .* `zero: 3`/],
    [{ reduce: 'shards' }, /^OPTION: `reduce: shards` and `zero: 0`/],
    [{ zero: 1, reduce: 'microbatch' }, /^OPTION: `reduce: microbatch` and `zero: 1` .* `zero: 2`/],
    [{ zero: 2, reduce: 'step' }, /^OPTION: `reduce: step` and `zero: 2` .* `zero: 1`/],
    [{ zero: 4 }, /^OPTION: `zero` is 4. Use 0, 1, 2 or 3./],
    [{ zero: 3, dpReplicate: 3 }, /^INDIVISIBLE: .*3 does not divide 4. Use dpReplicate 1, 2 or 4\./],
  ])('%j', (dp, message) => {
    expect(refused(dp)).toMatch(message)
  })

  it.each(['prefill', 'decode'] as const)('%s has nothing that ZeRO divides', (phase) => {
    expect(refused({ zero: 1 }, 4, phase)).toMatch(/^OPTION: `zero` is 1, but only training .* the phase is/)
  })

  it('says when there is nobody to divide with', () => {
    expect(plan({ zero: 2 }, 1).warnings).toEqual([expect.stringMatching(/`zero: 2` changes nothing: `dp` is 1/)])
    expect(plan({ zero: 2, dpReplicate: 2 }, 2).warnings).toEqual([expect.stringMatching(/each of the 2 replicas/)])
    expect(plan({ zero: 3 }, 2).warnings).toEqual([])
  })
})

it('plans a real mixture of experts with every stage, and verifies it', () => {
  for (const zero of [1, 2, 3]) {
    const { program, operators } = plan({ zero }, 4, { batch: 4, seq: 64 }, findPreset('tiny-moe'))
    for (const { rule, violations } of verifyProgram(program, operators)) expect(violations, `${rule}`).toEqual([])
  }
})

describe('the type in which gradients are summed over ranks', () => {
  /** Bytes of a gradient that a rank gives to its reductions, per element of a parameter and reduction. */
  const width = (dp: DataParallelOptions, options: Partial<BuildOptions> = {}) => {
    const { program, operators } = plan(dp, 2, options)
    const rows = communicationTable(program, operators).filter(
      ({ op, nodes }) => op !== 'all-gather' && lookup(program.tensors, nodes[0] ?? '').role === 'gradient',
    )
    const bytes = rows.reduce((sum, { payloadBytes, count }) => sum + payloadBytes * count, 0)
    return bytes / parameters / ((dp.zero ?? 0) >= 2 && dp.reduce !== 'step' ? 4 : 1)
  }

  it.each([0, 1, 2, 3])('ZeRO %i: that of the accumulator, four bytes, unless another is asked for', (zero) => {
    expect(width({ zero })).toBe(4)
    expect(width({ zero, reduceDtype: 'bf16' })).toBe(2)
    expect(width({ zero }, { gradientDtype: 'bf16' })).toBe(2)
  })

  it('is refused where there are no gradients', () => {
    expect(() => plan({ reduceDtype: 'bf16' }, 2, { phase: 'prefill' })).toThrow(/only training has gradients/)
  })

  it('warns where nothing is reduced', () => {
    expect(plan({ reduceDtype: 'bf16' }, 1).warnings).toEqual([
      '`reduceDtype: bf16` changes nothing: no gradient is reduced over ranks',
    ])
  })
})
