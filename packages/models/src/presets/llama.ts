import type { ModelArchitecture } from '../architecture.js'
import { PRE_NORM, RMS_DECODER, uniformModel } from './uniform-model.js'

interface LlamaShape {
  readonly name: string
  readonly depth: number
  readonly hidden: number
  readonly heads: number
  readonly kvHeads: number
  readonly ffn: number
}

/** Llama 2: https://arxiv.org/abs/2307.09288, table 1 and section 2.2. */
const llama2Vocabulary = { vocab: 32000, maxPositions: 4096 }

/** Llama 3.1: https://arxiv.org/abs/2407.21783, table 3. */
const llama3Vocabulary = { vocab: 128256, maxPositions: 131072 }

/** Llama 2 and 3.1, and a two-layer model of the same kind for demonstrations. */
export const llamaPresets = {
  'llama-2-7b': llama(
    { name: 'Llama 2 7B', depth: 32, hidden: 4096, heads: 32, kvHeads: 32, ffn: 11008 },
    llama2Vocabulary,
  ),
  'llama-2-13b': llama(
    { name: 'Llama 2 13B', depth: 40, hidden: 5120, heads: 40, kvHeads: 40, ffn: 13824 },
    llama2Vocabulary,
  ),
  'llama-2-70b': llama(
    { name: 'Llama 2 70B', depth: 80, hidden: 8192, heads: 64, kvHeads: 8, ffn: 28672 },
    llama2Vocabulary,
  ),
  'llama-3.1-8b': llama(
    { name: 'Llama 3.1 8B', depth: 32, hidden: 4096, heads: 32, kvHeads: 8, ffn: 14336 },
    llama3Vocabulary,
  ),
  'llama-3.1-70b': llama(
    { name: 'Llama 3.1 70B', depth: 80, hidden: 8192, heads: 64, kvHeads: 8, ffn: 28672 },
    llama3Vocabulary,
  ),
  'llama-3.1-405b': llama(
    { name: 'Llama 3.1 405B', depth: 126, hidden: 16384, heads: 128, kvHeads: 8, ffn: 53248 },
    llama3Vocabulary,
  ),
  tiny: llama(
    { name: 'Tiny', depth: 2, hidden: 64, heads: 4, kvHeads: 2, ffn: 128 },
    { vocab: 256, maxPositions: 128 },
  ),
}

function llama(
  { name, depth, hidden, heads, kvHeads, ffn }: LlamaShape,
  vocabulary: { readonly vocab: number; readonly maxPositions: number },
): ModelArchitecture {
  return uniformModel({
    name,
    family: 'llama',
    hidden,
    ...vocabulary,
    ...RMS_DECODER,
    depth,
    layer: {
      attention: {
        kind: 'grouped',
        heads,
        kvHeads,
        headDim: hidden / heads,
        bias: { qkv: false, out: false },
        rotary: true,
      },
      ffn: { kind: 'dense', intermediate: ffn, activation: 'swiglu', bias: false },
      ...PRE_NORM,
    },
  })
}
