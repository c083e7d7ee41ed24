import { parseCommand, printCommand } from './command-text.js'
import {
  checkScheduling,
  checkServing,
  contextLength,
  readTypes,
  sequencesPerEngine,
  workload,
  writeTypes,
} from './engine-flags.js'
import {
  above1,
  given,
  hasExperts,
  type Launcher,
  type LaunchFacts,
  type ReadFacts,
  type Setting,
  type Settings,
} from './launcher.js'
import { modelOfRepository, repositoryOf } from './model-names.js'
import type { SettingsReader } from './settings-reader.js'
import type { SpecReader } from './spec-reader.js'

/**
 * `vllm serve`, by the names of its engine arguments. There are dp · tp · pp ranks. Ranks of dp share the experts of a model
 * that has some; of any other they are engines of their own, which are `replicas` here. Expert parallelism is over all of
 * dp · tp or not at all: then experts are split over them by width.
 */
export const vllm: Launcher = {
  title: 'vLLM',
  version: 'v0.12',
  orders: [['tp', 'pp', 'dp']],
  matters: /parallel|^(tp|pp|dp|dcp|pcp|ep)$|expert|eplb|all2all|speculative|kv-transfer|dbo|ubatch|data-type/,
  harmless: workload,
  check: (spec) => checkServing(spec, 'vllm'),
  write(spec, facts) {
    checkScheduling(spec, 'vLLM', ['mixed'])
    const repository =
      repositoryOf(facts.model) ??
      spec.refuse(
        'model',
        'vLLM loads a checkpoint, and none of this model is known',
        'Name a preset, or the folder of a checkpoint: `./folder/config.json`.',
      )
    const [tp, dp] = [spec.degree('tp'), spec.degree('dp')]
    const engines = writeEngines(spec, facts)
    const draft = spec.take('options.decode.draft')
    if (draft !== undefined) spec.note('who drafts is not said: add `method` or `model` to `--speculative-config`')
    const chunked = spec.take('options.serving.scheduler.chunked')
    return {
      model: repository,
      'tensor-parallel-size': tp,
      'pipeline-parallel-size': above1(spec.degree('pp')),
      'data-parallel-size': above1(engines),
      ...writePlacement(spec, facts, engines),
      'decode-context-parallel-size': above1(spec.degree('dcp')),
      ...(hasExperts(facts.architecture) && writeExperts(spec, tp * dp, dp)),
      'max-model-len': contextLength(spec, 'max-model-len'),
      'max-num-seqs': sequencesPerEngine(spec, engines),
      'max-num-batched-tokens': spec.take('options.serving.scheduler.maxTokens') as number | undefined, // the schema's type
      'enable-chunked-prefill': chunked === true || undefined,
      'no-enable-chunked-prefill': chunked === false || undefined,
      'block-size': spec.take('options.serving.scheduler.blockTokens') as number | undefined, // the schema's type
      'gpu-memory-utilization': spec.take('options.serving.memoryFraction') as number | undefined, // the schema's type
      ...writeTypes(spec, repository),
      'speculative-config': draft === undefined ? undefined : JSON.stringify({ num_speculative_tokens: draft }),
    }
  },
  print: (settings, { world, perNode }) => {
    const { model, ...flags } = Object.fromEntries(settings)
    const engines = Number(flags['data-parallel-size'] ?? 1)
    return `#!/bin/bash\n# vLLM v0.12\n${nodesComment(world / engines, perNode)}${printCommand(['vllm', 'serve', String(model)], new Map(Object.entries(flags)))}`
  },
  parse(text): Settings {
    const { flags, words } = parseCommand(text)
    const model =
      flags.get('model') ?? words.slice(words.indexOf('serve') + 1).find((word) => /^[\w./~-]*[a-z]/i.test(word))
    return words.includes('serve') && model !== undefined ? new Map([...flags, ['model', model]]) : flags
  },
  modelOf: (flags) => modelOfRepository(flags.text('model') ?? ''),
  read,
}

/** Where data parallel ranks run and how requests reach them, which changes nothing that they do: flags with their short names. */
const placement: readonly (readonly string[])[] = [
  ['data-parallel-size-local', 'dpl'],
  ['data-parallel-address', 'dpa'],
  ['data-parallel-rpc-port', 'dpp'],
  ['data-parallel-start-rank', 'dpr'],
  ['data-parallel-rank', 'dpn'],
  ['data-parallel-backend', 'dpb'],
  ['data-parallel-hybrid-lb', 'dph'],
  ['data-parallel-external-lb', 'dpe'],
  ['headless'],
]

/**
 * How an engine over several nodes is started: vLLM, docs/serving/parallelism_scaling.md, "Multi-node deployment". Such a node has the same command,
 * or the first one alone where Ray joins them.
 */
function nodesComment(ranks: number, perNode: number): string {
  const nodes = Math.ceil(ranks / perNode)
  if (nodes < 2) return ''
  return [
    `# One engine over ${nodes} nodes (docs.vllm.ai, "Parallelism and Scaling"). On each of them, with N from 0:`,
    `# add --nnodes ${nodes} --node-rank N --master-addr HEAD, and --headless where N is not 0.`,
    '# Or start Ray on all of them, and this on the first with --distributed-executor-backend ray.',
    '',
  ].join('\n')
}

