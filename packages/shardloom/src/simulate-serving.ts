import { type Cluster, collectiveSeconds, fitWorld, flatGroup } from '@shardloom/cluster'
import { finish, greatestCommonDivisor, ShardloomError, type Work } from '@shardloom/core'
import { formatBytes, formatCount } from '@shardloom/exporters'
import {
  type Deployment,
  type EnginePreset,
  findEngine,
  makeRequests,
  mostRequests,
  type Pool,
  type Scheduler,
  type ServingResult,
  servingWork,
  type Workload,
} from '@shardloom/serving'
import { hostBandwidthOf } from '@shardloom/simulator'
import { clusterOf } from './cluster-of.js'
import { type LoadedSpec, planLoaded } from './plan.js'
import { planServingLoaded, servingSpecs } from './serving.js'
import { usualOutput } from './serving-schema.js'
import { type Capacity, capacityOf, type DeviceSeconds, deviceCost } from './step-cost.js'
import { summariseServing } from './summarise-serving.js'

/** Where the time of a pool's steps went. Seconds, over all of its engines. */
export interface StepShares {
  host: number
  /** Of that what steps take before they are on their first stage. */
  prepared: number
  tokens: number
  attention: number
}

/** A pool of a deployment, with what it was made from. */
export interface ServingPool {
  readonly phase: 'prefill' | 'decode' | 'both'
  readonly cluster: Cluster
  readonly engines: number
  /** Pipeline stages of an engine, each of which may have a batch in flight. */
  readonly stages: number
  /** Ranks of all of its engines. */
  readonly ranks: number
  readonly capacity: Capacity
  /** Of one of its engines. */
  readonly scheduler: Scheduler
  readonly shares: StepShares
}

/** Serving in time: what clients see of an engine that runs the plans of a spec. */
export interface ServingSimulation {
  readonly loaded: LoadedSpec
  readonly engine: EnginePreset
  readonly workload: Workload
  readonly pools: readonly ServingPool[]
  /** Seconds for which the KV cache of a token is on its way between pools. */
  readonly transferSecondsPerToken: number
  readonly result: ServingResult
}

/**
 * Serves the load of a spec of the phase `serving`, step by step, with what steps take on its cluster. Throws `NO_CLUSTER`, `CLUSTER_SIZE`,
 * `UNKNOWN_ENGINE`, `OPTION`, `KV_CAPACITY`, `PROMPT`, and what planning throws.
 */
export function simulateServingLoaded(loaded: LoadedSpec): ServingSimulation {
  return finish(servingSimulationWork(loaded))
}

/** {@link simulateServingLoaded} as work that can be stopped. */
export function* servingSimulationWork(loaded: LoadedSpec): Work<ServingSimulation> {
  yield { work: 'planning', done: 0, of: 1 }
  return yield* prepareServing(loaded)(loaded)
}

/**
 * Plans what steps are made of once, for several loads, hosts and schedulers of specs that are alike otherwise: what it returns takes such
 * a spec, and serves its load as work that can be stopped.
 */
export function prepareServing(of: LoadedSpec): (alike: LoadedSpec) => Work<ServingSimulation> {
  const loaded = withAnyBatch(of)
  const { pools, prefill, decode } = servingSpecs(loaded)
  if ([loaded, prefill, decode].some(({ spec }) => spec.options.engine !== undefined)) {
    const message = '`options.engine` names the system that runs a single step; the phase is serving.'
    throw new ShardloomError('OPTION', message, {
      subject: 'options.engine',
      help: 'Name an inference engine in `options.serving.engine`, or with --serving-engine.',
    })
  }
  if (loaded.spec.options.decode.draft !== undefined) {
    const message = 'Serving in time does not know drafts: each step gives a sequence one token.'
    throw new ShardloomError('OPTION', message, {
      subject: 'options.decode.draft',
      help: 'Leave it out, or simulate the phase decode.',
    })
  }
  const [single, other] = [oneEngine(prefill), oneEngine(decode)]
  const device = deviceCost(single, other, engineOf(loaded))
  const ranks = [prefill, decode].map((each) => planLoaded(each).program.mesh.world)
  // Pools with accelerators of their own were each planned on them.
  if (!loaded.pools) fitWorld(clusterOf(loaded), (ranks[0] ?? 1) + (pools === 2 ? (ranks[1] ?? 1) : 0))
  const transferSecondsPerToken = pools === 2 ? transferOf(loaded, clusterOf(prefill), clusterOf(decode)) : 0
  const capacities = new Map<string, Capacity>()
  const capacity = (each: LoadedSpec, fraction: number, length: number) => {
    const key = `${each === single} ${fraction} ${length}`
    const known = capacities.get(key) ?? capacityOf(each, fraction, length)
    if (known.freeBytes <= 0) throw noRoom(known, fraction, clusterOf(each))
    capacities.set(key, known)
    return known
  }
  return function* (alike) {
    const engine = engineOf(alike)
    const engines = decode.spec.parallel.replicas
    const usual = workloadOf(alike, usualClients * engines)
    const length = meanLength(usual)
    const most = Math.floor((capacity(other, engine.memoryFraction, length).tokens * engines) / meanWhole(usual))
    // Without a word on it no more clients come than have room.
    const workload = most < usualClients * engines ? workloadOf(alike, Math.max(1, most)) : usual
    const poolOf = (phase: ServingPool['phase'], each: LoadedSpec, whole: LoadedSpec, all: number) => {
      const room = capacity(each, engine.memoryFraction, length)
      const shares = { host: 0, prepared: 0, tokens: 0, attention: 0 }
      const engines = whole.spec.parallel.replicas
      const scheduler = schedulerOf(engine, alike, each, room)
      const info: ServingPool = {
        phase,
        cluster: clusterOf(each),
        engines,
        stages: each.spec.parallel.pp,
        ranks: all,
        capacity: room,
        scheduler,
        shares,
      }
      const pool: Pool = {
        engines: info.engines,
        scheduler,
        capacityTokens: room.tokens,
        inFlight: info.stages,
        cost: withHost(device, engine, layersOf(each), shares),
      }
      return { info, pool }
    }
    const first = poolOf(pools === 2 ? 'prefill' : 'both', pools === 2 ? single : other, prefill, ranks[0] ?? 1)
    const second = pools === 2 ? poolOf('decode', other, decode, ranks[1] ?? 1) : undefined
    const deployment: Deployment = {
      pool: first.pool,
      requestSeconds: engine.host.request,
      ...(second && { decode: second.pool, transferSeconds: (tokens: number) => tokens * transferSecondsPerToken }),
    }
    return {
      loaded: alike,
      engine,
      workload,
      pools: second ? [first.info, second.info] : [first.info],
      transferSecondsPerToken,
      result: yield* servingWork(deployment, workload),
    }
  }
}

