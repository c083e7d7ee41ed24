import { parentPort, workerData } from 'node:worker_threads'
import { type FileOptions, openFiles } from './files.js'
import { runTool } from './run-tool.js'
import type { Call } from './workers.js'

/** What a thread does: one call after the other, until it is ended. */
export function serveCalls(): void {
  const files = openFiles(workerData as FileOptions) // startWorkers gives it
  parentPort?.on('message', async ({ name, input }: Call) => {
    parentPort?.postMessage('started')
    parentPort?.postMessage(await runTool(name, input, { files }))
  })
}
