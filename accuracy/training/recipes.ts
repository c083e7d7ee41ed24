import { engines } from '@shardloom/simulator'
import type { SpecInput } from 'shardloom'
import type { Row } from './row.js'

type Options = NonNullable<SpecInput['options']>

/** What a publication's recipe states for a row beside its fields. */
export interface Recipe {
  readonly options: Options
  /** Absent: open. */
  readonly recompute?: NonNullable<Options['recompute']>
  /** Of the software that ran it. */
  readonly engine: Exclude<NonNullable<Options['engine']>, string>
}

/** What each model computes again, by the recipes: `recompute_modules` of mla_up_proj; of layernorm and moe_act. */
const recomputed: readonly (readonly [RegExp, NonNullable<Recipe['recompute']>])[] = [
  [/^(deepseek|kimi)/i, { full: { module: 'attention', name: ['q', 'k_up', 'v_up'] }, tail: 'kept' }],
  [/^gpt[- _]oss/i, { full: { name: ['norm', 'activation'] }, tail: 'kept' }],
]

/**
 * The performance recipes of Megatron-Bridge, which its performance summary names as what was run (`scripts/performance/configs`
 * of NVIDIA-NeMo/Megatron-Bridge): gradients in bf16 (`grad_reduce_in_fp32` off), what is computed again, and of Llama 3 70B on
 * data parallel ranks alone FSDP with the activations of half the layers in host memory.
 */
export function recipeOf(row: Row): Recipe {
  const isSharded = (row.tp ?? 1) === 1 && (row.pp ?? 1) === 1 && /^llama3_70b/i.test(row.model)
  const castBytes = castBytesOf(row)
  const isPerNode = isHybrid(row)
  return {
    options: {
      gradientDtype: 'bf16',
      ...(isSharded && { zero: 3, dp: {}, offload: { where: { layers: '0-39' } } }),
    },
    recompute: recomputed.find(([pattern]) => pattern.test(row.model))?.[1] ?? 'none',
    engine: {
      ...(castBytes !== undefined && { castBytes }),
      ...(isBlockScaled(row) && { castRate: blockScaledRate }),
      ...((row.ep ?? 1) > 1 &&
        (isPerNode
          ? { dispatch: 'per-node' }
          : { traffic: { ...sortedTwice(row), ...clamped(row), ...biasedApart(row) } })),
      ...hostOf(row),
      ...(isBesideAnother(row) && { fused: { tp: 0.9, ep: 0.9 } }),
    },
  }
}

/**
 * Transformer Engine's recipes (user guide, low-precision training). Current scaling reads a tensor for its largest element and
 * again to cast it; Hopper multiplies only one layout and needs a transposed copy. MXFP8 reads it once and writes it scaled
 * along rows and along columns, with a scale for 32 elements of each, which a kernel of its own brings into the order that products read.
 */
function castBytesOf({ precision, hardware }: Row): number | undefined {
  if (/mxfp8/i.test(precision ?? '')) return 2 + 1 + 1 + (2 * 3) / 32
  if (/fp8/i.test(precision ?? '')) return 2 + 2 + 1 + (/H[12]00/i.test(hardware) ? 1 : 0)
  return undefined
}

/** The twelve products of a layer take 6.81 ms on a B300 with one scale per tensor, 7.16 ms in MXFP8 (its documentation, GEMM profiling). */
const blockScaledRate = 6.812 / 7.161

/**
 * How DeepSeek-V3 was trained (DeepSeek-AI 2024, section 3): norms and up-projections of latent attention are computed again, casts
 * have a scale for each 128 elements and are transposed for weight gradients, and kernels of its own send tokens.
 */
export function deepSeekRecipe({ precision }: Row): Recipe {
  return {
    options: {},
    recompute: { full: { name: ['norm', 'q', 'k_up', 'v_up'] }, tail: 'kept' },
    engine: { dispatch: 'per-node', ...(/fp8/i.test(precision ?? '') && { castBytes: 2 + 1 + 1 }) },
  }
}

/** Transformer Engine's recipe of before: cast with the scale of earlier steps, along rows, and transposed for Hopper. */
export function delayedScaling({ precision }: Row): Recipe {
  const isEight = /fp8/i.test(precision ?? '')
  return { options: {}, engine: isEight ? { castBytes: 2 + 1 + 1 } : {} }
}

/** What issuing a linear layer of PyTorch takes a host beside an H100 (NVIDIA/TransformerEngine, issue 2053). */
const linearSeconds = 13.5e-6
/** How many times as long issuing one of Transformer Engine takes: on GB200 99.7 µs to 37.1 µs, on GH200 90.5 µs to 33.2 µs (the same). */
const engineShare = 2.7

