import { nearest, ShardloomError } from '@shardloom/core'
import type { SpecInput } from './spec-schema.js'

/** A mixture of strategies that people run, as a spec to start from. */
export interface Hybrid {
  /** What it mixes, in a few words. */
  readonly title: string
  /** Who runs it like this: a paper or a report, with its section. */
  readonly source: string
  readonly spec: SpecInput
}

/** Layers of each of 32 chunks of Llama 3.1 405B: one fewer in the first and in the last, which hold the tables. */
const llamaChunks = [3, ...Array.from({ length: 30 }, () => 4), 3]

/** The named hybrids, from two strategies to all of them. */
export const hybrids: Readonly<Record<string, Hybrid>> = {
  'dp-tp': {
    title: 'data and tensor parallel',
    source: 'Shoeybi et al. 2019, section 5.1: tensor parallel inside a node, data parallel between nodes',
    spec: { model: 'llama-3.1-8b', batch: 64, seq: 8192, parallel: { dp: 8, tp: 8 } },
  },
  'tp-pp': {
    title: 'tensor and pipeline parallel',
    source: 'Narayanan et al. 2021, section 3.2: tensor parallel inside a node, pipeline between nodes',
    spec: {
      model: 'llama-3.1-70b',
      batch: 32,
      seq: 8192,
      parallel: { tp: 8, pp: 4 },
      options: { schedule: 'interleaved1f1b', virtual: 2 },
    },
  },
  'tp-ep': {
    title: 'tensor parallel attention, expert parallel experts, on the same ranks',
    source: 'Rajbhandari et al. 2022 (DeepSpeed-MoE), section 5.2',
    spec: { model: 'mixtral-8x7b', batch: 16, seq: 4096, parallel: { tp: 8, ep: 8 } },
  },
  'dp-tp-pp-ep': {
    title: 'data, tensor, pipeline and expert parallel',
    source: 'Liu et al. 2025 (MoE parallel folding), section 3: experts factor the ranks of a stage differently',
    spec: {
      model: 'mixtral-8x7b',
      batch: 128,
      seq: 4096,
      parallel: { dp: 8, tp: 4, pp: 4, ep: 8 },
      options: { schedule: '1f1b' },
    },
  },
  megatron: {
    title: 'Megatron-LM: data, tensor, sequence and pipeline parallel',
    source: 'Korthikanti et al. 2022, table 3: GPT-3 175B on tp 8, pp 8, three chunks per rank, batch 64 per replica',
    spec: {
      model: 'gpt3-175b',
      batch: 512,
      seq: 2048,
      parallel: { dp: 8, tp: 8, pp: 8 },
      options: {
        sequenceParallel: true,
        schedule: 'interleaved1f1b',
        virtual: 3,
        recompute: 'selective',
        attention: 'materialised',
      },
    },
  },
  'llama3-405b': {
    title: 'Llama 3 405B: FSDP, tensor, context and pipeline parallel',
    source:
      'Grattafiori et al. 2024, table 4 and section 3.3.2: 16,384 ranks at 131,072 tokens; a layer fewer in the first and last stage; parameters stay gathered after forward',
    spec: {
      model: 'llama-3.1-405b',
      batch: 128,
      seq: 131_072,
      parallel: { dp: 8, tp: 8, cp: 16, pp: 16 },
      options: {
        zero: 3,
        dp: { gather: 'keep' },
        sequenceParallel: true,
        schedule: 'interleaved1f1b',
        virtual: 2,
        pp: { layers: llamaChunks },
      },
    },
  },
  'zero3-ep': {
    title: 'ZeRO-3 and expert parallel',
    source: 'Rajbhandari et al. 2022 (DeepSpeed-MoE), section 5; experts shard over the ranks that hold the same ones',
    spec: {
      model: 'mixtral-8x7b',
      batch: 64,
      seq: 4096,
      parallel: { dp: 32, ep: 8 },
      options: { zero: 3 },
    },
  },
  'deepseek-prefill': {
    title: 'DeepSeek serving, prefill: data parallel attention, experts over all ranks, redundant experts',
    source: 'DeepSeek-V3/R1 inference system overview 2025: EP32, 32 redundant experts, 9 per rank',
    spec: {
      model: 'deepseek-v3',
      phase: 'prefill',
      batch: 32,
      seq: 4096,
      parallel: { dp: 32, ep: 32 },
      options: { ep: { redundant: 32 } },
    },
  },
  'deepseek-decode': {
    title: 'DeepSeek serving, decode: data parallel attention, experts over all ranks, redundant experts',
    source: 'DeepSeek-V3/R1 inference system overview 2025: EP144, 32 redundant experts, 2 per rank',
    spec: {
      model: 'deepseek-v3',
      phase: 'decode',
      batch: 144 * 32,
      seq: 4096,
      parallel: { dp: 144, ep: 144 },
      options: { ep: { redundant: 32 } },
    },
  },
}

/**
 * A spec with the hybrid that its field `preset` names filled in below what it says itself, field by field in `parallel` and
 * `options`. Throws `SPEC_VALUE` for a name that nobody knows. Anything that is no spec stays as it is.
 */
export function withPreset(input: unknown): unknown {
  if (typeof input !== 'object' || input === null || !('preset' in input)) return input
  const { preset, ...own } = input
  const hybrid = typeof preset === 'string' && Object.hasOwn(hybrids, preset) ? hybrids[preset] : undefined
  if (!hybrid) {
    const near = nearest(String(preset), Object.keys(hybrids))
    throw new ShardloomError('SPEC_VALUE', `There is no preset \`${String(preset).slice(0, 60)}\`.`, {
      subject: 'preset',
      help: near ? `Did you mean \`${near}\`?` : `Presets: ${Object.keys(hybrids).join(', ')}.`,
    })
  }
  return merged(hybrid.spec, own)
}

/** `over` on `under`: objects field by field, everything else as a whole. */
function merged(under: unknown, over: unknown): unknown {
  if (over === undefined) return under
  if (!isObject(under) || !isObject(over)) return over
  const keys = [...new Set([...Object.keys(under), ...Object.keys(over)])]
  return Object.fromEntries(keys.map((key) => [key, merged(under[key], over[key])]))
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