/** How a command of several nodes says which data parallel ranks are on the first one; the others are told in a note. */
function writePlacement(spec: SpecReader, { world, perNode }: LaunchFacts, engines: number) {
  const local = (engines * perNode) / world
  if (engines === 1 || world <= perNode || !Number.isInteger(local)) return {}
  spec.note(
    `this is the command of the first node: on each other one add \`--headless --data-parallel-start-rank\` ${local} times its number`,
  )
  return { 'data-parallel-size-local': local, 'data-parallel-address': '$MASTER_ADDR' }
}

/** How many engines there are: ranks of dp that share experts, or replicas. */
function writeEngines(spec: SpecReader, { architecture }: LaunchFacts): number {
  const [dp, replicas] = [spec.degree('dp'), spec.degree('replicas')]
  if (!hasExperts(architecture) && dp > 1)
    spec.refuse(
      'parallel.dp',
      'without experts vLLM makes each data parallel rank an engine of its own',
      `Use \`parallel.replicas: ${dp * replicas}\`.`,
    )
  if (hasExperts(architecture) && replicas > 1)
    spec.refuse(
      'parallel.replicas',
      'with experts vLLM joins all data parallel ranks to one engine',
      'Start as many commands behind a router, each of a spec with `replicas: 1`.',
    )
  return dp * replicas
}

function writeExperts(spec: SpecReader, ranks: number, dp: number): Record<string, Setting | undefined> {
  const [ep, expertTp] = [spec.degree('ep'), spec.degree('expertTp')]
  const all = ep === ranks && expertTp === 1 && ep > 1
  const none = ep === 1 && (expertTp === ranks || (dp === 1 && expertTp === 1))
  if (!all && !none)
    spec.refuse(
      'parallel.ep',
      `beside expertTp ${expertTp}, vLLM has ep over all ${ranks} ranks of dp and tp, or none`,
      `Use ep ${ranks} and expertTp 1, or ep 1 and expertTp ${ranks}.`,
    )
  const redundant = Number(spec.take('options.ep.redundant') ?? 0)
  const dispatch = dp > 1 ? spec.take('options.ep.dispatch') : undefined
  return {
    'enable-expert-parallel': all,
    'all2all-backend':
      all && dp > 1 ? (dispatch === 'all-gather' ? 'allgather_reducescatter' : 'deepep_high_throughput') : undefined,
    'enable-eplb': redundant > 0 || undefined,
    'eplb-config': redundant > 0 ? JSON.stringify({ num_redundant_experts: redundant }) : undefined,
  }
}

function read(flags: SettingsReader, { architecture }: Pick<ReadFacts, 'architecture'>) {
  const tp = flags.count('tensor-parallel-size', 'tp') ?? 1
  const pp = flags.count('pipeline-parallel-size', 'pp') ?? 1
  const engines = flags.count('data-parallel-size', 'dp') ?? 1
  for (const names of placement) flags.take(...names)
  if (engines > 1 && !architecture)
    flags.refuse(
      'data-parallel-size',
      'whether data parallel ranks share experts depends on the model, and none is known',
      'Give `--model`: a preset, or the path of its config.json.',
    )
  const experts = hasExperts(architecture)
  const [dp, replicas] = experts ? [engines, 1] : [1, engines]
  const parallel = flags.flag('enable-expert-parallel', 'ep')
  const backend = flags.text('all2all-backend') ?? 'allgather_reducescatter'
  const gathers = /^(allgather_reducescatter|naive)$/.test(backend)
  const sequences = flags.count('max-num-seqs')
  const length = flags.count('max-model-len')
  const redundant = flags.flag('enable-eplb')
    ? (fieldOf(flags, 'eplb-config', 'num_redundant_experts') ?? flags.count('num-redundant-experts'))
    : undefined
  return given({
    phase: 'serving',
    batch: sequences === undefined ? undefined : sequences * engines,
    seq: length === undefined ? undefined : length - 1,
    parallel: {
      dp: above1(dp),
      replicas: above1(replicas),
      tp: above1(tp),
      pp: above1(pp),
      dcp: above1(flags.count('decode-context-parallel-size', 'dcp') ?? 1),
      ...(experts && parallel && { ep: above1(tp * dp) }),
      ...(experts && !parallel && dp > 1 && { expertTp: tp * dp }),
    },
    order: dp > 1 && pp > 1 ? ['tp', 'pp', 'dp'] : undefined,
    options: {
      ...readTypes(flags, flags.text('model') ?? ''),
      decode: { draft: fieldOf(flags, 'speculative-config', 'num_speculative_tokens') },
      ep: {
        dispatch: experts && parallel && dp > 1 && gathers ? 'all-gather' : undefined,
        redundant: redundant || undefined,
      },
      serving: {
        scheduler: {
          chunked: flags.flag('no-enable-chunked-prefill') ? false : flags.flag('enable-chunked-prefill') || undefined,
          maxTokens: flags.count('max-num-batched-tokens'),
          maxSequences: sequences,
          blockTokens: flags.count('block-size'),
        },
        memoryFraction: flags.number('gpu-memory-utilization'),
      },
    },
  })
}

/** A number in the JSON object of a flag. */
function fieldOf(flags: SettingsReader, name: string, field: string): number | undefined {
  const text = flags.text(name)
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(text)
    const found = typeof value === 'object' && value !== null ? new Map(Object.entries(value)).get(field) : undefined
    return typeof found === 'number' ? found : undefined
  } catch {
    return flags.refuse(name, `\`${name}\` is no JSON object`, `Such as '{"${field}": 1}'.`)
  }
}
