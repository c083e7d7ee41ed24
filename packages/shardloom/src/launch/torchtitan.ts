import { ShardloomError } from '@shardloom/core'
import { resolveScheduleName } from '@shardloom/schedules'
import { parse, stringify } from 'smol-toml'
import {
  above1,
  degreeOver,
  depthOf,
  given,
  hasExperts,
  type Launcher,
  type LaunchFacts,
  type ReadFacts,
  type Setting,
  type Settings,
} from './launcher.js'
import { flavorOf, presetOfFlavor } from './model-names.js'
import { flattened, nested } from './nested.js'
import type { SettingsReader } from './settings-reader.js'
import type { SpecReader } from './spec-reader.js'
import { readRecompute } from './torchtitan-recompute.js'

const title = 'torchtitan'
const version = 'v0.2.0'

/** Schedules by the names of PyTorch's classes (torch.distributed.pipelining, `get_schedule_class`). */
const schedules: Readonly<Record<string, string>> = {
  '1f1b': '1F1B',
  gpipe: 'GPipe',
  interleaved1f1b: 'Interleaved1F1B',
  loopedbfs: 'LoopedBFS',
  'interleaved-zb1p': 'InterleavedZeroBubble',
  zbv: 'ZBVZeroBubble',
  dualpipev: 'DualPipeV',
}

/** Schedules of one chunk per rank; others have two unless layers per chunk say otherwise. */
const single = ['1f1b', 'gpipe', 'zbh1', 'zbh2']

const types: Readonly<Record<string, string>> = { bf16: 'bfloat16', fp16: 'float16', fp32: 'float32' }
const typeOf = (name: string) => Object.keys(types).find((each) => types[each] === name) ?? name

/**
 * torchtitan's job file, by the fields of `torchtitan/config/job_config.py`. What dp divides is `data_parallel_shard_degree`
 * (fully sharded data parallel), what it repeats `data_parallel_replicate_degree`; tensor parallelism comes with sequence
 * parallelism, and experts divide the ranks of both and of context parallelism once more.
 */
export const torchtitan: Launcher = {
  title,
  version,
  orders: [['tp', 'cp', 'dp', 'pp']],
  matters:
    /^parallelism\.|^activation_checkpoint\.mode|^training\.(.*batch_size|seq_len|mixed_precision|enable_cpu_offload)|^model\.converters/,
  write(spec, facts) {
    if (spec.take('phase') !== 'training')
      spec.refuse('phase', 'torchtitan trains', 'Use `phase: training`, or the launcher vllm or sglang.')
    return {
      ...writeModel(spec, facts),
      ...writeTraining(spec),
      ...writeParallelism(spec, facts),
      ...writePipeline(spec, facts),
    }
  },
  print: (settings, { world }) => `# ${title} ${version}, ${world} ranks\n${stringify(nested(settings))}`,
  parse: parseToml,
  modelOf: (settings) => {
    const [name, flavor] = [settings.text('model.name'), settings.text('model.flavor')]
    return name === undefined || flavor === undefined ? undefined : presetOfFlavor(name, flavor)
  },
  read,
}

function parseToml(text: string): Settings {
  try {
    return flattened(parse(text))
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)
    throw new ShardloomError('LAUNCHER', `This is no TOML: ${reason}.`, {
      cause,
      help: 'Give the file that `--job.config_file` names.',
    })
  }
}

function writeModel(spec: SpecReader, { model, architecture }: LaunchFacts): Record<string, Setting | undefined> {
  const [name, flavor] = flavorOf(model) ?? [architecture?.family, architecture?.name]
  if (flavorOf(model) === undefined)
    spec.note(`torchtitan has no flavor of ${String(architecture?.name)}: add one of that name to its model`)
  const eight = spec.take('options.linearDtype')
  if (eight !== undefined && eight !== 'fp8')
    spec.refuse(
      'options.linearDtype',
      'torchtitan multiplies in fp8 or in the type of its parameters',
      'Use fp8, or leave it out.',
    )
  return {
    'model.name': name,
    'model.flavor': flavor,
    'model.converters': eight === undefined ? undefined : ['quantize.linear.float8'],
  }
}

