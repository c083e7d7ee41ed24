import {
  communicationRules,
  type EdgeKind,
  hybrids,
  type NodeKind,
  plan,
  type Spec,
  specFields,
  strategies,
  verifyPlan,
} from 'shardloom'
import { makeSchedule, scheduleNames, summariseSchedule } from 'shardloom/schedules'

const nodeKinds: Readonly<Record<NodeKind, string>> = {
  compute: 'An operator that one rank runs on what it holds: a matrix product, a norm, a softmax, an update.',
  communication:
    'Ranks exchange a tensor: all-reduce, all-gather, reduce-scatter, all-to-all, broadcast, or a send with its recv. No strategy places one by hand, apart from rings: it stands wherever a producer and a reader disagree.',
  control: 'A decision or a wait that moves no tensor of the model: a router, a sampler, a request router, a barrier.',
  memory: 'State that outlives an operator: KV-cache reads and writes, offload to host memory and reload.',
}

const edgeKinds: Readonly<Record<EdgeKind, string>> = {
  data: 'A tensor passes between two nodes of one rank.',
  temporal: 'Order without a tensor: of a schedule, of decode steps, of prefetching, of barriers.',
  communication: 'A send to its recv on another rank, and the members of one collective to each other.',
}

const phases: Readonly<Record<Spec['phase'], string>> = {
  training:
    'Forward, backward and the optimizer step of a global `batch` of sequences of `seq` tokens. Backward follows from the derivative of each forward operator. Gradients are partial sums over the axis of the batch, which is where data parallelism communicates.',
  prefill:
    'Forward over whole prompts of `seq` tokens: one causal attention over all positions, and the KV cache written. Its time is the time to first token, without a queue. `options.prefill.chunk` takes prompts in parts, `cached` says what is in the cache already.',
  decode:
    'One new token for each of `batch` sequences, `steps` times: the KV cache of `seq` positions is read and grows by one. Its time is the time per output token. Weights and cache are read for few FLOPs, so that memory bandwidth and the latency of collectives decide.',
  serving:
    'Prefill and decode as two graphs that share no node: on one pool of ranks, or on two between which the KV cache passes. Simulated, it serves requests of `options.serving.load` with the scheduler of an engine.',
}

/** What each pipeline schedule is known for, by its name. */
export const scheduleTexts: Readonly<Record<string, string>> = {
  gpipe: 'All forwards, then all backwards: holds the activations of all microbatches.',
  '1f1b': 'After a warm-up one forward and one backward in turn: holds as many microbatches as there are stages below.',
  interleaved1f1b: '1F1B with several chunks of layers per rank: a smaller bubble for more transfers.',
  loopedbfs: 'All microbatches through one chunk before the next: parameters are gathered once per chunk.',
  zbh1: 'Backward is split into input and weight gradients, which fill the bubble; memory as 1F1B.',
  zbh2: 'As zbh1 with more forwards in advance: no bubble between the first and the last action of a rank where there are microbatches enough, for up to twice the activations.',
  'interleaved-zb1p': 'zbh1 with several chunks per rank.',
  zbv: 'Two chunks per rank in a V: the first and the last stage share a rank; a small bubble with memory as 1F1B.',
  vhalf: 'A V whose building block holds half of the activations of 1F1B, with more ranks than few.',
  vmin: 'A V whose building block holds a third of them, with more ranks than few, for a longer bubble.',
  dualpipe: 'Microbatches enter at both ends; forwards of one direction run beside backwards of the other.',
  dualpipev: 'DualPipe cut in half: the same overlap with one copy of the parameters.',
}

/** The strategies with their axes and options, and the mixtures that people run. */
export function strategiesText(): string {
  const options = (name: string) =>
    specFields()
      .filter(({ path: [first, strategy] }) => first === 'options' && strategy === name)
      .map(
        ({ path, description, choices }) =>
          `- \`${path.join('.')}\`${choices ? ` (${choices.join(', ')})` : ''}: ${description}`,
      )
  const parts = strategies().map(({ name, axes, passes }) =>
    [
      `## ${name}`,
      ...axes.map((axis) => `- axis \`${axis.name}\`: ${axis.description}`),
      ...options(name),
      `- passes: ${passes.map((pass) => `\`${pass.name}\` (${pass.phase})`).join(', ')}`,
    ].join('\n'),
  )
  const mixtures = Object.entries(hybrids).map(
    ([name, { title, source }]) => `- \`preset: ${name}\`: ${title} (${source})`,
  )
  return [
    '# Strategies',
    'A strategy names the dims of a model that an axis of the mesh splits; communication is derived from that. Degrees stand in `parallel`; an axis of degree 1 is not there. Ranks = replicas · dp · cp · ulysses · tp · pp.',
    ...parts,
    ['## Hybrids that people run', ...mixtures].join('\n'),
  ].join('\n\n')
}

