import type { ModelArchitecture } from '../architecture.js'
import { uniformModel } from './uniform-model.js'

interface GptShape {
  readonly name: string
  readonly depth: number
  readonly hidden: number
  readonly heads: number
  readonly positions: number
  readonly vocab: number
  readonly dropout?: number
}

/**
 * GPT-2 small: Radford and others, Language Models are Unsupervised Multitask Learners (2019), table 2. The report names no
 * dropout.
 */
const gpt2 = gpt({ name: 'GPT-2', depth: 12, hidden: 768, heads: 12, positions: 1024, vocab: 50257 })

/**
 * The four models of https://arxiv.org/abs/2205.05198, table 3, with its sequence length and vocabulary. They are trained
 * with dropout, whose masks section 4.1 counts, at Megatron-LM's rate: https://arxiv.org/abs/1909.08053, section 4.2.
 */
const megatron = { positions: 2048, vocab: 51200, dropout: 0.1 }
const recomputationModels = {
  'gpt-22b': gpt({ ...megatron, name: 'GPT 22B', depth: 48, hidden: 6144, heads: 64 }),
  'gpt3-175b': gpt({ ...megatron, name: 'GPT-3 175B', depth: 96, hidden: 12288, heads: 96 }),
  'mt-nlg-530b': gpt({ ...megatron, name: 'MT-NLG 530B', depth: 105, hidden: 20480, heads: 128 }),
  'gpt-1t': gpt({ ...megatron, name: 'GPT 1T', depth: 128, hidden: 25600, heads: 160 }),
}

/** GPT-2 and the larger models of its shape. */
export const gptPresets = { gpt2, ...recomputationModels }

function gpt({ depth, heads, positions, ...shape }: GptShape): ModelArchitecture {
  return uniformModel({
    ...shape,
    family: 'gpt2',
    tiedEmbeddings: true,
    learnedPositions: positions,
    norm: { kind: 'layer', bias: true },
    maxPositions: positions,
    depth,
    layer: {
      attention: {
        kind: 'grouped',
        heads,
        kvHeads: heads,
        headDim: shape.hidden / heads,
        bias: { qkv: true, out: true },
        rotary: false,
      },
      ffn: { kind: 'dense', intermediate: 4 * shape.hidden, activation: 'gelu', bias: true },
      residual: 'sequential',
      norms: 'pre',
    },
  })
}