/**
 * What issuing takes a host under layers with experts, whose sizes it reads back from the device; their products are one launch each
 * (NVIDIA/TransformerEngine, pull request 853). Rows of one recipe on Grace and on x86 are within 3 %, so that Grace has no
 * figures of its own here. CUDA graphs replay attention and router on Blackwell.
 */
function hostOf(row: Row): Recipe['engine'] {
  if ((row.ep ?? 1) === 1 || isReplayedWhole(row)) return {}
  const isReplayed = isBlockScaled(row) && (/^deepseek/i.test(row.model) || (row.micro_batch ?? 1) > 1)
  return { host: { operator: isReplayed ? 0 : linearSeconds, product: engineShare * linearSeconds } }
}

/** HybridEP sends tokens; the all-to-all of Megatron-Core does in GPT-OSS, in Qwen3 30B in a pipeline and in Qwen3 235B but on Grace. */
function isHybrid({ model, pp, hardware }: Row): boolean {
  if (/^qwen3[-_ ]30b/i.test(model)) return (pp ?? 1) === 1
  return /^(deepseek|kimi)/i.test(model) || (/^qwen3/i.test(model) && /GB[23]00/i.test(hardware))
}

/** Whether the all-to-all of one microbatch runs beside another: `moe_a2a_overlap`. */
function isBesideAnother(row: Row): boolean {
  return isReplayedWhole(row) || (/^qwen3[-_ ]235b/i.test(row.model) && /H100/i.test(row.hardware))
}

/**
 * The all-to-all of Megatron-Core sorts copies by expert once more behind it, and back in front of the next (`token_dispatcher.py`,
 * `sort_chunks_by_idxs`): of k copies of a token a read and a write beside the read of the token and the writes of its copies.
 */
function sortedTwice({ model }: Row): Readonly<Record<string, number>> {
  const copies = /^qwen3/i.test(model) ? 8 : 4
  const factor = (1 + 3 * copies) / (1 + copies)
  const sorted = ['dispatch', 'dispatch_gradient', 'combine', 'combine_gradient'].map((op) => [op, factor] as const)
  return { ...engines['megatron-2025'].traffic, ...Object.fromEntries(sorted) }
}

/**
 * The activation of GPT-OSS in Megatron-Core is clamped by kernels of PyTorch in front of the fused one (`fused_bias_geglu.py`,
 * `weighted_bias_quick_geglu_impl`): both halves are clamped, each read and written, and put together, read and written, before the fused
 * kernel reads two and writes one. Backward: behind its five, of each half the gradient and the half are read and the gradient written, and both
 * are put together.
 */
function clamped({ model }: Row): Readonly<Record<string, number>> {
  return isGptOss(model) ? { activation: (4 + 4 + 3) / 3, activation_gradient: (5 + 6 + 4) / 5 } : {}
}

/**
 * The biases of its experts' last layer are added one expert at a time (`experts.py`, `_apply_bias`), weighted by probabilities of fp32: per element of
 * bf16, weighted biases are written in fp32 (2), added to what is read (1, 2) and written (2), put together (2, 2), read and written in bf16 (2, 1), in
 * place of one read and one write. Backward, in place of one read: the gradient is read and written in fp32 (1, 2), its share in what the product
 * made is read and written in bf16 (2, 1) and put together (1, 1), and those of biases and probabilities are both multiplied (2, 2) and summed (2).
 */
function biasedApart({ model }: Row): Readonly<Record<string, number>> {
  return isGptOss(model) ? { 'experts/down_bias': 14 / 2, 'experts/down_bias.bias': 20 } : {}
}

const isGptOss = (model: string) => /^gpt[- _]oss/i.test(model)

/**
 * Steps with MXFP8 of release 26.06 and later: graphs replay all of them (`cuda_graph_impl` of full_iteration), and the all-to-all of one
 * microbatch runs beside another (`moe_a2a_overlap`), which is taken to hide as much of it as userbuffers do of tp.
 */
function isReplayedWhole(row: Row): boolean {
  const [, year = 0, month = 0] = /NeMo (\d+)\.(\d+)/.exec(row.source)?.map(Number) ?? []
  return isBlockScaled(row) && (row.ep ?? 1) > 1 && 100 * year + month >= 2606
}

const isBlockScaled = ({ precision }: Row) => /mxfp8/i.test(precision ?? '')
