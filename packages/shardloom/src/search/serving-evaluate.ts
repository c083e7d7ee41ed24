import type { ShardloomError } from '@shardloom/core'
import type { Candidate, Miss } from '@shardloom/search'
import { clusterOf } from '../cluster-of.js'
import { transferSeconds } from '../simulate-serving.js'
import type { Question } from './question.js'
import type { EngineFault, ServingCosts, ServingEngine } from './serving-costs.js'
import { estimateEngines, estimatePools, type ServingEstimate } from './serving-estimate.js'
import { missOf, type ServingMetric, type ServingMetrics, scoreOf, withFront } from './serving-metrics.js'
import { ranksOf, textOf } from './serving-space.js'
import { choicesOf, type ServingPoint } from './serving-spec.js'

/** Points that differ in nothing but the clients. */
export interface ServingChain {
  /** Any of them. */
  readonly point: ServingPoint
  /** Of two pools that of decode. */
  readonly engine: ServingEngine
  readonly prefill?: ServingEngine
}

/** A point as an answer has it. */
export function candidateOf(point: ServingPoint, score: number, metrics: Candidate['metrics']): Candidate {
  const choices = choicesOf(point)
  return { name: Object.entries(choices).map(textOf).join(' '), choices, score, metrics }
}

/** A point of which no more is known than the rule that it breaks. */
export function missedBy(point: ServingPoint, rule: string, by: number, metrics: Candidate['metrics'] = {}): Miss {
  return { ...candidateOf(point, Number.MAX_VALUE, metrics), rule, by }
}

/** A point that cannot be planned misses all of a rule, which is named by the error's code. */
export function missedWith(point: ServingPoint, { code }: ShardloomError): Miss {
  return missedBy(point, code.toLowerCase().replaceAll('_', '-'), 1)
}

/** A point whose engine is none. */
export function missedFor(point: ServingPoint, fault: EngineFault): Miss {
  if ('error' in fault) return missedWith(point, fault.error)
  return missedBy(point, 'memory', fault.missingBytes / fault.of, { 'missing-bytes': fault.missingBytes })
}

/**
 * What keeps engines from holding the requests of so many clients from their first to their last token, so that none of them waits for
 * room or is computed twice: the KV cache, or the places of a scheduler. The more clients, the less room.
 */
export function roomMiss(costs: ServingCosts, { point, engine, prefill }: ServingChain): Miss | undefined {
  for (const each of prefill ? [engine, prefill] : [engine]) {
    const { freeBytes } = each.capacity
    const of = clusterOf(each.loaded).accelerator.memoryBytes
    if (freeBytes <= 0) return missedFor(point, { missingBytes: -freeBytes, of })
  }
  const { load, preset } = costs
  const { chunked, maxTokens, maxSequences } = preset.scheduler
  const prompt = load.longestInput - load.cached
  if (!chunked && prompt > maxTokens) return missedBy(point, 'prompt', prompt / maxTokens - 1)
  const prompts = heldTokens(costs, load.longestInput)
  if (prefill && prompts > prefill.capacity.tokens) return kvMiss(point, prefill, prompts)
  const longest = heldTokens(costs, load.longest)
  const each = Math.ceil((point.clients ?? 1) / point.engines)
  const needed = Math.max(longest, heldByClients(costs, each))
  if (needed > engine.capacity.tokens) return kvMiss(point, engine, needed)
  const places = maxSequences * engine.degrees.dp
  return each > places ? missedBy(point, 'max-sequences', each / places - 1) : undefined
}

function kvMiss(point: ServingPoint, { capacity }: ServingEngine, needed: number): Miss {
  const { tokens, bytesPerToken } = capacity
  const perRank = (needed - tokens) * (capacity.freeBytes / Math.max(1, tokens))
  return missedBy(point, 'kv-cache', needed / Math.max(1, tokens) - 1, {
    'missing-bytes': tokens > 0 ? perRank : needed * bytesPerToken,
    'missing-tokens': needed - tokens,
  })
}

/** Tokens that a request holds in whole blocks. */
function heldTokens({ load: { cached }, preset }: ServingCosts, tokens: number): number {
  const { blockTokens } = preset.scheduler
  return Math.ceil(Math.max(1, tokens - cached) / blockTokens) * blockTokens + cached
}

/** Tokens that so many clients' requests hold at their end, a prefix that all have in common once. */
function heldByClients(costs: ServingCosts, clients: number): number {
  const { load } = costs
  const each = heldTokens(costs, Math.round(load.input + load.output - 1)) - load.cached
  return clients * each + load.cached
}

/**
 * A point in steady state, by {@link estimateEngines} or {@link estimatePools}: with its metrics, or the rule that it breaks, limits of the
 * question included. Throws what planning throws.
 */