/** The spec with a batch that all of its engines can divide: how many sequences there are at a time is what the load makes of it. */
function withAnyBatch(loaded: LoadedSpec): LoadedSpec {
  const { prefill, decode } = servingSpecs(loaded)
  const [one = 1, other = 1] = [prefill, decode].map(({ spec: { parallel } }) => parallel.replicas * parallel.dp)
  const { microbatch: _, ...spec } = loaded.spec
  return { ...loaded, spec: { ...spec, batch: (one * other) / greatestCommonDivisor(one, other) } }
}

function noRoom({ freeBytes, parameterBytes }: Capacity, fraction: number, { accelerator }: Cluster): ShardloomError {
  const [parameters, device] = [parameterBytes, accelerator.memoryBytes].map((bytes) => formatBytes(bytes))
  const message = `Parameters of ${parameters} on a rank, with what is kept free, leave no room for a KV cache in ${fraction} of ${device}: ${formatBytes(-freeBytes)} are missing.`
  return new ShardloomError('KV_CAPACITY', message, {
    subject: 'parallel',
    help: 'Split the model over more ranks, store weights in a smaller type (`options.weightDtype: fp8`), raise `options.serving.memoryFraction` or lower `reserveBytes`.',
  })
}

/** The engine that a spec names, with what it says otherwise. Throws `UNKNOWN_ENGINE`. */
export function engineOf({ spec }: LoadedSpec): EnginePreset {
  const { engine, scheduler = {}, host = {}, memoryFraction } = spec.options.serving
  const preset = findEngine(engine ?? 'vllm')
  const { preemption: _, ...changed } = scheduler
  return {
    ...preset,
    scheduler: { ...preset.scheduler, ...changed },
    host: { ...preset.host, ...host },
    memoryFraction: memoryFraction ?? preset.memoryFraction,
  }
}

/** The scheduler of all ranks of `dp` together, each of which has places and tokens of its own, as in vLLM and SGLang. */
export function schedulerOver(scheduler: Scheduler, dp: number): Scheduler {
  return { ...scheduler, maxTokens: dp * scheduler.maxTokens, maxSequences: dp * scheduler.maxSequences }
}

function schedulerOf(engine: EnginePreset, { spec }: LoadedSpec, pool: LoadedSpec, capacity: Capacity): Scheduler {
  const scheduler = schedulerOver(engine.scheduler, pool.spec.parallel.dp)
  const asked = spec.options.serving.scheduler?.preemption
  if (asked !== 'swap') return asked ? { ...scheduler, preemption: asked } : scheduler
  const bandwidth = hostBandwidthOf(clusterOf(pool).accelerator)
  return { ...scheduler, preemption: { swapSecondsPerToken: capacity.bytesPerToken / bandwidth } }
}

/** Clients per engine where nobody says: a load that engines of any size answer without a long queue. */
const usualClients = 16

/** Requests per client where nobody says: what benchmarks of such engines send. */
export const usualRounds = 10

/** As many requests as a rate brings in a minute, by which most engines are as full as they get; not too few and not too many to simulate. */
const countOfMinute = (rate = 0) => Math.max(1000, Math.min(100_000, Math.ceil(60 * rate)))

