import { clusterOf, formatCount, formatDifference } from 'shardloom'
import {
  type Asked,
  type Candidate,
  type Counts,
  choicesText,
  type NearMiss,
  ruleText,
  type SimulatedCandidate,
} from 'shardloom/search'
import { type Style, singleLine } from '../style.js'
import { wrapped } from '../table.js'
import { candidateDocument, missDocument } from './result-document.js'
import { candidateTable, commandLines, missText } from './result-lines.js'

/** What is told of one point. */
export interface WhyResult extends Asked {
  /** As it was asked for. */
  readonly text: string
  readonly counts: Counts
  /** The point as simulated, where it breaks no rule. */
  readonly simulated: SimulatedCandidate | undefined
  /** The rules that it breaks, what it misses by least first. */
  readonly misses: readonly NearMiss[]
  /** The best of all, as estimated. */
  readonly best: Candidate | undefined
  /** What simulates it. */
  readonly command?: string
}

/** What `shardloom search --why --json` prints. */
export function whyDocument({ loaded, question, counts, simulated, misses, best }: WhyResult) {
  return {
    schema: 'shardloom.search/1',
    model: loaded.architecture.name,
    phase: loaded.spec.phase,
    ranks: question.ranks,
    objective: question.objective,
    candidates: counts,
    point: simulated ? candidateDocument(simulated) : null,
    toBest: simulated && best ? ratioToBest(simulated.candidate, best, question.objective) : null,
    nearMisses: misses.map(missDocument),
  }
}

/** The objective of a point relative to that of the best less 1, both as estimated. */
function ratioToBest(point: Candidate, best: Candidate, objective: string): number {
  return (point.metrics[objective] ?? Number.NaN) / (best.metrics[objective] ?? Number.NaN) - 1
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
        ...(best ? ['', ...againstBest(result, simulated.candidate, best)] : []),
        ...commandLines(command, style),
      ]
    : [head, ...matching, '', ...brokenLines(counts, misses, question, style)]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

function againstBest({ question }: WhyResult, point: Candidate, best: Candidate): string[] {
  if (point.name === best.name) return wrapped('It is the best of all, as estimated.', 2)
  const { objective } = question
  const by = formatDifference(ratioToBest(point, best, objective))
  return wrapped(
    `To the best of all its ${objective} is ${by}, both as estimated. That has ${choicesText(best, question.choices)}.`,
    2,
  )
}

function brokenLines(
  { rejected }: Counts,
  misses: readonly NearMiss[],
  question: WhyResult['question'],
  style: Style,
): string[] {
  const rules = Object.entries(rejected).sort(([, a], [, b]) => b - a)
  const texts = rules.map(([rule, count]) => {
    const text = ruleText(rule, question.limits)
    return count > 1 ? `${text} (${formatCount(count)})` : text
  })
  return [
    `${style.bad('It breaks')} ${rules.length === 1 ? 'a rule' : 'rules'}: ${texts.join(', ')}`,
    ...misses.flatMap((near) => missText(near, question)),
  ]
}
