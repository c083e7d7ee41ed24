import type { MessagePort } from 'node:worker_threads'
import { type Progress, runWork, type Work } from 'shardloom'
import type { Answer, Candidate, Question, SearchProgress } from 'shardloom/search'
import { reportOf } from '../report-error.js'
import type { PartOutcome } from './part.js'

/** Reads what a question is about once, to answer any of its parts. */
export type LoadQuestion = (question: Question) => Promise<(part: number) => Work<Answer>>

/** Who answers parts, in this thread and in others. */
export interface Answerer {
  readonly loadQuestion: LoadQuestion
  /** A module of JavaScript that exports {@link partAnswerer} of the same `loadQuestion` as `answerPart`: what other threads run. */
  readonly module: URL
}

/** What a thread is sent. */
export interface PartTask {
  /** The question as JSON text, which tells at once whether it is the one before. */
  readonly question: string
  readonly part: number
  /** Where a thread says what it has found by then, as lists of candidates. */
  readonly port?: MessagePort
}

/**
 * Answers tasks; a question is loaded when it differs from the one before. Whatever is thrown on the way is the outcome of the part:
 * it would be thrown again. Rejects only with the reason of the signal.
 */
export function partAnswerer(
  loadQuestion: LoadQuestion,
): (task: PartTask, signal?: AbortSignal, found?: (candidates: readonly Candidate[]) => void) => Promise<PartOutcome> {
  let loaded: { readonly question: string; readonly answer: ReturnType<LoadQuestion> } | undefined
  return async ({ question, part, port }, signal, found = (candidates) => port?.postMessage(candidates)) => {
    let best: string | undefined
    const progress = (said: Progress) => {
      const { found: candidates = [] } = said as Partial<SearchProgress> // not all work finds candidates on the way
      if (candidates[0] === undefined || candidates[0].name === best) return
      best = candidates[0].name
      found(candidates)
    }
    try {
      if (loaded?.question !== question) loaded = { question, answer: loadQuestion(JSON.parse(question)) }
      const answer = await loaded.answer
      return { part, answer: await runWork(answer(part), { progress, ...(signal && { signal }) }) }
    } catch (error) {
      if (signal?.aborted) throw error
      return { part, failure: reportOf(error) }
    }
  }
}
