import { resolveScheduleName } from '@shardloom/schedules'
import { parseCommand, printCommand, torchrun } from './command-text.js'
import {
  above1,
  depthOf,
  given,
  hasExperts,
  type Launcher,
  type LaunchFacts,
  type Settings,
  type SpecFields,
} from './launcher.js'
import { readLayers, writeLayout } from './megatron-layout.js'
import { noteOtherShape, readShape, writeShape } from './megatron-shape.js'
import type { SettingsReader } from './settings-reader.js'
import type { SpecReader } from './spec-reader.js'

/** What Megatron FSDP divides, by the stage of ZeRO. */
const sharding = ['no_shard', 'optim', 'optim_grads', 'optim_grads_params']

/** Bytes of the types in which gradients are accumulated; buckets count parameters. */
const gradientBytes: Readonly<Record<string, number>> = { fp32: 4, bf16: 2, fp16: 2 }

const title = 'Megatron-LM'
const version = 'core_v0.15'

/**
 * Megatron-LM's pretraining, by the names of `megatron/training/arguments.py`. Its data parallel degree is what the number of
 * ranks leaves; its experts are split by all tensor parallel ranks unless told otherwise.
 */
export const megatron: Launcher = {
  title,
  version,
  orders: [
    ['tp', 'ulysses', 'cp', 'dp', 'pp'],
    ['tp', 'ulysses', 'cp', 'pp', 'dp'],
  ],
  matters:
    /parallel-(size|layout|split)|pipeline|virtual|recompute|checkpoint-activations|offload|fsdp|^zero|-shard|^fp4|overlap-moe|context-parallel|^seq-length|num-experts|expert-(model|tensor)|^(micro|global)-batch/,
  write(spec, { architecture, order }) {
    if (spec.take('phase') !== 'training')
      spec.refuse('phase', 'Megatron-LM trains', 'Use `phase: training`, or the launcher vllm or sglang.')
    return {
      ...writeDegrees(spec, hasExperts(architecture)),
      'use-tp-pp-dp-mapping': order === 1,
      ...writePipeline(spec, architecture),
      ...writeStep(spec),
      ...writeSharding(spec),
      ...writeShape(spec, architecture),
    }
  },
  print: (settings, facts) => {
    const rotary = settings.get('position-embedding-type') === 'rope' ? ', --rotary-base and --use-rope-scaling' : ''
    const rest = `# Not in a plan, so to be added: --data-path, --train-iters, --lr${rotary}`
    const command = printCommand([...torchrun(facts), 'pretrain_gpt.py'], settings)
    return `#!/bin/bash\n# ${title} ${version}, ${facts.world} ranks\n${rest}\n${environment(settings)}${command}`
  },
  parse: (text) => parseCommand(text).flags,
  modelOf: readShape,
  read: (flags, { architecture }) => {
    if (architecture) noteOtherShape(flags, architecture)
    const experts = flags.take('num-experts') !== undefined || hasExperts(architecture)
    const degrees = readDegrees(flags, experts)
    return given({ phase: 'training', ...degrees, ...readStep(flags), options: readOptions(flags, degrees) })
  },
}

function writeDegrees(spec: SpecReader, experts: boolean) {
  const [tp, cp, ulysses] = [spec.degree('tp'), spec.degree('cp'), spec.degree('ulysses')]
  const [ep, expertTp] = [spec.degree('ep'), spec.degree('expertTp')]
  spec.degree('dp')
  const ring = cp > 1 && spec.take('options.sp.attention') === 'ring'
  if (cp > 1 && ulysses > 1 && !ring)
    spec.refuse(
      'parallel.ulysses',
      'beside it Megatron-LM passes keys and values of cp round a ring',
      'Set `options.sp.attention` to ring.',
    )
  const exchange = [...(ulysses > 1 ? ['a2a'] : []), ...(cp > 1 ? [ring ? 'p2p' : 'allgather'] : [])].join('+')
  return {
    'tensor-model-parallel-size': tp,
    'sequence-parallel': spec.take('options.sequenceParallel') === true,
    'tp-comm-overlap': overlaps(spec, tp),
    'pipeline-model-parallel-size': spec.degree('pp'),
    'context-parallel-size': cp * ulysses,
    'cp-comm-type': exchange || undefined,
    'hierarchical-context-parallel-sizes': exchange.includes('+') ? [ulysses, cp] : undefined,
    ...(experts && {
      'expert-model-parallel-size': ep,
      'expert-tensor-parallel-size': ep === 1 && expertTp === 1 ? tp : expertTp,
      'moe-token-dispatcher-type': spec.take('options.ep.dispatch') === 'all-gather' ? 'allgather' : 'alltoall',
      'moe-expert-capacity-factor': spec.take('options.ep.capacityFactor') as number | undefined, // the schema's type
    }),
  }
}

