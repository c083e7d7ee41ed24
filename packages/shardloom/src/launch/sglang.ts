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
import { above1, given, hasExperts, type Launcher, type LaunchFacts, type ReadFacts, type Setting } from './launcher.js'
import { modelOfRepository, repositoryOf } from './model-names.js'
import type { SettingsReader } from './settings-reader.js'
import type { SpecReader } from './spec-reader.js'

/**
 * `sglang.launch_server`, by the names of its server arguments. Its tensor parallel size counts all ranks of a stage: with
 * data parallel attention, dp · tp of ours, and dp lies inside of it; without, its data parallel ranks are engines of their own,
 * which are `replicas` here. Experts are divided over those ranks, ep of them by number and the rest by width.
 */
export const sglang: Launcher = {
  title: 'SGLang',
  version: 'v0.5.6',
  orders: [['tp', 'dp', 'pp']],
  matters:
    /parallel|^(tp|pp|dp|ep)(-size)?$|expert|eplb|moe-a2a|speculative|disaggregation|dp-attention|two-batch|context-parallel|moe-dense/,
  harmless: workload,
  check: (spec) => checkServing(spec, 'sglang'),
  write(spec, facts) {
    const batching = checkScheduling(spec, 'SGLang', ['separate', 'mixed'])
    const repository =
      repositoryOf(facts.model) ??
      spec.refuse(
        'model',
        'SGLang loads a checkpoint, and none of this model is known',
        'Name a preset, or the folder of a checkpoint: `./folder/config.json`.',
      )
    const [dp, replicas] = [spec.degree('dp'), spec.degree('replicas')]
    const [maxTokens, chunked] = [
      spec.take('options.serving.scheduler.maxTokens'),
      spec.take('options.serving.scheduler.chunked'),
    ]
    const sequences = sequencesPerEngine(spec, dp * replicas)
    const draft = spec.take('options.decode.draft')
    if (draft !== undefined) spec.note('who drafts is not said: add `--speculative-algorithm`')
    if (chunked === false && maxTokens !== undefined)
      spec.refuse(
        'options.serving.scheduler.maxTokens',
        'SGLang bounds tokens by the size of chunks, which are off',
        'Leave one of them out.',
      )
    return {
      'model-path': repository,
      ...writeRanks(spec, facts),
      'context-length': contextLength(spec, 'context-length'),
      // Both are divided by the number of ranks of data parallel attention.
      'max-running-requests': sequences === undefined ? undefined : sequences * dp,
      'chunked-prefill-size': chunked === false ? -1 : typeof maxTokens === 'number' ? maxTokens * dp : undefined,
      'enable-mixed-chunk': batching === 'mixed' || undefined,
      'page-size': spec.take('options.serving.scheduler.blockTokens') as number | undefined, // the schema's type
      'mem-fraction-static': spec.take('options.serving.memoryFraction') as number | undefined, // the schema's type
      ...writeTypes(spec, repository),
      'speculative-num-draft-tokens': draft as number | undefined, // the schema's type
      ...(facts.world > facts.perNode && {
        nnodes: facts.world / facts.perNode,
        'node-rank': '$NODE_RANK',
        'dist-init-addr': '$DIST_INIT_ADDR',
      }),
    }
  },
  print: (settings) =>
    `#!/bin/bash\n# SGLang v0.5.6\n${printCommand(['python3', '-m', 'sglang.launch_server'], settings)}`,
  parse: (text) => parseCommand(text).flags,
  modelOf: (flags) => modelOfRepository(flags.text('model-path', 'model') ?? ''),
  read,
}

function writeRanks(spec: SpecReader, { architecture }: LaunchFacts): Record<string, Setting | undefined> {
  const [tp, dp, replicas] = [spec.degree('tp'), spec.degree('dp'), spec.degree('replicas')]
  const experts = hasExperts(architecture)
  if (dp > 1 && !experts)
    spec.refuse(
      'parallel.dp',
      'without experts SGLang splits feed-forward networks over all ranks of data parallel attention',
      `Use \`parallel.replicas: ${dp * replicas}\`.`,
    )
  if (dp > 1 && replicas > 1)
    spec.refuse(
      'parallel.replicas',
      'beside data parallel attention SGLang has one engine',
      'Start as many commands behind a router, each of a spec with `replicas: 1`.',
    )
  if (dp > 1 && tp > 1) spec.note('dense layers are split over all ranks there, and over tp here')
  return {
    'tp-size': tp * dp,
    'pp-size': above1(spec.degree('pp')),
    'dp-size': above1(dp * replicas),
    'enable-dp-attention': dp > 1,
    'enable-dp-lm-head': dp > 1,
    'moe-dense-tp-size': dp > 1 && tp === 1 ? 1 : undefined,
    ...(experts && writeExperts(spec, tp * dp, dp)),
  }
}

