import { ShardloomError } from '@shardloom/core'
import { resolveScheduleName } from '@shardloom/schedules'
import { above1, depthOf, given, type Launcher, type LaunchFacts, type Setting, type Settings } from './launcher.js'
import { flattened, nested } from './nested.js'
import type { SettingsReader } from './settings-reader.js'
import type { SpecReader } from './spec-reader.js'

const title = 'DeepSpeed'

/** Bytes of the types in which gradients are accumulated; buckets count elements. */
const gradientBytes: Readonly<Record<string, number>> = { fp32: 4, bf16: 2, fp16: 2 }

/**
 * DeepSpeed's configuration, by the names of its documentation ("DeepSpeed Configuration JSON"). Its batch rule,
 * `train_batch_size` = `train_micro_batch_size_per_gpu` · `gradient_accumulation_steps` · data parallel ranks, says how many
 * of these there are. What the model's code decides, it cannot say: sequence length, attention, experts.
 */
export const deepspeed: Launcher = {
  title,
  version: 'v0.18',
  orders: [['tp', 'ulysses', 'dp', 'pp']],
  matters:
    /offload|zero_hpz|mics|zero_quantized|parallel|^pipeline\.|cpu_checkpointing|partition_activations|_batch_size|^fp8|torch_autocast/,
  harmless: ['seq', 'options.attention', 'options.loss'],
  write(spec, facts) {
    if (spec.take('phase') !== 'training')
      spec.refuse(
        'phase',
        'this is a configuration of training',
        'Use `phase: training`, or the launcher vllm or sglang.',
      )
    return { ...writeBatch(spec), ...writeTypes(spec), ...writeSharding(spec), ...writeModel(spec, facts) }
  },
  print: (settings) => `${JSON.stringify(nested(settings), undefined, 2)}\n`,
  parse(text): Settings {
    try {
      return flattened(JSON.parse(text))
    } catch (cause) {
      throw new ShardloomError(
        'LAUNCHER',
        `This is no JSON: ${String(cause instanceof Error ? cause.message : cause)}.`,
        {
          cause,
          help: 'Give the file that `--deepspeed_config` names.',
        },
      )
    }
  },
  read(settings) {
    const dtype = settings.flag('bf16.enabled') ? 'bf16' : settings.flag('fp16.enabled') ? 'fp16' : 'fp32'
    const gradients = settings.text('data_types.grad_accum_dtype') ?? dtype
    const [zero, ranks] = [settings.count('zero_optimization.stage') ?? 0, readRanks(settings)]
    const bucket = settings.count('zero_optimization.reduce_bucket_size')
    const shards = settings.count('zero_optimization.mics_shard_size') ?? ranks.dp
    if (ranks.dp % shards !== 0)
      settings.refuse(
        'zero_optimization.mics_shard_size',
        `groups of ${shards} do not divide ${ranks.dp} data parallel ranks`,
        'Use a divisor.',
      )
    const checkpoints = settings.count('activation_checkpointing.number_checkpoints')
    return given({
      phase: 'training',
      batch: ranks.batch,
      microbatch: above1(ranks.microbatch),
      parallel: {
        dp: above1(ranks.dp),
        dpReplicate: zero === 3 ? above1(ranks.dp / shards) : undefined,
        tp: above1(settings.count('tensor_parallel.autotp_size') ?? 1),
        pp: above1(settings.count('pipeline.stages') ?? 1),
        ulysses: above1(settings.count('sequence_parallel_size') ?? 1),
      },
      options: {
        dtype: dtype === 'bf16' ? undefined : dtype,
        gradientDtype: gradients === 'fp32' ? undefined : gradients,
        zero: zero === 0 ? undefined : zero,
        recompute: checkpoints ? 'full' : undefined,
        dp: {
          bucket: bucket === undefined ? undefined : bucket * (gradientBytes[gradients] ?? 4),
          reduceDtype: settings.text('communication_data_type'),
        },
      },
    })
  },
}

function writeBatch(spec: SpecReader): Record<string, Setting> {
  const [batch, dp, microbatch] = [spec.number('batch'), spec.degree('dp'), Number(spec.take('microbatch') ?? 1)]
  return {
    train_batch_size: batch,
    train_micro_batch_size_per_gpu: microbatch,
    gradient_accumulation_steps: batch / (dp * microbatch),
  }
}

