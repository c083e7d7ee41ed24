import { dataTypes, orList } from '@shardloom/core'
import { formatCount, formatCounted, formatSeconds } from '@shardloom/exporters'
import type { EnginePreset, PoolUsage, Spread, Workload } from '@shardloom/serving'
import { efficiencyOf } from '@shardloom/simulator'
import { type Budget, budgetOf } from './budget.js'
import type { LoadedSpec } from './plan.js'
import type { ServingPool, ServingSimulation } from './simulate-serving.js'
import { standInPeak } from './stand-in-peak.js'
import { type ServingError, statedServingError } from './stated-error.js'

/** What `shardloom simulate --json` prints of serving. Seconds, bytes, tokens, and shares of 1. */
export interface ServingSimulationSummary {
  readonly schema: 'shardloom.simulate/1'
  readonly model: string
  readonly phase: 'serving'
  /** Ranks of all pools. */
  readonly world: number
  /** Means over requests: time to first token, and time per output token behind it, null where no request has one behind it. */
  readonly ttftSeconds: number
  readonly tpotSeconds: number | null
  readonly spread: {
    readonly ttft: Spread
    readonly tpot: Spread | null
    /** Gaps between tokens. */
    readonly itl: Spread | null
    readonly latency: Spread
  }
  /** Of generated tokens. */
  readonly tokensPerSecond: number
  readonly tokensPerSecondPerRank: number
  readonly requestsPerSecond: number
  readonly seconds: number
  readonly load: {
    readonly requests: number
    readonly clients?: number
    readonly meanInput: number
    readonly meanOutput: number
    /** Fields of `options.serving.load` that the spec leaves open, for which usual values are taken. */
    readonly assumed: readonly string[]
  }
  readonly conventions: {
    readonly cluster: string
    readonly accelerator: string
    readonly engine: string
    readonly scheduler: string
    readonly host: string
    readonly dtype: string
    readonly weightDtype: string
    readonly cacheDtype: string
    /** The type in which linear layers multiply, where the spec names one. */
    readonly linearDtype?: string
    /** Where the constants of kernels come from, where the spec names a file of them. */
    readonly constants?: string
    /** The relative errors that times are good for: of `tpotSeconds`, and of `ttftSeconds`. */
    readonly error: ServingError
  }
  readonly pools: readonly (PoolUsage & {
    readonly phase: ServingPool['phase']
    readonly engines: number
    /** Pipeline stages of an engine, each of which may have a batch in flight. */
    readonly stages: number
    readonly ranks: number
    readonly capacityTokens: number
    readonly bytesPerToken: number
    readonly parameterBytes: number
    /** Where the time of steps went. */
    readonly time: { readonly host: number; readonly tokens: number; readonly attention: number }
  })[]
  /** Two pools: what the KV cache of a token is on its way. */
  readonly transferSecondsPerToken?: number
  /** Days and cost of generated tokens, where the spec has `tokens` or `pricePerRankHour`. */
  readonly budget?: Budget
  /** What holds it back, in words. */
  readonly limits: readonly string[]
  /** What makes the figures other than its user can have meant. */
  readonly warnings: readonly string[]
}

/** Says what came of serving a load. */
export function summariseServingSimulation(simulation: ServingSimulation): ServingSimulationSummary {
  const { loaded, engine, workload, pools, result, transferSecondsPerToken } = simulation
  const { options } = loaded.spec
  const clusters = [...new Set(pools.map(({ cluster }) => cluster))]
  const usages = result.decode ? [result.pool, result.decode] : [result.pool]
  const world = pools.reduce((sum, { ranks }) => sum + ranks, 0)
  const mean = (of: (request: { input: number; output: number }) => number) =>
    result.requests.reduce((sum, each) => sum + of(each), 0) / result.requests.length
  return {
    schema: 'shardloom.simulate/1',
    model: loaded.architecture.name,
    phase: 'serving',
    world,
    ttftSeconds: result.ttft.mean,
    tpotSeconds: result.tpot?.mean ?? null,
    spread: { ttft: result.ttft, tpot: result.tpot, itl: result.itl, latency: result.latency },
    tokensPerSecond: result.outputTokensPerSecond,
    tokensPerSecondPerRank: result.outputTokensPerSecond / world,
    requestsPerSecond: result.requestsPerSecond,
    seconds: result.seconds,
    load: {
      requests: result.requests.length,
      ...(workload.clients !== undefined && { clients: workload.clients }),
      meanInput: mean(({ input }) => input),
      meanOutput: mean(({ output }) => output),
      assumed: assumedOf(loaded),
    },
    conventions: {
      cluster: clusters.map(({ name }) => name).join(' and '),
      accelerator: clusters.map(({ accelerator }) => accelerator.name).join(' and '),
      engine: engine.name,
      scheduler: engine.sources.scheduler,
      host: engine.sources.host,
      dtype: options.dtype,
      weightDtype: options.weightDtype ?? options.dtype,
      cacheDtype: options.cacheDtype ?? options.dtype,
      ...(options.linearDtype !== undefined && { linearDtype: options.linearDtype }),
      ...(loaded.efficiency && { constants: loaded.efficiency.source }),
      error: errorOf(loaded, engine, pools),
    },
    pools: pools.flatMap((pool, index) => {
      const usage = usages[index]
      return usage ? [describePool(pool, usage)] : []
    }),
    ...(pools.length > 1 && { transferSecondsPerToken }),
    ...budgetOf(loaded.spec, { tokens: result.outputTokensPerSecond, seconds: 1, world }),
    limits: pools.flatMap((pool, index) => {
      const usage = usages[index]
      return usage ? limitsOf(simulation, pool, usage) : []
    }),
    warnings: [
      ...lockStep(workload),
      ...longRequests(loaded, workload),
      ...passingLoad(loaded, simulation),
      ...pools.slice(0, 1).flatMap(({ scheduler }) => idleAdmission(scheduler)),
      ...(result.tpot ? [] : ['no request generates a second token: there is no time per output token']),
      ...clusters.flatMap(({ accelerator }) => standInPeak(accelerator, loaded.spec)),
    ],
  }
}

