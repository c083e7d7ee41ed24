import type { EnginePreset } from '@shardloom/serving'
import type { LoadedSpec } from '../plan.js'
import { engineOf, layersOf, placesOf, schedulerOver, usualRounds, workloadOf } from '../simulate-serving.js'
import { type DecodeCost, onStages, type PrefillCost, type StageShares } from '../step-cost.js'

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

/** Until sequences that decode have got their next tokens. */
export interface Round extends Steps {
  /** The squares of the seconds between two batches that begin, summed up. */
  readonly squared: number
}

/** What steps of an engine take for a load whose requests are all of mean length. */
export interface EngineSteps {
  /** Batches that are in flight at a time: one for each pipeline stage. */
  readonly inFlight: number
  /** Seconds of a step where so many sequences decode in the middle of their output, divided over all batches in flight; between whole numbers straight. */
  readonly decode: (sequences: number) => number
  /** Prompts that a step takes in: at least one. */
  readonly promptsPerStep: number
  /** Steps that prefill so many prompts that have come together, beside so many sequences that decode. */
  readonly prefill: (prompts: number, beside: number) => Steps
  /**
   * All that passes until sequences that decode have got their next tokens, beside so many prompts in the batch that has most of them, where
   * one has `mean` on average.
   */
  readonly round: (prompts: number, beside: number, mean: number) => Round
}

/**
 * Steps of an engine as its simulation has them: `prefill` and `decode` cost what {@link deviceCost} reads off plans, beside which
 * stands the host. Prompts that exceed the tokens of a step take as many full steps as they fill. An engine of batching `separate` stops
 * decoding for them and has a step of decoding behind. Batches in flight follow each other through the stages at the pace of the longest:
 * each is back when that has passed all stages, or when the slowest stage has had each of them.
 */
export function engineSteps(
  cost: { readonly prefill: PrefillCost; readonly decode: DecodeCost },
  { host, scheduler }: EnginePreset,
  load: MeanLoad,
  layers: number,
): EngineSteps {
  const { input, cached, output } = load
  const { batching, chunked, maxTokens } = scheduler
  const inFlight = cost.decode.stages(1).shares.length
  const context = cost.decode.context(Math.round(input + output / 2))
  const prompt = Math.max(1, input - cached)
  const attending = cost.prefill.context(Math.round(input)) - (cached > 0 ? cost.prefill.context(cached) : 0)
  /** How long a batch is on its way, and how long the slowest place holds it. */
  const paced = (seconds: number, shares: StageShares, sampled: number, isIssued: boolean) => {
    const stages = onStages(seconds, shares, Math.round(sampled), cost.decode)
    const places = placesOf(host, layers, sampled, stages, isIssued)
    return { whole: places.reduce((sum, each) => sum + each, 0), slowest: Math.max(...places) }
  }
  /** Until each of so many batches that follow each other is back. */
  const cycle = ({ whole, slowest }: ReturnType<typeof paced>, lanes: number) => Math.max(whole, lanes * slowest)
  const decodeIn = (lanes: number, each: number) => {
    if (each === 0) return 0
    const device = cost.decode.tokens(each) + each * context
    return cycle(paced(device, cost.decode.stages(each), each, false), lanes)
  }
  const decode = (sequences: number) => {
    const lanes = Math.min(inFlight, Math.max(1, sequences))
    const each = sequences / lanes
    const below = Math.floor(each)
    const low = decodeIn(lanes, below)
    return below === each ? low : low + (each - below) * (decodeIn(lanes, below + 1) - low)
  }
  const head = (sampled: number) => cost.decode.head(Math.max(1, Math.round(sampled))) - cost.decode.head(1)
  /** Batches that prefill so many prompts beside so many sequences, and how each of them is paced. */
  const batches = (prompts: number, beside: number) => {
    const along = batching === 'mixed' ? beside / inFlight : 0
    const room = Math.max(1, maxTokens - along)
    // Whole prompts leave the rest of a step free.
    const most = chunked ? room : Math.max(1, Math.floor(room / prompt)) * prompt
    const count = Math.max(1, (prompts * prompt) / most)
    const tokens = Math.round(along + (prompts * prompt) / count)
    const ended = prompts / count
    const device = cost.prefill.tokens(tokens) + head(along + ended) + along * context + ended * attending
    return { count, ...paced(device, cost.prefill.stages(tokens), along + ended, true) }
  }
  const prefill = (prompts: number, beside: number): Steps => {
    const { count, ...pace } = batches(prompts, beside)
    return {
      seconds: pace.whole + ((count - 1) * cycle(pace, inFlight)) / inFlight,
      steps: 1 + (count - 1) / inFlight,
    }
  }
  const round = (prompts: number, beside: number, mean: number): Round => {
    const behind = decode(beside)
    if (prompts === 0) return { seconds: behind, steps: 1, squared: behind ** 2 / inFlight }
    const secondsOf = (prompts: number) => {
      const { count, ...pace } = batches(prompts, beside)
      return { count, seconds: count * cycle(pace, Math.min(inFlight, prompts + beside)) }
    }
    // The others follow the longest closely, and behind the last of them nothing begins for as long as it held them up.
    const usual = inFlight === 1 ? 0 : secondsOf(mean).seconds / inFlight
    const within = (seconds: number) => {
      const short = Math.min(seconds / inFlight, usual)
      return { seconds, squared: (seconds - (inFlight - 1) * short) ** 2 + (inFlight - 1) * short ** 2 }
    }
    const { count, seconds: held } = secondsOf(prompts)
    if (batching === 'mixed' || beside === 0) return { ...within(held), steps: count }
    if (inFlight === 1) return { ...within(held + behind), steps: 1 }
    // Of several batches those without prompts decode meanwhile, at the pace of the longest.
    const some = 1 - Math.exp(-mean)
    return { ...within(Math.max(held, behind)), steps: 1 - some / (1 - (1 - some) ** inFlight) }
  }
  return { inFlight, decode, prefill, round, promptsPerStep: Math.max(1, Math.floor(maxTokens / prompt)) }
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
