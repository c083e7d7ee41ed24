import { ShardloomError } from '@shardloom/core'

/** A cost of layers `first` up to, but without, `end` on a stage under a choice. */
export type StageCost = (first: number, end: number, stage: number, choice: number) => number

/** Layers that consecutive stages divide among themselves. */
export interface StageProblem {
  readonly layers: number
  readonly stages: number
  /** How many microbatches a step has. */
  readonly microbatches: number
  /** The least number of layers of a stage. Default 1. */
  readonly least?: number
  /** How many strategies each stage chooses among, numbered from 0. Default 1. */
  readonly choices?: number
  /** Seconds that a stage takes for a microbatch; Infinity for what cannot be. */
  readonly time: StageCost
  /** Bytes that a stage holds at its peak. Without it everything fits. */
  readonly memory?: StageCost
  /** Bytes that a stage may hold. */
  readonly limit?: number
}

/** What a stage was given. */
export interface BalancedStage {
  readonly first: number
  /** The first layer that is no longer its own. */
  readonly end: number
  readonly choice: number
  readonly seconds: number
  readonly bytes: number
}

/** Layers divided among stages. */
export interface Balance {
  readonly stages: readonly BalancedStage[]
  /** Seconds of a step: Σtᵢ + (m − 1)·max t. */
  readonly seconds: number
  /** By how much of the limit the stage that is furthest beyond it is: 0 if all fit, otherwise as little as any division can reach. */
  readonly excess: number
}

/**
 * Sums over layers as a cost of stages, each in constant time: what every layer costs, and what a stage costs besides, such as the
 * embedding on the first and the head on the last.
 */
export function layerSums(layers: ArrayLike<number>, besides: (stage: number) => number = () => 0): StageCost {
  const before = new Float64Array(layers.length + 1)
  for (let layer = 0; layer < layers.length; layer++)
    before[layer + 1] = (before[layer] as number) + (layers[layer] as number)
  return (first, end, stage) => (before[end] as number) - (before[first] as number) + besides(stage)
}

/**
 * Divides layers among the stages of a pipeline, and chooses each stage's strategy, so that a step takes the least time: Σtᵢ + (m − 1)·max t
 * (Zheng et al. 2022, Alpa, section 5.2). Where nothing fits, the divisions that miss the limit by least compete; undefined if there
 * are too few layers. Of divisions that take equally long the most even one is taken. It is exact but for rounding.
 *
 * A stage's time is needed once for each of its ranges and choices, O(L²·S·C). Alpa then tries every time as the longest; here the
 * least sum under a longest time, O(L²·S), is followed only to times at which a better step is still possible: a few, and a single one
 * where the sum is the same for all divisions.
 */
export function balanceStages(problem: StageProblem): Balance | undefined {
  const { layers, stages, microbatches, least = 1, choices = 1, time, memory = () => 0, limit = Infinity } = problem
  check(problem)
  const slack = layers - stages * least
  if (slack < 0) return undefined

  const excessOf: StageCost = (first, end, stage, choice) => {
    const bytes = memory(first, end, stage, choice)
    return bytes <= limit ? 0 : bytes / limit - 1
  }
  /** The fastest choice of a stage within an excess: for the sum and for the longest stage alike, no other can be better. */
  const choose = (first: number, end: number, stage: number, excess: number) => {
    let [best, seconds] = [0, Infinity]
    for (let choice = 0; choice < choices; choice++) {
      const taken = time(first, end, stage, choice)
      if (taken < seconds && excessOf(first, end, stage, choice) <= excess) [best, seconds] = [choice, taken]
    }
    return { choice: best, seconds }
  }
  const leastExcess = (first: number, end: number, stage: number) => {
    let smallest = Infinity
    for (let choice = 0; choice < choices; choice++)
      if (time(first, end, stage, choice) < Infinity) smallest = Math.min(smallest, excessOf(first, end, stage, choice))
    return smallest
  }

  const tabulate = (cost: (first: number, end: number, stage: number) => number) =>
    tableOf(stages, slack, (from, to, stage) => cost(stage * least + from, (stage + 1) * least + to, stage))
  const timesWithin = (excess: number) => tabulate((first, end, stage) => choose(first, end, stage, excess).seconds)

  let excess = 0
  let times = timesWithin(excess)
  let best = lightest(times, Math.max)
  if (best === undefined) {
    excess = lightest(tabulate(leastExcess), Math.max)?.weight ?? 0
    times = timesWithin(excess)
    best = lightest(times, Math.max)
    if (best === undefined) return undefined
  }

  const stepOf = (costs: readonly number[]) => sum(costs) + (microbatches - 1) * Math.max(...costs)
  let seconds = stepOf(best.costs)
  let below = Infinity
  for (;;) {
    const path = lightest(times, (sum, cost) => sum + cost, below)
    if (path === undefined) break
    const taken = stepOf(path.costs)
    if (taken < seconds) [best, seconds] = [path, taken]
    // Whatever is below has at least this sum: to be better, its longest stage has to be this much shorter.
    below = Math.min(Math.max(...path.costs), (seconds * (1 - rounding) - path.weight) / (microbatches - 1))
  }
  const longest = Math.max(...best.costs)
  const evened = (sum: number, cost: number) => sum + cost + (evenness * cost * cost) / longest
  const even = lightest(times, evened, longest * (1 + rounding))
  if (even !== undefined && stepOf(even.costs) <= seconds * (1 + rounding)) best = even

  const division = best.borders.slice(0, -1).map((border, stage): BalancedStage => {
    const first = stage * least + border
    const end = (stage + 1) * least + (best.borders[stage + 1] as number)
    const { choice, seconds } = choose(first, end, stage, excess)
    return { first, end, choice, seconds, bytes: memory(first, end, stage, choice) }
  })
  return { stages: division, seconds: stepOf(best.costs), excess }
}

