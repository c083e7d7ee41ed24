import type { Question } from 'shardloom/search'
import { type Answerer, partAnswerer } from './answerer.js'
import type { PartOutcome, PartRunner } from './part.js'
import { settleAll } from './settle-all.js'
import { startThreads } from './threads.js'

/** Works on parts in this process: one after the other in this thread, or in several threads of their own. */
export function runLocal(answerer: Answerer, workers: number): PartRunner {
  return async (question, parts, ended, signal, found) => {
    const threads = Math.min(workers, parts.length)
    if (threads > 1) return inThreads(answerer, threads)(question, parts, ended, signal, found)
    const answer = partAnswerer(answerer.loadQuestion)
    for (const part of parts) {
      const outcome = await answer(taskOf(question, part), signal, found).catch((error) => {
        if (!signal.aborted) throw error
      })
      if (!outcome) return
      await ended(outcome)
    }
  }
}

function inThreads({ module }: Answerer, count: number): PartRunner {
  return async (question, parts, ended, signal, found) => {
    const threads = startThreads(module, count)
    const stop = () => void threads.close()
    signal.addEventListener('abort', stop, { once: true })
    const answer = async (part: number): Promise<PartOutcome | undefined> => {
      try {
        return await threads.answer(taskOf(question, part), found)
      } catch (error) {
        return signal.aborted ? undefined : crashed(part, error)
      }
    }
    const runs = runsOf(parts, count)
    try {
      await settleAll(
        runs.map(async (own) => {
          for (let part = nextOf(own, runs); part !== undefined; part = nextOf(own, runs)) {
            const outcome = await answer(part)
            if (!outcome) return
            await ended(outcome)
          }
        }),
        () => threads.close(),
      )
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }
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

const taskOf = (question: Question, part: number) => ({ question: JSON.stringify(question), part })

/** A part that its thread died of. */
function crashed(part: number, error: unknown): PartOutcome {
  const memory = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
  const reason = memory ? 'memory ran out' : error instanceof Error ? error.message.split('\n')[0] : String(error)
  const help = memory ? 'Search with fewer --workers, or fewer choices.' : 'Please report it with the spec.'
  return { part, failure: { code: 'CRASH', message: `The thread that worked on the part ended: ${reason}`, help } }
}