function writeTypes(spec: SpecReader): Record<string, Setting | undefined> {
  const [dtype, gradients] = [String(spec.take('options.dtype')), String(spec.take('options.gradientDtype'))]
  for (const path of ['options.dtype', 'options.gradientDtype'] as const)
    if (gradientBytes[String(spec.take(path))] === undefined)
      spec.refuse(path, 'DeepSpeed has bf16, fp16 and fp32', 'Use one of them.')
  return {
    'bf16.enabled': dtype === 'bf16' || undefined,
    'fp16.enabled': dtype === 'fp16' || undefined,
    'data_types.grad_accum_dtype': gradients,
    communication_data_type: spec.take('options.dp.reduceDtype') as string | undefined, // the schema's type
  }
}

function writeSharding(spec: SpecReader): Record<string, Setting | undefined> {
  const [zero, dp] = [spec.number('options.zero'), spec.degree('dp')]
  const replicas = zero === 3 ? spec.degree('dpReplicate') : 1
  const bucket = spec.take('options.dp.bucket')
  const bytes = gradientBytes[String(spec.take('options.gradientDtype'))] ?? 4
  if (typeof bucket === 'number' && bucket % bytes !== 0)
    spec.refuse(
      'options.dp.bucket',
      `DeepSpeed counts buckets in elements, of ${bytes} bytes each`,
      `Use a multiple of ${bytes}.`,
    )
  return {
    'zero_optimization.stage': zero,
    'zero_optimization.overlap_comm': zero > 0 || undefined,
    'zero_optimization.mics_shard_size': replicas > 1 ? dp / replicas : undefined,
    'zero_optimization.reduce_bucket_size': typeof bucket === 'number' ? bucket / bytes : undefined,
  }
}

function writeModel(spec: SpecReader, { architecture }: LaunchFacts): Record<string, Setting | undefined> {
  const [tp, pp, recompute] = [spec.degree('tp'), spec.degree('pp'), spec.take('options.recompute')]
  if (recompute !== 'none' && recompute !== 'full')
    spec.refuse('options.recompute', 'DeepSpeed checkpoints whole layers', 'Use none or full.')
  const schedule = String(spec.take('options.schedule') ?? '1f1b')
  if (pp > 1 && resolveScheduleName(schedule) !== '1f1b')
    spec.refuse('options.schedule', 'DeepSpeed runs 1f1b', 'Leave it out, or use the launcher torchtitan.')
  if (pp > 1 && spec.number('options.zero') > 1)
    spec.refuse('options.zero', 'beside a pipeline DeepSpeed divides the optimizer state alone', 'Use 0 or 1.')
  if (pp > 1) spec.note(`the model has to be a \`PipelineModule\` with \`num_stages=${pp}\``)
  if (recompute === 'full') spec.note('the model has to call `deepspeed.checkpointing.checkpoint` for each layer')
  const full = recompute === 'full' && architecture ? depthOf(architecture) : undefined
  return {
    'tensor_parallel.autotp_size': above1(tp),
    'pipeline.stages': above1(pp),
    sequence_parallel_size: above1(spec.degree('ulysses')),
    'activation_checkpointing.number_checkpoints': full,
  }
}

/** What the batch rule says: the batch, sequences of a microbatch, and data parallel ranks. */
function readRanks(settings: SettingsReader) {
  const names = ['train_batch_size', 'train_micro_batch_size_per_gpu', 'gradient_accumulation_steps']
  const known = names.map((name) => (settings.text(name) === 'auto' ? undefined : settings.count(name)))
  const lacks = names.filter((_, at) => known[at] === undefined)
  if (lacks.length > 0)
    settings.refuse(
      lacks[0] ?? '',
      `without ${lacks.map((name) => `\`${name}\``).join(' and ')} nothing says how many data parallel ranks there are`,
      `Give numbers for ${names.map((name) => `\`${name}\``).join(', ')}.`,
    )
  const [batch = 1, microbatch = 1, steps = 1] = known
  const dp = batch / (microbatch * steps)
  if (!Number.isInteger(dp))
    settings.refuse(
      'train_batch_size',
      `${batch} sequences are no multiple of ${microbatch} · ${steps}`,
      '`train_batch_size` is their product with the data parallel ranks.',
    )
  return { batch, microbatch, dp }
}
