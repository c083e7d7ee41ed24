import {
  checkSpec,
  formatDifference,
  formatShare,
  type LoadedSpec,
  loadSpec,
  readSpecText,
  runWork,
  type SpecInput,
  specText,
} from 'shardloom'
import { axisOf } from 'shardloom/charts'
import {
  type Asked,
  type AskedSearch,
  answersOf,
  askedOptions,
  betterOf,
  type Candidate,
  choicesText,
  distanceToBest,
  estimatedOnly,
  fitsText,
  fixText,
  mergeAnswers,
  metricHead,
  metricText,
  missedByText,
  type NearMiss,
  nearMissesOf,
  type Question,
  questionOf,
  readChoice,
  readLimit,
  rejectionText,
  rerankWork,
  ruleText,
  type SimulatedCandidate,
  servingChoices,
  servingMetricTable,
  servingObjectives,
  shownMetrics,
  specOfCandidate,
  stepChoices,
  stepMetrics,
  unitOf,
  withOutcomes,
} from 'shardloom/search'
import type { Report } from '../worker/serve.js'
import type { Found, FoundMiss, FoundPoint, FoundRow, FrontAxis, FrontPoint, SearchJobs, SearchSpace } from './jobs.js'
import { metricWords } from './metric-words.js'
import type { SearchState } from './state.js'

/** How a bound of a unit is written. */
const examples: Readonly<Record<string, string>> = { s: '50ms', B: '70GB', '/s': '2000', '': '1' }

/** What of a spec can be searched. Throws what loading it throws. */
export async function spaceOf({ text, ranks }: SearchJobs['searchSpace']['request']): Promise<SearchSpace> {
  const loaded = await loadSpec(readSpecText(text))
  const { phase } = loaded.spec
  const table = phase === 'serving' ? servingMetricTable : stepMetrics[phase]
  const asked = ranksOf(loaded, ranks)
  const choices =
    phase === 'serving'
      ? servingChoices.map((name) => ({ name, values: [] }))
      : asked === undefined
        ? []
        : Object.entries(stepChoices(loaded, [asked])).map(([name, values]) => ({ name, values: values.map(String) }))
  return {
    phase,
    objectives: phase === 'serving' ? servingObjectives : Object.keys(table),
    metrics: Object.entries(table).map(([name, { better }]) => ({
      name,
      better,
      example: examples[unitOf(name)] ?? '1',
    })),
    ...(asked !== undefined && { ranks: asked }),
    choices,
  }
}

/** The ranks of a candidate where nobody says more; undefined where somebody has to. */
function ranksOf(loaded: LoadedSpec, ranks: number | undefined): number | undefined {
  try {
    return questionOf(loaded, ranks === undefined ? {} : { ranks }).ranks
  } catch {
    return ranks
  }
}

/** The question that somebody asks of a spec, and the same one with all usual choices. Throws a ShardloomError. */
export async function questionsOf({
  text,
  asked,
}: SearchJobs['searchQuestion']['request']): Promise<SearchJobs['searchQuestion']['answer']> {
  const loaded = await loadSpec(readSpecText(text))
  const all = searchOf(asked)
  const question = questionOf(loaded, askedOptions(loaded, all))
  const { choices } = questionOf(loaded, askedOptions(loaded, { ...all, choose: {}, keep: [] }))
  return { question, wide: { ...question, choices: { ...question.choices, ...choices } } }
}

/** What is asked, read from the words of it. Throws `LIMIT` and `CHOICE`. */
export function searchOf({ limits, choose, ...asked }: SearchState): AskedSearch {
  return { ...asked, limits: limits.map(readLimit), choose: Object.fromEntries(choose.map(readChoice)) }
}

let known:
  | { readonly text: string; readonly asked: Promise<Asked & { answer: ReturnType<typeof answersOf> }> }
  | undefined

/** A question with what it is about, and what answers its parts; it is read once for all of them. */
function askedOf(question: Question) {
  const text = JSON.stringify(question)
  if (known?.text !== text) {
    const load = async () => {
      const loaded = await loadSpec(question.spec)
      return { loaded, question, answer: answersOf(loaded, question) }
    }
    known = { text, asked: load() }
  }
  return known.asked
}

/** Answers one part of a question. */
export async function answerPart(
  { question, part }: SearchJobs['searchPart']['request'],
  report: Report,
): Promise<SearchJobs['searchPart']['answer']> {
  const { answer } = await askedOf(question)
  const found = await runWork(answer.part(part), { progress: report })
  const [best] = found.best
  const value = best?.metrics[question.objective]
  return {
    answer: found,
    ...(best && value !== undefined && { best: { score: best.score, text: metricText(question.objective, value) } }),
  }
}

/** What the answers of parts come to: the best simulated event by event, the front, and what keeps the others out. */
export async function foundOf(
  { question, wide, answers, simulate }: SearchJobs['searchFound']['request'],
  report: Report,
): Promise<Found> {
  const asked = await askedOf(question)
  const answer = mergeAnswers(answers, question)
  const { best, outcomes } = simulate
    ? await runWork(rerankWork(asked.loaded, question, answer), { progress: report })
    : { best: estimatedOnly(asked, answer.best.slice(0, question.top)), outcomes: [] }
  const { phase } = asked.loaded.spec
  const { objective } = question
  const columns = shownMetrics(phase, objective)
  const { total, evaluated, bounded, rejected } = answer.counts
  return {
    total,
    evaluated,
    bounded,
    rejected: Object.entries(rejected)
      .map(([rule, count]) => ({ rule: rejectionText(rule, question), count }))
      .sort((a, b) => b.count - a.count),
    objective: { name: objective, better: betterOf(phase, objective) ?? 'less' },
    columns: columns.map(columnHead),
    rows: best.map((each) => rowOf(each, best, question, columns)),
    ...frontOf(asked, answer.front, best),
    misses: withOutcomes(nearMissesOf(asked, answer, wide), outcomes).map((near) => missOf(asked, near, best)),
  }
}

