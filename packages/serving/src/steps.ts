import { ShardloomError } from '@shardloom/core'
import type { Scheduler } from './scheduler.js'
import type { Workload } from './workload.js'

/** The most steps that are simulated: each is an event of its own, of which there are some hundred thousand in a second. */
const mostSteps = 10_000_000

/** Tokens of a load that are one step's alone, and how many of them a step has at most. */
interface Part {
  readonly tokens: number
  readonly perStep: number
  readonly limit: 'maxTokens' | 'maxSequences'
}

/** Refuses a load that cannot be served in fewer steps than are simulated: `WORKLOAD`. */
export function checkSteps(requests: Workload['requests'], scheduler: Scheduler, decode?: Scheduler): void {
  const parts = partsOf(requests, scheduler, decode)
  const steps = stepsOf(parts)
  if (steps <= mostSteps) return
  const worst = parts.reduce((a, b) => (b.tokens / b.perStep > a.tokens / a.perStep ? b : a))
  const [most, tokens, least] = [mostSteps, worst.tokens, steps].map(grouped)
  const message = `This load has ${tokens} tokens to compute, and a step computes at most ${grouped(worst.perStep)} (\`${worst.limit}\`): it takes at least ${least} steps, and at most ${most} are simulated.`
  throw new ShardloomError('WORKLOAD', message, {
    subject: worst.limit,
    help: `Raise \`${worst.limit}\` by a factor of ${grouped(Math.ceil((parts.length * steps) / mostSteps))} or more, or send fewer or shorter requests.`,
  })
}

/** No engine serves a load in fewer steps. */
export function leastSteps(requests: Workload['requests'], scheduler: Scheduler, decode?: Scheduler): number {
  return stepsOf(partsOf(requests, scheduler, decode))
}

const stepsOf = (parts: readonly Part[]) =>
  parts.reduce((sum, { tokens, perStep }) => sum + Math.ceil(tokens / perStep), 0)

/**
 * What has steps that no other part is computed in, as far as limits of the scheduler say so: no engine needs fewer. Prompts that are not divided
 * may be longer than a step; prefixes may be cached.
 */
function partsOf(requests: Workload['requests'], scheduler: Scheduler, decode: Scheduler | undefined): Part[] {
  const sum = (of: (request: Workload['requests'][number]) => number) =>
    requests.reduce((all, request) => all + of(request), 0)
  const prompts = sum(({ input, prefix }) => Math.max(1, input - (prefix?.tokens ?? 0)))
  const further = sum(({ output }) => output - 1)
  const { maxTokens, chunked, batching } = scheduler
  const prefilled = (tokens: number): Part[] => (chunked ? [{ tokens, perStep: maxTokens, limit: 'maxTokens' }] : [])
  if (decode) return [...prefilled(prompts), decoded(further, decode)]
  if (batching === 'separate' || !chunked) return [...prefilled(prompts), decoded(further, scheduler)]
  const [all, only] = [
    { tokens: prompts + further, perStep: maxTokens, limit: 'maxTokens' } as const,
    decoded(further, scheduler),
  ]
  return [all.tokens / all.perStep > only.tokens / only.perStep ? all : only]
}

/** Sequences that run get a token each in a step: of what is mixed and divided as many as a step has tokens. */
function decoded(tokens: number, { maxTokens, maxSequences, chunked, batching }: Scheduler): Part {
  if (batching === 'mixed' && chunked && maxTokens < maxSequences)
    return { tokens, perStep: maxTokens, limit: 'maxTokens' }
  return { tokens, perStep: maxSequences, limit: 'maxSequences' }
}

const grouped = (count: number) => String(count).replace(/\B(?=(\d{3})+$)/g, ',')
