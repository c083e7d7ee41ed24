import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { definitionOf, type Json, type OperatorNode, operatorTable, parseRule } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { fromHuggingFace } from '../src/huggingface/index.js'
import { expertOperators } from '../src/operators/experts.js'

/** Runs the router for one token. */
function route(
  logits: readonly number[],
  topK: number,
  attributes: Record<string, Json>,
  correction?: readonly number[],
) {
  const rule = `batch seq experts!${correction ? ', experts!' : ''} -> batch seq topk!, batch seq topk!`
  const node = { id: 'choose', op: 'router', kind: 'control', rule, attributes } as unknown as OperatorNode // what is read
  const sizes: Readonly<Record<string, number>> = { batch: 1, seq: 1, experts: logits.length, topk: topK }
  const { execute } = definitionOf(node, operatorTable(expertOperators))
  const operands = [logits, ...(correction ? [correction] : [])].map((values) => Float64Array.from(values))
  const [weights, indices] =
    (execute?.(operands, {
      node,
      rule: parseRule(rule),
      size: (dim) => sizes[dim] ?? 1,
      extent: (dim) => sizes[dim] ?? 1,
      positions: () => new Int32Array(),
      iteration: () => 0,
    }) as [Float64Array, Float64Array] | undefined) ?? [] // the kernel's two results
  return { weights: [...(weights ?? [])], indices: [...(indices ?? [])] }
}

const logit = (share: number) => Math.log(share / (1 - share))

describe('routing limited by groups', () => {
  // Two groups of four. The best expert of all stands in the second; the two best of the first have the larger sum.
  const shares = [0.7, 0.6, 0.1, 0.2, 0.9, 0.1, 0.15, 0.2]
  const logits = shares.map(logit)

  it('with a correction ranks groups by their two largest corrected scores (DeepSeek-V3, section 2.1.2)', () => {
    const none = shares.map(() => 0)
    const grouped = { score: 'sigmoid', groups: 2, groupTopK: 1 }
    expect(route(logits, 2, { score: 'sigmoid' }, none).indices).toEqual([4, 0])
    const { indices, weights } = route(logits, 2, grouped, none)
    expect(indices).toEqual([0, 1]) // 0.7 + 0.6 against 0.9 + 0.2
    expect(weights[0]).toBeCloseTo(0.7 / 1.3, 12)
    // A correction moves the choice of groups and of experts, and no weight: 0.7 + 0.6 against 0.9 + (0.1 + 0.35).
    const corrected = route(logits, 2, grouped, [0, 0, 0, 0, 0, 0.35, 0, 0])
    expect(corrected.indices).toEqual([4, 5])
    expect(corrected.weights[1]).toBeCloseTo(0.1 / (0.9 + 0.1), 12)
  })

  it('without a correction ranks groups by their largest score (DeepSeek-V2, section 2.2.2)', () => {
    expect(route(logits, 2, { score: 'softmax', groups: 2, groupTopK: 1 }).indices).toEqual([4, 7])
  })

  it('chooses among all experts of the chosen groups', () => {
    const attributes = { score: 'softmax', groups: 4, groupTopK: 2 }
    expect(route([5, 1, 4, 3, 0, 0, 2, 6], 3, attributes).indices).toEqual([7, 0, 6]) // not expert 2, of the third group
  })
})

describe('weights', () => {
  const logits = [Math.log(5), Math.log(3), Math.log(2)]
  it('are a softmax over the chosen experts, or over all of them when they are not normalised', () => {
    expect(route(logits, 2, { score: 'softmax' }).weights.map((each) => each.toFixed(9))).toEqual(
      [5 / 8, 3 / 8].map((each) => each.toFixed(9)),
    )
    const { weights } = route(logits, 2, { score: 'softmax', normalised: false, scale: 16 })
    expect(weights[0]).toBeCloseTo(16 * 0.5, 12)
    expect(weights[1]).toBeCloseTo(16 * 0.3, 12)
  })
  it('are the sigmoids themselves when they are not normalised', () => {
    const { weights } = route([logit(0.9), logit(0.5), logit(0.1)], 2, {
      score: 'sigmoid',
      normalised: false,
      scale: 2,
    })
    expect(weights[0]).toBeCloseTo(1.8, 12)
    expect(weights[1]).toBeCloseTo(1, 12)
  })
})

const folder = process.env['SHARDLOOM_REFERENCE']

describe.skipIf(!folder)('routers as the published configs say', () => {
  const routerOf = (file: string) => {
    const { layers } = fromHuggingFace(JSON.parse(readFileSync(join(folder ?? '', 'models', `${file}.json`), 'utf8')))
    const ffns = Object.values(layers).map(({ ffn }) => ffn)
    const moe = ffns.find((ffn) => ffn.kind === 'moe')
    return moe && { groups: moe.groups, normalised: moe.normalised, scale: moe.scale }
  }
  it.each([
    ['deepseek-ai--DeepSeek-V3', { groups: { count: 8, topK: 4 }, scale: 2.5 }],
    ['deepseek-ai--DeepSeek-V2.5', { groups: { count: 8, topK: 3 }, normalised: false, scale: 16 }],
    ['deepseek-ai--DeepSeek-V2-Lite', { normalised: false }], // topk_method greedy
    ['moonshotai--Kimi-K2-Instruct', { scale: 2.827 }], // one group
    ['allenai--OLMoE-1B-7B-0924', { normalised: false }],
    ['Qwen--Qwen1.5-MoE-A2.7B', { normalised: false }],
    ['Qwen--Qwen3-30B-A3B', {}],
    ['mistralai--Mixtral-8x7B-v0.1', {}],
  ])('%s', (file, router) => {
    expect(routerOf(file)).toEqual(router)
  })
})

describe('groups that contradict each other are refused', () => {
  const config = { model_type: 'deepseek_v3', n_routed_experts: 8, num_experts_per_tok: 4, moe_intermediate_size: 8 }
  const shape = {
    hidden_size: 8,
    vocab_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    first_k_dense_replace: 0,
  }
  const latent = { kv_lora_rank: 4, qk_nope_head_dim: 2, qk_rope_head_dim: 2, v_head_dim: 2, n_shared_experts: 0 }
  it.each([
    [{ n_group: 3, topk_group: 1 }, /^n_group is 3, which does not divide 8 experts/],
    [{ n_group: 2, topk_group: 3 }, /^topk_group is 3, but n_group is 2/],
    [{ n_group: 4, topk_group: 1 }, /^topk_group is 1, whose experts are fewer than 4/],
    [{ routed_scaling_factor: 0 }, /^routed_scaling_factor is 0, not a number above 0/],
  ])('%j', (groups, message) => {
    expect(() => fromHuggingFace({ ...config, ...shape, ...latent, ...groups })).toThrow(message)
  })
})
