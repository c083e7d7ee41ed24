import { isShardloomError } from '@shardloom/core'
import { findPreset, type ModelArchitecture } from '@shardloom/models'
import type { SequenceParallelOptions } from '@shardloom/strategy-sp'
import { describe, expect, it } from 'vitest'
import { grouped, latent, planned } from './prototype.js'

function refusal(
  model: ModelArchitecture | string,
  degrees: Readonly<Record<string, number>>,
  options: SequenceParallelOptions = {},
  phase: 'training' | 'prefill' | 'decode' = 'training',
): string {
  try {
    planned(typeof model === 'string' ? findPreset(model) : model, degrees, options, phase)
  } catch (error) {
    if (isShardloomError(error)) return `${error.code} ${error.message} ${error.help}`
  }
  return ''
}

describe('what contradicts itself', () => {
  it('the sequence on the ranks of tp, without such ranks', () => {
    expect(refusal(grouped(2), { cp: 2 }, { tensorRanks: true })).toMatch(/^CONFLICT `sequenceParallel` .* `tp` is 1\./)
    expect(refusal(grouped(2), { tp: 2 }, { tensorRanks: true })).toBe('')
  })

  it.each([
    [{ cp: 2 }, {}, 'axis `cp`'],
    [{ ulysses: 2 }, {}, 'axis `ulysses`'],
    [{ tp: 2 }, { tensorRanks: true }, '`sequenceParallel`'],
  ])('%j %j while decoding', (degrees, options, what) => {
    expect(refusal(grouped(2), degrees, options, 'decode')).toContain(
      `CONFLICT ${what} splits the sequence, but in decode a step has one position.`,
    )
  })
})

describe('heads that `ulysses` does not divide', () => {
  it('names the degrees that would, and what cp can take', () => {
    // Llama 3.1 8B: 8 KV heads of 4 query heads.
    expect(refusal('llama-3.1-8b', { ulysses: 64 })).toBe(
      'INDIVISIBLE Cannot split 32 query heads (8 KV heads) over axis `ulysses` (degree 64): 64 does not divide them. Use 1, 2, 4, 8, 16 or 32, and `cp` for the rest, for example `ulysses` 32 and `cp` 2.',
    )
    expect(refusal('llama-3.1-8b', { ulysses: 3 })).toMatch(/`cp` for the rest\.$/)
  })

  it('counts what tp has taken', () => {
    expect(refusal('llama-3.1-8b', { tp: 8, ulysses: 8 })).toContain(
      'Cannot split 4 query heads (1 KV heads), what `tp` 8 leaves, over axis `ulysses` (degree 8)',
    )
    expect(refusal('llama-3.1-8b', { tp: 8, ulysses: 8 })).toContain('Use 1, 2 or 4, and `cp` for the rest')
  })

  it('latent attention has no groups: two heads are two ranks', () => {
    expect(refusal(latent, { ulysses: 4 })).toContain('Cannot split 2 heads over axis `ulysses` (degree 4)')
    expect(refusal(latent, { tp: 2, ulysses: 2 })).toContain('Cannot split 1 heads, what `tp` 2 leaves,')
  })

  it('every degree that it names works, and no other up to 40', () => {
    for (const [model, tp] of [
      ['llama-3.1-8b', 1],
      ['llama-3.1-8b', 4],
      ['llama-3.1-8b', 16],
    ] as const) {
      const named = /Use ([\d, or]+), and/
        .exec(refusal(model, { tp, ulysses: 37 }))?.[1]
        ?.match(/\d+/g)
        ?.map(Number)
      for (let degree = 1; degree <= 40; degree++)
        expect(refusal(model, { tp, ulysses: degree }).includes('query heads'), `${tp} ${degree}`).toBe(
          !named?.includes(degree),
        )
    }
  })
})

describe('a KV cache that `dcp` cannot split', () => {
  const decode = (model: ModelArchitecture | string, degrees: Readonly<Record<string, number>>) =>
    refusal(model, degrees, {}, 'decode')

  it.each(['training', 'prefill'] as const)('in %s there is none', (phase) => {
    expect(refusal('llama-3.1-8b', { tp: 16, dcp: 2 }, {}, phase)).toBe(
      `CONFLICT Axis \`dcp\` splits the KV cache that decoding reads, but the phase is ${phase}. Leave \`dcp\` out, or set \`phase: decode\`. Elsewhere \`cp\` splits the sequence.`,
    )
  })

  // A serving engine takes dcp up to tp / KV heads: more would split what is there once.
  it('names the copies that there are, and every degree that it names works', () => {
    for (const [model, tp, copies] of [
      ['llama-3.1-8b', 32, 4],
      ['llama-3.1-8b', 16, 2],
      ['qwen3-235b-a22b', 8, 2],
      ['deepseek-v3', 8, 8],
    ] as const) {
      for (const dcp of [2, 4, 8, 16].filter((each) => tp % each === 0)) {
        const answer = decode(model, { tp, dcp })
        expect(answer === '', `${model} tp ${tp} dcp ${dcp}`).toBe(copies % dcp === 0)
        if (answer) expect(answer).toContain(`hold ${copies} copies of the KV cache. Use `)
      }
    }
    expect(decode('llama-3.1-8b', { tp: 8, dcp: 2 })).toContain(
      'Leave `dcp` out: each rank has KV heads of its own. It pays where `tp` exceeds the KV heads (8).',
    )
  })
})
