import { loadScript } from '../load-script.js'
import type { Ask, Failure, JobName, Jobs, Progress, Reply } from './protocol.js'

/** A job that failed: what the plan says of it. */
export class JobError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message)
  }
}

/** A job that nobody waits for any more. */
export class Dropped extends Error {}

/** A job that somebody waits for, and that was stopped. */
export class Stopped extends Dropped {}

/** A worker to which jobs are given, one at a time. Of one kind only the newest job matters. */
export interface Desk {
  /** Rejects with a {@link JobError}; with {@link Dropped} where a newer job of its kind was given, and {@link Stopped} where all were stopped. */
  readonly ask: <Name extends JobName>(
    job: Name,
    request: Jobs[Name]['request'],
    onProgress?: (progress: Progress) => void,
  ) => Promise<Jobs[Name]['answer']>
  /** Ends what is being worked on, and what waits for it. */
  readonly stop: () => void
  /** When work began, in milliseconds of `performance.now`; undefined where there is none. */
  readonly since: () => number | undefined
  /** Calls back when work begins and ends, until the function returned is called. */
  readonly subscribe: (listener: () => void) => () => void
}

interface Job {
  readonly message: Ask
  readonly resolve: (answer: never) => void
  readonly reject: (error: Error) => void
  readonly begun: number
  readonly onProgress: ((progress: Progress) => void) | undefined
}

/** Milliseconds that a job may go on when a newer one of its kind waits; then its worker is ended, which takes longer to come back. */
const patience = 400

let lastId = 0

/** A desk whose worker is one of `workers/`; it is started when there is something to do. */
export function createDesk(name: string): Desk {
  const waiting = new Map<JobName, Job>()
  const listeners = new Set<() => void>()
  let worker: Worker | undefined
  let current: Job | undefined
  let outdated = false
  let since: number | undefined

  const end = (reason = new Dropped()) => {
    worker?.terminate()
    worker = undefined
    current?.reject(reason)
    current = undefined
  }
  const start = (source: string): Worker => {
    const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
    const started = new Worker(url)
    URL.revokeObjectURL(url)
    started.onmessage = ({ data }: MessageEvent<Reply>) => {
      if (started !== worker || data.id !== current?.message.id) return
      if ('progress' in data) return current.onProgress?.(data.progress)
      const { resolve, reject } = current
      current = undefined
      if (outdated) reject(new Dropped())
      else if ('failure' in data) reject(new JobError(data.failure))
      else resolve(data.answer as never) // the worker answers what its job is of
      void pump()
    }
    started.onerror = ({ message }) => {
      if (started !== worker) return
      current?.reject(new JobError({ code: 'INTERNAL', message: message || 'The worker has ended.' }))
      current = undefined
      end()
      void pump()
    }
    return started
  }
  const pump = async (): Promise<void> => {
    if (current) return
    const [next] = waiting.values()
    if (!next) {
      since = undefined
    } else {
      since ??= performance.now()
      waiting.delete(next.message.job)
      current = { ...next, begun: performance.now() }
      outdated = false
      const mine = current
      try {
        const source = await sourceOf(name)
        if (current === mine) {
          worker ??= start(source)
          worker.postMessage(mine.message)
        }
      } catch (error) {
        if (current === mine) current = undefined
        mine.reject(new JobError({ code: 'WORKER', message: error instanceof Error ? error.message : String(error) }))
        void pump()
      }
    }
    for (const listener of listeners) listener()
  }
  return {
    ask: (job, request, onProgress) =>
      new Promise((resolve, reject) => {
        waiting.get(job)?.reject(new Dropped())
        waiting.delete(job)
        waiting.set(job, { message: { id: ++lastId, job, request }, resolve, reject, begun: 0, onProgress })
        if (current?.message.job === job && !outdated) {
          outdated = true
          const mine = current
          setTimeout(
            () => {
              if (current !== mine) return
              end()
              void pump()
            },
            Math.max(0, patience - (performance.now() - current.begun)),
          )
        }
        void pump()
      }),
    stop: () => {
      for (const { reject } of waiting.values()) reject(new Stopped())
      waiting.clear()
      end(outdated ? new Dropped() : new Stopped())
      void pump()
    },
    since: () => since,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

const sources = new Map<string, Promise<string>>()

/** The source of a worker, which a script hands over: a page from disk may read no files, but run scripts beside it. */
function sourceOf(name: string): Promise<string> {
  const known = sources.get(name)
  if (known) return known
  const loading = loadScript(`workers/${name}.js`).then(() => {
    const { shardloomWorkers: handed } = globalThis as { shardloomWorkers?: Record<string, () => void> } // what the script sets
    const source = handed?.[name]?.toString()
    if (source === undefined) throw new Error(`workers/${name}.js is none of the studio's.`)
    return `(${source})()`
  })
  sources.set(name, loading)
  loading.catch(() => sources.delete(name))
  return loading
}

/** The desks of the page, one worker each: what is slow does not keep waiting what is fast. */
export const desks = {
  plan: createDesk('plan'),
  time: createDesk('plan'),
  schedules: createDesk('plan'),
  choices: createDesk('plan'),
  layout: createDesk('layout'),
  export: createDesk('export'),
  space: createDesk('search'),
  serving: createDesk('search'),
  learn: createDesk('plan'),
}