/** Sums of the same costs in another order differ by less, relatively. */
const rounding = 1e-12
/** What squares count beside sums, so that they decide between equal ones alone. */
const evenness = 1e-9

/** Costs of every stage for every range that is open to it, by how many layers beyond the least lie before its two borders. */
interface Table {
  readonly stages: number
  readonly slack: number
  /** At (stage · width + from) · width + to, of width slack + 1; Infinity for what cannot be. */
  readonly costs: Float64Array
}

function tableOf(stages: number, slack: number, cost: (from: number, to: number, stage: number) => number): Table {
  const width = slack + 1
  const costs = new Float64Array(stages * width * width).fill(Infinity)
  for (let stage = 0; stage < stages; stage++)
    for (let from = 0; from <= (stage === 0 ? 0 : slack); from++)
      for (let to = stage === stages - 1 ? slack : from; to <= slack; to++)
        costs[(stage * width + from) * width + to] = cost(from, to, stage)
  return { stages, slack, costs }
}

interface Path {
  readonly weight: number
  /** 0, then where each stage ends. */
  readonly borders: readonly number[]
  readonly costs: readonly number[]
}

/** The path through all stages of which `combine` makes the least weight, of costs below a limit; of equal ones that with the earliest borders. */
function lightest(
  { stages, slack, costs }: Table,
  combine: (weight: number, cost: number) => number,
  below = Infinity,
): Path | undefined {
  const width = slack + 1
  const origins = new Int32Array(stages * width)
  let weights = new Float64Array(width).fill(Infinity)
  weights[0] = 0
  for (let stage = 0; stage < stages; stage++) {
    const next = new Float64Array(width).fill(Infinity)
    for (let from = 0; from < width; from++) {
      const weight = weights[from] as number
      if (weight === Infinity) continue
      const row = (stage * width + from) * width
      for (let to = from; to < width; to++) {
        const cost = costs[row + to] as number
        if (!(cost < below)) continue
        const combined = combine(weight, cost)
        if (!(combined < (next[to] as number))) continue
        next[to] = combined
        origins[stage * width + to] = from
      }
    }
    weights = next
  }
  const weight = weights[slack] as number
  if (weight === Infinity) return undefined
  const borders = [slack]
  for (let stage = stages - 1; stage >= 0; stage--)
    borders.unshift(origins[stage * width + (borders[0] as number)] as number)
  const pathCosts = borders
    .slice(1)
    .map((to, stage) => costs[(stage * width + (borders[stage] as number)) * width + to] as number)
  return { weight, borders, costs: pathCosts }
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

/** Refuses what are no layers, stages, microbatches or choices: `STAGES`. */
function check({ layers, stages, microbatches, least = 1, choices = 1, limit = Infinity }: StageProblem): void {
  for (const [what, value, from] of [
    ['layers', layers, 1],
    ['stages', stages, 1],
    ['microbatches', microbatches, 1],
    ['least', least, 0],
    ['choices', choices, 1],
  ] as const)
    if (!Number.isSafeInteger(value) || value < from)
      throw new ShardloomError('STAGES', `Layers cannot be divided among stages: \`${what}\` is ${value}.`, {
        help: `Use a whole number from ${from}.`,
        subject: what,
      })
  if (!(limit > 0))
    throw new ShardloomError('STAGES', `Layers cannot be divided among stages: \`limit\` is ${limit}.`, {
      help: 'Use a number of bytes above 0.',
      subject: 'limit',
    })
}

/**
 * Divides layers that all take as long among stages, as {@link balanceStages} does, in O(L·S): their number is all that matters, and each
 * layer goes to the stage that is then the shortest. `besides`: what each stage takes beside its layers. Returns the number of layers of
 * each stage, at least one, but of the first and the last at least `leastAtEnds`; undefined where there are too few.
 */
export function balanceEqualLayers(
  layers: number,
  seconds: number,
  besides: ArrayLike<number>,
  leastAtEnds = 1,
): number[] | undefined {
  const stages = besides.length
  const counts = Array.from({ length: stages }, (_, at) => (at === 0 || at === stages - 1 ? leastAtEnds : 1))
  const taken = counts.reduce((sum, count) => sum + count, 0)
  if (layers < taken) return undefined
  for (let left = layers - taken; left > 0; left--) {
    let shortest = 0
    let least = Number.POSITIVE_INFINITY
    for (let stage = 0; stage < stages; stage++) {
      const own = (counts[stage] as number) * seconds + (besides[stage] as number)
      if (own >= least) continue
      least = own
      shortest = stage
    }
    counts[shortest] = (counts[shortest] as number) + 1
  }
  return counts
}
