import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { MessageChannel } from 'node:worker_threads'
import type { Candidate } from 'shardloom/search'
import { Tinypool } from 'tinypool'
import type { Said, Task } from './answerer.js'

/** Threads that work on tasks, so that the one that starts them can do something else. */
export interface Threads {
  /** Rejects when the thread dies of the task, and when the threads are closed. `found` hears what parts find on the way. */
  run<T extends Task>(task: T, found?: (candidates: readonly Candidate[]) => void): Promise<Said<T>>
  /** Ends the threads, in the middle of whatever they do. */
  close(): Promise<void>
}

/** @param module what the threads run, see `Answerer` */
export function startThreads(module: URL, count: number): Threads {
  // Each thread has its code optimized for itself, and its garbage collected, on the same cores: a third of their time. Functions run about
  // twenty times as long before, compiled without optimization from the first, and a thread collects its own, of as much room for what is new
  // from the start as it may have, and does not go through what is old before there is much of it, in the V8 of Node 20, with which that was
  // measured. More room than that for what is new, and a thread that is out of memory takes the process with it. Of no effect on results.
  if (process.versions.v8.startsWith('11.'))
    setFlagsFromString(
      '--interrupt-budget=1200000 --always-sparkplug --no-parallel-scavenge --min-semi-space-size=16 --initial-old-space-size=1000',
    )
  const pool = new Tinypool({
    filename: fileURLToPath(module),
    name: 'workOn',
    runtime: 'worker_threads',
    minThreads: count,
    maxThreads: count,
  })
  let closed: Promise<void> | undefined
  // A thread that dies between tasks is replaced by another.
  pool.on('error', () => {})

  const watched = new WeakSet<object>()
  /** A thread that ends without an error, as by `process.exit` of a plugin, would be waited for: it has one. */
  function watch(): void {
    for (const thread of pool.threads) {
      if (watched.has(thread)) continue
      watched.add(thread)
      let failed = false
      thread.once('error', () => {
        failed = true
        setImmediate(watch) // when the pool has put another in its place
      })
      thread.once('exit', () => {
        if (!failed && !closed) thread.emit('error', new Error('it was ended by what it ran'))
      })
    }
  }

  return {
    run<T extends Task>(task: T, found?: (candidates: readonly Candidate[]) => void) {
      const { port1: heard, port2: port } = new MessageChannel()
      if (found) heard.on('message', found)
      const outcome: Promise<Said<T>> = pool.run({ ...task, port }, { transferList: [port] })
      watch()
      return outcome.finally(() => heard.close())
    },
    close() {
      closed ??= pool.destroy()
      return closed
    },
  }
}