function rowOf(
  each: SimulatedCandidate,
  [first]: readonly SimulatedCandidate[],
  question: Question,
  columns: readonly string[],
): FoundRow {
  const { candidate, metrics, differences, misses, error, spec } = each
  const distance = first && first !== each ? distanceToBest(first, each, question.objective) : undefined
  // That so many ranks are so many is no estimate: what is, is the time of the step.
  const isRanks = question.objective === 'ranks'
  const estimated = isRanks ? (columns[1] ?? '') : question.objective
  const difference = differences?.[estimated]
  const named = isRanks ? `${metricHead(estimated)} ` : ''
  return {
    ...pointOf(candidate, spec, question),
    values: columns.map((name) => {
      const value = (metrics ?? candidate.metrics)[name]
      return value === undefined ? '–' : metricText(name, value)
    }),
    toBest: distance ? changeText(distance.relative) : '',
    tie: distance?.tie ?? false,
    estimate: metrics ? (difference === undefined ? '–' : `${named}${changeText(difference)}`) : 'not simulated',
    faults: error
      ? [`not simulated: ${error.message}`]
      : misses.map(({ rule, by }) => `misses ${ruleText(rule, question.limits)} by ${formatShare(by)} as simulated`),
  }
}

const changeText = (relative: number) => (Math.abs(relative) < 0.0005 ? 'same' : formatDifference(relative))

function pointOf(candidate: Pick<Candidate, 'choices'>, spec: SpecInput, question: Question): FoundPoint {
  return {
    name: nameOf(candidate, question),
    text: specText(checkSpec(spec)),
  }
}

function frontOf(
  { loaded, question }: Asked,
  front: readonly Candidate[],
  best: readonly SimulatedCandidate[],
): Pick<Found, 'front'> {
  const names = (question.front ?? []).map((name) => name.replace(/^-/, ''))
  const [x, y] = names
  if (x === undefined || y === undefined) return {}
  const on = new Set(front.map(({ name }) => name))
  const others = best.map(({ candidate }) => candidate).filter(({ name }) => !on.has(name))
  const drawn = [...front, ...others].filter(({ metrics }) => names.every((name) => Number.isFinite(metrics[name])))
  if (drawn.length === 0) return {}
  const value = ({ metrics }: Candidate, name: string) => metrics[name] ?? 0
  const axes = [x, y].map((name) => {
    const unit = unitOf(name)
    const values = drawn.map((candidate) => value(candidate, name))
    return {
      name,
      better: betterOf(loaded.spec.phase, name) ?? 'less',
      ...axisOf(values, unit === '/s' ? '' : unit, 6),
    }
  })
  const [across, up] = axes
  if (!across || !up) return {}
  const point = (candidate: Candidate): FrontPoint => ({
    ...pointOf(candidate, specOfCandidate(loaded, question, candidate), question),
    x: across.place(value(candidate, x)),
    y: up.place(value(candidate, y)),
    values: [metricText(x, value(candidate, x)), metricText(y, value(candidate, y))],
  })
  const plain = ({ place: _, ...axis }: typeof across) => axis
  return {
    front: {
      axes: [plain(across), plain(up)],
      points: drawn.filter(({ name }) => on.has(name)).map(point),
      others: drawn.filter(({ name }) => !on.has(name)).map(point),
      picture: {
        points: drawn.map((candidate) => ({
          name: nameOf(candidate, question),
          x: value(candidate, x),
          y: value(candidate, y),
        })),
        axes: { x: fileAxis(across), y: fileAxis(up) },
      },
    },
  }
}

/** What a candidate has chosen: `tp 8  pp 4`. */
const nameOf = (candidate: Pick<Candidate, 'choices'>, { choices }: Question) =>
  choicesText(candidate, choices).replaceAll('\u00a0', ' ')

/** An axis whose values have their own unit. */
function fileAxis({ name, better }: Pick<FrontAxis, 'name' | 'better'>) {
  const unit = unitOf(name)
  return { name: metricWords(name), better, ...((unit === 's' || unit === 'B') && { unit }) }
}

/** The name of a metric at the head of a column: short, and where it is none of the command's, in words. */
const columnHead = (name: string) => (unitOf(name) === '/s' ? metricWords(name) : metricHead(name))

/** Fixes of a miss that are shown. */
const mostFixes = 3

function missOf({ loaded, question }: Asked, near: NearMiss, best: readonly SimulatedCandidate[]): FoundMiss {
  const { miss, spec, fixes } = near
  return {
    ...pointOf(miss, spec, question),
    rule: ruleText(miss.rule, question.limits),
    by: missedByText(near, question),
    fixes: fixes.slice(0, mostFixes).map((fix) => ({
      ...pointOf(fix.candidate, specOfCandidate(loaded, question, fix.candidate), question),
      change: fix.change,
      fits: fitsText(fix),
      isOutside: fix.outside.length > 0,
      value: fixText(fix, best, question),
    })),
  }
}