function writeTraining(spec: SpecReader): Record<string, Setting | undefined> {
  const dtype = String(spec.take('options.dtype'))
  const reduced = String(spec.take('options.dp.reduceDtype') ?? spec.take('options.gradientDtype'))
  for (const path of ['options.dtype', 'options.gradientDtype'] as const)
    if (types[String(spec.take(path))] === undefined)
      spec.refuse(path, 'torchtitan has bf16, fp16 and fp32', 'Use one of them.')
  const recompute = spec.take('options.recompute')
  const [ranks, batch] = [spec.degree('dp'), spec.number('batch')]
  const microbatch = Number(spec.take('microbatch') ?? 1)
  const piped = spec.degree('pp') > 1
  return {
    'training.local_batch_size': piped ? batch / ranks : microbatch,
    'training.global_batch_size': batch,
    'training.seq_len': spec.number('seq'),
    'training.mixed_precision_param': types[dtype],
    'training.mixed_precision_reduce': types[reduced],
    'parallelism.pipeline_parallel_microbatch_size': piped ? microbatch : undefined,
    'activation_checkpoint.mode': recompute === 'full' ? 'full' : recompute === 'none' ? 'none' : unsaid(spec),
  }
}

const unsaid = (spec: SpecReader): never =>
  spec.refuse(
    'options.recompute',
    "torchtitan's selective checkpointing keeps the results of attention",
    'Use none or full.',
  )

function writeParallelism(spec: SpecReader, { architecture }: LaunchFacts): Record<string, Setting | undefined> {
  const [tp, cp, dp, zero] = [spec.degree('tp'), spec.degree('cp'), spec.degree('dp'), spec.number('options.zero')]
  if (zero === 1 || zero === 2)
    spec.refuse('options.zero', 'torchtitan divides everything (FSDP) or nothing (DDP)', 'Use 3 or 0.')
  if (tp > 1 !== (spec.take('options.sequenceParallel') === true))
    spec.refuse(
      'options.sequenceParallel',
      'torchtitan splits the sequence wherever tp is above 1, and only there',
      `Set it to ${tp > 1}.`,
    )
  if (zero === 0 && cp > 1)
    spec.refuse('options.zero', 'torchtitan shards parameters over the ranks of cp', 'Use `options.zero: 3`.')
  const replicas = zero === 3 ? spec.degree('dpReplicate') : dp
  const gather = zero === 3 ? (spec.take('options.dp.gather') ?? 'use') : 'use'
  if (gather === 'step')
    spec.refuse('options.dp.gather', 'torchtitan gathers for each use, or for each microbatch', 'Use use or keep.')
  if (zero === 3 && dp === replicas && cp === 1) spec.note('`options.zero` divides nothing among one rank')
  const ring = spec.take('options.sp.attention') === 'ring'
  const [ep, expertTp] = [spec.degree('ep'), spec.degree('expertTp')]
  if (hasExperts(architecture) && ep > 1 && expertTp !== 1 && expertTp !== tp)
    spec.refuse('parallel.expertTp', 'torchtitan splits experts over all ranks of tp, or over none', `Use 1 or ${tp}.`)
  return {
    'parallelism.data_parallel_replicate_degree': replicas,
    'parallelism.data_parallel_shard_degree': dp / replicas,
    'parallelism.fsdp_reshard_after_forward': zero === 3 ? (gather === 'keep' ? 'never' : 'always') : undefined,
    'parallelism.tensor_parallel_degree': tp,
    'parallelism.enable_async_tensor_parallel': overlaps(spec, tp),
    'parallelism.context_parallel_degree': cp,
    'parallelism.context_parallel_rotate_method': cp > 1 ? (ring ? 'alltoall' : 'allgather') : undefined,
    'parallelism.pipeline_parallel_degree': spec.degree('pp'),
    ...(hasExperts(architecture) && {
      'parallelism.expert_parallel_degree': ep,
      'parallelism.expert_tensor_parallel_degree': ep > 1 ? expertTp : undefined,
    }),
  }
}

/** Asynchronous tensor parallelism cuts matmuls into as many parts as there are ranks. */
function overlaps(spec: SpecReader, tp: number): boolean {
  const parts = spec.take('options.tp.overlap')
  if (parts === undefined || parts === tp) return parts !== undefined
  return spec.refuse(
    'options.tp.overlap',
    'torchtitan overlaps in as many parts as tp has ranks',
    `Use ${tp}, or leave it out.`,
  )
}

