import { assert, finish, ShardloomError, type Work } from '@shardloom/core'
import type { Sequence } from './blocks.js'
import { type Batch, Engine, type EngineOptions } from './engine.js'
import { Events } from './events.js'
import { randomNumbers } from './random.js'
import { Runs, type Spread, spreadOf } from './statistics.js'
import { checkSteps } from './steps.js'
import type { Workload } from './workload.js'

/** Engines that are alike. */
export interface Pool extends EngineOptions {
  /** Engines; each request goes to the one with the fewest. Default 1. */
  readonly engines?: number
}

/** Where requests are served: by engines that do both phases, or by those of one phase after those of the other. */
export interface Deployment {
  /** Does both phases, or prefill alone where there is a pool for decode. */
  readonly pool: Pool
  readonly decode?: Pool
  /** Seconds that the KV cache of so many tokens is on its way to the other pool, whose link carries one at a time. Default none. */
  readonly transferSeconds?: (tokens: number) => number
  /** Mean seconds from sending a request to its waiting at an engine: network, tokenizer, server. Exponentially distributed, from a fixed seed. Default 0. */
  readonly requestSeconds?: number
}

/** When a request was sent, when its first token came and when its last. Seconds. */
export interface ServedRequest {
  readonly input: number
  readonly output: number
  readonly sent: number
  readonly first: number
  readonly last: number
}

/** What a pool did. Means are over the time from the first request to the last token, and over its engines. */
export interface PoolUsage {
  readonly steps: number
  /** Share of the time in which a step runs; with several in flight the mean share in which a stage has one of them. */
  readonly busy: number
  readonly meanRunning: number
  readonly meanWaiting: number
  /** Share of the time in which the first request that waits lacks nothing but room for its KV cache: steps have tokens and places left. */
  readonly roomless: number
  /** Shares of the KV capacity. */
  readonly meanCapacityUsed: number
  readonly peakCapacityUsed: number
  readonly preemptions: number
  /** Tokens of prompts that were computed, those computed again included; of prompts that the prefix cache had; decoded. */
  readonly prefillTokens: number
  readonly cachedTokens: number
  readonly decodeTokens: number
}

/** What clients saw, and what engines did. Seconds, and tokens per second. */
export interface ServingResult {
  readonly requests: readonly ServedRequest[]
  /** From the first request to the last token. */
  readonly seconds: number
  /** Time to first token. */
  readonly ttft: Spread
  /** Per request, its time per output token behind the first; null where none generates more than that. */
  readonly tpot: Spread | null
  /** Gaps between tokens, over all requests; null without any. */
  readonly itl: Spread | null
  /** From sending to the last token. */
  readonly latency: Spread
  readonly outputTokensPerSecond: number
  readonly totalTokensPerSecond: number
  readonly requestsPerSecond: number
  readonly pool: PoolUsage
  readonly decode?: PoolUsage
}

/** Serves a workload, event by event: deterministic. Throws `WORKLOAD`, and `KV_CAPACITY` or `PROMPT` for a request that can never run. */
export function simulateServing(deployment: Deployment, workload: Workload): ServingResult {
  return finish(servingWork(deployment, workload))
}

/** Events between two words on how far it is. */
const stride = 1024

