import type { SpecInput } from 'shardloom'
import type { Family } from './metric.js'
import { deepSeekRecipe, delayedScaling, type Recipe, recipeOf } from './recipes.js'
import type { Row } from './row.js'

/** Which FLOPs a source counts in its TFLOP/s and its MFU. */
export interface FlopConvention {
  /** Causal attention: every pair, or those that a query may read. */
  readonly causal: 'whole' | 'halved'
  /** Whether what backward computes again counts. */
  readonly recomputed: boolean
  /** Whether the head and the core of attention count; default they do. */
  readonly layerWeightsOnly?: boolean
}

type Options = NonNullable<SpecInput['options']>

/** What the publication of a table says of all its rows, beside their fields. */
export interface Source {
  readonly match: RegExp
  readonly engine: string
  readonly flops: FlopConvention
  /** Models that it counts otherwise. */
  readonly flopsOf?: (model: string) => FlopConvention | undefined
  readonly options: Options
  /** Whether its peak memory is what the allocator reserved. */
  readonly isReserved?: boolean
  /** Share of elements dropped in training; default none. */
  readonly dropout?: number
  /** The rows that constants of an accelerator or of the engine were fitted to; default none. */
  readonly isFitted?: (row: Row) => boolean
  /** The stated error of the model for such rows: smaller differences are ties. */
  readonly statedError: number
  /** Sequences per microbatch and microbatches per rank, where the publication states them for a model, not for a row. */
  readonly microbatch?: (
    model: string,
    note: string,
  ) => { readonly microbatch: number; readonly microbatches: number } | undefined
  /** What recipes state that the publication names as what was run. */
  readonly recipe?: (row: Row) => Recipe
  /** What the publication says is computed again, where rows do not, and whether a rank's batch is one microbatch. */
  readonly recompute?: string
  readonly wholeBatch?: boolean
  /** Hardware that its date tells apart from what the rows' words mean today. */
  readonly cluster?: Readonly<Record<string, unknown>>
  /** Whether chunks per rank are as open as the microbatch where a row names none. */
  readonly openVirtual?: boolean
  /** The schedule of its pipelines, where no note names another; default 1F1B. */
  readonly schedule?: string
  /** Whether rows of ZeRO-3 gather parameters once per step. */
  readonly gathersOnce?: boolean
  /** Whether the first and the last stage hold one layer fewer. */
  readonly lightEnds?: boolean
  /** Why rows of it miss, and why those of one kind of metric do. */
  readonly remark?: string
  readonly remarkOf?: Readonly<Partial<Record<Family, string>>>
}

const counted: FlopConvention = { causal: 'whole', recomputed: true }
const whole: FlopConvention = { causal: 'whole', recomputed: false }
const halved: FlopConvention = { causal: 'halved', recomputed: false }

const materialised = { attention: 'materialised', dtype: 'fp16' } as const

/** Megatron-Core's distributed optimizer with `overlap-grad-reduce` and `overlap-param-gather`: gathered by forward, once per step. */
const distributedOptimizer = { zero: 3, dp: { gather: 'step', reduce: 'step' } } as const

/** torchtitan's own tables. Its loss was not compiled (`train.py` and `loss.py` of December 2024). */
const torchtitan = {
  engine: 'torchtitan',
  flops: halved,
  options: { sequenceParallel: true, loss: 'materialised' },
  isReserved: true,
  isFitted: ({ cp }) => (cp ?? 1) === 1,
  statedError: 0.06,
} satisfies Omit<Source, 'match'>

