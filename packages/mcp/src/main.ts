#!/usr/bin/env node
import { isMainThread } from 'node:worker_threads'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { help, readArguments, type Settings } from './command-line.js'
import { openFiles } from './files.js'
import { serveHttp } from './http.js'
import { reportOf } from './run-tool.js'
import { serveCalls } from './serve-calls.js'
import { makeServer } from './server.js'
import { version } from './version.js'
import { startWorkers } from './workers.js'

if (isMainThread) await main(process.argv.slice(2))
// The same module is what each thread runs.
else serveCalls()

async function main(args: readonly string[]): Promise<void> {
  try {
    const settings = readArguments(args)
    if (settings === 'help') process.stdout.write(help)
    else if (settings === 'version') process.stdout.write(`${version()}\n`)
    else await serve(settings)
  } catch (cause) {
    const { code, message, help } = reportOf(cause)
    process.stderr.write(`error[${code}] ${message}\n${help === undefined ? '' : `help: ${help}\n`}`)
    process.exitCode = code === 'USAGE' ? 2 : 1
  }
}

async function serve({ files, http, seconds, megabytes }: Settings): Promise<void> {
  // A root that does not exist is an error now, not with the first call.
  openFiles(files)
  const module = new URL(import.meta.url)
  const workers = startWorkers({ module, files, workers: 2, mostWaiting: 64, seconds, megabytes })
  const make = () => makeServer(workers)
  const server = http ? await serveHttp(make, http) : serveStdio(make)
  if ('url' in server) process.stderr.write(`shardloom-mcp listens on ${server.url}\n`)
  // Whoever started the server is gone.
  else process.stdin.once('close', () => workers.close())
  const stop = async () => {
    await server.close()
    await workers.close()
    process.exit(130)
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
}