/** How ranks of context parallelism exchange keys and values. */
const exchanges = ['p2p', 'a2a', 'allgather', 'a2a+p2p'] as const

/** Megatron-LM cuts overlapped matmuls into as many parts as there are ranks. */
function overlaps(spec: SpecReader, tp: number): boolean {
  const parts = spec.take('options.tp.overlap')
  if (parts === undefined || parts === tp) return parts !== undefined
  return spec.refuse(
    'options.tp.overlap',
    'Megatron-LM overlaps in as many parts as tp has ranks',
    `Use ${tp}, or leave it out.`,
  )
}

function writePipeline(spec: SpecReader, architecture: LaunchFacts['architecture']) {
  const pp = spec.degree('pp')
  if (pp === 1) return {}
  const named = spec.take('options.schedule')
  const schedule = named === undefined ? '1f1b' : resolveScheduleName(String(named))
  const interleaved = schedule === 'interleaved1f1b'
  if (!interleaved && schedule !== '1f1b')
    spec.refuse(
      'options.schedule',
      'Megatron-LM runs 1f1b and interleaved1f1b',
      'Choose one of them, or the launcher torchtitan.',
    )
  const virtual = interleaved ? Number(spec.take('options.virtual') ?? 2) : undefined
  if (virtual === undefined) spec.take('options.virtual')
  // Megatron-LM divides layers evenly by itself, and refuses those that do not divide.
  const layers = spec.take('options.pp.layers') ?? unevenLayers(architecture, pp * (virtual ?? 1))
  return {
    ...(Array.isArray(layers)
      ? { 'pipeline-model-parallel-layout': writeLayout(layers) }
      : { 'num-virtual-stages-per-pipeline-rank': virtual }),
    'microbatch-group-size-per-virtual-pipeline-stage': spec.take('options.pp.group') as number | undefined, // the schema's type
  }
}

/** The layers of each chunk as a plan has them where they do not divide; else undefined. */
function unevenLayers(architecture: LaunchFacts['architecture'], chunks: number): readonly number[] | undefined {
  const total = architecture ? depthOf(architecture) : 0
  if (total % chunks === 0) return undefined
  const border = (chunk: number) => Math.floor((chunk * total) / chunks)
  return Array.from({ length: chunks }, (_, chunk) => border(chunk + 1) - border(chunk))
}