/** The phases, each a graph of its own. */
export function phasesText(): string {
  return ['# Phases', 'Each phase is planned on its own; no graph mixes two of them.', ...sections(phases)].join('\n\n')
}

/** What nodes and edges of the graph are. */
export async function graphText(): Promise<string> {
  const { operators } = await plan({ model: 'tiny-moe', phase: 'prefill', batch: 1 })
  const named = (kind: NodeKind) =>
    [...operators.values()].filter((each) => (each.kind ?? 'compute') === kind).map(({ name }) => `\`${name}\``)
  const kinds = Object.entries(nodeKinds).map(([kind, text]) => {
    const names = named(kind as NodeKind) // its own keys
    return `## ${kind}\n\n${text}${names.length ? ` Operators: ${names.join(', ')}.` : ''}`
  })
  return [
    '# Nodes and edges',
    'The graph is kept rolled: layers, microbatches and decode steps are regions that repeat, ranks are coordinates. Ids come from structure: `<segment>/<body>/<module>/<name>`, such as `prefill/layer/attention/q`; communication adds its kind and axis, `prefill/layer/ffn/down/all-reduce(tp)`.',
    ...kinds,
    '# Edges',
    ...sections(edgeKinds),
  ].join('\n\n')
}

/** How communication comes to be, and the rules that a plan is held against. */
export async function rulesText(): Promise<string> {
  const small = await plan({ model: 'tiny', batch: 4, seq: 8, parallel: { dp: 2, tp: 2 } })
  const table = communicationRules().map(({ from, to, steps }) => `| ${from} | ${to} | ${steps.join(', then ')} |`)
  const rules = verifyPlan(small).rules.map(({ rule, name }) => `- ${rule}: ${name}`)
  return [
    '# How a graph is generated',
    'Along each axis of the mesh a tensor is *replicate* (every rank holds all of it), *shard(d)* (each holds its part of dim d) or *partial* (each holds a summand of it). Every operator has a rule over named dims, such as `batch seq hidden, hidden ffn -> batch seq ffn`. A strategy states which dims an axis splits; a split dim that stands in operands alone (it is summed over) leaves the result partial. Where the producer leaves a tensor in another state than its reader wants, a communication node stands between them:',
    ['| producer leaves it | reader wants it | node |', '|---|---|---|', ...table].join('\n'),
    '`slice` is no node: each rank keeps its part. With S bytes of the tensor logical to a group of n ranks, a rank sends by a ring S(n−1)/n in an all-gather or a reduce-scatter, 2S(n−1)/n in an all-reduce, and in an all-to-all S(n−1)/n².',
    '# What is verified',
    rules.join('\n'),
  ].join('\n\n')
}

const figuresOf = { ranks: 4, microbatches: 8 }

/** The pipeline schedules, with figures of one size. */
export function schedulesText(): string {
  const rows = scheduleNames().map((name) => {
    const { comparableMakespan, makespan, idle, peakInFlight, stages, directions } = summariseSchedule(
      makeSchedule(name, figuresOf),
    )
    const mean = (times: readonly number[]) => times.reduce((sum, each) => sum + each, 0) / times.length
    const bubble = (times: readonly number[]) => `${((100 * mean(times)) / makespan).toFixed(0)} %`
    const held = ((figuresOf.ranks * directions) / stages) * Math.max(...peakInFlight.untilI)
    return `| \`${name}\` | ${scheduleTexts[name] ?? ''} | ${comparableMakespan.toFixed(1)} | ${bubble(idle.global)} | ${bubble(idle.ownSpan)} | ${held.toFixed(1)} |`
  })
  return [
    '# Pipeline schedules',
    `\`options.schedule\` of training with \`pp\` above 1. Figures: ${figuresOf.ranks} ranks, ${figuresOf.microbatches} microbatches, forward, input gradient and weight gradient of a ${figuresOf.ranks}th of the model 1 unit of time each, transfers free. Makespan: of the step, in these units. Bubble: share of it in which a rank computes nothing, in all and between its first and last action, means over ranks. Held: activations of a ${figuresOf.ranks}th of the model on one microbatch that the fullest rank holds at most.`,
    ['| schedule | what it does | makespan | bubble | inside | held |', '|---|---|---|---|---|---|', ...rows].join(
      '\n',
    ),
  ].join('\n\n')
}

const sections = (texts: Readonly<Record<string, string>>) =>
  Object.entries(texts).map(([name, text]) => `## ${name}\n\n${text}`)
