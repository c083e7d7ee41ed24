import { Worker } from 'node:worker_threads'
import type { FileOptions } from './files.js'
import type { ErrorReport, Outcome } from './run-tool.js'

/** What a worker is sent: one call. It answers `started` when it begins with it, and then with an {@link Outcome}. */
export interface Call {
  readonly name: string
  readonly input: unknown
}

/** How calls run. */
export interface WorkerOptions {
  /** The module that a worker runs, which ends in `serveCalls`. */
  readonly module: URL
  readonly files: FileOptions
  /** How many calls run at a time; more wait. */
  readonly workers: number
  /** How many calls may wait. */
  readonly mostWaiting: number
  /** What one call may take. */
  readonly seconds: number
  readonly megabytes: number
}

/** Threads that run calls, so that a long one neither blocks the server nor goes on when nobody waits for it. They keep the process up. */
export interface Workers {
  /** Runs a call; an aborted one, and one that takes too long or too much memory, is stopped in the middle. */
  call(call: Call, signal?: AbortSignal): Promise<Outcome>
  close(): Promise<void>
}

interface Job {
  readonly call: Call
  readonly settle: (outcome: Outcome) => void
  /** Stops it while it runs. */
  stop?: (error: ErrorReport) => void
}

const smaller = 'Ask for less: fewer ranks, microbatches or steps, no whatIf, a coarser level.'

/** Starts threads as calls come, and keeps those that are idle for the next ones. */
export function startWorkers({ module, files, workers, mostWaiting, seconds, megabytes }: WorkerOptions): Workers {
  const waiting: Job[] = []
  const idle = new Set<Worker>()
  const running = new Set<Job>()

  function start(): Worker {
    const worker = new Worker(module, {
      workerData: files,
      resourceLimits: { maxOldGenerationSizeMb: megabytes },
      // A plugin may print: standard output belongs to the protocol.
      stdout: true,
    })
    worker.stdout.pipe(process.stderr, { end: false })
    worker.on('error', () => idle.delete(worker))
    worker.on('exit', () => idle.delete(worker))
    return worker
  }

  function next(): void {
    while (running.size < workers) {
      const job = waiting.shift()
      if (!job) return
      run(job)
    }
  }

  function run(job: Job): void {
    const [worker = start()] = idle
    idle.delete(worker)
    running.add(job)
    const done = (outcome: Outcome, reusable: boolean) => {
      if (!running.delete(job)) return
      clearTimeout(timer)
      worker.off('message', answered).off('error', failed).off('exit', exited)
      if (reusable) {
        idle.add(worker)
      } else void worker.terminate()
      job.settle(outcome)
      next()
    }
    const stop = (error: ErrorReport) => done({ error }, false)
    let timer: NodeJS.Timeout | undefined
    const answered = (answer: Outcome | 'started') => {
      if (answer !== 'started') return done(answer, true)
      // What the thread took to start is not the call's.
      timer = setTimeout(() => stop(timeReport(seconds)), seconds * 1000)
    }
    const failed = (error: Error) => stop(crashReport(error, megabytes))
    const exited = () =>
      stop({ code: 'INTERNAL', message: 'The call ended its thread.', help: 'A plugin must not end the process.' })
    job.stop = stop
    worker.on('message', answered).on('error', failed).on('exit', exited)
    worker.postMessage(job.call)
  }

  return {
    call: (call, signal) =>
      new Promise((settle) => {
        const aborted: ErrorReport = { code: 'CANCELLED', message: 'The call was cancelled.' }
        if (signal?.aborted) return settle({ error: aborted })
        if (waiting.length >= mostWaiting) {
          const message = `${waiting.length} calls wait already.`
          return settle({ error: { code: 'BUSY', message, help: 'Call again when an earlier call has ended.' } })
        }
        const abort = () => {
          const place = waiting.indexOf(job)
          if (place < 0) return job.stop?.(aborted)
          waiting.splice(place, 1)
          job.settle({ error: aborted })
        }
        const job: Job = {
          call,
          settle(outcome) {
            signal?.removeEventListener('abort', abort)
            settle(outcome)
          },
        }
        signal?.addEventListener('abort', abort)
        waiting.push(job)
        next()
      }),
    async close() {
      const stopped: ErrorReport = { code: 'CANCELLED', message: 'The server was stopped.' }
      for (const job of waiting.splice(0)) job.settle({ error: stopped })
      for (const job of running) job.stop?.(stopped)
      await Promise.all([...idle].map((worker) => worker.terminate()))
    },
  }
}

function timeReport(seconds: number): ErrorReport {
  return { code: 'TIME_LIMIT', message: `The call took longer than ${seconds} s and was stopped.`, help: smaller }
}

function crashReport(error: Error, megabytes: number): ErrorReport {
  const memory = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
  if (memory)
    return {
      code: 'MEMORY_LIMIT',
      message: `The call needed more than ${megabytes} MB and was stopped.`,
      help: smaller,
    }
  return {
    code: 'INTERNAL',
    message: `The call failed: ${error.message.split('\n')[0]}`,
    help: 'Please report it with the arguments.',
  }
}
