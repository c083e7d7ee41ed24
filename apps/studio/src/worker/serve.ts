import { isShardloomError } from 'shardloom'
import { config } from 'zod'
import { buffersOf } from '../buffers.js'
import type { Ask, Failure, JobName, Jobs, Progress, Reply } from './protocol.js'

/** Says how far a job is; more often than the page can show it is of no use, and not sent. */
export type Report = (progress: Progress) => void

/** What answers each kind of job of a worker. */
export type Answers<Names extends JobName> = {
  readonly [Name in Names]: (
    request: Jobs[Name]['request'],
    report: Report,
  ) => Jobs[Name]['answer'] | Promise<Jobs[Name]['answer']>
}

/** Posting of a worker's global scope, whose types and a page's exclude each other. */
const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<Ask>) => void) | null
  postMessage: (message: Reply, transfer: Transferable[]) => void
}

/** Milliseconds between reports of progress. */
const beat = 100

/** Answers what the page asks, one job after the other. Bytes are handed over, not copied. */
export function serve<Names extends JobName>(answers: Answers<Names>): void {
  config({ jitless: true }) // checks of specs are not compiled: the page forbids it
  scope.onmessage = async ({ data: { id, job, request } }) => {
    const run = answers[job as Names] as (given: Ask['request'], report: Report) => unknown // the page asks each worker what it answers
    let last = 0
    const report: Report = ({ done, of }) => {
      if (Date.now() - last < beat) return
      last = Date.now()
      scope.postMessage({ id, progress: { done, of } }, [])
    }
    try {
      const answer = await run(request, report)
      scope.postMessage({ id, answer }, buffersOf(answer))
    } catch (error) {
      scope.postMessage({ id, failure: failureOf(error) }, [])
    }
  }
}

/** What a reader of the page can do where a spec names a file, by the field that does: the page reads none by its path. */
const withoutFiles: Readonly<Record<string, string>> = {
  model: 'Drop the file on this page, name a preset, or open the spec with `shardloom view`, which reads its files.',
  cluster:
    'Name a preset, write the cluster into the YAML, or open the spec with `shardloom view`, which reads its files.',
  'options.efficiency': 'Leave it out, or open the spec with `shardloom view`, which reads its files.',
  plugins:
    'The studio runs no plugins. Leave it out to see the rest, or have `shardloom export --format html` draw the plan as it is.',
}

/** An error as plain data. What is none of a user's mistakes says that it is ours. */
function failureOf(error: unknown): Failure {
  if (isShardloomError(error)) {
    const { code, message, subject } = error
    const help = (code === 'NO_ACCESS' && withoutFiles[subject ?? '']) || error.help
    return { code, message, ...(subject !== undefined && { subject }), ...(help !== undefined && { help }) }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { code: 'INTERNAL', message, help: 'This is a mistake of Shardloom; please report it with the spec.' }
}
