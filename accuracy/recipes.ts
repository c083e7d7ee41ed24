import type { SpecInput } from 'shardloom'
import type { Row } from './row.js'

type Options = NonNullable<SpecInput['options']>

/** What a publication's recipe states for a row beside its fields. */
export interface Recipe {
  readonly options: Options
  readonly recompute: NonNullable<Options['recompute']>
  /** Of the software that ran it. */
  readonly engine: Exclude<NonNullable<Options['engine']>, string>
}

/** What each model computes again, by the recipes: `recompute_modules` of mla_up_proj; of layernorm and moe_act. */
const recomputed: readonly (readonly [RegExp, Recipe['recompute']])[] = [
  [/^deepseek/i, { full: { module: 'attention', name: ['q', 'k_up', 'v_up'] }, tail: 'kept' }],
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
  // The all-to-all of Megatron-Core ran GPT-OSS, and Qwen3 in a pipeline; HybridEP the others.
  const isPerNode = /^deepseek/i.test(row.model) || (/^qwen3/i.test(row.model) && (row.pp ?? 1) === 1)
  return {
    options: {
      gradientDtype: 'bf16',
      ...(isSharded && { zero: 3, dp: {}, offload: { where: { layers: '0-39' } } }),
    },
    recompute: recomputed.find(([pattern]) => pattern.test(row.model))?.[1] ?? 'none',
    engine: { ...(castBytes !== undefined && { castBytes }), ...(isPerNode && { dispatch: 'per-node' }) },
  }
}

/**
 * Transformer Engine's recipes (user guide, low-precision training). Current scaling reads a tensor for its largest element and
 * again to cast it; Hopper multiplies only one layout and needs a transposed copy. MXFP8 reads it once and writes it scaled
 * along rows and along columns.
 */
function castBytesOf({ precision, hardware }: Row): number | undefined {
  if (/mxfp8/i.test(precision ?? '')) return 2 + 1 + 1
  if (/fp8/i.test(precision ?? '')) return 2 + 2 + 1 + (/H[12]00/.test(hardware) ? 1 : 0)
  return undefined
}