/** {@link simulateServing} as work that can be stopped; its parts are requests. */
export function* servingWork(deployment: Deployment, workload: Workload): Work<ServingResult> {
  const { pool, decode, transferSeconds = () => 0, requestSeconds = 0 } = deployment
  const { clients } = workload
  const requests = clients === undefined ? inOrder(workload.requests) : workload.requests
  checkWorkload(deployment, workload)
  const events = new Events()
  // A pool of prefill generates nothing further that could need room.
  const engines = enginesOf(decode ? { ...pool, scheduler: { ...pool.scheduler, reserve: 0 } } : pool)
  const decoders = decode ? enginesOf(decode) : engines
  const sent = new Float64Array(requests.length)
  const first = new Float64Array(requests.length)
  const last = new Float64Array(requests.length)
  // Whoever is given a token in one step has mostly waited for it since the step before.
  const gaps = new Runs()
  const planned = new Set<Engine>()
  let now = 0
  let next = 0
  let linkFree = 0
  let ended = 0
  const random = randomNumbers(0)

  const isComplete = ({ generated, request }: Sequence) => generated >= request.output
  /** Begins steps of an engine that can have more in flight, after all else that happens now. */
  const wake = (engine: Engine) => {
    if (engine.isFull || planned.has(engine)) return
    planned.add(engine)
    events.plan(now, () => {
      planned.delete(engine)
      for (const batch of engine.begin(now)) events.plan(batch.ends, () => end(engine, batch))
    })
  }
  const end = (engine: Engine, batch: Batch) => {
    const isDone = decode && engines.includes(engine) ? () => true : isComplete
    for (const sequence of engine.end(batch, now, isDone)) {
      const { index } = sequence
      if (sequence.generated === 1) first[index] = now
      else gaps.add(now - (last[index] ?? 0))
      last[index] = now
      if (isComplete(sequence)) {
        ended++
        engine.release(sequence, now)
        if (clients !== undefined) send()
      } else if (isDone(sequence)) handOver(engine, sequence)
    }
    wake(engine)
  }
  const enter = (engine: Engine, sequence: Sequence) => {
    engine.add(sequence, now)
    wake(engine)
  }
  /** The blocks in the pool of prefill stay until all has arrived. */
  const handOver = (engine: Engine, sequence: Sequence) => {
    linkFree = Math.max(now, linkFree) + transferSeconds(sequence.computed)
    events.plan(linkFree, () => {
      engine.release(sequence, now)
      wake(engine)
      enter(leastLoaded(decoders), { ...sequence, blocks: 0, shared: 0, issued: 0 })
    })
  }
  const send = () => {
    const index = next++
    const request = requests[index]
    if (!request) return
    sent[index] = now
    const start = { length: request.input, generated: 0, computed: 0, issued: 0, blocks: 0, shared: 0, swapped: 0 }
    const delay = requestSeconds === 0 ? 0 : -Math.log(1 - random()) * requestSeconds
    events.plan(now + delay, () => enter(leastLoaded(engines), { request, index, ...start }))
  }
  if (clients === undefined) for (const { arrival = 0 } of requests) events.plan(arrival, send)
  else for (let client = 0; client < Math.min(clients, requests.length); client++) events.plan(0, send)
  let count = 0
  for (let event = events.next(); event; event = events.next()) {
    if (count++ % stride === 0) yield { work: 'serving', done: ended, of: requests.length }
    now = event.at
    event.run()
  }
  assert(ended === requests.length, `${requests.length - ended} of ${requests.length} requests never ended`)
  const served = requests.map(({ input, output }, index) => ({
    input,
    output,
    sent: sent[index] ?? 0,
    first: first[index] ?? 0,
    last: last[index] ?? 0,
  }))
  const from = served.reduce((least, each) => Math.min(least, each.sent), Number.POSITIVE_INFINITY)
  const seconds = served.reduce((most, each) => Math.max(most, each.last), 0) - from
  const outputs = served.reduce((sum, { output }) => sum + output, 0)
  const inputs = served.reduce((sum, { input }) => sum + input, 0)
  const several = served.filter(({ output }) => output > 1)
  return {
    requests: served,
    seconds,
    ttft: spreadOfAll(served, (each) => each.first - each.sent),
    tpot: spreadOf(several.map((each) => (each.last - each.first) / (each.output - 1))),
    itl: gaps.spread(),
    latency: spreadOfAll(served, (each) => each.last - each.sent),
    outputTokensPerSecond: outputs / seconds,
    totalTokensPerSecond: (inputs + outputs) / seconds,
    requestsPerSecond: served.length / seconds,
    pool: usageOf(engines, seconds),
    ...(decode && { decode: usageOf(decoders, seconds) }),
  }
}