/** The sources that are known; the last one stands for all others. */
export const sources: readonly Source[] = [
  {
    match: /^Korthikanti/,
    remarkOf: {
      memory:
        'Where activations are split over tp, what backward gathers again is not kept here, and the paper counts a few tensors that it keeps.',
    },
    engine: 'megatron-2022',
    flops: whole,
    options: materialised,
    dropout: 0.1,
    isFitted: ({ source }) => /Table [45]/.test(source),
    statedError: 0.02,
  },
  {
    match: /^Narayanan/,
    remark: 'The rows name no microbatch; the paper says that it was tuned.',
    isFitted: () => true,
    engine: 'megatron-2021',
    flops: counted,
    options: { ...materialised, dp: { reduceDtype: 'fp16' } },
    dropout: 0.1,
    statedError: 0.05,
  },
  {
    match: /^Megatron-LM README tables 2020/,
    remark:
      'With 128 replicas the gradients of the two larger models take longer here than measured, so that they were reduced beside backward in part; the table does not say.',
    // A DGX A100 of 2020 has 40 GB.
    cluster: { accelerator: 'a100-40-sxm' },
    // Its text: activations are checkpointed, and a rank's batch is one microbatch.
    recompute: 'full',
    wholeBatch: true,
    isFitted: () => true,
    engine: 'megatron-2021',
    flops: counted,
    options: { ...materialised, dp: { reduceDtype: 'fp16' } },
    dropout: 0.1,
    statedError: 0.05,
  },
  {
    match: /^Megatron-LM README 2022/,
    engine: 'megatron-2021',
    flops: counted,
    options: { ...materialised, dp: { reduceDtype: 'fp16' } },
    dropout: 0.1,
    statedError: 0.05,
  },
  {
    match: /^Megatron-LM README \(Megatron-Core/,
    remark: 'The rows name neither microbatch nor chunks per rank.',
    engine: 'megatron-2024',
    flops: whole,
    // The table's text: distributed optimizer, overlapped gradients and parameters, tp overlap with sequence parallelism.
    options: { ...distributedOptimizer, sequenceParallel: true },
    openVirtual: true,
    isFitted: () => true,
    statedError: 0.06,
  },
  {
    match: /^torchtitan async TP/,
    ...torchtitan,
    remark: 'Row-wise float8 runs a slow kernel, for which 24 bytes per cast element stand in.',
  },
  {
    match: /^torchtitan/,
    ...torchtitan,
    remarkOf: {
      throughput: 'With cp the length of ring steps and their balance are not stated.',
      memory:
        'Peak memory is what the allocator reserved; the most of each part stands for it, with the place of the logits in 16 bits, into which no copy in single precision fits. Without a compiler the policy saves the last product of each layer too, though backward does not read it: half of what those rows lack. What FSDP gathers stands in a buffer of its own before it is copied out, and what tp gathers takes buffers of many sizes: neither is here; but parameters stand here in 16 bits beside their master copies, where FSDP2 has those alone.',
    },
  },
  {
    match: /^MegaScale/,
    engine: 'megatron-2024',
    flops: whole,
    options: { ...distributedOptimizer, sequenceParallel: true, sp: { attention: 'ring' } },
    statedError: 0.1,
    remark:
      'All are predicted too fast, by 7 to 10 % on hundreds of devices and by 12 to 16 % on thousands: the paper finds stragglers and conflicts of flows in the network to cost most at that size, and like devices on links of their own have neither. The rows are recalled, and name no microbatch and no recomputation; the parallel blocks and sliding windows of the paper are not in them.',
  },
  {
    match: /^Zero Bubble/,
    remark:
      'A further microbatch takes 4 to 9 % longer than here under all four schedules. ZB-2p of the paper is searched for by a solver, and loses less at its ends than the drawn ZB-H2 that stands for it: the two make up for each other. The rows are recalled.',
    isFitted: () => true,
    engine: 'megatron-2022',
    flops: whole,
    options: materialised,
    dropout: 0.1,
    statedError: 0.05,
    lightEnds: true,
    microbatch: (model, note) => {
      const microbatches = Number(/(\d+) microbatches/.exec(note)?.[1] ?? Number.NaN)
      const microbatch = { 'GPT 1.5B': 6, 'GPT 6.2B': 3, 'GPT 14.6B': 1, 'GPT 28.3B': 1 }[model]
      return microbatch === undefined || Number.isNaN(microbatches) ? undefined : { microbatch, microbatches }
    },
  },
  {
    match: /Megatron-Bridge/,
    remark:
      'Recomputation, dispatchers, types of gradients and FSDP are those of the recipes; which release ran which kernels is known in part. GPT-OSS is predicted too fast by 4 to 8 % on H100 and by a fifth to a quarter on B200 with microbatches of 4. Its attention with sinks ran in fused kernels (cuDNN has them from 9.13 on; NVIDIA-NeMo/RL, issue 1685). The kernels that clamp its activation and add the biases of its experts one by one are here as if each reached the bandwidth that one over all experts does; each clamp also waits for a constant to be copied to the device (`fused_bias_geglu.py`), which is not here. Of Qwen3 one configuration was measured with 5,113 and with 9,058 tokens/s in two releases, and that with HybridEP on H100 is a fifth too fast: its transfers over the network take no longer here than their bytes. Of what products reach on GB200 no benchmark says more than the best shape, and that of a layer is of a B300. From release 26.06 on experts with MXFP8 are multiplied in one fused kernel, and FLOPs per token of DeepSeek-V3 are in all releases 4 % more than those of its layers and head, as with the module that predicts a second token: neither is here.',
    engine: 'megatron-2025',
    flops: halved,
    // 369 TFLOP/s to 13,570 tokens/s are 27.2 GFLOP per token: six for each of the 4.54 billion weights that a token passes in the layers.
    flopsOf: (model) => (/^gpt[- _]oss/i.test(model) ? { ...halved, layerWeightsOnly: true } : undefined),
    options: { ...distributedOptimizer, sequenceParallel: true, sp: { attention: 'ring' } },
    recipe: recipeOf,
    isFitted: ({ source, model, hardware, precision }) =>
      /Pre-Training/.test(source) &&
      /^llama3_70b$/i.test(model) &&
      /H100/.test(hardware) &&
      /^fp8$/i.test(precision ?? ''),
    statedError: 0.1,
  },
  {
    match: /Llama.?3.*(paper|herd|table 4)|Grattafiori|2407\.21783/i,
    remark: 'The rows name neither microbatch nor chunks per rank.',
    // Section 3.3.2: PyTorch, tp with sequence parallelism inside of a node, parameters that stay gathered, gradients in single
    // precision over ranks, nothing computed again, keys and values gathered over cp, a layer fewer in the first and last stage.
    // MFU as Chowdhery et al. 2023 define it, with every pair of attention.
    engine: 'torchtitan',
    flops: whole,
    options: {
      zero: 3,
      dp: { gather: 'step', reduce: 'step', reduceDtype: 'fp32' },
      sequenceParallel: true,
      sp: { attention: 'gather' },
    },
    gathersOnce: true,
    recompute: 'none',
    lightEnds: true,
    openVirtual: true,
    statedError: 0.1,
  },
  {
    match: /DeepSeek.?V3|2412\.19437/i,
    remark:
      'Sent in 16 bits here, where the report dispatches tokens in 8; the module that predicts a second token is not here, nor is what 20 of 132 cores for kernels of communication cost: the report is met a seventh too fast.',
    engine: 'megatron-2025',
    flops: halved,
    // Section 3.2: ZeRO-1, DualPipe, and a token that goes once to each of at most four nodes.
    options: { zero: 1 },
    schedule: 'dualpipe',
    recipe: deepSeekRecipe,
    statedError: 0.15,
  },
  {
    match: /^nanotron/,
    remark:
      'Without a pipeline rows are 1 to 33 % too fast; with one they take up to four times as long as predicted: before each tensor two messages say what shape it has, and the host waits for them (`p2p.py`), which is not here. The rows are a few of a sweep, of one iteration each.',
    // Its configuration (huggingface/bench_cluster, `base_config.py`): nothing is computed again, ZeRO-1, tp reduces and scatters and
    // overlaps nothing. PyTorch without a compiler, with FlashAttention-2.
    recompute: 'none',
    engine: 'torchtitan-eager',
    flops: whole,
    options: { zero: 1, sequenceParallel: true, loss: 'materialised' },
    statedError: 0.1,
  },
  {
    match: /^NeMo/,
    remark:
      'The longer the sequence, the more is attention, on which a ring of cp ranks works in passes without a mask. Fused attention is taken to sustain half of an H100 in forward and 39 % in backward, whatever its length and mask: cuDNN reaches 54 % with the mask and 60 % without it on 16,384 tokens in forward (Shah et al. 2024, figure 5). The rows name no microbatch and no recomputation.',
    engine: 'megatron-2025',
    // `nemo/utils/flops_formulas.py` of its 2.0 to 2.2 counts every pair of causal attention; Megatron-Bridge halves them.
    flops: whole,
    options: { ...distributedOptimizer, sequenceParallel: true, sp: { attention: 'ring' } },
    recipe: delayedScaling,
    statedError: 0.1,
  },
  { match: /(?:)/, engine: 'usual', flops: halved, options: {}, statedError: 0.1 },
]

/** What is known of the table that a row stands in. */
export function sourceOf(source: string): Source {
  return sources.find(({ match }) => match.test(source)) as Source // the last one matches all
}

/** The table of a source: releases of one page are one table. */
export const tableOf = (source: string) => source.replace(/, NeMo [\d.]+/, '')