function writeStep(spec: SpecReader) {
  const recompute = spec.take('options.recompute')
  const [dtype, gradients] = [spec.take('options.dtype'), String(spec.take('options.gradientDtype'))]
  if (!['bf16', 'fp16', 'fp32'].includes(String(dtype)))
    spec.refuse(
      'options.dtype',
      'Megatron-LM has bf16, fp16 and fp32',
      'Use one of them; `linearDtype: fp8` multiplies in eight bits.',
    )
  if (gradients !== 'fp32' && gradients !== dtype)
    spec.refuse('options.gradientDtype', `Megatron-LM accumulates in fp32 or in ${dtype}`, `Use fp32 or ${dtype}.`)
  const eight = spec.take('options.linearDtype')
  if (eight !== undefined && eight !== 'fp8' && eight !== dtype)
    spec.refuse(
      'options.linearDtype',
      'Megatron-LM multiplies in fp8 or in the type of its parameters',
      'Use fp8, or leave it out.',
    )
  return {
    'micro-batch-size': Number(spec.take('microbatch') ?? 1),
    'global-batch-size': spec.number('batch'),
    'seq-length': spec.number('seq'),
    bf16: dtype === 'bf16',
    fp16: dtype === 'fp16',
    'accumulate-allreduce-grads-in-fp32': dtype !== 'fp32' && gradients === 'fp32',
    'grad-reduce-in-bf16': dtype === 'bf16' && gradients === 'bf16',
    'fp8-format': eight === 'fp8' ? 'hybrid' : undefined,
    'attention-backend': spec.take('options.attention') === 'materialised' ? 'unfused' : 'flash',
    'cross-entropy-loss-fusion': spec.take('options.loss') === 'fused',
    'recompute-granularity': recompute === 'none' || recompute === undefined ? undefined : String(recompute),
    ...(recompute === 'full' && { 'recompute-method': 'uniform', 'recompute-num-layers': 1 }),
  }
}

/** Up to Hopper collectives of tp and cp begin in their order only where kernels are issued one at a time, which its arguments check. */
function environment(settings: Settings): string {
  const degree = (axis: string) => Number(settings.get(`${axis}-parallel-size`) ?? 1)
  const isOrdered = degree('tensor-model') * degree('context') > 1 && !settings.has('use-megatron-fsdp')
  return isOrdered ? 'export CUDA_DEVICE_MAX_CONNECTIONS=1\n' : ''
}

function writeSharding(spec: SpecReader) {
  const zero = spec.number('options.zero')
  const several = spec.degree('dp') > 1
  const bucket = spec.take('options.dp.bucket')
  const bytes = gradientBytes[String(spec.take('options.gradientDtype'))] ?? 4
  if (typeof bucket === 'number' && bucket % bytes !== 0)
    spec.refuse(
      'options.dp.bucket',
      `Megatron-LM counts buckets in parameters, of ${bytes} bytes each`,
      `Use a multiple of ${bytes}.`,
    )
  if (zero > 0) spec.degree('dpReplicate')
  return {
    'use-distributed-optimizer': zero > 0,
    'use-megatron-fsdp': zero > 1,
    'data-parallel-sharding-strategy': zero > 1 ? sharding[zero] : undefined,
    'ckpt-format': zero > 1 ? 'fsdp_dtensor' : undefined, // no other can be written of its shards
    'num-distributed-optimizer-instances': zero > 0 ? above1(spec.degree('dpReplicate')) : undefined,
    'overlap-grad-reduce': several,
    'overlap-param-gather': several && zero > 0,
    'ddp-bucket-size': typeof bucket === 'number' ? bucket / bytes : undefined,
  }
}

function readDegrees(flags: SettingsReader, experts: boolean) {
  const degree = (...names: string[]) => flags.count(...names) ?? 1
  const tp = degree('tensor-model-parallel-size', 'model-parallel-size')
  const pp = degree('pipeline-model-parallel-size')
  const context = degree('context-parallel-size')
  const ep = degree('expert-model-parallel-size')
  const expertTp = flags.count('expert-tensor-parallel-size') ?? tp
  if (experts && ep === 1 && expertTp !== tp)
    flags.refuse(
      'expert-tensor-parallel-size',
      `experts split over ${expertTp} of ${tp} tp ranks are held ${tp / expertTp} times, which no spec says`,
      'Use `--expert-model-parallel-size` for the rest.',
    )
  const exchange = flags.word(exchanges, 'cp-comm-type') ?? 'p2p'
  const sizes = [flags.take('hierarchical-context-parallel-sizes') ?? []].flat().map(Number)
  const [ulysses = 1, cp = 1] = exchange === 'a2a+p2p' ? sizes : exchange === 'a2a' ? [context, 1] : [1, context]
  if (ulysses * cp !== context)
    flags.refuse(
      'hierarchical-context-parallel-sizes',
      `a2a and p2p of ${ulysses} × ${cp} are not the context parallel size ${context}`,
      'Give two sizes whose product it is.',
    )
  const world = worldOf(flags)
  const inner = tp * pp * context
  if (world % inner !== 0)
    flags.refuse(
      'nproc-per-node',
      `${world} ranks are no multiple of tp · cp · pp = ${inner}`,
      `Use a multiple of ${inner}.`,
    )
  const [zero, replicas] = readSharding(flags)
  return {
    parallel: {
      dp: above1(world / inner),
      dpReplicate: zero > 0 ? above1(replicas) : undefined,
      tp: above1(tp),
      pp: above1(pp),
      cp: above1(cp),
      ulysses: above1(ulysses),
      ...(experts && ep * expertTp !== tp && { ep: above1(ep), expertTp: above1(expertTp) }),
      ...(experts && ep * expertTp === tp && ep > 1 && { ep, expertTp: above1(expertTp) }),
    },
    ...(flags.flag('use-tp-pp-dp-mapping') && { order: ['tp', 'ulysses', 'cp', 'pp', 'dp'] }),
  }
}

