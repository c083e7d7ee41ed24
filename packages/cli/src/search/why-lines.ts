import { clusterOf, formatCount, formatDifference, formatSeconds } from 'shardloom'
import {
  type Asked,
  breakdownDifference,
  type Counts,
  choicesText,
  distanceToBest,
  type NearMiss,
  rejectionText,
  type SimulatedCandidate,
  type StepBreakdown,
} from 'shardloom/search'
import { type Style, singleLine } from '../style.js'
import { flow, wrapped } from '../table.js'
import { nearMissLines } from './miss-lines.js'
import { candidateDocument, missDocument } from './result-document.js'
import { candidateTable, commandLines } from './result-lines.js'

/** What is told of one point. */
export interface WhyResult extends Asked {
  /** As it was asked for. */
  readonly text: string
  readonly counts: Counts
  /** The point as simulated, where it breaks no rule. */
  readonly simulated: SimulatedCandidate | undefined
  /** The rules that it breaks, what it misses by least first. */
  readonly misses: readonly NearMiss[]
  /** The best of all, as a search without `--why` finds it. */
  readonly best: SimulatedCandidate | undefined
  /** What simulates it. */
  readonly command?: string
}

/** What `shardloom search --why --json` prints. */
export function whyDocument(result: WhyResult) {
  const { loaded, question, counts, simulated, misses, best } = result
  const distance = simulated && best && distanceToBest(best, simulated, question.objective)
  return {
    schema: 'shardloom.search/1',
    model: loaded.architecture.name,
    phase: loaded.spec.phase,
    ranks: question.ranks,
    objective: question.objective,
    candidates: counts,
    point: simulated ? candidateDocument(simulated) : null,
    best: best ? candidateDocument(best) : null,
    toBest: distance?.relative ?? null,
    measure: distance?.measure ?? null,
    secondsToBest: secondsToBest(result) ?? null,
    nearMisses: misses.map((near) => missDocument(near)),
  }
}

/** By how much more each part of its step takes than that of the best. */
function secondsToBest({ simulated, best }: WhyResult): StepBreakdown | undefined {
  if (!simulated?.breakdown || !best?.breakdown) return undefined
  return breakdownDifference(best.breakdown, simulated.breakdown)
}

/** The same for people. */
export function whyLines(result: WhyResult, style: Style): string[] {
  const { loaded, question, text, counts, simulated, misses, best, command } = result
  const head = style.bold(
    `${singleLine(loaded.architecture.name)} on ${formatCount(question.ranks)} × ${singleLine(clusterOf(loaded).accelerator.name)}: ${singleLine(text)}`,
  )
  const matching =
    counts.total > 1 ? [`  ${formatCount(counts.total)} candidates match${simulated ? ': the best of them' : ''}`] : []
  const lines = simulated
    ? [
        head,
        ...matching,
        '',
        ...candidateTable({ ...result, best: [simulated] }, style),
        ...(best ? ['', ...againstBest(result, simulated, best)] : []),
        ...commandLines(command, style),
      ]
    : [head, ...matching, '', ...brokenLines(counts, misses, question, style)]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

function againstBest(result: WhyResult, point: SimulatedCandidate, best: SimulatedCandidate): string[] {
  const { objective, choices } = result.question
  if (point.candidate.name === best.candidate.name)
    return wrapped(`It is the best of all, as ${best.metrics ? 'simulated' : 'estimated'}.`, 2)
  const distance = distanceToBest(best, point, objective)
  if (!distance) return []
  const tie = distance.tie ? ', a tie' : ''
  const told = `To the best of all its ${objective} is ${formatDifference(distance.relative)}${tie}, both as ${distance.measure}.`
  return [
    ...wrapped([told, causeText(result)].filter(Boolean).join(' '), 2),
    ...flow(`The best has ${choicesText(best.candidate, choices)}.`.split('  '), '  ', 2).map((line) => `  ${line}`),
  ]
}

/** The share of a step from which on a difference is told, and how many of its parts at most. */
const told = { share: 0.01, parts: 4 }

/** In what a step differs from that of the best, until little is left, which is told as one; empty where that is little, or not what is asked about. */
function causeText(result: WhyResult): string {
  const seconds = secondsToBest(result)
  const step = result.best?.breakdown
  if (!seconds || !step || /memory|^ranks$/.test(result.question.objective)) return ''
  const whole = totalOf(seconds)
  const parts = partsOf(seconds).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a))
  if (Math.abs(parts[0]?.[1] ?? 0) < told.share * totalOf(step)) return ''
  const shown: (readonly [string, number])[] = []
  let rest = whole
  for (const part of parts.slice(0, told.parts)) {
    if (Math.abs(rest) <= Math.abs(whole) / 10) break
    shown.push(part)
    rest -= part[1]
  }
  // What is shown comes to the difference, but for the rounding of its figures.
  if (Math.abs(rest) > Math.abs(whole) / 1000) shown.push(['all else', rest])
  const texts = shown.map(
    ([name, difference]) => `${name} ${difference < 0 ? '−' : '+'}${formatSeconds(Math.abs(difference))}`,
  )
  return `A step takes ${formatSeconds(Math.abs(whole))} ${whole < 0 ? 'less' : 'more'}, as a mean over ranks: ${texts.join(', ')}.`
}

/** The parts of a step by the names that `compare` has for them. */
function partsOf({ computing, exposed, waiting }: StepBreakdown): (readonly [name: string, seconds: number])[] {
  const axes = Object.entries(exposed).map(([axis, seconds]) => [`exposed ${axis}`, seconds] as const)
  return [['computing', computing], ['bubble', waiting], ...axes]
}

const totalOf = (parts: StepBreakdown) => partsOf(parts).reduce((sum, [, seconds]) => sum + seconds, 0)

function brokenLines(
  { total, rejected }: Counts,
  misses: readonly NearMiss[],
  question: WhyResult['question'],
  style: Style,
): string[] {
  const rules = Object.entries(rejected).sort(([, a], [, b]) => b - a)
  const texts = rules.map(([rule, count]) => {
    const text = rejectionText(rule, question)
    return count > 1 ? `${text} (${formatCount(count)})` : text
  })
  // One point that was simulated breaks what it breaks then, whatever its estimate says.
  const simulated = total === 1 ? (misses[0]?.simulated?.misses ?? []) : []
  const judged = simulated.map(({ rule }) => `${rejectionText(rule, question)} as simulated`)
  const broken = judged.length > 0 ? judged : texts
  return [
    `${style.bad('It breaks')} ${broken.length === 1 ? 'a rule' : 'rules'}: ${broken.join(', ')}`,
    ...misses.flatMap((near) => nearMissLines(near, question)),
  ]
}
