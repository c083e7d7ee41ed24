import { clusterOf, finish, isShardloomError, type LoadedSpec, loadSpec, type SpecInput } from 'shardloom'
import {
  answersOf,
  type Candidate,
  type Choices,
  pointOf,
  type Question,
  questionOf,
  specOfCandidate,
  type Value,
} from 'shardloom/search'
import { reserveBytes } from './fastest.js'

/** The values of each choice that a search tries; the order of axes and all else is the spec's. */
type Space = Readonly<Record<string, readonly Value[]>>

/** What a search over all choices of a table's specs finds. */
export interface Found {
  /** Candidates of the space, and those of them that fit in memory. */
  readonly candidates: number
  readonly fitting: number
  /** The place of the published strategy among those that fit. */
  readonly place: number
  /** Of the published strategy, by the analytic model. */
  readonly seconds: number
  /** The first of the answer; its score is in seconds. */
  readonly leader: Candidate
  readonly leaderSpec: SpecInput
}

/** What the search's model says of a spec's step, without running it: seconds, bytes. Undefined where it has no such candidate. */
export async function analyticFigures(spec: SpecInput): Promise<{ seconds: number; bytes: number } | undefined> {
  const loaded = await loadSpec(spec)
  const { metrics = {} } = pointOf(loaded, asked(loaded, spaceOf([spec])), choicesOf(spec)) ?? {}
  const { 'step-time': seconds, 'peak-memory': bytes } = metrics
  return seconds === undefined || bytes === undefined ? undefined : { seconds, bytes }
}

/**
 * Searches all combinations of what specs of a table chose, on the ranks and with the batch of one of them, for those that need no more
 * memory than there is, or than that one, which did run. `named`: choices that its publication states; the best candidate that has them
 * is the published one. A text says why there is no search.
 */
export async function searched(
  spec: SpecInput,
  specs: readonly SpecInput[],
  named: readonly string[],
): Promise<Found | string> {
  try {
    const own = choicesOf(spec)
    const loaded = admitting(await loadSpec(spec), (await analyticFigures(spec))?.bytes ?? 0)
    const question = asked(loaded, spaceOf([spec, ...specs]))
    const answer = finish(answersOf(loaded, question).part(0))
    const isPublished = ({ choices }: Candidate) =>
      named.every((name) => choices[name] === undefined || choices[name] === own[name])
    const index = answer.best.findIndex(isPublished)
    const [leader, published] = [answer.best[0], answer.best[index]]
    if (!leader || !published) return 'the search has no candidate that is the published one'
    return {
      candidates: answer.counts.total,
      fitting: answer.best.length,
      place: index + 1,
      seconds: published.score,
      leader,
      leaderSpec: specOfCandidate(loaded, question, leader),
    }
  } catch (cause) {
    if (!isShardloomError(cause)) throw cause
    return cause.message
  }
}

/** A spec whose candidates may need what others than the plan leave of a device, or so many bytes, where that is more. */
function admitting(loaded: LoadedSpec, bytes: number): LoadedSpec {
  const cluster = clusterOf(loaded)
  const memoryBytes = Math.max(cluster.accelerator.memoryBytes - reserveBytes, bytes)
  return {
    ...loaded,
    spec: { ...loaded.spec, reserveBytes: 0 },
    cluster: { ...cluster, accelerator: { ...cluster.accelerator, memoryBytes } },
  }
}

/** The question for the fastest step in a space, whose answer names every candidate that fits. */
function asked(loaded: LoadedSpec, choices: Space): Question {
  return { ...questionOf(loaded, { parts: 1, top: 100_000 }), choices }
}

const degrees = ['tp', 'cp', 'ulysses', 'pp', 'ep', 'expertTp'] as const

/** What a spec chose, as a search names it. */
function choicesOf({ parallel = {}, microbatch = 1, options = {} }: SpecInput): Choices {
  const { dp = 1, pp = 1 } = parallel as Readonly<Record<string, number>>
  return {
    ...Object.fromEntries(degrees.map((name) => [name, (parallel as Readonly<Record<string, number>>)[name] ?? 1])),
    dp,
    microbatch,
    zero: dp > 1 ? (options.zero ?? 0) : 0,
    sequenceParallel: options.sequenceParallel ?? false,
    ...(typeof options.recompute === 'string' && { recompute: options.recompute }),
    ...(pp > 1 && {
      schedule: options.schedule ?? '1f1b',
      virtual: options.virtual ?? 1,
      split: options.pp?.layers ? 'balanced' : 'even',
    }),
  }
}

/** All values that specs chose; `dp` takes the ranks that others leave. */
function spaceOf(specs: readonly SpecInput[]): Space {
  const chosen = specs.flatMap((spec) => Object.entries(choicesOf(spec)))
  const names = [...new Set(chosen.map(([name]) => name))].filter((name) => name !== 'dp')
  const valuesOf = (name: string) => [...new Set(chosen.flatMap(([own, value]) => (own === name ? [value] : [])))]
  const isNumber = (value: Value): value is number => typeof value === 'number'
  return Object.fromEntries(
    names.map((name) => {
      const values = valuesOf(name)
      return [name, values.every(isNumber) ? values.sort((a, b) => a - b) : values.sort()]
    }),
  )
}