/** How many ranks `torchrun` starts. */
function worldOf(flags: SettingsReader): number {
  // Where nodes meet, and communication beside computing, as simulations have it, change nothing of a plan.
  flags.take('node-rank', 'master-addr', 'master-port', 'overlap-grad-reduce', 'overlap-param-gather')
  const perNode = flags.count('nproc-per-node')
  const nodes = flags.count('nnodes') ?? 1
  if (perNode !== undefined) return perNode * nodes
  return flags.refuse(
    'nproc-per-node',
    'how many ranks there are is not said, and data parallelism is what they leave',
    'Add what starts them: `torchrun --nnodes 8 --nproc-per-node 8`.',
  )
}

/** The stage of ZeRO, and how many groups hold all of what it divides. */
function readSharding(flags: SettingsReader): readonly [zero: number, replicas: number] {
  const fsdp = flags.flag('use-megatron-fsdp', 'use-custom-fsdp')
  const strategy = flags.text('data-parallel-sharding-strategy') ?? 'no_shard'
  const replicas = flags.count('num-distributed-optimizer-instances') ?? 1
  const distributed = flags.flag('use-distributed-optimizer')
  if (flags.flag('use-torch-fsdp2')) return [3, replicas]
  if (!fsdp) return [distributed ? 1 : 0, replicas]
  const zero = sharding.indexOf(strategy)
  if (zero >= 0) return [zero, replicas]
  return flags.refuse(
    'data-parallel-sharding-strategy',
    `there is no strategy ${strategy}`,
    `Use one of ${sharding.join(', ')}.`,
  )
}

function readStep(flags: SettingsReader): SpecFields {
  const microbatch = flags.count('micro-batch-size') ?? 1
  return {
    batch: flags.count('global-batch-size'),
    microbatch: microbatch === 1 ? undefined : microbatch,
    seq: flags.count('seq-length'),
  }
}

