import { exitCode } from '../../src/exit-code.js'
import { reportError } from '../../src/report-error.js'
import { Crew } from '../../src/search/crew.js'
import { untilInterrupted } from '../../src/search/interrupt.js'
import { exitCodeOf } from '../../src/search/outcome.js'
import { parseQueue } from '../../src/search/queue-address.js'
import { workOnQueue } from '../../src/search/queue-work.js'
import { runSearch } from '../../src/search/run-search.js'
import { type Behaviour, loadQuestion, pretend } from './fake-answerer.js'

/** What the process is told, as JSON in its one argument. */
export interface FakeSearch extends Behaviour {
  readonly worker?: boolean
  readonly queue?: string
  readonly workers?: number
  readonly checkpoint?: string
}

const { worker, queue, workers = 1, checkpoint, ...behaviour }: FakeSearch = JSON.parse(process.argv[2] ?? '{}')
const answerer = { loadQuestion, module: new URL('./fake-answerer.mjs', import.meta.url) }
const address = queue === undefined ? undefined : parseQueue(queue)
try {
  process.exitCode = await untilInterrupted(async (signal) => {
    const io = process
    if (worker && address) {
      await workOnQueue({ queue: address, answerer, workers, io, signal })
      return exitCode.done
    }
    const question = pretend(behaviour)
    const crew = new Crew(answerer, workers)
    const { answers, ...outcome } = await runSearch({ question, crew, checkpoint, queue: address, io, signal })
    await crew.dismiss()
    process.stdout.write(JSON.stringify(outcome))
    return exitCodeOf({ answers, ...outcome })
  })
} catch (error) {
  process.exitCode = reportError(process, error, { json: false })
}