function errorOf(loaded: LoadedSpec, engine: EnginePreset, pools: readonly ServingPool[]): ServingError {
  const accelerators = pools.map(({ cluster }) => cluster.accelerator)
  const fitted = accelerators.every((each) => efficiencyOf(each).fitted)
  const constants = { fitted, file: loaded.efficiency }
  const { host } = loaded.spec.options.serving
  return statedServingError(constants, {
    accelerator: accelerators.every(({ name }) => engine.accelerators.includes(name)),
    // None of the engines was measured with several stages.
    host: (host === undefined || Object.keys(host).length === 0) && pools.every(({ stages }) => stages === 1),
  })
}

function assumedOf({ spec }: LoadedSpec): string[] {
  const { load = {} } = spec.options.serving
  const fields = ['clients', 'requests', 'input', 'output'] as const
  return fields.filter((field) => load[field] === undefined && (field !== 'clients' || load.rate === undefined))
}

function describePool({ phase, engines, stages, ranks, capacity, shares }: ServingPool, usage: PoolUsage) {
  const all = Math.max(Number.MIN_VALUE, shares.host + shares.tokens + shares.attention)
  const { tokens: capacityTokens, bytesPerToken, parameterBytes } = capacity
  const time = { host: shares.host / all, tokens: shares.tokens / all, attention: shares.attention / all }
  return { phase, engines, stages, ranks, capacityTokens, bytesPerToken, parameterBytes, time, ...usage }
}

/** Clients whose requests are all alike: those that begin together end together, and their next prompts queue behind one another. */
function lockStep({ clients = 0, requests }: Workload): string[] {
  const [first] = requests
  if (clients < 2 || !first || requests.some(({ input, output }) => input !== first.input || output !== first.output))
    return []
  const range = (length: number) => `{from: ${Math.max(1, Math.round(0.8 * length))}, to: ${length}}`
  return [
    `all requests have ${first.input} tokens in and ${first.output} out, so that the ${clients} clients go in lock-step and their prompts queue: TTFT is longer than with mixed lengths; give ranges, such as \`load: {input: ${range(first.input)}, output: ${range(first.output)}}\``,
  ]
}

/** Requests beyond the positions that the model was made for, which engines refuse. */
function longRequests({ architecture: { maxPositions, name } }: LoadedSpec, { requests }: Workload): string[] {
  const longest = requests.reduce((most, { input, output }) => Math.max(most, input + output), 0)
  if (maxPositions === undefined || longest <= maxPositions) return []
  return [
    `a request has ${formatCount(longest)} positions, but ${name} was made for at most ${formatCount(maxPositions)}: engines refuse it`,
  ]
}

/** That room for part of a prompt lets nothing in where room is reserved behind it. */
function idleAdmission({ admission, reserve }: ServingPool['scheduler']): string[] {
  if (admission !== 'chunk' || reserve === 0) return []
  return [`\`scheduler.admission: chunk\` changes nothing beside a \`reserve\` of ${reserve}: it lets in whole prompts`]
}

/** Requests that come at a rate which the engines cannot keep up with: those that come last wait longest for their first token. */
function fallsBehind({ spec }: LoadedSpec, { result: { requests, requestsPerSecond } }: ServingSimulation): string[] {
  const { rate } = spec.options.serving.load ?? {}
  const quarter = Math.floor(requests.length / 4)
  if (rate === undefined || quarter < 8) return []
  const ordered = requests.toSorted((a, b) => a.sent - b.sent)
  const waited = (some: typeof ordered) => some.reduce((sum, { first, sent }) => sum + first - sent, 0) / some.length
  const [early, late] = [waited(ordered.slice(0, quarter)), waited(ordered.slice(-quarter))]
  if (late < 2 * early || late - early < 1 / rate) return []
  return [
    `requests come faster than they are served: ${rate}/s against ${requestsPerSecond.toPrecision(3)}/s; the first quarter of them waits ${formatSeconds(early)} for a token, the last ${formatSeconds(late)}, and more of them would wait longer`,
  ]
}