/** The spread of what every request has, of which there is at least one. */
function spreadOfAll(served: readonly ServedRequest[], of: (request: ServedRequest) => number): Spread {
  const spread = spreadOf(served.map(of))
  assert(spread !== null, 'a workload without requests was served')
  return spread
}

function inOrder(requests: Workload['requests']): Workload['requests'] {
  return [...requests].sort((a, b) => (a.arrival ?? 0) - (b.arrival ?? 0))
}

function enginesOf(pool: Pool): Engine[] {
  return Array.from({ length: pool.engines ?? 1 }, () => new Engine(pool))
}

function leastLoaded(engines: readonly Engine[]): Engine {
  return engines.reduce((least, engine) => (engine.load < least.load ? engine : least))
}

function usageOf(engines: readonly Engine[], seconds: number): PoolUsage {
  const sum = (of: (engine: Engine) => number) => engines.reduce((all, engine) => all + of(engine), 0)
  const mean = (of: (engine: Engine) => number) => sum(of) / (engines.length * seconds)
  return {
    steps: sum(({ totals }) => totals.steps),
    busy: mean(({ totals }) => totals.busySeconds),
    meanRunning: mean(({ totals }) => totals.runningSeconds),
    meanWaiting: mean(({ totals }) => totals.waitingSeconds),
    roomless: mean(({ totals }) => totals.roomlessSeconds),
    meanCapacityUsed: mean(({ totals, blocks }) => totals.blockSeconds / blocks.total),
    peakCapacityUsed: Math.max(...engines.map(({ totals, blocks }) => totals.peakBlocks / blocks.total)),
    preemptions: sum(({ totals }) => totals.preemptions),
    prefillTokens: sum(({ totals }) => totals.prefillTokens),
    cachedTokens: sum(({ totals }) => totals.cachedTokens),
    decodeTokens: sum(({ totals }) => totals.decodeTokens),
  }
}

/** Refuses what could never end. */
function checkWorkload({ pool, decode }: Deployment, { requests, clients }: Workload): void {
  if (requests.length === 0 || (clients !== undefined && !(Number.isSafeInteger(clients) && clients >= 1))) {
    const message = `A workload of ${requests.length} requests${clients === undefined ? '' : ` from ${clients} clients`} asks for nothing.`
    throw new ShardloomError('WORKLOAD', message, {
      help: 'Give at least one request, and a whole number of clients from 1.',
    })
  }
  for (const { input, output } of requests) {
    for (const each of decode ? [pool, decode] : [pool]) {
      const held = each === pool && decode ? input : input + output - 1
      const { scheduler, capacityTokens } = each
      const capacity = Math.floor(capacityTokens / scheduler.blockTokens) * scheduler.blockTokens
      if (held <= capacity) continue
      const why = held === input ? '' : ', as the last is given without being stored'
      const message = `A request of ${input} tokens in and ${output} out needs a KV cache of ${held} tokens${why}; there is room for ${Math.max(0, capacity)}.`
      throw new ShardloomError('KV_CAPACITY', message, {
        subject: 'capacityTokens',
        help: 'Shorten it, split the model over more ranks, store the cache in a smaller type, or use accelerators with more memory.',
      })
    }
    const { chunked, maxTokens } = pool.scheduler
    if (!chunked && input > maxTokens) {
      const message = `A prompt of ${input} tokens does not fit in a step of ${maxTokens}, and prompts are not divided.`
      throw new ShardloomError('PROMPT', message, {
        subject: 'maxTokens',
        help: `Set \`chunked\` to true, or \`maxTokens\` to at least ${input}.`,
      })
    }
  }
  checkSteps(requests, pool.scheduler, decode?.scheduler)
}
