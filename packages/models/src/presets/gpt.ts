import type { ModelArchitecture } from '../architecture.js'
import { uniformModel } from './uniform-model.js'

interface GptShape {
  readonly name: string
  readonly depth: number
  readonly hidden: number
  readonly heads: number
  readonly positions: number
  readonly vocab: number
}

/** GPT-2 small: Radford and others, Language Models are Unsupervised Multitask Learners (2019), table 2. */
const gpt2 = gpt({ name: 'GPT-2', depth: 12, hidden: 768, heads: 12, positions: 1024, vocab: 50257 })

/** The four models of https://arxiv.org/abs/2205.05198, table 3, with its sequence length and vocabulary. */
const recomputationModels = {
  'gpt-22b': gpt({ name: 'GPT 22B', depth: 48, hidden: 6144, heads: 64, positions: 2048, vocab: 51200 }),
  'gpt3-175b': gpt({ name: 'GPT-3 175B', depth: 96, hidden: 12288, heads: 96, positions: 2048, vocab: 51200 }),
  'mt-nlg-530b': gpt({ name: 'MT-NLG 530B', depth: 105, hidden: 20480, heads: 128, positions: 2048, vocab: 51200 }),
  'gpt-1t': gpt({ name: 'GPT 1T', depth: 128, hidden: 25600, heads: 160, positions: 2048, vocab: 51200 }),
}

/** GPT-2 and the larger models of its shape. */
export const gptPresets = { gpt2, ...recomputationModels }

function gpt({ name, depth, hidden, heads, positions, vocab }: GptShape): ModelArchitecture {
  return uniformModel({
    name,
    family: 'gpt2',
    hidden,
    vocab,
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
        headDim: hidden / heads,
        bias: { qkv: true, out: true },
        rotary: false,
      },
      ffn: { kind: 'dense', intermediate: 4 * hidden, activation: 'gelu', bias: true },
      residual: 'sequential',
      norms: 'pre',
    },
  })
}
