#!/usr/bin/env node
import { isMainThread } from 'node:worker_threads'
import { ShardloomError } from 'shardloom'
import { runCommandLine } from './command-line.js'
import { exitCode } from './exit-code.js'
import { reportError } from './report-error.js'
import { taskWorker } from './search/answerer.js'
import { loadQuestion } from './search/load-question.js'

/** What threads of a search run, see `Answerer`. */
export const workOn = taskWorker(loadQuestion)

if (isMainThread) {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough, such as `head`, closes the pipe: that is no error of ours.
    if (error.code === 'EPIPE') process.exit(exitCode.done)
    const reason = error.code === 'ENOSPC' ? 'the disk is full' : (error.code ?? error.message)
    const failure = new ShardloomError('OUTPUT', `Cannot write to standard output: ${reason}.`)
    process.exit(reportError(process, failure, { json: process.argv.includes('--json') }))
  })
  process.stderr.on('error', () => process.exit(exitCode.badInput))

  // Nothing is left to do, and yet the command has not ended: a plugin waits for something that never comes.
  process.once('beforeExit', () => {
    const failure = new ShardloomError('PLUGIN', 'A plugin never finished loading.', {
      help: 'Remove its endless `await`.',
    })
    process.exit(reportError(process, failure, { json: process.argv.includes('--json') }))
  })
  const code = await runCommandLine(process.argv.slice(2), process)
  process.removeAllListeners('beforeExit')
  process.exitCode = code
}
