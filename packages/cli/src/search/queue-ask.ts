import type { JobsOptions, Queue } from 'bullmq'
import type { Question } from 'shardloom/search'
import type { Io } from '../io.js'
import { printNote } from '../output.js'
import { firstIssue, partOutcomeSchema } from './answers-schema.js'
import { whenAborted } from './interrupt.js'
import type { PartOutcome, PartRunner } from './part.js'
import { questionHash } from './question-hash.js'
import type { QueueAddress } from './queue-address.js'
import { attempts, closing, queueError, queueName, withQueue } from './queue-connection.js'
import { settleAll } from './settle-all.js'

/** What a job of the queue holds. */
export interface PartJob {
  readonly question: Question
  readonly part: number
}

/** Seconds for which what nobody has collected is kept. */
const kept = 86_400
const options: JobsOptions = { attempts, removeOnComplete: { age: kept }, removeOnFail: { age: kept } }

/**
 * Has workers of a queue work on parts. A part is a job that is called after question and part: who asks again, or at the same time,
 * gets the same job. A job is removed when it has been collected; those of a search that was interrupted stay, for who asks again.
 */
export function askQueue(address: QueueAddress, io: Io): PartRunner {
  return (question, parts, ended, signal) =>
    withQueue(address, async ({ bull, redis, lost, disconnect }) => {
      const queue: PartQueue = new bull.Queue(queueName, { connection: redis, streams: { events: { maxLen: 1000 } } })
      const events = new bull.QueueEvents(queueName, { connection: redis })
      queue.on('error', ignore)
      events.on('error', ignore)
      const over = new AbortController()
      const stopped = Promise.race([lost, whenAborted(signal)])
      const abandoned = Promise.race([stopped, whenAborted(over.signal)])
      const ends = new Map<string, (end: End) => void>()
      events.on('completed', ({ jobId, returnvalue }) => ends.get(jobId)?.({ value: returnvalue }))
      events.on('failed', ({ jobId, failedReason }) => ends.get(jobId)?.({ reason: failedReason }))

      const hash = questionHash(question)
      const collect = async (part: number) => {
        const id = `${hash}-${part}`
        const told = new Promise<End>((resolve) => ends.set(id, resolve))
        const end = (await endNow(queue, id, { question, part })) ?? (await Promise.race([told, abandoned]))
        if (!end) return
        await ended(outcomeOf(part, end))
        await queue.remove(id)
      }
      const collectAll = async () => {
        // Nothing that ends from here on is missed.
        await events.waitUntilReady().catch((error) => {
          throw queueError(address, error)
        })
        if ((await queue.getWorkersCount()) === 0)
          printNote(
            io,
            `no worker is there yet: start some with \`shardloom search --queue ${address.shown} --worker\``,
          )
        await settleAll(parts.map(collect), async () => over.abort())
      }
      const all = collectAll()
      try {
        await Promise.race([all, stopped])
        if (signal.aborted)
          printNote(io, 'the other parts stay in the queue: who asks the same again gets what they come to')
      } finally {
        await closing([queue.close(), events.close()])
        disconnect()
        await closing([all])
      }
    })
}

const ignore = () => {} // whether the connection is lost for good is told by `lost`

type PartQueue = Queue<PartJob, PartOutcome>

/** How a job ended: with what its worker gave back, or because its workers died. */
type End = { readonly value: unknown } | { readonly reason: string }

/** Adds a job unless it is there; how it ended, if it has already. */
async function endNow(queue: PartQueue, id: string, data: PartJob): Promise<End | undefined> {
  for (;;) {
    await queue.add('part', data, { ...options, jobId: id })
    const state = await queue.getJobState(id)
    if (state !== 'completed' && state !== 'failed' && state !== 'unknown') return
    const job = await queue.getJob(id)
    if (job) return state === 'completed' ? { value: job.returnvalue } : { reason: job.failedReason }
    // Somebody who asks the same has just collected it.
  }
}

function outcomeOf(part: number, end: End): PartOutcome {
  if ('reason' in end) return failed(part, 'CRASH', `The workers that had the part ended: ${end.reason}.`)
  const { success, data, error } = partOutcomeSchema.safeParse(end.value)
  if (success && data.part === part) return data
  const found = error ? firstIssue(error) : 'it is of another part'
  return failed(part, 'QUEUE', `What a worker gave back is no answer: ${found}.`)
}

function failed(part: number, code: string, message: string): PartOutcome {
  return { part, failure: { code, message, help: 'See what the workers say, or search without --queue.' } }
}