function writePipeline(
  spec: SpecReader,
  { architecture, scheduleFile }: LaunchFacts,
): Record<string, Setting | undefined> {
  const pp = spec.degree('pp')
  if (pp === 1) return {}
  const named = String(spec.take('options.schedule') ?? '1f1b')
  const own = /\.csv$/i.test(named)
  const schedule = own ? named : (resolveScheduleName(named) ?? named)
  const virtual = Number(spec.take('options.virtual') ?? (single.includes(schedule) ? 1 : 2))
  const layers = spec.take('options.pp.layers')
  const depth = architecture ? depthOf(architecture) : 0
  const each = depth / (pp * virtual)
  if (!Array.isArray(layers) && !Number.isInteger(each))
    spec.refuse(
      'options.virtual',
      `${depth} layers do not divide over ${pp * virtual} chunks`,
      'Give `options.pp.layers`, the layers of each chunk.',
    )
  const known = schedules[schedule]
  if (!known && !own && !single.includes(schedule))
    spec.refuse(
      'options.schedule',
      'PyTorch has no class for it, and lays the chunks of a file in turn',
      `Use one of ${[...Object.keys(schedules), 'zbh1', 'zbh2'].join(', ')}.`,
    )
  if (!known && !own && scheduleFile === undefined)
    spec.refuse(
      'options.schedule',
      'PyTorch has no class for it, so that its order goes to a file beside',
      'Say where: `--out FILE.toml`.',
    )
  return {
    'parallelism.pipeline_parallel_schedule': known ?? 'PipelineScheduleMulti',
    'parallelism.pipeline_parallel_schedule_csv': known ? undefined : own ? named : scheduleFile,
    ...(Array.isArray(layers)
      ? { 'parallelism.module_fqns_per_model_part': modulesOf(layers) }
      : {
          'parallelism.pipeline_parallel_layers_per_stage': each,
          'parallelism.pipeline_parallel_first_stage_less_layers': 0,
          'parallelism.pipeline_parallel_last_stage_less_layers': 0,
        }),
  }
}

/** The modules of each chunk, by the names in torchtitan's models. */
function modulesOf(layers: readonly number[]): string[][] {
  let next = 0
  return layers.map((count, chunk) => [
    ...(chunk === 0 ? ['tok_embeddings'] : []),
    ...Array.from({ length: count }, () => `layers.${next++}`),
    ...(chunk === layers.length - 1 ? ['norm', 'output'] : []),
  ])
}

function read(settings: SettingsReader, facts: ReadFacts) {
  const { architecture } = facts
  const degree = (name: string) => settings.count(`parallelism.${name}`) ?? 1
  const [tp, cp, pp] = [
    degree('tensor_parallel_degree'),
    degree('context_parallel_degree'),
    degree('pipeline_parallel_degree'),
  ]
  const replicas = degree('data_parallel_replicate_degree')
  const said = settings.count('parallelism.data_parallel_shard_degree') ?? -1
  const isOpen = said === -1 || said === 0
  const shards = isOpen ? shardsLeft(settings, facts, { replicas, cp, tp, pp }) : said
  const dp = replicas * shards
  // What ranks leave is divided however many they are; a degree of 1 that is said is not.
  const sharded = shards > 1 || cp > 1 || (isOpen && facts.over('parallel.dp') !== undefined)
  const [ep, expertTp] = [degree('expert_parallel_degree'), degree('expert_tensor_parallel_degree')]
  const reshard = settings.text('parallelism.fsdp_reshard_after_forward') ?? 'default'
  const keep = reshard === 'never' || (reshard === 'default' && pp > 1)
  const rotate = settings.text('parallelism.context_parallel_rotate_method')
  const [dtype, reduced] = ['param', 'reduce'].map((name) =>
    typeOf(settings.text(`training.mixed_precision_${name}`) ?? (name === 'param' ? 'bfloat16' : 'float32')),
  )
  const microbatch =
    pp > 1 ? degree('pipeline_parallel_microbatch_size') : (settings.count('training.local_batch_size') ?? 1)
  const local = settings.count('training.local_batch_size') ?? 1
  const batch = settings.count('training.global_batch_size') ?? -1
  if (pp > 1 && batch > 0 && batch !== local * dp)
    settings.refuse(
      'training.global_batch_size',
      `${batch} sequences are several flushes of ${local} on each of ${dp} data parallel ranks, and a plan has one`,
      `Use ${local * dp}.`,
    )
  return given({
    phase: 'training',
    batch: batch > 0 ? batch : local * dp,
    microbatch: above1(microbatch),
    seq: settings.count('training.seq_len') ?? 2048,
    parallel: {
      dp: above1(dp),
      dpReplicate: sharded ? above1(replicas) : undefined,
      tp: above1(tp),
      pp: above1(pp),
      cp: above1(cp),
      ...(hasExperts(architecture) && ep > 1 && { ep, expertTp: above1(expertTp) }),
    },
    options: {
      dtype: dtype === 'bf16' ? undefined : dtype,
      gradientDtype: reduced === 'fp32' ? undefined : reduced,
      linearDtype: readConverters(settings),
      zero: sharded ? 3 : undefined,
      sequenceParallel: tp > 1 || undefined,
      recompute: readRecompute(settings, facts, {
        tp: degreeOver(facts.over, 'tp', tp),
        pp: degreeOver(facts.over, 'pp', pp),
      }),
      tp: { overlap: settings.flag('parallelism.enable_async_tensor_parallel') && tp > 1 ? tp : undefined },
      dp: { gather: sharded && keep ? 'keep' : undefined },
      sp: { attention: cp > 1 && rotate === 'alltoall' ? 'ring' : undefined },
      ...(pp > 1 && readPipeline(settings, pp, architecture ? depthOf(architecture) : undefined)),
    },
  })
}

