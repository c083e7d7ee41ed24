import type { Question } from 'shardloom/search'
import type { Io } from '../io.js'
import { printNote } from '../output.js'
import { reportOf } from '../report-error.js'
import type { Answerer } from './answerer.js'
import { whenAborted } from './interrupt.js'
import type { PartOutcome } from './part.js'
import { checkPortable } from './portable.js'
import type { QueueAddress } from './queue-address.js'
import type { PartJob } from './queue-ask.js'
import { attempts, closing, queueError, queueName, withQueue } from './queue-connection.js'
import { startThreads } from './threads.js'

/** A worker of a queue. */
export interface QueueWork {
  readonly queue: QueueAddress
  readonly answerer: Answerer
  /** Threads, and how many parts are worked on at a time. */
  readonly workers: number
  readonly io: Io
  /** Stops taking parts; those that are worked on are finished, see `untilInterrupted`. */
  readonly signal: AbortSignal
}

/**
 * Milliseconds for which a part belongs to a worker that is not heard of, and between looks for such parts: those of a worker that
 * was killed go to another within both together. Parts run in threads, so that this one is always free to say that it lives.
 */
const lockDuration = 6000
const stalledInterval = 3000

/**
 * Works on the parts that come through a queue until it is stopped; returns how many have an outcome. What a part throws is its outcome; a
 * part whose worker dies is given to another, at most {@link attempts} times. Throws `QUEUE`.
 */
export async function workOnQueue({ queue, answerer, workers, io, signal }: QueueWork): Promise<number> {
  return withQueue(queue, async ({ bull, redis, lost }) => {
    const threads = startThreads(answerer.module, workers)
    let working = 0
    let ended = 0
    const worker = new bull.Worker<PartJob, PartOutcome>(
      queueName,
      async ({ data: { question, part } }) => {
        working++
        try {
          const outcome = refused(question, part) ?? (await threads.run({ question: JSON.stringify(question), part }))
          ended++
          return outcome
        } finally {
          working--
        }
      },
      {
        connection: redis,
        concurrency: workers,
        lockDuration,
        stalledInterval,
        maxStalledCount: attempts - 1,
      },
    )
    worker.on('error', () => {})
    await worker.waitUntilReady().catch((error) => {
      throw queueError(queue, error)
    })
    printNote(io, `works on parts from ${queue.shown} until it is stopped with Ctrl-C`)
    try {
      await Promise.race([lost, whenAborted(signal)])
      if (working > 0) printNote(io, 'finishes the parts that it has; Ctrl-C again leaves them to other workers')
      await Promise.race([worker.close(), lost])
      return ended
    } finally {
      await threads.close()
      await closing([worker.close(true)])
    }
  })
}

/** A server must not have plugins run here, nor files be read. */
function refused(question: Question, part: number): PartOutcome | undefined {
  try {
    checkPortable(question)
  } catch (error) {
    return { part, failure: reportOf(error) }
  }
}
