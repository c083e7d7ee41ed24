import { lookup, type OperatorNode, walk } from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import type { EnginePreset, EngineStep } from '@shardloom/serving'
import {
  type Efficiency,
  efficiencyOf,
  type Machine,
  machineOf,
  nodeTimes,
  representatives,
  runStep,
  simulate,
  usualEngine,
} from '@shardloom/simulator'
import { clusterOf } from './cluster-of.js'
import { Curve } from './curve.js'
import { type LoadedSpec, type Plan, planLoaded } from './plan.js'
import { reserveOf } from './reserve.js'
import { machineOfSpec, timedPlan } from './simulate-plan.js'

/** One step of one phase in time: all of it, what of it attends to the cache, and what chooses tokens. Seconds. */
interface StepTime {
  readonly total: number
  readonly attention: number
  readonly head: number
  readonly stages: StageShares
}

/** How what a step takes is divided over the pipeline stages of an engine, and which of them chooses tokens. */
export interface StageShares {
  /** Of each stage its share of 1 of all but the head. */
  readonly shares: readonly number[]
  /** The stage that has the head. */
  readonly head: number
}

/** What a step takes on the device. Seconds. */
export interface DeviceSeconds {
  /** Of all that sees the tokens of the step together: matrix products, collectives, norms, the head. */
  readonly tokens: number
  /** What contexts add to that. */
  readonly attention: number
  /** Both, of each pipeline stage: what passes all of them takes their sum. */
  readonly stages: readonly number[]
}

/** What prefill of an engine takes. Seconds. */
export interface PrefillCost {
  /** Of so many tokens in a step, as far as they do not attend to each other. */
  readonly tokens: (tokens: number) => number
  /** What attending takes in a prompt of so many tokens. */
  readonly context: (tokens: number) => number
  /** Of a step of so many tokens. */
  readonly stages: (tokens: number) => StageShares
}

/** What a step of decode takes. Seconds. */
export interface DecodeCost {
  /** Of so many sequences without context. */
  readonly tokens: (sequences: number) => number
  /** What choosing so many tokens takes of it. */
  readonly head: (sequences: number) => number
  /** What a context of so many tokens adds for one of them. */
  readonly context: (tokens: number) => number
  /** Of a step of so many tokens. */
  readonly stages: (tokens: number) => StageShares
}

/** What an engine says of its kernels. */
export type EngineKernels = Pick<EnginePreset, 'collectiveSeconds' | 'matmul8' | 'accelerators'>

const oneStage: StageShares = { shares: [1], head: 0 }

/** Sequences whose attention is timed, for the cost of one. */
const timedSequences = 8

/**
 * What a step of an engine takes, from plans of its phases. The matrix products of a step see all of its tokens together; attention sees
 * each sequence by itself, and the head those that get a token. So a step of `n` tokens takes what `n` tokens without context take,
 * and what the context of each sequence adds; both are read off simulated plans at a few sizes.
 */
export function deviceCost(
  prefill: LoadedSpec,
  decode: LoadedSpec,
  engine: EngineKernels,
): (step: EngineStep) => DeviceSeconds {
  const devices = {
    prefill: prefillCost(prefill, engine),
    decode: decodeCost(decode, engine),
  }
  return ({ sampled, decode: contexts, prefill: parts }) => {
    const added = contexts.reduce((sum, context) => sum + devices.decode.context(context), 0)
    if (parts.length === 0) {
      const tokens = devices.decode.tokens(contexts.length)
      const stages = onStages(tokens + added, devices.decode.stages(contexts.length), sampled, devices.decode)
      return { tokens, attention: added, stages }
    }
    const count = parts.reduce((sum, part) => sum + part.tokens, contexts.length)
    const chosen = devices.decode.head(Math.max(1, sampled)) - devices.decode.head(1)
    const attention = parts.reduce((sum, part) => {
      const grown = devices.prefill.context(part.context + part.tokens) - devices.prefill.context(part.context)
      // However few tokens attend, the cache is read.
      return sum + Math.max(grown, part.context > 0 ? devices.decode.context(part.context) : 0)
    }, added)
    const tokens = devices.prefill.tokens(count) + chosen
    const stages = onStages(tokens + attention, devices.prefill.stages(count), sampled, devices.decode)
    return { tokens, attention, stages }
  }
}

/** The seconds of a step on each of the stages that it passes, of which the one with the head chooses so many tokens. */
export function onStages(
  seconds: number,
  { shares, head: at }: StageShares,
  sampled: number,
  { head }: Pick<DecodeCost, 'head'>,
): number[] {
  if (shares.length === 1) return [seconds]
  const chosen = Math.min(seconds, head(Math.max(1, sampled)))
  return shares.map((share, stage) => share * (seconds - chosen) + (stage === at ? chosen : 0))
}

