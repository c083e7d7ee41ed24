import { setImmediate } from 'node:timers/promises'
import { runWork, ShardloomError } from 'shardloom'
import {
  type Candidate,
  type NearMiss,
  nextStart,
  type Question,
  type SimulatedCandidate,
  type Start,
  startOf,
} from 'shardloom/search'
import { reportOf } from '../report-error.js'
import { type Answerer, type Answers, answerPart, heardOf, loadedOnce, type MissesOf } from './answerer.js'
import type { PartOutcome, PartRunner } from './part.js'
import { settleAll } from './settle-all.js'
import { startThreads, type Threads } from './threads.js'

/**
 * Who works on a search in this process: this thread, or several of its own. These start with the first parts that they can share, and stay,
 * with all that they have found out, until they are dismissed or the signal is aborted.
 */
export class Crew {
  private threads: Threads | undefined
  private readonly answersTo: (question: string) => Promise<Answers>

  constructor(
    private readonly answerer: Answerer,
    /** Threads; 1 works in this one. Of no effect on what comes of it. */
    readonly workers: number,
  ) {
    this.answersTo = loadedOnce(answerer.loadQuestion)
  }

  /** Works on parts: one after the other in this thread, or in threads. */
  readonly runParts: PartRunner = async (question, parts, ended, signal, found) => {
    if (Math.min(this.workers, parts.length) > 1) return this.inThreads(question, parts, ended, signal, found)
    const text = JSON.stringify(question)
    for (const part of parts) {
      const outcome = await answerPart(() => this.answersTo(text), part, { signal, ...(found && { found }) }).catch(
        (error) => {
          if (!signal.aborted) throw error
        },
      )
      if (!outcome) return
      await ended(outcome)
    }
  }

  private readonly inThreads: PartRunner = async (question, parts, ended, signal, found) => {
    const threads = (this.threads ??= startThreads(this.answerer.module, Math.min(this.workers, parts.length)))
    signal.addEventListener('abort', () => void threads.close(), { once: true })
    const text = JSON.stringify(question)
    const start = await startIn(threads, question, text, found)
    if (signal.aborted) return
    const answer = async (part: number): Promise<PartOutcome | undefined> => {
      try {
        return await threads.run({ question: text, part, ...(start && { start }) }, found)
      } catch (error) {
        return signal.aborted ? undefined : crashed(part, error)
      }
    }
    const runs = runsOf(parts, Math.min(this.workers, parts.length))
    let isDone = false
    await settleAll(
      runs.map(async (own) => {
        for (let part = nextOf(own, runs); part !== undefined; part = nextOf(own, runs)) {
          const outcome = await answer(part)
          if (!outcome) return
          await ended(outcome)
        }
        isDone = runs.every(({ length }) => length === 0)
      }),
      async () => {
        if (!isDone) await this.dismiss()
      },
    )
  }

  /** How many candidates are simulated at a time. */
  get hands(): number {
    return this.threads ? this.workers : 1
  }

  /** What comes of a candidate event by event. Throws `CRASH` where a thread dies of it, and the reason of the signal. */
  async simulated(question: Question, simulate: Candidate, signal: AbortSignal): Promise<SimulatedCandidate> {
    const text = JSON.stringify(question)
    const { threads } = this
    if (!threads) return runWork((await this.turn(text, signal)).simulated(simulate), { signal })
    try {
      return heardOf(await threads.run({ question: text, simulate }))
    } catch (error) {
      if (signal.aborted) throw error
      throw crash('simulated it', error)
    }
  }

  /** Of each rule the nearest miss that is of interest: see `nearMissesOf`. Throws what {@link simulated} throws. */
  async nearMisses(question: Question, misses: MissesOf, signal: AbortSignal): Promise<readonly NearMiss[]> {
    const text = JSON.stringify(question)
    const { threads } = this
    if (!threads) return (await this.turn(text, signal)).nearMisses(misses)
    try {
      return await threads.run({ question: text, misses })
    } catch (error) {
      if (signal.aborted) throw error
      throw crash('looked for near misses', error)
    }
  }

  /** What answers in this thread, which hears of a signal in between. */
  private async turn(question: string, signal: AbortSignal): Promise<Answers> {
    const answers = await this.answersTo(question)
    await setImmediate()
    signal.throwIfAborted()
    return answers
  }

  /** Ends the threads, in the middle of whatever they do. */
  async dismiss(): Promise<void> {
    const { threads } = this
    this.threads = undefined
    await threads?.close()
  }
}

/** What all parts begin with, its shares in threads; undefined where one has no answer: then each part says why, when it begins by itself. */
async function startIn(
  threads: Threads,
  question: Question,
  text: string,
  found: (candidates: readonly Candidate[]) => void = () => {},
): Promise<Start | undefined> {
  let start = startOf(question)
  while (start.shares > 0) {
    const begun = start
    const tasks = Array.from({ length: begun.shares }, (_, share) => ({ question: text, start: begun, share }))
    const answered = tasks.map(async (task) => {
      const answer = await threads.run(task)
      found(answer.best)
      return answer
    })
    const answers = await Promise.all(answered).catch(() => undefined)
    if (!answers) return undefined
    start = nextStart(question, start, answers)
  }
  return start
}

/** Divides parts into runs, one for each thread: parts that follow each other have most in common. */
function runsOf(parts: readonly number[], count: number): number[][] {
  const border = (run: number) => Math.floor((run * parts.length) / count)
  return Array.from({ length: count }, (_, run) => parts.slice(border(run), border(run + 1)))
}

/** The next part of a thread's own run; when that has ended, the last one of the run with most left. */
function nextOf(own: number[], runs: readonly number[][]): number | undefined {
  return own.shift() ?? runs.reduce((most, run) => (run.length > most.length ? run : most), own).pop()
}

/** A part that its thread died of. */
function crashed(part: number, error: unknown): PartOutcome {
  return { part, failure: reportOf(crash('worked on the part', error)) }
}

/** What ends a thread. */
function crash(worked: string, error: unknown): ShardloomError {
  const memory = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
  const reason = memory ? 'memory ran out' : error instanceof Error ? error.message.split('\n')[0] : String(error)
  const help = memory ? 'Search with fewer --workers, or fewer choices.' : 'Please report it with the spec.'
  return new ShardloomError('CRASH', `The thread that ${worked} ended: ${reason}`, { help })
}