function writeExperts(spec: SpecReader, ranks: number, dp: number): Record<string, Setting | undefined> {
  const [ep, expertTp] = [spec.degree('ep'), spec.degree('expertTp')]
  if (ep * expertTp !== ranks && !(dp === 1 && ep === 1 && expertTp === 1))
    spec.refuse(
      'parallel.ep',
      `ep · expertTp = ${ep} · ${expertTp}, and SGLang divides experts over all ${ranks} ranks of dp and tp`,
      `Use degrees whose product is ${ranks}.`,
    )
  const gathers = spec.take('options.ep.dispatch') === 'all-gather'
  if (dp > 1 && ep > 1 && !gathers && ep !== ranks)
    spec.refuse(
      'parallel.ep',
      'SGLang sends tokens to experts with ep over all ranks alone',
      `Use ep ${ranks}, or \`options.ep.dispatch: all-gather\`.`,
    )
  return {
    'ep-size': ep,
    'moe-a2a-backend': dp > 1 && ep > 1 && !gathers ? 'deepep' : undefined,
    'ep-num-redundant-experts': spec.take('options.ep.redundant') as number | undefined, // the schema's type
  }
}

function read(flags: SettingsReader, { architecture }: Pick<ReadFacts, 'architecture'>) {
  const ranks = flags.count('tp-size', 'tp', 'tensor-parallel-size') ?? 1
  const pp = flags.count('pp-size', 'pp', 'pipeline-parallel-size') ?? 1
  const size = flags.count('dp-size', 'dp', 'data-parallel-size') ?? 1
  const shares = flags.flag('enable-dp-attention') && size > 1
  const [dp, replicas] = shares ? [size, 1] : [1, size]
  if (ranks % dp !== 0)
    flags.refuse(
      'dp-size',
      `data parallel attention of ${dp} does not divide ${ranks} ranks`,
      'Its degree lies inside of `--tp-size`: use a divisor.',
    )
  if (shares && architecture && !hasExperts(architecture))
    flags.refuse(
      'enable-dp-attention',
      'feed-forward networks without experts are then split over other ranks than attention, which no spec says',
      'Leave it out: data parallel ranks are then `replicas`.',
    )
  const backend = flags.text('moe-a2a-backend') ?? 'none'
  const joined = backend !== 'none' || flags.flag('enable-deepep-moe')
  const all = joined || flags.flag('enable-ep-moe')
  const stated = flags.count('ep-size', 'ep', 'expert-parallel-size') ?? 1
  const ep = all ? ranks : stated
  const experts = hasExperts(architecture) || ep > 1 || shares
  const lone = flags.count('moe-dense-tp-size')
  if (shares && lone !== 1) flags.note('dense layers are split over all ranks there, and over tp here')
  if (shares && !flags.flag('enable-dp-lm-head')) flags.note('the head is split over all ranks there, and over tp here')
  const [sequences, chunk, length] = [
    flags.count('max-running-requests'),
    flags.count('chunked-prefill-size'),
    flags.count('context-length'),
  ]
  const perRank = (count: number | undefined) => (count === undefined ? undefined : Math.floor(count / dp))
  return given({
    phase: 'serving',
    batch: sequences === undefined ? undefined : sequences * replicas,
    seq: length === undefined ? undefined : length - 1,
    parallel: {
      dp: above1(dp),
      replicas: above1(replicas),
      tp: above1(ranks / dp),
      pp: above1(pp),
      ...(experts && (ep > 1 || dp > 1) && { ep: above1(ep), expertTp: above1(ranks / ep) }),
    },
    options: {
      ...readTypes(flags, flags.text('model-path', 'model') ?? ''),
      decode: { draft: flags.count('speculative-num-draft-tokens') },
      ep: {
        dispatch: ep > 1 && dp > 1 && !joined ? 'all-gather' : undefined,
        redundant: flags.count('ep-num-redundant-experts') || undefined,
      },
      serving: {
        engine: 'sglang',
        scheduler: {
          batching: flags.flag('enable-mixed-chunk') ? 'mixed' : undefined,
          chunked: chunk !== undefined && chunk < 0 ? false : undefined,
          maxTokens: chunk !== undefined && chunk > 0 ? perRank(chunk) : undefined,
          maxSequences: perRank(sequences),
          blockTokens: flags.count('page-size'),
        },
        memoryFraction: flags.number('mem-fraction-static'),
      },
    },
  })
}