/** A spec on a cluster whose collectives inside of a node start as fast as an engine's own kernels. */
function withCollectives(loaded: LoadedSpec, seconds: number): LoadedSpec {
  const cluster = clusterOf(loaded)
  const [inner, ...outer] = cluster.levels
  if (!inner) return loaded
  const { reduction } = inner.link
  const link = {
    ...inner.link,
    launch: seconds,
    latency: 0,
    ...(reduction && { reduction: { ...reduction, latency: 0 } }),
  }
  return { ...loaded, cluster: { ...cluster, levels: [{ ...inner, link }, ...outer] } }
}

/** What a step of decode takes, each size planned when it is first asked for. */
export function decodeCost(of: LoadedSpec, engine: EngineKernels): DecodeCost {
  const loaded = withCollectives(of, engine.collectiveSeconds)
  const { dp: unit = 1, dcp = 1, pp } = loaded.spec.parallel
  // Each rank that splits positions has one at least.
  const none = dcp - 1
  const planned = once((batch: number, context: number) => planStep(loaded, batch, context + 1))
  const time = once((batch: number, context: number) => {
    if (!isSizable(loaded)) return timeStep(loaded, engine, planned(batch, context))
    return timeStep(loaded, engine, resized(planned(unit, context), ['batch'], batch / unit))
  })
  const batch = timedSequences * unit
  const contexts = new Curve(16, (context) => (time(batch, context).attention - time(batch, none).attention) / batch)
  const tokens = new Curve(unit, (sequences) => time(sequences, none).total)
  const head = new Curve(unit, (sequences) => time(sequences, none).head)
  const first = (context: number) => (context < 16 ? (context / 16) * contexts.at(16) : contexts.at(context))
  return {
    tokens: (n) => tokens.at(n),
    head: (n) => head.at(n),
    context: first,
    stages: (n) => (pp === 1 ? oneStage : time(powerBelow(n, unit), none).stages),
  }
}

/** What prefill takes, each size planned when it is first asked for. */
export function prefillCost(of: LoadedSpec, engine: EngineKernels): PrefillCost {
  const loaded = withCollectives(of, engine.collectiveSeconds)
  const { dp: sequences = 1, cp = 1, ulysses = 1, tp = 1, pp } = loaded.spec.parallel
  const unit = sequences * Math.max(16, 2 * cp * ulysses * tp)
  const planned = once((tokens: number) => planStep(loaded, sequences, tokens / sequences))
  const time = once((tokens: number) => {
    if (!isSizable(loaded) || cp * ulysses > 1) return timeStep(loaded, engine, planned(tokens))
    return timeStep(loaded, engine, resized(planned(unit), ['seq', 'kv_seq'], tokens / unit))
  })
  const least = () => time(unit).attention
  const tokens = new Curve(unit, (n) => time(n).total - (time(n).attention - least()))
  // Of a prompt of S tokens it is a·S² + b·S: over S it is straight.
  const perToken = new Curve(unit, (n) => (time(n).attention - least()) / n)
  const attention = (n: number) => n * perToken.at(n * sequences)
  return {
    tokens: (n) => tokens.at(n),
    context: attention,
    stages: (n) => (pp === 1 ? oneStage : time(powerBelow(n, unit)).stages),
  }
}

/** The largest power of two of some units that is no more than a size, at least one. */
function powerBelow(size: number, unit: number): number {
  return unit * 2 ** Math.max(0, Math.floor(Math.log2(size / unit)))
}

/** A function of sizes that finds each value once. */
function once<Sizes extends readonly number[], Value>(find: (...sizes: Sizes) => Value): (...sizes: Sizes) => Value {
  const known = new Map<string, Value>()
  return (...sizes) => {
    const key = sizes.join(' ')
    const before = known.get(key)
    if (before !== undefined) return before
    const made = find(...sizes)
    known.set(key, made)
    return made
  }
}

function planStep(loaded: LoadedSpec, batch: number, seq: number): Plan {
  const { microbatch: _, ...spec } = loaded.spec
  // Without how it came to be, which takes most of its memory.
  return { ...timedPlan({ ...loaded, spec: { ...spec, batch, seq, steps: 1 } }), log: [] }
}

/**
 * Whether plans of more or longer sequences differ in nothing but sizes. Windows, chunks and cached prompts end at positions, buffers of
 * experts are counted when they are planned, and plugins may do as they like.
 */
function isSizable({ spec, plugins, architecture }: LoadedSpec): boolean {
  const { ep, prefill } = spec.options
  const whole = Object.values(architecture.layers).every(
    ({ attention }) => attention.kind !== 'grouped' || (attention.window ?? attention.chunk) === undefined,
  )
  return whole && plugins.length === 0 && ep.capacityFactor === undefined && Object.keys(prefill).length === 0
}

