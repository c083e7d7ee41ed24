import type { MessagePort } from 'node:worker_threads'
import { type Progress, runWork, ShardloomError, type Work } from 'shardloom'
import type {
  Answer,
  Answering,
  Candidate,
  NearMiss,
  Question,
  SearchProgress,
  SimulatedCandidate,
  Start,
} from 'shardloom/search'
import { type ErrorReport, reportOf } from '../report-error.js'
import type { PartOutcome } from './part.js'

/** Answers what is asked of one question; what is found out on the way is shared. */
export interface Answers extends Answering {
  readonly simulated: (candidate: Candidate) => Work<SimulatedCandidate>
  readonly nearMisses: (of: MissesOf) => readonly NearMiss[]
}

/** Of which answer near misses are told: see `nearMissesOf`. */
export interface MissesOf {
  readonly answer: Answer
  readonly others: Question
  readonly among?: Question
}

/** Reads what a question is about once. */
export type LoadQuestion = (question: Question) => Promise<Answers>

/** Who answers questions, in this thread and in others. */
export interface Answerer {
  readonly loadQuestion: LoadQuestion
  /** A module of JavaScript that exports the {@link taskWorker} of the same `loadQuestion` as `workOn`: what other threads run. */
  readonly module: URL
}

/** What a thread is sent. */
export type Task = PartTask | ShareTask | SimulateTask | MissesTask

interface Asked {
  /** The question as JSON text, which tells at once whether it is the one before. */
  readonly question: string
}

/** A part of a question, and where a thread says what it has found by then, as lists of candidates. */
export interface PartTask extends Asked {
  readonly part: number
  readonly start?: Start
  readonly port?: MessagePort
}

/** A share of the next round of a start. */
interface ShareTask extends Asked {
  readonly share: number
  readonly start: Start
}

interface SimulateTask extends Asked {
  readonly simulate: Candidate
}

interface MissesTask extends Asked {
  readonly misses: MissesOf
}

/** What comes of a candidate, as a thread can say it. */
type SaidCandidate = Omit<SimulatedCandidate, 'error'> & { readonly error?: ErrorReport }

/** What comes of a task. */
export type Said<T extends Task> = T extends PartTask
  ? PartOutcome
  : T extends ShareTask
    ? Answer
    : T extends SimulateTask
      ? SaidCandidate
      : readonly NearMiss[]

/** Loads a question when it differs from the one before. */
export function loadedOnce(loadQuestion: LoadQuestion): (question: string) => Promise<Answers> {
  let loaded: { readonly question: string; readonly answers: Promise<Answers> } | undefined
  return (question) => {
    if (loaded?.question !== question) loaded = { question, answers: loadQuestion(JSON.parse(question)) }
    return loaded.answers
  }
}

/** What a part begins with, how it may be stopped, and who hears of what it finds. */
interface Heard {
  readonly start?: Start | undefined
  readonly signal?: AbortSignal
  readonly found?: (candidates: readonly Candidate[]) => void
}

/**
 * Answers a part. Whatever is thrown on the way is its outcome: it would be thrown again. Rejects only with the reason of the
 * signal.
 */
export async function answerPart(
  answers: () => Promise<Answers>,
  part: number,
  { start, signal, found = () => {} }: Heard = {},
): Promise<PartOutcome> {
  let best: string | undefined
  const progress = (said: Progress) => {
    const { found: candidates = [] } = said as Partial<SearchProgress> // not all work finds candidates on the way
    if (candidates[0] === undefined || candidates[0].name === best) return
    best = candidates[0].name
    found(candidates)
  }
  try {
    const own = await answers()
    return { part, answer: await runWork(own.part(part, start), { progress, ...(signal && { signal }) }) }
  } catch (error) {
    if (signal?.aborted) throw error
    return { part, failure: reportOf(error) }
  }
}

/** What a thread does with a task. */
export function taskWorker(loadQuestion: LoadQuestion): (task: Task) => Promise<Said<Task>> {
  const answersTo = loadedOnce(loadQuestion)
  return async (task) => {
    const answers = () => answersTo(task.question)
    if ('part' in task)
      return answerPart(answers, task.part, {
        start: task.start,
        found: (candidates) => task.port?.postMessage(candidates),
      })
    if ('share' in task) return runWork((await answers()).share(task.start, task.share))
    if ('misses' in task) return (await answers()).nearMisses(task.misses)
    const { error, ...simulated } = await runWork((await answers()).simulated(task.simulate))
    return { ...simulated, ...(error && { error: reportOf(error) }) }
  }
}

/** The same candidate where it was asked for. */
export function heardOf({ error, ...said }: SaidCandidate): SimulatedCandidate {
  return { ...said, ...(error && { error: asError(error) }) }
}

/** An error that was reported elsewhere. */
export function asError({ code, message, help, subject }: ErrorReport): ShardloomError {
  return new ShardloomError(code, message, {
    ...(help !== undefined && { help }),
    ...(subject !== undefined && { subject }),
  })
}
