import type { EnginePreset } from '@shardloom/serving'
import type { LoadedSpec } from '../plan.js'
import { engineOf, hostSeconds, layersOf, schedulerOver, usualRounds, workloadOf } from '../simulate-serving.js'
import type { DecodeCost, PrefillCost } from '../step-cost.js'

/** Requests of which lengths are averaged where they are drawn. */
const drawn = 1000

/** What comes to engines, on average. Lengths in tokens. */
export interface MeanLoad {
  /** Tokens of a prompt, of them those that the prefix cache has, and tokens that are generated. */
  readonly input: number
  readonly cached: number
  readonly output: number
  /** Variance of the tokens that are generated, over the square of their mean. */
  readonly variation: number
  /** The most tokens that a request holds at its end, and of a prompt. */
  readonly longest: number
  readonly longestInput: number
  /** An open loop: requests per second over all engines. */
  readonly rate?: number
  /** A closed loop of so many clients over all engines, where the spec says. */
  readonly clients?: number
  /** Requests that each client of a closed loop sends. */
  readonly rounds: number
  /** Whether all requests are alike, so that clients that begin together go on together. */
  readonly alike: boolean
}

/** The load of a spec of the phase `serving`. Throws `OPTION`, `WORKLOAD`. */
export function meanLoadOf(loaded: LoadedSpec): MeanLoad {
  const { load = {} } = loaded.spec.options.serving
  const { scheduler } = engineOf(loaded)
  const { requests } = workloadOf(loaded, drawn / 10)
  const mean = (of: (request: { input: number; output: number }) => number) =>
    requests.reduce((sum, each) => sum + of(each), 0) / requests.length
  const input = mean((request) => request.input)
  const shared = Math.min(load.prefix ?? 0, input - 1)
  const [first] = requests
  const output = mean((request) => request.output)
  const rounds = load.requests !== undefined && load.clients !== undefined ? load.requests / load.clients : usualRounds
  return {
    rounds: Math.max(1, rounds),
    alike: requests.every((each) => each.input === first?.input && each.output === first.output),
    input,
    cached: Math.max(0, Math.floor(shared / scheduler.blockTokens) * scheduler.blockTokens),
    output,
    variation: mean((request) => (request.output / output - 1) ** 2),
    longest: requests.reduce((most, each) => Math.max(most, each.input + each.output - 1), 0),
    longestInput: requests.reduce((most, each) => Math.max(most, each.input), 0),
    ...(load.rate !== undefined && { rate: load.rate }),
    ...(load.clients !== undefined && { clients: load.clients }),
  }
}

/** Some steps that follow each other. */
export interface Steps {
  readonly seconds: number
  readonly steps: number
}

/** What steps of an engine take for a load whose requests are all of mean length. */
export interface EngineSteps {
  /** Seconds of a step that decodes so many sequences in the middle of their output; between whole numbers straight. */
  readonly decode: (sequences: number) => number
  /** Prompts that a step takes in: at least one. */
  readonly promptsPerStep: number
  /** Steps that prefill so many prompts that have come together, beside so many sequences that decode. */
  readonly prefill: (prompts: number, beside: number) => Steps
  /** The same with all that passes until sequences that decode have got their next tokens. */
  readonly round: (prompts: number, beside: number) => Steps
}

/**
 * Steps of an engine as its simulation has them: `prefill` and `decode` cost what {@link deviceCost} reads off plans, beside which
 * stands the host. Prompts that exceed the tokens of a step take as many full steps as they fill. An engine of batching `separate` stops
 * decoding for them and has a step of decoding behind.
 */
export function engineSteps(
  cost: { readonly prefill: PrefillCost; readonly decode: DecodeCost },
  { host, scheduler }: EnginePreset,
  load: MeanLoad,
  layers: number,
): EngineSteps {
  const { input, cached, output } = load
  const { batching, chunked, maxTokens } = scheduler
  const hosted = (sampled: number) => hostSeconds(host, layers, sampled)
  const context = cost.decode.context(Math.round(input + output / 2))
  const prompt = Math.max(1, input - cached)
  const attending = cost.prefill.context(Math.round(input)) - (cached > 0 ? cost.prefill.context(cached) : 0)
  const whole = (sequences: number) =>
    sequences === 0 ? 0 : cost.decode.tokens(sequences) + sequences * context + hosted(sequences)
  const decode = (sequences: number) => {
    const below = Math.floor(sequences)
    const low = whole(below)
    return below === sequences ? low : low + (sequences - below) * (whole(below + 1) - low)
  }
  const head = (sampled: number) => cost.decode.head(Math.max(1, Math.round(sampled))) - cost.decode.head(1)
  const prefill = (prompts: number, beside: number): Steps => {
    const along = batching === 'mixed' ? beside : 0
    const room = Math.max(1, maxTokens - along)
    // Whole prompts leave the rest of a step free.
    const most = chunked ? room : Math.max(1, Math.floor(room / prompt)) * prompt
    const steps = Math.max(1, (prompts * prompt) / most)
    const tokens = Math.round(along + (prompts * prompt) / steps)
    const ended = prompts / steps
    const device = cost.prefill.tokens(tokens) + head(along + ended) + along * context + ended * attending
    return { seconds: steps * (Math.max(device, layers * host.issue) + hosted(along + ended)), steps }
  }
  const round = (prompts: number, beside: number): Steps => {
    if (prompts === 0) return { seconds: decode(beside), steps: 1 }
    const first = prefill(prompts, beside)
    return batching === 'mixed' || beside === 0 ? first : { seconds: first.seconds + decode(beside), steps: 1 }
  }
  return { decode, prefill, round, promptsPerStep: Math.max(1, Math.floor(maxTokens / prompt)) }
}

/** {@link engineSteps} of a spec's own engine, on so many ranks of `dp`. */
export function stepsOf(
  loaded: LoadedSpec,
  dp: number,
  cost: { readonly prefill: PrefillCost; readonly decode: DecodeCost },
  load: MeanLoad,
): EngineSteps {
  const engine = engineOf(loaded)
  return engineSteps(cost, { ...engine, scheduler: schedulerOver(engine.scheduler, dp) }, load, layersOf(loaded))
}
