import { findPreset, type ModelArchitecture, presetNames } from '@shardloom/models'
import { nearest } from 'shardloom'

/** A GPT of Megatron-LM: heads, hidden, layers and vocabulary by the paper that trained it. */
interface Gpt {
  readonly hidden: number
  readonly depth: number
  readonly heads: number
  readonly vocab: number
  readonly positions: number
}

/** Heads by hidden size: Shoeybi et al. 2019, table 4 (up to 4096 × 42); Narayanan et al. 2021, table 1; Qi et al. 2024, table 3. */
const headsOf: Readonly<Record<string, number>> = {
  '1920x24': 15,
  '2304x24': 24,
  '2304x30': 18,
  '3072x30': 32,
  '3072x36': 24,
  '4096x36': 32,
  '6144x40': 48,
  '8192x48': 64,
  '10240x60': 80,
  '12288x80': 96,
  '12288x96': 96,
  '16384x96': 128,
  '20480x105': 128,
  '25600x128': 160,
}

/** Names that stand for a shape in their source. */
const gptNames: readonly (readonly [RegExp, Gpt])[] = [
  [/^GPT-2 1B$/, { hidden: 1920, depth: 24, heads: 15, vocab: 51200, positions: 1024 }],
  [/^GPT-2 2B$/, { hidden: 2304, depth: 30, heads: 18, vocab: 51200, positions: 1024 }],
  [/^GPT-2 4B$/, { hidden: 3072, depth: 36, heads: 24, vocab: 51200, positions: 1024 }],
  [/^GPT-2 8B$/, { hidden: 4096, depth: 42, heads: 32, vocab: 51200, positions: 1024 }],
  [/^GPT 22B\b/, { hidden: 6144, depth: 48, heads: 64, vocab: 51200, positions: 2048 }],
  [/^GPT(-3)? 175B\b/, { hidden: 12288, depth: 96, heads: 96, vocab: 51200, positions: 2048 }],
  [/^(MT-NLG|Turing|GPT) 530B\b/, { hidden: 20480, depth: 105, heads: 128, vocab: 51200, positions: 2048 }],
  [/^GPT 1T\b|^GPT 1008B\b/, { hidden: 25600, depth: 128, heads: 160, vocab: 51200, positions: 2048 }],
  // Qi et al. 2024 (Zero Bubble), table 3.
  [/^GPT 1\.5B$/, { hidden: 2304, depth: 22, heads: 24, vocab: 51200, positions: 1024 }],
  [/^GPT 6\.2B$/, { hidden: 4096, depth: 30, heads: 32, vocab: 51200, positions: 1024 }],
  [/^GPT 14\.6B$/, { hidden: 5120, depth: 46, heads: 40, vocab: 51200, positions: 1024 }],
  [/^GPT 28\.3B$/, { hidden: 6144, depth: 62, heads: 48, vocab: 51200, positions: 1024 }],
  // Brown et al. 2020, table 2.1, and NVIDIA's smaller ones of its shape.
  [/^GPT-?3 5B\b/, { hidden: 4096, depth: 24, heads: 32, vocab: 51200, positions: 2048 }],
  [/^GPT-?3 20B\b/, { hidden: 6144, depth: 44, heads: 48, vocab: 51200, positions: 2048 }],
  [/^GPT-?3 40B\b/, { hidden: 8192, depth: 48, heads: 64, vocab: 51200, positions: 2048 }],
]

/** Qwen3 30B A3B: Yang et al. 2025 (Qwen3), table 2, and its published config. */
function qwen30(): ModelArchitecture {
  const like = findPreset('qwen3-235b-a22b')
  const [[name, layer]] = Object.entries(like.layers) as [[string, ModelArchitecture['layers'][string]]] // one kind of layer
  const { attention, ffn } = layer
  if (attention.kind !== 'grouped' || ffn.kind !== 'moe')
    throw new Error('internal error: Qwen3 has grouped attention and experts')
  return {
    ...like,
    name: 'Qwen3 30B A3B',
    hidden: 2048,
    layers: { [name]: { ...layer, attention: { ...attention, heads: 32 }, ffn: { ...ffn, intermediate: 768 } } },
    order: { runs: [{ layer: name, count: 48 }] },
  }
}

