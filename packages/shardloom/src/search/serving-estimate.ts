import type { EngineSteps, MeanLoad, Round, Steps } from './serving-steps.js'

/** What clients of engines see in steady state, on average. Seconds. */
export interface ServingEstimate {
  /** From sending a request to its first token. */
  readonly ttft: number
  /** Per token behind the first; 0 where there is none. */
  readonly tpot: number
  /** Over all engines. */
  readonly requestsPerSecond: number
  /** Requests that are at engines, on average over all of them. */
  readonly inside: number
}

/** Requests that come to engines: from clients that send their next request when the last has ended, or at a rate. */
export type Arrivals = { readonly clients: number } | { readonly rate: number }

/** What an estimate knows of requests. */
export interface Requests extends Pick<MeanLoad, 'output' | 'variation' | 'rounds' | 'alike'> {
  /** Mean seconds from sending one to its waiting at an engine. */
  readonly away: number
  /** How many an engine has room for at a time; clients of a closed loop all have room. */
  readonly room: number
}

/** Rounds of iteration at most, and the relative change at which it ends. */
const iterations = { most: 200, change: 1e-7 } as const

/** Chances of numbers of prompts that are left out. */
const negligible = 1e-7

/**
 * Engines that do both phases, in steady state of continuous batching (Yu et al. 2022, Orca), with requests that come independently of
 * each other. A step decodes the `n` sequences that run and takes in the prompts that came during the one before: `k` of them, Poisson
 * with the mean `x · τ` for prompts that come `x` per second to an engine and steps of `τ` seconds. So
 * TPOT = E[seconds] / E[steps] over `k`, TTFT = away + what is left of the step in which a prompt comes (E[τ²] / 2 E[τ], the mean
 * residual life; Kleinrock 1975, section 5.2) + the step that takes it in (with a batch in flight for each stage, `τ` is the round of all of them, in each of
 * which a prompt waits for the next batch that begins), and by Little's law (1961) `n = x · (output − 1) · TPOT`
 * and `x = clients / (TTFT + (output − 1) · TPOT)`. A client of a closed loop sees the others as if it were not there
 * (Sevcik and Mitrani 1981; Reiser and Lavenberg 1980): of `clients` that leaves `clients − 1`, approximated by that share of them
 * (Schweitzer 1979). At a rate so many may be there at a time that they wait for room, too: see {@link waitingForRoom}. Undefined where
 * engines cannot keep up with a rate.
 */
export function estimateEngines(
  steps: EngineSteps,
  engines: number,
  arrivals: Arrivals,
  requests: Requests,
): ServingEstimate | undefined {
  const { away } = requests
  const behind = requests.output - 1
  const others = shareOfOthers(arrivals, engines)
  const most = mostOthers(arrivals, engines)
  const found = iterate([steps.prefill(1, 0).seconds, behind > 0 ? steps.decode(1) : 0, steps.decode(1)], (state) => {
    const [first = 0, each = 0, round = 0] = state
    const x = rateOf(arrivals, engines, away + first + behind * each)
    const running = others * x * behind * each
    const coming = Math.min(most, others * x * round)
    if (!(running + coming <= limit)) return undefined
    const mean = coming / steps.inFlight
    const rounds = overPrompts(mean, (most) => steps.round(most, behind > 0 ? 1 + running : 0, mean), steps.inFlight)
    const present = running + others * x * first
    const busy = 1 - Math.exp(-present)
    const own = busy * ownSeconds(steps, coming, running) + (1 - busy) * steps.prefill(1, 0).seconds
    const left = busy * residual(rounds)
    return [left + own, behind > 0 ? rounds.seconds / rounds.steps : 0, rounds.seconds]
  })
  if (!found) return undefined
  const [first = 0, each = 0] = found
  const x = rateOf(arrivals, engines, away + first + behind * each) * engines
  const waiting =
    'rate' in arrivals ? waitingForRoom(first + behind * each, x, { ...requests, room: requests.room * engines }) : 0
  if (!(waiting < Number.POSITIVE_INFINITY)) return undefined
  const ttft = away + waiting + togetherWith(steps, engines, arrivals, requests, first)
  return { ttft, tpot: each, requestsPerSecond: x, inside: x * (first + behind * each) }
}

/** Two pools: engines of each, and seconds for which the KV cache of a prompt is on the link between them, which carries one at a time. */
export interface Pools {
  readonly prefill: { readonly steps: EngineSteps; readonly engines: number }
  readonly decode: { readonly steps: EngineSteps; readonly engines: number }
  readonly transfer: number
}

