import { ShardloomError } from '@shardloom/core'
import { randomNumbers } from './random.js'

/** What a client asks for. Lengths in tokens. */
export interface Request {
  readonly input: number
  /** Tokens that are generated, the first of which prefill gives. */
  readonly output: number
  /** Seconds from the start at which it is sent; default 0. Closed loops send when a client is free instead. */
  readonly arrival?: number
  /** The start of the prompt that requests of this name have in common, which a prefix cache computes once. */
  readonly prefix?: { readonly name: string; readonly tokens: number }
}

/** Requests in the order in which they are sent. */
export interface Workload {
  readonly requests: readonly Request[]
  /** A closed loop: that many clients, each of which sends its next request when the one before has ended. Default: all by arrival. */
  readonly clients?: number
}

/** Lengths in tokens: always the same; evenly spread from one to another; normal, cut off at 1; or drawn from a list. */
export type Length =
  | number
  | { readonly from: number; readonly to: number }
  | { readonly mean: number; readonly deviation: number }
  | readonly number[]

/** What requests look like, and how many there are. */
export interface RequestMix {
  readonly count: number
  readonly input: Length
  readonly output: Length
  /** Tokens at the start of every prompt that all have in common, of a shorter one all; default none. */
  readonly prefix?: number
  /** Default 0. The same seed gives the same requests. */
  readonly seed?: number
}

/** Requests that are simulated at most, and tokens that they generate: some minutes of it. */
export const mostRequests = 1_000_000
const mostTokens = 20_000_000

/**
 * The requests of a mix, at `rate` per second as a Poisson process, or all at once without one. Throws `WORKLOAD` for what is no length,
 * count or rate, and for a prefix longer than all prompts.
 */
export function makeRequests({ count, input, output, prefix = 0, seed = 0 }: RequestMix, rate?: number): Request[] {
  if (!Number.isSafeInteger(count) || count < 1 || count > mostRequests)
    throw refused('count', count, `a whole number from 1 to ${mostRequests}`)
  if (rate !== undefined && !(rate > 0 && rate < Number.POSITIVE_INFINITY)) {
    throw refused('rate', rate, 'requests per second above 0')
  }
  const random = randomNumbers(seed)
  let arrival = 0
  let generated = 0
  const requests = Array.from({ length: count }, (): Request => {
    if (rate !== undefined) arrival -= Math.log(1 - random()) / rate
    const request = { input: lengthOf('input', input, random), output: lengthOf('output', output, random), arrival }
    generated += request.output
    if (generated > mostTokens) throw tooMany(count, output)
    const tokens = Math.min(prefix, request.input)
    return tokens > 0 ? { ...request, prefix: { name: 'prefix', tokens } } : request
  })
  const longest = requests.reduce((most, request) => Math.max(most, request.input), 0)
  if (prefix > longest) throw refused('prefix', prefix, `at most ${longest} tokens, as many as the longest prompt has`)
  return requests
}

function lengthOf(field: string, length: Length, random: () => number): number {
  const drawn = draw(length, random)
  if (Number.isSafeInteger(drawn) && drawn >= 1) return drawn
  throw refused(
    field,
    JSON.stringify(length),
    'tokens, such as 1024, {from: 512, to: 2048} or {mean: 900, deviation: 200}',
  )
}

function draw(length: Length, random: () => number): number {
  if (typeof length === 'number') return length
  if ('from' in length && length.from > length.to) return Number.NaN
  if ('from' in length) return length.from + Math.floor(random() * (length.to - length.from + 1))
  if ('mean' in length) {
    // Box and Muller 1958.
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    return Math.max(1, Math.round(length.mean + length.deviation * normal))
  }
  return length[Math.floor(random() * length.length)] ?? Number.NaN
}

function tooMany(count: number, output: Length): ShardloomError {
  const message = `${count} requests that generate ${JSON.stringify(output).slice(0, 80)} tokens each generate more than ${mostTokens} in all.`
  const help = 'Simulate fewer requests, or shorter outputs: what one takes hardly depends on how many there are.'
  return new ShardloomError('WORKLOAD', message, { subject: 'count', help })
}

function refused(field: string, value: unknown, expected: string): ShardloomError {
  const message = `The workload's \`${field}\` is ${String(value).slice(0, 80)}; expected ${expected}.`
  return new ShardloomError('WORKLOAD', message, { subject: field, help: `Give ${expected}.` })
}