export function evaluateServing(costs: ServingCosts, question: Question, chain: ServingChain): Candidate | Miss {
  const room = roomMiss(costs, chain)
  if (room) return room
  const { point, engine } = chain
  const { load } = costs
  const { clients } = point
  const arrivals = clients === undefined ? { rate: load.rate ?? 0 } : { clients }
  const estimate = estimateOf(costs, chain, arrivals)
  if (!estimate) return rateMiss(costs, chain)
  const inside = (clients ?? estimate.inside) / point.engines
  const held = heldByClients(costs, inside)
  if (held > engine.capacity.tokens) return kvMiss(point, engine, held)
  const metrics = metricsOf(costs, question, chain, estimate, held)
  const score = scoreOf(question.objective as ServingMetric, metrics) // checked with the question
  const candidate = candidateOf(point, score, withFront(question.front, metrics))
  for (const limit of question.limits) {
    const by = missOf(limit, metrics)
    if (by > 0) return { ...candidate, rule: limit.metric, by }
  }
  return candidate
}

function estimateOf(
  costs: ServingCosts,
  { point, engine, prefill }: ServingChain,
  arrivals: { readonly clients: number } | { readonly rate: number },
): ServingEstimate | undefined {
  const { load, preset } = costs
  const { maxSequences, reserve } = preset.scheduler
  // On average a request is in the middle of its output, of whose rest a share is reserved, and half a prompt is left that the next one's does not fit in.
  const held = heldTokens(costs, Math.round(load.input + ((1 + reserve) * load.output) / 2)) - load.cached
  const free = engine.capacity.tokens - load.cached - (load.input - load.cached) / 2
  const room = Math.min(maxSequences * engine.degrees.dp, Math.max(1, free / held))
  const requests = { ...load, away: preset.host.request, room }
  if (!prefill || !point.prefill) return estimateEngines(engine.steps, point.engines, arrivals, requests)
  // All ranks of decode that hold a token receive it, from as many at once as there are on the smaller side.
  const { tp, pp, dp } = engine.degrees
  const bytes = load.input * engine.capacity.bytesPerToken * tp * pp
  const ranks = Math.min(point.engines * tp * pp * dp, point.prefill.engines * ranksOf(prefill.degrees))
  const clusters = [clusterOf(prefill.loaded), clusterOf(engine.loaded)]
  const pools = {
    prefill: { steps: prefill.steps, engines: point.prefill.engines },
    decode: { steps: engine.steps, engines: point.engines },
    transfer: transferSeconds(bytes / ranks, clusters),
  }
  return estimatePools(pools, arrivals, requests)
}

/** What would be known of a point that lacks nothing but room for the requests of its clients; nothing at a rate, where requests wait for room. */
export function metricsWithRoom(costs: ServingCosts, question: Question, chain: ServingChain): ServingMetrics {
  const { clients, engines } = chain.point
  const estimate = clients === undefined ? undefined : estimateOf(costs, chain, { clients })
  if (clients === undefined || !estimate) return {}
  return metricsOf(costs, question, chain, estimate, heldByClients(costs, clients / engines))
}

/** By how much of a rate engines fall short of it that have as many clients as they have room for. */
function rateMiss(costs: ServingCosts, chain: ServingChain): Miss {
  const { load } = costs
  const { point, engine } = chain
  const { maxSequences } = costs.preset.scheduler
  const most = Math.floor(engine.capacity.tokens / heldByClients(costs, 1))
  const clients = Math.max(1, Math.min(most, maxSequences * engine.degrees.dp)) * point.engines
  const served = estimateOf(costs, chain, { clients })?.requestsPerSecond ?? 0
  return missedBy(point, 'rate', load.rate ? Math.max(0, 1 - served / load.rate) : 0, {
    'requests-per-second': served,
  })
}

function metricsOf(
  { load, preset }: ServingCosts,
  { spec }: Question,
  { point, engine, prefill }: ServingChain,
  { ttft, tpot, requestsPerSecond, inside }: ServingEstimate,
  held: number,
): ServingMetrics {
  const ranks = ranksOfPoint(point)
  const tokens = requestsPerSecond * load.output
  const left = ({ capacity }: ServingEngine, used: number) =>
    capacity.freeBytes * (1 - Math.min(1, used / capacity.tokens))
  const prompts = prefill && point.prefill ? (requestsPerSecond * ttft * load.input) / point.prefill.engines : 0
  return {
    ttft,
    tpot,
    throughput: tokens / ranks,
    'tokens-per-second': tokens,
    'requests-per-second': requestsPerSecond,
    concurrency: point.clients ?? inside + requestsPerSecond * preset.host.request,
    'memory-headroom': Math.min(left(engine, held), prefill ? left(prefill, prompts) : Number.POSITIVE_INFINITY),
    ...(spec.pricePerRankHour !== undefined && { cost: (1e6 * spec.pricePerRankHour * ranks) / 3600 / tokens }),
    ranks,
  }
}

/** Ranks of all engines of a point. */
export function ranksOfPoint({ engine, engines, prefill }: ServingPoint): number {
  return ranksOf(engine) * engines + (prefill ? ranksOf(prefill.engine) * prefill.engines : 0)
}