/** So many times as long as a request takes, requests come at least, or what they find is mostly engines that fill or drain. */
const steadyRounds = 5

/** That requests at a rate stop coming before engines are as full as they would be: or that they fall behind. */
function passingLoad(loaded: LoadedSpec, simulation: ServingSimulation): string[] {
  const { requests, latency } = simulation.result
  const { rate } = loaded.spec.options.serving.load ?? {}
  const behind = fallsBehind(loaded, simulation)
  if (rate === undefined || behind.length > 0 || requests.length / rate > steadyRounds * latency.mean) return behind
  const enough = Number((2 * steadyRounds * rate * latency.mean).toPrecision(1))
  return [
    `${formatCount(requests.length)} requests come within ${formatSeconds(requests.length / rate)}, and one takes ${formatSeconds(latency.mean)}: most find engines that fill up or drain, and are served sooner than in a load that goes on; give more \`requests\`, such as ${enough}`,
  ]
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`

/** Why engines, or their stages, have nothing to compute for some of so many seconds. */
function idling({ stages, engines, shares }: ServingPool, usage: PoolUsage, passed: number): string {
  const share = percent(1 - usage.busy)
  if (stages === 1) return `an engine has nothing to compute in ${share} of the time`
  const idles = `a stage has nothing to compute in ${share} of the time: it waits for`
  if (usage.meanRunning + usage.meanWaiting < stages) return `${idles} requests, which are fewer than stages`
  if (shares.prepared > (passed * engines) / 2) return `${idles} the host, which prepares one batch after the other`
  return usage.prefillTokens > 0 && usage.decodeTokens > 0
    ? `${idles} batches that prompts make longer than others (a smaller \`scheduler.maxTokens\` makes them more alike)`
    : `${idles} requests, or for batches that are longer than others`
}

/** The share of memory above which nobody lets an engine go. */
const mostFraction = 0.95

/** Requests that wait for room in the KV cache, and what would make some. */
function lackOfRoom({ engine, loaded }: ServingSimulation, { scheduler }: ServingPool, usage: PoolUsage): string {
  const { dtype, cacheDtype = dtype } = loaded.spec.options
  const { memoryFraction } = engine
  const { preemptions } = usage
  const helps = [
    ...(memoryFraction < mostFraction ? [`a \`memoryFraction\` above ${memoryFraction}`] : []),
    'more ranks',
    ...(dataTypes[cacheDtype] > 1 ? ['`cacheDtype: fp8`'] : []),
    'shorter contexts',
  ]
  const again =
    scheduler.preemption === 'recompute' ? ', or `scheduler.preemption: swap` keeps what they have computed' : ''
  const preempted =
    preemptions === 0
      ? ''
      : `, ${formatCounted(preemptions, 'preemption')} (a \`scheduler.reserve\` above ${scheduler.reserve} has fewer${again})`
  return `the next request lacks nothing but room in the KV cache in ${percent(usage.roomless)} of the time: ${usage.meanWaiting.toFixed(1)} wait on average${preempted}; there is more with ${orList(helps)}`
}

/** Whether requests queue before one of two pools, which computes all the time, while the other has none that wait. */
function isBottleneck({ result }: ServingSimulation, { phase }: ServingPool, usage: PoolUsage): boolean {
  const other = phase === 'prefill' ? result.decode : phase === 'decode' ? result.pool : undefined
  return other !== undefined && usage.busy > 0.9 && usage.meanWaiting > 1 && other.meanWaiting < 1
}

/** What holds a pool back: room, places, too few engines, requests, or what its steps spend their time on. */
function limitsOf(simulation: ServingSimulation, pool: ServingPool, usage: PoolUsage): string[] {
  const { phase, shares, scheduler } = pool
  const of = phase === 'both' ? '' : `${phase}: `
  const parts = [
    ['products, norms and collectives of its tokens', shares.tokens],
    ['attention to contexts', shares.attention],
    ['the host', shares.host],
  ] as const
  const all = parts.reduce((sum, [, seconds]) => sum + seconds, 0)
  const [longest = parts[0]] = [...parts].sort(([, a], [, b]) => b - a)
  return [
    ...(usage.roomless > 0.05 ? [`${of}${lackOfRoom(simulation, pool, usage)}`] : []),
    ...(usage.meanRunning > 0.95 * scheduler.maxSequences
      ? [`${of}all ${scheduler.maxSequences} places are taken`]
      : []),
    ...(isBottleneck(simulation, pool, usage)
      ? [
          `${of}its engines are busy ${percent(usage.busy)} of the time, those of the other pool have room for more: ${usage.meanWaiting.toFixed(1)} requests wait here on average, and more ranks for this pool serve more`,
        ]
      : []),
    ...(usage.busy < 0.9 ? [`${of}${idling(pool, usage, simulation.result.seconds)}`] : []),
    `${of}a step spends most on ${longest[0]}: ${percent(longest[1] / all)}`,
  ]
}
