import { type Candidate, emptyAnswer, mergeAnswers, type Question } from 'shardloom/search'
import type { Io } from '../io.js'
import type { Shard } from '../shard-option.js'
import { asError } from './answerer.js'
import { openCheckpoint } from './checkpoint.js'
import type { Crew } from './crew.js'
import { type Outcome, outcomeOf } from './outcome.js'
import { type FailedPart, partsOf } from './part.js'
import { searchProgress } from './progress.js'
import type { QueueAddress } from './queue-address.js'
import { askQueue } from './queue-ask.js'

/** A search and where it runs. */
export interface SearchRun {
  readonly question: Question
  /** Who works on it, unless it is the workers of a queue. */
  readonly crew: Crew
  /** A file that answers of parts are kept in and taken from. */
  readonly checkpoint?: string | undefined
  /** The share of the parts that is asked for; all by default. */
  readonly shard?: Shard | undefined
  /** Workers on this queue do the work. */
  readonly queue?: QueueAddress | undefined
  /** Hears how many candidates a checkpoint has of the parts that are asked for. */
  readonly resumed?: (candidates: number) => void
  readonly io: Io
  /** Stops the search, see `untilInterrupted`; the outcome is what has been found so far. */
  readonly signal: AbortSignal
}

/**
 * Asks the parts of a question, wherever they are answered, and merges the answers: the same outcome whoever answers, in whatever
 * order. A part that fails does not keep the others from it. Throws what went wrong where every part failed, `CHECKPOINT`, `OUTPUT` and
 * `QUEUE`.
 */
export async function runSearch(run: SearchRun): Promise<Outcome> {
  const { question, crew, shard, queue, io, signal } = run
  const asked = partsOf(question, shard)
  const file = run.checkpoint === undefined ? undefined : await openCheckpoint(io, run.checkpoint, question)
  const answers = new Map(file?.answers)
  const failed: FailedPart[] = []
  const open = asked.filter((part) => !answers.has(part))
  const kept = asked.reduce((sum, part) => sum + (answers.get(part)?.counts.total ?? 0), 0)
  if (kept > 0) run.resumed?.(kept)
  let soFar: readonly Candidate[] = []
  const hands = queue ? 1 : Math.min(crew.workers, open.length)
  const progress = searchProgress(io, { ended: asked.length - open.length, of: asked.length, hands })
  try {
    const runParts = queue ? askQueue(queue, io) : crew.runParts
    if (open.length > 0)
      await runParts(
        question,
        open,
        async (outcome) => {
          if ('failure' in outcome) failed.push(outcome)
          else {
            await file?.add(outcome)
            answers.set(outcome.part, outcome.answer)
          }
          progress.ended()
        },
        signal,
        (best) => {
          soFar = mergeAnswers(
            [soFar, best].map((each) => ({ ...emptyAnswer, best: each })),
            question,
          ).best
        },
      )
  } finally {
    progress.clear()
    await file?.close()
  }
  const outcome = outcomeOf(question, { asked, answers, failed, soFar, stopped: signal.aborted })
  const [first] = outcome.failed
  // Where all parts fail, it is the question that is at fault.
  if (first && outcome.failed.length === asked.length) throw asError(first.failure)
  return outcome
}
