#!/usr/bin/env node
import { runCommandLine } from './command-line.js'

// A reader that has seen enough, such as `head`, closes the pipe: that is no error of ours.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    process.exit(1)
  })
}

process.exitCode = await runCommandLine(process.argv.slice(2))