/**
 * Engines of prefill that hand over to engines of decode (Zhong et al. 2024, DistServe), in steady state: as
 * {@link estimateEngines}, but prompts share steps with prompts alone and a step of decode takes what its `n` sequences take. Behind
 * the link others wait in line: of what they find, the one on its way is half through (Reiser 1979, first come first served at a fixed
 * time of service). The transfer counts to the time per token, as it lies behind the first. Clients of a closed loop wait for their first
 * tokens at least until engines of prefill that are never idle have had all of them (Muntz and Wong 1974). Undefined where a rate exceeds
 * a pool or the link.
 */
export function estimatePools(
  { prefill, decode, transfer }: Pools,
  arrivals: Arrivals,
  requests: Requests,
): ServingEstimate | undefined {
  const { away } = requests
  const behind = requests.output - 1
  const others = shareOfOthers(arrivals, 1)
  const most = mostOthers(arrivals, prefill.engines)
  const alone = prefill.steps.prefill(1, 0).seconds
  const turn = 'rate' in arrivals ? 0 : arrivals.clients / (prefill.engines * fullRate(prefill.steps))
  const laterOf = (link: number, each: number) => (behind > 0 ? link + each / 2 + behind * each : 0)
  const start = [alone, decode.steps.decode(1), transfer, alone]
  const found = iterate(start, (state) => {
    const [first = 0, each = 0, link = 0, round = 0] = state
    const later = laterOf(link, each)
    const x = rateOf(arrivals, 1, away + first + later)
    const perEngine = (others * x) / prefill.engines
    const coming = Math.min(most, perEngine * round)
    const running = (others * x * behind * each) / decode.engines
    const used = others * x * transfer
    if (!(running + coming <= limit) || ('rate' in arrivals && used >= 1)) return undefined
    const { inFlight } = prefill.steps
    const mean = coming / inFlight
    const rounds = overPrompts(mean, (most) => prefill.steps.round(most, 0, mean), inFlight)
    const some = 1 - Math.exp(-coming)
    const during = some > negligible ? rounds.seconds / some : alone
    const engaged = Math.min(1, coming > negligible ? (perEngine * rounds.seconds) / coming : 0)
    // A request goes to an engine without others where there is one: how often all of several are busy (Sakasegawa 1977).
    const busy = engaged ** (Math.sqrt(2 * (prefill.engines + 1)) - 1)
    const own = busy * ownSeconds(prefill.steps, coming, 0) + (1 - busy) * alone
    const inLine = others * x * link
    const onLink = Math.min(1, used, inLine)
    return [
      Math.max(busy * residual(rounds) + own, turn - away - later),
      behind > 0 ? decode.steps.decode(1 + running) : 0,
      transfer * (1 + (inLine - onLink) + onLink / 2),
      during,
    ]
  })
  if (!found) return undefined
  const [first = 0, each = 0, link = 0] = found
  const later = laterOf(link, each)
  const x = rateOf(arrivals, 1, away + first + later)
  return {
    ttft: away + togetherWith(prefill.steps, prefill.engines, arrivals, requests, first),
    tpot: behind > 0 ? later / behind : 0,
    requestsPerSecond: x,
    inside: x * (first + later),
  }
}

/**
 * Mean seconds that a request waits until there is room for it, where there is for `room` of them at a time, for `stay` seconds each, over all
 * engines, as it goes to the one with the fewest: a queue with so many servers (Sakasegawa 1977), whose times of service vary as what is generated does (Lee and Longton 1959). Infinite where more come
 * than leave.
 */
function waitingForRoom(
  stay: number,
  perSecond: number,
  { room, variation }: Pick<Requests, 'room' | 'variation'>,
): number {
  const used = (perSecond * stay) / room
  if (used >= 1) return Number.POSITIVE_INFINITY
  return (((1 + variation) / 2) * (stay / room) * used ** (Math.sqrt(2 * (room + 1)) - 1)) / (1 - used)
}

/**
 * The mean time of a prompt at an engine, where `steady` is that of one that comes independently of others. The clients of a closed loop
 * all begin at once: `n` prompts that take `T` seconds wait `T / 2` for each other on average, less what sending spreads them by.
 * Where all requests are alike they go on together: each prompt comes while a full step takes others in, and has the next.
 */