function readOptions(flags: SettingsReader, { parallel }: ReturnType<typeof readDegrees>): SpecFields {
  const { tp = 1, pp = 1, cp = 1 } = parallel
  const [zero] = readSharding(flags)
  const dtype = flags.flag('bf16') ? 'bf16' : flags.flag('fp16') ? 'fp16' : 'fp32'
  const wide = flags.flag('accumulate-allreduce-grads-in-fp32')
  const narrow = flags.flag('grad-reduce-in-bf16')
  // With bf16 gradients are summed in fp32 unless told otherwise.
  const gradientDtype = narrow ? 'bf16' : dtype === 'fp16' && !wide ? 'fp16' : 'fp32'
  const bucket = flags.count('ddp-bucket-size')
  if (flags.flag('fp8-param-gather', 'fp8-param'))
    flags.note('`--fp8-param-gather`: parameters are gathered in the type of `dtype` here')
  const backend = flags.word(['auto', 'flash', 'fused', 'unfused', 'local'], 'attention-backend') ?? 'auto'
  const isMaterialised = backend === 'unfused' || backend === 'local'
  flags.flag('use-flash-attn')
  flags.text('ckpt-format')
  const exchange = flags.word(exchanges, 'cp-comm-type') ?? 'p2p'
  const dispatch =
    flags.word(['allgather', 'alltoall', 'alltoall_seq', 'flex'], 'moe-token-dispatcher-type') ?? 'allgather'
  const layers = readLayers(flags, pp)
  const virtual = layers ? layers.length / pp : readVirtual(flags, pp)
  return {
    attention: isMaterialised ? 'materialised' : undefined,
    loss: flags.flag('cross-entropy-loss-fusion') ? undefined : 'materialised',
    dtype: dtype === 'bf16' ? undefined : dtype,
    gradientDtype: gradientDtype === 'fp32' ? undefined : gradientDtype,
    linearDtype: flags.text('fp8-format', 'fp8') === undefined ? undefined : 'fp8',
    zero: zero === 0 ? undefined : zero,
    sequenceParallel: (flags.flag('sequence-parallel') && tp > 1) || undefined, // without tp its arguments turn it off
    recompute: readRecompute(flags, isMaterialised),
    ...(pp > 1 && virtual > 1 && { schedule: 'interleaved1f1b', virtual }),
    pp: { layers, group: flags.count('microbatch-group-size-per-virtual-pipeline-stage') },
    dp: { bucket: bucket === undefined ? undefined : bucket * (gradientBytes[gradientDtype] ?? 4) },
    sp: { attention: cp > 1 && exchange.includes('p2p') ? 'ring' : undefined },
    tp: { overlap: flags.flag('tp-comm-overlap') && tp > 1 ? tp : undefined },
    ep: {
      dispatch: dispatch === 'allgather' && (parallel.ep ?? 1) > 1 ? 'all-gather' : undefined,
      capacityFactor: flags.number('moe-expert-capacity-factor'),
    },
  }
}

/** Chunks per rank: as they are counted, or from the layers of each. */
function readVirtual(flags: SettingsReader, pp: number): number {
  const stages = flags.count('num-virtual-stages-per-pipeline-rank')
  const each = flags.count('num-layers-per-virtual-pipeline-stage')
  if (stages !== undefined || each === undefined) return stages ?? 1
  const layers = flags.count('num-layers')
  if (layers !== undefined && layers % (pp * each) === 0) return layers / (pp * each)
  return flags.refuse(
    'num-layers-per-virtual-pipeline-stage',
    `chunks of ${each} layers do not divide ${layers ?? 'an unknown number of'} layers over ${pp} stages`,
    'Give `--num-layers`, a multiple of both.',
  )
}

function readRecompute(flags: SettingsReader, isMaterialised: boolean): string | undefined {
  const selective = flags.flag('recompute-activations')
  const granularity = flags.text('recompute-granularity') ?? (selective ? 'selective' : undefined)
  const modules = [flags.take('recompute-modules') ?? 'core_attn'].flat().join(' ')
  const method = flags.text('recompute-method') ?? 'uniform'
  const layers = flags.count('recompute-num-layers') ?? 1
  if (granularity === 'selective' && modules !== 'core_attn')
    flags.refuse(
      'recompute-modules',
      `of \`--recompute-modules ${modules}\` a spec can say core_attn alone so`,
      'Name the operators in `options.recompute`, such as {full: {module: ffn}}.',
    )
  if (granularity === 'full' && (method !== 'uniform' || layers !== 1))
    flags.refuse(
      'recompute-method',
      `full recomputation is of every layer by itself here, not ${method} of ${layers}`,
      'Name the layers in `options.recompute`, such as {full: {layers: 0-7}}.',
    )
  if (granularity !== 'selective' || isMaterialised) return granularity
  flags.note(
    '`--recompute-granularity selective`: flash attention computes its core again anyway, and keeps nothing of it',
  )
  return undefined
}