/** The requests that come: from `usual` clients where the spec says neither clients nor rate. Throws `OPTION`, `WORKLOAD`. */
export function workloadOf({ spec }: LoadedSpec, usual: number): Workload {
  const {
    clients,
    rate,
    requests,
    input = spec.seq,
    output = usualOutput,
    prefix,
    seed,
  } = spec.options.serving.load ?? {}
  if (rate !== undefined && clients !== undefined) {
    throw new ShardloomError('OPTION', 'The load has both `clients` and a `rate`.', {
      subject: 'options.serving.load',
      help: 'Give `clients` for a closed loop, or `rate` for requests that come whatever is served.',
    })
  }
  const closed = rate === undefined ? (clients ?? usual) : undefined
  const usualCount = closed === undefined ? countOfMinute(rate) : usualRounds * closed
  const count = requests ?? usualCount
  if (count > mostRequests) throw tooManyRequests(count, requests === undefined ? closed : undefined)
  const mix = {
    count,
    input,
    output,
    ...(prefix !== undefined && { prefix }),
    ...(seed !== undefined && { seed }),
  }
  return { requests: makeRequests(mix, rate), ...(closed !== undefined && { clients: closed }) }
}

/** More requests than are simulated: as many as the load says, or as so many clients send where it does not. */
function tooManyRequests(count: number, clients?: number): ShardloomError {
  const [all, most] = [formatCount(count), formatCount(mostRequests)]
  const asked =
    clients === undefined
      ? `\`options.serving.load.requests\` is ${all}`
      : `${formatCount(clients)} clients (\`options.serving.load.clients\`) send ${all} requests, ${usualRounds} each where \`requests\` are not given`
  const help = `Give \`options.serving.load.requests\`, or --serving-load-requests, up to ${most}${clients === undefined ? '' : ', or fewer clients'}: what a request takes hardly depends on how many there are.`
  const subject = `options.serving.load.${clients === undefined ? 'requests' : 'clients'}`
  return new ShardloomError('WORKLOAD', `${asked}; at most ${most} are simulated.`, { subject, help })
}

function meanLength({ requests }: Workload): number {
  const sum = requests.reduce((all, { input, output }) => all + input + output / 2, 0)
  return Math.max(1, Math.round(sum / requests.length))
}

/** Tokens of a request at its end. */
function meanWhole({ requests }: Workload): number {
  return requests.reduce((all, { input, output }) => all + input + output, 0) / requests.length
}

/** The steps of a device with their host, which adds up where time goes. What is between the layers of a stage passes with the stage. */
function withHost(
  device: (step: Parameters<Pool['cost']>[0]) => DeviceSeconds,
  { host }: EnginePreset,
  layers: number,
  shares: StepShares,
): Pool['cost'] {
  return (step) => {
    const { tokens, attention, stages } = device(step)
    const places = placesOf(host, layers, step.sampled, stages, step.prefill.length > 0)
    const hosted = places.reduce((sum, seconds) => sum + seconds, 0) - tokens - attention
    shares.host += hosted
    shares.prepared += places[0] ?? 0
    shares.tokens += tokens
    shares.attention += attention
    return places
  }
}

/**
 * The places that a step passes one after another: where its host prepares it and hands out what it gives, then each stage with what is
 * between its layers. Steps with prompts are issued layer by layer.
 */
export function placesOf(
  host: EnginePreset['host'],
  layers: number,
  sampled: number,
  stages: readonly number[],
  isIssued: boolean,
): number[] {
  const own = layers / stages.length
  const issue = isIssued ? own * host.issue : 0
  const passed = stages.map((seconds) => Math.max(seconds, issue) + own * host.layer)
  return [host.step + sampled * host.sequence, ...passed]
}

/** Layers of a model, each of which a step's host waits for. */
export function layersOf({ architecture }: LoadedSpec): number {
  const { runs, repeat = 1 } = architecture.order
  return repeat * runs.reduce((sum, { count }) => sum + count, 0)
}

/** The spec of one of the engines behind the router. */
function oneEngine(loaded: LoadedSpec): LoadedSpec {
  return { ...loaded, spec: { ...loaded.spec, parallel: { ...loaded.spec.parallel, replicas: 1 } } }
}

/** Seconds per token of a prompt on the way between pools, over the outermost links: the rank that sends or receives most is what counts. */
function transferOf(loaded: LoadedSpec, ...pools: readonly Cluster[]): number {
  const plan = planServingLoaded(loaded)
  const { total } = summariseServing(plan)
  const tokens = plan.decode.spec.batch * plan.prefill.spec.seq
  return transferSeconds(Math.max(total.mostSent, total.mostReceived) / tokens, pools)
}

/** Seconds for bytes of one rank on their way between pools: over the slower of their outermost links. */
export function transferSeconds(bytes: number, pools: readonly Cluster[]): number {
  const rates = pools.flatMap(({ levels }) => levels.slice(-1).map(({ link }) => link.bandwidth * link.efficiency))
  if (rates.length === 0) return 0
  return collectiveSeconds(flatGroup(2, { bandwidth: Math.min(...rates), latency: 0 }), { op: 'send', bytes })
}
