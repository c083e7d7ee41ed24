import { composePlugins, corePasses, createMesh, dimSizesOf, isShardloomError, runPasses } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { buildProgram, findPreset, transformers } from '@shardloom/models'
import { measure } from '@shardloom/simulator'
import { tensorParallel } from '@shardloom/strategy-tp'
import { describe, expect, it } from 'vitest'

const { operators, passes, axes } = composePlugins([transformers(), tensorParallel()])

function plan(model: string, degree: number, uneven: 'refuse' | 'ragged' = 'refuse') {
  const built = buildProgram(findPreset(model), { phase: 'training', batch: 1, seq: 8 })
  const factors = axes[0]?.factors?.(
    degree,
    (dim) => dimSizesOf(built, dim),
    () => 1,
  ) ?? [degree]
  const mesh = createMesh([{ name: 'tp', degree, factors }])
  return runPasses({ ...built, mesh, uneven }, [...passes, ...corePasses], { operators, warn: () => {} })
}

function refusal(model: string, degree: number): string {
  try {
    plan(model, degree)
  } catch (error) {
    if (isShardloomError(error)) return `${error.code} ${error.message} ${error.help}`
  }
  return ''
}

describe('a degree that does not divide', () => {
  it('names the heads and the degrees that divide heads, ffn and vocab', () => {
    expect(refusal('llama-3.1-8b', 3)).toBe(
      'INDIVISIBLE Cannot split 32 query heads (8 KV heads) over axis `tp` (degree 3): 3 does not divide it. Use 1, 2, 4, 8, 16 or 32, or set `uneven: ragged` to let shares differ by one.',
    )
    expect(refusal('llama-3.1-8b', 64)).toContain('Use 1, 2, 4, 8, 16 or 32')
  })

  it('names the vocabulary where that is what stops it: 50,257 = 29 · 1733', () => {
    expect(refusal('gpt2', 2)).toMatch(/`vocab` \(50257\).*No degree above 1/)
  })

  it('splits with shares that differ by one when told to, and counts every element once per rank', () => {
    for (const [model, degree] of [
      ['gpt2', 2],
      ['gpt2', 5],
      ['llama-3.1-8b', 3],
      ['llama-3.1-8b', 16],
      ['tiny', 3],
    ] as const) {
      const program = plan(model, degree, 'ragged')
      for (const report of verifyProgram(program, operators))
        expect(report.violations, `${model} ${degree}`).toEqual([])
      const flops = Array.from({ length: degree }, (_, rank) => measure(program, operators, { rank }).flopsByClass.head)
      const one = measure(plan(model, 1), operators).flopsByClass.head
      expect(
        flops.reduce((sum, each) => sum + each, 0n),
        model,
      ).toBe(one)
    }
  })
})

it('a ragged split leaves no rank without heads where there are enough (8 KV heads, 32 heads on 12 ranks)', () => {
  const program = plan('llama-3.1-8b', 12, 'ragged')
  for (let rank = 0; rank < 12; rank++) {
    expect(measure(program, operators, { rank }).flopsByClass.attention).toBeGreaterThan(0n)
  }
})

describe('fewer KV heads than ranks', () => {
  it('replicates keys and values, and counts the copies (Llama 3.1 8B: 8 KV heads on 32 ranks)', () => {
    const whole = measure(plan('llama-3.1-8b', 1), operators).parameters
    const all = Array.from(
      { length: 32 },
      (_, rank) => measure(plan('llama-3.1-8b', 32), operators, { rank }).parameters,
    )
    const norms = 65n * 4096n // two per layer and the final one, on every rank
    const keysAndValues = 32n * 2n * 4096n * 8n * 128n // on 4 ranks each
    expect(all.reduce((sum, each) => sum + each, 0n)).toBe(whole + 31n * norms + 3n * keysAndValues)
  })
})
