import { composePlugins, corePasses, createMesh, isShardloomError, runPasses, type Selector } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { type BuildOptions, buildProgram, countParameters, findPreset, transformers } from '@shardloom/models'
import { communicationTable, measure } from '@shardloom/simulator'
import { dataParallel } from '@shardloom/strategy-dp'
import { describe, expect, it } from 'vitest'

function plan(model: string, degree: number, options: BuildOptions, where?: Selector) {
  const { operators, passes } = composePlugins([transformers(), dataParallel(where && { where })])
  const mesh = createMesh([{ name: 'dp', degree }])
  const built = buildProgram(findPreset(model), options)
  const program = runPasses({ ...built, mesh }, [...passes, ...corePasses], { operators, warn: () => {} })
  return { program, operators, table: communicationTable(program, operators) }
}

describe('inference', () => {
  it('communicates nothing: replicas share no token', () => {
    for (const phase of ['prefill', 'decode'] as const) {
      for (const model of ['llama-3.1-8b', 'mixtral-8x7b', 'deepseek-v3']) {
        expect(plan(model, 4, { phase, batch: 8, seq: 64 }).table, model).toEqual([])
      }
    }
  })
})

describe('training', () => {
  /** A ring all-reduce sends 2S(n−1)/n bytes; the gradients of all parameters are reduced once per step. */
  it.each(['fp32', 'bf16'] as const)(
    'reduces each gradient once per step, however many microbatches, in %s',
    (gradientDtype) => {
      const bytes = gradientDtype === 'fp32' ? 4 : 2
      for (const microbatches of [1, 8]) {
        const { table } = plan('llama-3.1-8b', 4, { phase: 'training', batch: 4, microbatches, seq: 64, gradientDtype })
        const sent = table
          .filter((row) => row.reason.tensor !== 'loss')
          .reduce((sum, row) => sum + row.count * row.bytesPerRank, 0)
        expect(sent).toBe((2 * countParameters(findPreset('llama-3.1-8b')).total * bytes * 3) / 4)
      }
    },
  )

  it('a tied table has one gradient, from the embedding and the head together', () => {
    const { table } = plan('gpt2', 2, { phase: 'training', batch: 2, seq: 64, gradientDtype: 'bf16' })
    const tables = table.filter((row) => row.payloadBytes === 50257 * 768 * 2)
    expect(tables.map((row) => row.count)).toEqual([1])
  })

  it('learned positions are reduced once per step too, in the gradient type', () => {
    const { table } = plan('gpt2', 2, { phase: 'training', batch: 2, microbatches: 4, seq: 1024 })
    const inside = table.filter((row) => row.region.includes('microbatch'))
    expect(inside).toEqual([])
    const positions = table.filter((row) => row.reason.tensor === 'gradient/embedding/positions')
    expect(positions.map((row) => [row.count, row.payloadBytes])).toEqual([[1, 1024 * 768 * 4]])
  })

  it('each rank does its share of the FLOPs of one device, except the optimizer, which repeats', () => {
    const options = { phase: 'training', batch: 4, seq: 32 } as const
    const { program, operators } = plan('tiny', 4, options)
    const one = measure(plan('tiny', 1, options).program, operators).flopsByClass
    const rank = measure(program, operators).flopsByClass
    for (const name of ['linear', 'attention', 'head'] as const) expect(4n * rank[name]).toBe(one[name])
  })

  it('verifies, and refuses a batch that it cannot split by naming what would work', () => {
    const { program, operators } = plan('tiny-moe', 3, { phase: 'training', batch: 6, seq: 16 })
    for (const report of verifyProgram(program, operators)) expect(report.violations, report.name).toEqual([])
    try {
      plan('tiny', 4, { phase: 'training', batch: 6, seq: 16 })
      expect.unreachable()
    } catch (error) {
      expect(isShardloomError(error) && `${error.code} ${error.help}`).toMatch(/^INDIVISIBLE Use 1, 2, 3 or 6/)
    }
  })

  it('`where` limits it: what is not selected sees the whole batch', () => {
    const { table } = plan(
      'tiny',
      2,
      { phase: 'prefill', batch: 2, seq: 16 },
      { module: ['attention', 'embedding', 'head'] },
    )
    expect(table.map((row) => row.op)).toContain('all-gather')
  })
})
