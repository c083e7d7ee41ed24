import { formatCount } from 'shardloom'
import { type Question, ruleText, type SimulatedCandidate } from 'shardloom/search'
import { UsageError } from '../report-error.js'
import type { SearchResult } from './result.js'
import type { SearchFlags } from './search-flags.js'
import { winnerOf } from './write-result.js'

/** Refuses a row that the table cannot have: `USAGE`. */
export function checkPick({ pick }: SearchFlags, { top }: Question): void {
  if (pick === undefined || pick <= top) return
  throw new UsageError(
    `--pick ${pick} is no row of the table, which has ${top === 1 ? 'one' : `${formatCount(top)} at most`}.`,
    `Give a number from 1 to ${formatCount(top)}, or ask for more rows with --top ${pick}.`,
  )
}

/** What a spec and a command are told of. */
export interface Picked {
  readonly told: SimulatedCandidate | undefined
  /** Such as `the best`. */
  readonly name: string
  /** What whoever picked it must know of it. */
  readonly warnings: readonly string[]
}

/** The row that was picked, or else the first that keeps all rules as simulated. */
export function pickOf({ best, question }: Pick<SearchResult, 'best' | 'question'>, pick: number | undefined): Picked {
  if (pick === undefined) return { told: winnerOf(best), name: 'the best', warnings: [] }
  const told = best[pick - 1]
  const name = `number ${pick}`
  if (!told) {
    const rows = best.length === 1 ? 'one row' : `${best.length === 0 ? 'no' : formatCount(best.length)} rows`
    return { told, name, warnings: [`--pick ${pick} tells of nothing: the table has ${rows}`] }
  }
  const faults = told.error
    ? ['was not simulated']
    : told.misses.map(({ rule }) => `misses ${ruleText(rule, question.limits)} as simulated`)
  return { told, name, warnings: faults.map((fault) => `${name} ${fault}`) }
}