/** The Llama of 1B that nanotron was measured with (huggingface/bench_cluster, `create_configs.py`); GPT-2's vocabulary in whole fours. */
function llama1(): ModelArchitecture {
  const like = findPreset('llama-2-7b')
  const [[name, layer]] = Object.entries(like.layers) as [[string, ModelArchitecture['layers'][string]]] // one kind of layer
  const { attention, ffn } = layer
  if (attention.kind !== 'grouped' || ffn.kind !== 'dense')
    throw new Error('internal error: Llama has grouped attention and a dense feed-forward network')
  return {
    ...like,
    name: 'Llama 1B',
    hidden: 2048,
    vocab: 50260,
    tiedEmbeddings: true,
    layers: { [name]: { ...layer, attention: { ...attention, headDim: 64 }, ffn: { ...ffn, intermediate: 4096 } } },
    order: { runs: [{ layer: name, count: 24 }] },
  }
}

const presetPatterns: readonly (readonly [RegExp, string])[] = [
  [/^llama[- _]?3(\.1)?[- _]8b$/i, 'llama-3.1-8b'],
  [/^llama[- _]?3(\.[13])?[- _]70b$/i, 'llama-3.1-70b'],
  [/^llama[- _]?3(\.1)?[- _]405b$/i, 'llama-3.1-405b'],
  // The first LLaMA of 7B has the shape of the second (Touvron et al. 2023).
  [/^llama[- _]?(2[- _])?7b(-hf)?$/i, 'llama-2-7b'],
  [/^llama[- _]?2[- _]13b(-hf)?$/i, 'llama-2-13b'],
  [/^llama[- _]?2[- _]70b(-hf)?$/i, 'llama-2-70b'],
  [/^deepseek[- _]?(v3|r1)$/i, 'deepseek-v3'],
  [/^gpt[- _]oss[- _]120b$/i, 'gpt-oss-120b'],
  [/^mixtral[- _]8x7b(-v0\.1)?$/i, 'mixtral-8x7b'],
  [/^mixtral[- _]8x22b$/i, 'mixtral-8x22b'],
  [/^qwen3[- _]8b$/i, 'qwen3-8b'],
  [/^qwen3[- _]235b[- _]a22b$/i, 'qwen3-235b-a22b'],
]

/** The model that a row names, by its shape in brackets, its name in the source, or a preset; undefined: not known here. */
export function modelOf(name: string): ModelArchitecture | undefined {
  const text = name.replace(/, one transformer layer$/, '').trim()
  const size = (letter: string) => {
    const found = new RegExp(`\\b${letter}=(\\d+)`).exec(text)?.[1]
    return found === undefined ? undefined : Number(found)
  }
  const [hidden, depth] = [size('h'), size('L')]
  if (hidden !== undefined && depth !== undefined) {
    const heads = size('a') ?? headsOf[`${hidden}x${depth}`]
    if (heads === undefined) return undefined
    return gpt(text.replace(/\s*\(.*$/, ''), {
      hidden,
      depth,
      heads,
      vocab: size('V') ?? 51200,
      positions: size('s') ?? 4096,
    })
  }
  const shape = gptNames.find(([pattern]) => pattern.test(text))
  if (shape) return gpt(text, shape[1])
  if (/^qwen3[- _]30b[- _]a3b$/i.test(text)) return qwen30()
  if (/^llama-arch 1b \(nanotron\)$/i.test(text)) return llama1()
  const preset = presetPatterns.find(([pattern]) => pattern.test(text))?.[1] ?? text.toLowerCase()
  return presetNames().includes(preset) ? findPreset(preset) : undefined
}

/** What a row lacks whose model is not known here, with the preset that its name is near to. */
export function unknownModel(text: string): string {
  const near = nearest(text, presetNames())
  return `the shape of the model${near === undefined ? '' : ` (did you mean \`${near}\`?)`}`
}

function gpt(name: string, { hidden, depth, heads, vocab, positions }: Gpt): ModelArchitecture {
  const like = findPreset('gpt-22b')
  return {
    ...like,
    name,
    hidden,
    vocab,
    learnedPositions: positions,
    maxPositions: positions,
    layers: {
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
    },
    order: { runs: [{ layer: 'layer', count: depth }] },
  }
}
