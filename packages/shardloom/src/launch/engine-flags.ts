import { ShardloomError } from '@shardloom/core'
import { usualOutput } from '../serving-schema.js'
import type { Setting } from './launcher.js'
import { isStoredAsFp8 } from './model-names.js'
import type { SettingsReader } from './settings-reader.js'
import type { SpecReader } from './spec-reader.js'

/** What requests decide, or who sends them, and no engine is told. */
export const workload = [
  'options.serving.load',
  'options.serving.scheduler.admission',
  'options.serving.scheduler.sharing',
  'options.serving.host',
  'options.decode.keep',
  'options.decode.acceptance',
]

/** Types of elements by the words that vLLM and SGLang have for them. */
const types: Readonly<Record<string, string>> = { bf16: 'bfloat16', fp16: 'float16', fp32: 'float32' }

/** The phase, and who serves: throws `LAUNCHER` where it is another engine, or training. */
export function checkServing(spec: SpecReader, engine: string): void {
  const phase = spec.take('phase')
  if (phase === 'training')
    spec.refuse(
      'phase',
      `${engine} serves, and takes the phases serving, prefill and decode`,
      'Use `phase: serving`, or the launcher megatron, torchtitan or deepspeed, which train.',
    )
  if (phase !== 'serving') spec.note(`the engine runs prefill and decode; the plan is of ${String(phase)} alone`)
  const pools = ['prefill', 'decode'].filter((pool) => spec.take(`options.serving.${pool}.parallel.dp`) !== undefined)
  if (pools.length > 0)
    throw new ShardloomError(
      'LAUNCHER',
      `Prefill and decode have ranks of their own (\`options.serving.${pools[0]}.parallel\`): two pools are two launches, and ${engine} is told of one engine.`,
      {
        subject: `options.serving.${pools[0]}`,
        help: `Export each: \`shardloom export SPEC --phase prefill --format ${engine}\`, and the same with \`--phase decode\`. How the cache goes from one to the other is up to \`--kv-transfer-config\` of vLLM or \`--disaggregation-mode\` of SGLang.`,
      },
    )
  const named = spec.take('options.serving.engine')
  if (named !== undefined && named !== engine)
    spec.refuse(
      'options.serving.engine',
      `this is a command of ${engine}`,
      `Use \`--format ${String(named)}\`, or leave it out.`,
    )
}

/** Types of elements, as both engines have them, of the checkpoint in a repository. */
export function writeTypes(spec: SpecReader, repository: string): Record<string, Setting | undefined> {
  const dtype = String(spec.take('options.dtype'))
  if (types[dtype] === undefined)
    spec.refuse(
      'options.dtype',
      'engines compute in bf16, fp16 and fp32',
      'Use one of them, and `weightDtype: fp8` for weights.',
    )
  const eight = (path: string) => {
    const value = spec.take(path)
    if (value === undefined || value === dtype || value === 'fp8') return value === 'fp8'
    return spec.refuse(path, `the engine has ${dtype} and fp8 there`, 'Use one of them.')
  }
  const narrow = eight('options.weightDtype')
  const stored = isStoredAsFp8(repository)
  if (stored && !narrow)
    spec.note(`${repository} holds weights in fp8, which the engine serves as they are: name a checkpoint in ${dtype}`)
  return {
    dtype: types[dtype],
    quantization: narrow && !stored ? 'fp8' : undefined,
    'kv-cache-dtype': eight('options.cacheDtype') ? 'fp8_e4m3' : undefined,
  }
}

/** Types of the KV cache that the engines know and a plan does: theirs of four bits have no type here. */
const caches = ['auto', 'bf16', 'bfloat16', 'float16', 'fp8', 'fp8_e4m3', 'fp8_e5m2', 'fp8_inc', 'fp8_ds_mla']

/** The same, read. A method of eight bits is fp8, and a checkpoint of them; others have no type here. */
export function readTypes(flags: SettingsReader, repository: string): Record<string, unknown> {
  const short = { half: 'fp16', float: 'fp32' }
  const words = [...Object.keys(types), ...Object.values(types), ...Object.keys(short)]
  const given = flags.word(['auto', ...words], 'dtype') ?? 'auto'
  const named = given === 'half' || given === 'float' ? short[given] : given
  const dtype = Object.keys(types).find((each) => types[each] === named || each === named)
  const method = flags.text('quantization')
  if (method !== undefined && !/fp8/.test(method))
    flags.refuse(
      'quantization',
      `weights by \`${method}\` have no type of elements here`,
      'Leave it out, and give `--weight-dtype` yourself.',
    )
  const cache = flags.word(caches, 'kv-cache-dtype')
  return {
    dtype: dtype === 'bf16' ? undefined : dtype,
    weightDtype: method === undefined && !isStoredAsFp8(repository) ? undefined : 'fp8',
    cacheDtype: cache?.startsWith('fp8') ? 'fp8' : undefined,
  }
}

/** Sequences at the same time: a bound for each rank of dp, which in phases of one program is the batch. */
export function sequencesPerEngine(spec: SpecReader, engines: number): number | undefined {
  const [bound, batch] = [spec.take('options.serving.scheduler.maxSequences'), spec.number('batch')]
  const each = typeof bound === 'number' ? bound : undefined
  if (spec.take('phase') === 'decode' && each === undefined) {
    if (batch % engines === 0) return batch / engines
    return spec.refuse('batch', `${engines} engines cannot have equal shares of it`, `Use a multiple of ${engines}.`)
  }
  if (each === undefined || each * engines !== batch) spec.note(`\`batch\` ${batch} is what requests make of it`)
  return each
}

/** Refuses how else an engine could schedule. */
export function checkScheduling(spec: SpecReader, engine: string, batching: readonly string[]): string | undefined {
  const chosen = spec.take('options.serving.scheduler.batching')
  if (chosen !== undefined && !batching.includes(String(chosen)))
    spec.refuse('options.serving.scheduler.batching', `${engine} has ${batching.join(' and ')}`, 'Leave it out.')
  if (spec.take('options.serving.scheduler.preemption') === 'swap')
    spec.refuse('options.serving.scheduler.preemption', `${engine} computes again what it preempts`, 'Use recompute.')
  return chosen === undefined ? undefined : String(chosen)
}

/**
 * The longest context: of a load that says how long its requests are the longest of them with what it generates, else a prompt of `seq` and its first
 * token. What requests are taken to be where nothing says so is noted.
 */
export function contextLength(spec: SpecReader, flag: string): number {
  const seq = spec.number('seq')
  if (spec.take('phase') !== 'serving') return seq
  const most = (name: string) => {
    const path = `options.serving.load.${name}`
    const value = spec.take(path) ?? spec.take(`${path}.to`)
    return value === undefined ? undefined : Number(value)
  }
  const [input, output] = [most('input'), most('output')]
  const longest = (input ?? seq) + (output ?? usualOutput)
  if (input !== undefined || output !== undefined) return longest
  if (longest > seq + 1)
    spec.note(
      `requests are up to ${longest} tokens long with what they generate: \`--${flag} ${longest}\` lets them in`,
    )
  return seq + 1
}
