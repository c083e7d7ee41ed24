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
    try {
      await settleAll(
        parts.map(async (part) => {
          const outcome = await answer(part)
          if (outcome) await ended(outcome)
        }),
        () => threads.close(),
      )
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }
}

const taskOf = (question: Question, part: number) => ({ question: JSON.stringify(question), part })

/** A part that its thread died of. */
function crashed(part: number, error: unknown): PartOutcome {
  const memory = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
  const reason = memory ? 'memory ran out' : error instanceof Error ? error.message.split('\n')[0] : String(error)
  const help = memory ? 'Search with fewer --workers, or fewer choices.' : 'Please report it with the spec.'
  return { part, failure: { code: 'CRASH', message: `The thread that worked on the part ended: ${reason}`, help } }
}
