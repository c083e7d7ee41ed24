import {
  choicesText,
  estimatedText,
  fitsText,
  fixText,
  type Limit,
  missedByText,
  missText,
  type NearMiss,
  ruleText,
} from 'shardloom/search'
import type { Style } from '../style.js'
import { flow, wrapped } from '../table.js'
import type { SearchResult } from './result.js'

/** Near misses that are shown, and fixes of each. */
const shown = { misses: 4, fixes: 3 }

/** Near misses of a search: by how much of which rule, and what would help. */
export function missLines({ nearMisses, question, best }: SearchResult, style: Style): string[] {
  const nothing = best.length === 0
  const lines = nearMisses.slice(0, shown.misses).flatMap((near) => nearMissLines(near, question, best))
  return [
    nothing
      ? `${style.bad('Nothing fits.')} What misses by least`
      : `${style.bold('Near misses')}, which by their estimates would be among the best`,
    ...lines,
  ]
}

/** By how much a near miss that was simulated misses its rule as simulated, or else which others. */
function outcomeText({ miss, simulated }: NearMiss, limits: readonly Limit[]): string {
  const missed = simulated?.misses ?? []
  const own = missed.find(({ rule }) => rule === miss.rule)
  if (own) return ` (by ${missText(own.by)} as simulated)`
  const others = missed.map(({ rule, by }) => `${ruleText(rule, limits)} by ${missText(by)}`)
  return others.length === 0 ? '' : ` (as simulated it keeps that, and misses ${others.join(' and ')})`
}

/**
 * A rule, by how much a point misses it, its choices, and what would help: to be a candidate, or where there are some to be one of the best.
 * What was simulated is told as simulated.
 */
export function nearMissLines(
  near: NearMiss,
  question: SearchResult['question'],
  best: SearchResult['best'] = [],
): string[] {
  const { miss, fixes } = near
  const indented = (text: string) => flow(text.split('  '), '  ', 4).map((line) => `    ${line}`)
  const helps = fixes.slice(0, shown.fixes).map((fix) => {
    const where = fix.outside.length > 0 ? ' (not among the choices)' : ''
    return [`${fitsText(fix)} ${fix.change}${where}`, fixText(fix, best, question)].filter(Boolean).join(': ')
  })
  const missed = `${ruleText(miss.rule, question.limits)} by ${missedByText(near, question)}${outcomeText(near, question.limits)}`
  const estimated = best.length > 0 ? estimatedText(miss, best, question) : ''
  return [
    ...wrapped([missed, estimated].filter(Boolean).join('; '), 2),
    ...indented(choicesText(miss, question.choices)),
    ...(helps.length > 0
      ? helps.flatMap((help) => wrapped(help, 4))
      : [`    no single change ${best.length > 0 ? 'makes it one of the best' : 'helps'}`]),
  ]
}