/** A plan with some dims so many times as long: of the plan that is made for them it differs in nothing. */
export function resized(plan: Plan, dims: readonly string[], times: number): Plan {
  if (times === 1) return plan
  const tensors = new Map(
    [...plan.program.tensors].map(([id, tensor]) => {
      const shape = tensor.shape.map((size, at) => (dims.includes(tensor.dims[at] ?? '') ? size * times : size))
      return [id, { ...tensor, shape }]
    }),
  )
  return { ...plan, program: { ...plan.program, tensors } }
}

/** Times a step of a plan, each figure when it is first asked for. */
function timeStep(loaded: LoadedSpec, engine: EngineKernels, timed: Plan): StepTime {
  const { program, operators } = timed
  const machine = machineOfSpec(loaded, timed, { engine: { efficiency: burst(loaded, engine) } })
  let total: number | undefined
  let parts: Omit<StepTime, 'total'> | undefined
  const timedParts = () => {
    parts ??= partsOf(timed, machine)
    return parts
  }
  return {
    get total() {
      total ??= simulate(program, operators, machine).seconds
      return total
    },
    get attention() {
      return timedParts().attention
    },
    get head() {
      return timedParts().head
    },
    get stages() {
      return timedParts().stages
    },
  }
}

/** What attends to the cache and what chooses tokens, over the ranks that stand for all, of which each stage has one. */
function partsOf({ program, operators }: Plan, machine: Machine): Omit<StepTime, 'total'> {
  const isAttention = ({ inputs, outputs }: OperatorNode) =>
    [...inputs, ...outputs].some((id) => lookup(program.tensors, id).dims.includes('kv_seq'))
  const stages = representatives(program).map((rank) => {
    const { times, leads } = nodeTimes(program, operators, machine, rank)
    const found = { attention: 0, head: 0, others: 0 }
    const attending = new Set<string>()
    walk(programOf(program, rank).items, (node) => {
      if (isAttention(node)) attending.add(leads.get(node.id) ?? node.id)
    })
    walk(programOf(program, rank).items, (node, { executions }) => {
      const seconds = executions * (times.get(node.id)?.seconds(0) ?? 0)
      if (attending.has(node.id)) found.attention += seconds
      if (/^head(\/|$)/.test(node.module)) found.head += seconds
      else found.others += seconds
    })
    return found
  })
  const sum = (of: 'attention' | 'head' | 'others') => stages.reduce((all, stage) => all + stage[of], 0)
  const heads = stages.map(({ head }) => head)
  const shares = stages.map(({ others }) => others / sum('others'))
  const head = heads.indexOf(Math.max(...heads))
  return { attention: sum('attention'), head: sum('head'), stages: { shares, head } }
}

/**
 * Prompts come between decoding, which draws little power: products of two bytes are not throttled as they are in training, and sustain the share
 * that those of one byte do there. An engine's own products of one byte sustain what they do where that was found.
 */
function burst(loaded: LoadedSpec, engine: EngineKernels): Partial<Efficiency> {
  const { accelerator } = clusterOf(loaded)
  const { matmul, matmul8 } = { ...efficiencyOf(accelerator).values, ...loaded.efficiency?.values }
  const isFound = !loaded.efficiency && engine.accelerators.includes(accelerator.changed?.from ?? accelerator.name)
  return { matmul: Math.max(matmul, matmul8), matmul8: (isFound ? engine.matmul8 : undefined) ?? matmul8 }
}

/** How many tokens the KV cache of an engine has room for, and what it is made of. Bytes of a rank of the fullest stage. */
export interface Capacity {
  readonly tokens: number
  readonly parameterBytes: number
  readonly bytesPerToken: number
  readonly freeBytes: number
}

/** The KV capacity of a pool where sequences are so long on average: windows of attention hold less of longer ones. */
export function capacityOf(loaded: LoadedSpec, memoryFraction: number, length: number): Capacity {
  const { dp = 1 } = loaded.spec.parallel
  const { microbatch: _, ...spec } = loaded.spec
  const { program, operators } = planLoaded({
    ...loaded,
    spec: { ...spec, phase: 'decode', batch: dp, seq: length, steps: 1 },
  })
  const cluster = clusterOf(loaded)
  const step = runStep(program, operators, machineOf(cluster, program.mesh, usualEngine))
  const reserve = reserveOf(spec.reserveBytes, program.mesh.world).bytes
  const stages = step.ranks.map(({ memory: { parts } }): Capacity => {
    const freeBytes = memoryFraction * cluster.accelerator.memoryBytes - parts.parameters - reserve
    const bytesPerToken = parts.cache / length
    const tokens = Math.max(0, Math.floor((dp * freeBytes) / bytesPerToken))
    return { tokens, parameterBytes: parts.parameters, bytesPerToken, freeBytes }
  })
  return stages.reduce((least, each) => (each.tokens < least.tokens ? each : least))
}
