import type { Answer, Candidate, Question } from 'shardloom/search'
import type { ErrorReport } from '../report-error.js'
import type { Shard } from '../shard-option.js'

/** What became of a part of a search, as JSON. */
export type PartOutcome = AnsweredPart | FailedPart

/** A part, counted from 0, and what it found. */
export interface AnsweredPart {
  readonly part: number
  readonly answer: Answer
}

/** A part that has no answer, and why. */
export interface FailedPart {
  readonly part: number
  readonly failure: ErrorReport
}

/**
 * Works on parts wherever it does, and hands over each that has ended, in any order. It returns early, and quietly, when it is aborted;
 * `found` hears, where the work is near, of what parts have found that have not ended.
 */
export type PartRunner = (
  question: Question,
  parts: readonly number[],
  ended: (outcome: PartOutcome) => Promise<void>,
  signal: AbortSignal,
  found?: (candidates: readonly Candidate[]) => void,
) => Promise<void>

/** The parts of a question that fall to one of several who share it: of `2/3` the parts 1, 4, 7 and so on. */
export function partsOf({ parts }: Question, { index, count }: Shard = { index: 1, count: 1 }): readonly number[] {
  const own = []
  for (let part = index - 1; part < parts; part += count) own.push(part)
  return own
}

/** Ascending numbers with runs as ranges: `0, 5-8`. */
export function rangesText(numbers: readonly number[]): string {
  const ranges: [number, number][] = []
  for (const number of numbers) {
    const last = ranges.at(-1)
    if (last?.[1] === number - 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ')
}