/** The shard degree that the file leaves open: by `parallel.dp` where that will stand over it, else what ranks leave. */
function shardsLeft(
  settings: SettingsReader,
  { ranks = 0, over }: ReadFacts,
  said: { readonly replicas: number; readonly cp: number; readonly tp: number; readonly pp: number },
): number {
  const degree = (axis: string, other: number) => degreeOver(over, axis, other)
  const dp = degree('dp', 0)
  const whole = dp > 0 ? dp : ranks
  const inner = degree('cp', said.cp) * degree('tp', said.tp) * degree('pp', said.pp)
  const others = dp > 0 ? said.replicas : said.replicas * inner
  const left = whole / others
  if (Number.isInteger(left) && left >= 1) return left
  const leaving = dp > 0 ? `\`parallel.dp\` ${dp} leaves` : `${ranks} ranks leave`
  return settings.refuse(
    'parallelism.data_parallel_shard_degree',
    whole > 0
      ? `a shard degree of -1 is what ${leaving}, and ${others} ${others === 1 ? 'does' : 'do'} not divide ${dp > 0 ? 'it' : 'them'}`
      : 'a shard degree of -1 is what the number of ranks leaves, and the file does not say how many there are',
    whole > 0
      ? `Give a multiple of ${others}.`
      : "Give `--dp`, or a cluster that says its nodes (`--cluster '{preset: dgx-h100, nodes: 2}'`); or write the degree: ranks / (replicate · cp · tp · pp).",
  )
}

/** Converters of a model that change what it computes: linear layers in eight bits. */
function readConverters(settings: SettingsReader): string | undefined {
  const converters = [settings.take('model.converters') ?? []].flat().map(String)
  const unknown = converters.find((each) => !/^(quantize\.linear\.)?float8$/.test(each))
  if (unknown !== undefined)
    settings.refuse('model.converters', `what \`${unknown}\` converts has no field here`, 'Leave it out.')
  return converters.length > 0 ? 'fp8' : undefined
}

function readPipeline(settings: SettingsReader, pp: number, depth: number | undefined) {
  const csv = settings.text('parallelism.pipeline_parallel_schedule_csv')
  const named = settings.text('parallelism.pipeline_parallel_schedule') ?? '1F1B'
  const schedule =
    csv || (Object.keys(schedules).find((each) => schedules[each]?.toLowerCase() === named.toLowerCase()) ?? named)
  const parts = settings.take('parallelism.module_fqns_per_model_part')
  const layers = Array.isArray(parts)
    ? parts.map((part) => [part].flat().filter((name) => /^layers\.\d+$/.test(String(name))).length)
    : undefined
  const each = settings.count('parallelism.pipeline_parallel_layers_per_stage')
  const ends = ['first', 'last'].reduce(
    (sum, end) => sum + (settings.count(`parallelism.pipeline_parallel_${end}_stage_less_layers`) ?? 1),
    0,
  )
  const fixed = ['zbv', 'dualpipev'].includes(schedule) || single.includes(schedule) || csv
  const usual = single.includes(schedule) ? 1 : 2
  const chunks =
    layers?.length ?? (each === undefined || depth === undefined ? pp * usual : Math.ceil((depth + ends) / each))
  if (chunks % pp !== 0)
    settings.refuse(
      'parallelism.pipeline_parallel_layers_per_stage',
      `${chunks} chunks are no multiple of ${pp} ranks`,
      'Choose layers per stage that make one.',
    )
  return {
    ...(schedule !== '1f1b' && { schedule }),
    ...(!fixed && { virtual: chunks / pp }),
    ...(layers && { pp: { layers } }),
  }
}