function togetherWith(
  steps: EngineSteps,
  engines: number,
  arrivals: Arrivals,
  { rounds, alike, away }: Requests,
  steady: number,
): number {
  if ('rate' in arrivals) return steady
  const clients = Math.max(1, arrivals.clients / engines)
  const alone = steps.prefill(1, 0).seconds
  const first = Math.max(steady, alone + (steps.prefill(clients, 0).seconds - alone) / 2 - away)
  const full = steps.prefill(Math.min(clients, steps.promptsPerStep), 0).seconds
  const later = alike && clients > 1 ? Math.max(steady, 1.5 * full) : steady
  return (first + (rounds - 1) * later) / rounds
}

/** Prompts per second of an engine that does nothing else and is never idle. */
function fullRate({ inFlight, promptsPerStep, round }: EngineSteps): number {
  const prompts = Math.max(inFlight, promptsPerStep + 1)
  return (inFlight * prompts) / round(prompts, 0, prompts).seconds
}

/** Requests at an engine beyond which it does not keep up. */
const limit = 1e5

/** Requests per second to each engine. */
function rateOf(arrivals: Arrivals, engines: number, cycle: number): number {
  return ('rate' in arrivals ? arrivals.rate : arrivals.clients / cycle) / engines
}

/** The share of requests that are not one's own. */
function shareOfOthers(arrivals: Arrivals, engines: number): number {
  if ('rate' in arrivals) return 1
  const clients = Math.max(1, arrivals.clients / engines)
  return (clients - 1) / clients
}

function mostOthers(arrivals: Arrivals, engines: number): number {
  return 'rate' in arrivals ? Number.POSITIVE_INFINITY : Math.max(0, arrivals.clients / engines - 1)
}

interface Rounds {
  readonly seconds: number
  readonly squared: number
  readonly steps: number
}

/** Means over the most of some Poisson numbers of prompts, one for each batch in flight. */
function overPrompts(mean: number, of: (most: number) => Steps & Partial<Round>, batches = 1): Rounds {
  let [seconds, squared, steps, seen] = [0, 0, 0, 0]
  const far = 8 * Math.sqrt(mean) + 8
  const from = Math.max(0, Math.floor(mean - far))
  // Relative to the most likely number, so that none underflows.
  const top = Math.floor(mean)
  const chances = [1]
  for (let number = top; number > from; number--) chances.unshift(((chances[0] ?? 0) * number) / mean)
  for (let number = top + 1; number <= mean + far; number++) chances.push(((chances.at(-1) ?? 0) * mean) / number)
  mostOf(chances, batches).forEach((chance, index) => {
    if (chance < negligible) return
    const round = of(from + index)
    seconds += chance * round.seconds
    squared += chance * (round.squared ?? round.seconds ** 2)
    steps += chance * round.steps
    seen += chance
  })
  return { seconds: seconds / seen, squared: squared / seen, steps: steps / seen }
}

/** The chances of the most of several numbers, each of which has these; no number is more than all of them. */
function mostOf(chances: readonly number[], several: number): readonly number[] {
  if (several === 1) return chances
  const all = chances.reduce((sum, chance) => sum + chance, 0)
  let [below, before] = [0, 0]
  return chances.map((chance) => {
    below += chance / all
    const upTo = Math.min(1, below) ** several
    const own = upTo - before
    before = upTo
    return own
  })
}

/** Mean seconds until a batch begins when something comes in a round. */
function residual({ seconds, squared }: Rounds): number {
  return seconds > 0 ? squared / (2 * seconds) : 0
}

/** Seconds of the steps that take a prompt in beside those that came for the same batch: of several steps it ends in the middle on average. */
function ownSeconds({ prefill, inFlight }: EngineSteps, coming: number, beside: number): number {
  return overPrompts(coming / inFlight, (prompts) => {
    const alone = prefill(1, beside)
    const { seconds, steps } = prefill(1 + prompts, beside)
    const share = steps > alone.steps ? (steps + alone.steps) / (2 * steps) : 1
    return { seconds: share * seconds, steps }
  }).seconds
}

/** The fixed point of a function of some numbers, approached by halves; undefined where there is none. */
function iterate(
  start: readonly number[],
  next: (state: readonly number[]) => readonly number[] | undefined,
): readonly number[] | undefined {
  let state = start
  for (let count = 0; count < iterations.most; count++) {
    const to = next(state)
    if (!to) return undefined
    const before = state
    state = state.map((value, index) => (value + (to[index] ?? 0)) / 2)
    const change = Math.max(...state.map((value, index) => Math.abs(value - (before[index] ?? 0)) / (value || 1)))
    if (change < iterations.change) break
  }
  return state
}
