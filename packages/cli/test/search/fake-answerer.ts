import { appendFileSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ShardloomError, type Work } from 'shardloom'
import type { Answer, Candidate, Miss, Question } from 'shardloom/search'
import { type LoadQuestion, taskWorker } from '../../src/search/answerer.js'

/** What the parts of a pretended question do besides answering. */
export interface Behaviour {
  readonly parts?: number
  /** Where parts write down that they ran, in `ran`, and leave marks. */
  readonly folder?: string
  /** Parts that never end, the first time that they run in the folder. */
  readonly hang?: readonly number[]
  /** Parts that end their process, always. */
  readonly kill?: readonly number[]
  /** Parts that the spec is at fault of. */
  readonly bad?: readonly number[]
  /** Parts that end their thread by what they throw later, outside of the part. */
  readonly late?: readonly number[]
  /** Parts that end their thread for want of memory. */
  readonly hungry?: readonly number[]
  /** Parts that call `process.exit`. */
  readonly exit?: readonly number[]
  /** Shares of a start that throw, and those that call `process.exit`. */
  readonly badShares?: readonly number[]
  readonly exitShares?: readonly number[]
  /** Milliseconds that each part computes. */
  readonly milliseconds?: number
}

/** A question that the answerer here answers. */
export function pretend({ parts = 8, folder, milliseconds = 0, ...lists }: Behaviour = {}): Question {
  return {
    schema: 'shardloom.question/1',
    spec: { model: 'tiny', batch: 1 },
    ranks: 8,
    objective: 'seconds',
    limits: [],
    choices: { ...lists, milliseconds: [milliseconds], ...(folder !== undefined && { folder: [folder] }) },
    parts,
    top: 3,
    front: ['seconds', 'bytes'],
  }
}

/** Some candidates of a part, by a generator of pseudo-random numbers with the part as its seed (Park and Miller 1988). */
function* answerOf(part: number): Work<Answer> {
  const candidates: Candidate[] = []
  let state = part + 1
  const next = () => {
    state = (state * 48_271) % 2_147_483_647
    return state % 50
  }
  const all = 20
  const limit = 40
  const rejected: Record<string, number> = {}
  const misses: Miss[] = []
  for (let index = 0; index < all; index++) {
    yield { work: 'pretend', done: index, of: all }
    const metrics = { seconds: next(), bytes: next() }
    const name = `part=${part} index=${index}`
    const candidate = { name, choices: { part, index }, score: metrics.seconds, metrics }
    if (metrics.bytes <= limit) {
      candidates.push(candidate)
      continue
    }
    const rule = `rule${metrics.bytes % 3}`
    rejected[rule] = (rejected[rule] ?? 0) + 1
    misses.push({ ...candidate, rule, by: metrics.bytes / limit - 1 })
  }
  const sorted = [...candidates].sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1))
  const front = sorted.filter(
    ({ metrics }) =>
      !candidates.some(
        (other) =>
          (other.metrics.seconds ?? 0) <= (metrics.seconds ?? 0) &&
          (other.metrics.bytes ?? 0) <= (metrics.bytes ?? 0) &&
          (other.metrics.seconds !== metrics.seconds || other.metrics.bytes !== metrics.bytes),
      ),
  )
  return {
    counts: { total: all, rejected, bounded: 0, evaluated: candidates.length },
    best: sorted.slice(0, 3),
    front: front.filter(({ metrics }, index) => index === 0 || metrics.seconds !== front[index - 1]?.metrics.seconds),
    misses: Object.keys(rejected)
      .sort()
      .flatMap((rule) => {
        const nearest = misses
          .filter((miss) => miss.rule === rule)
          .sort((a, b) => a.by - b.by || (a.name < b.name ? -1 : 1))
        return nearest.slice(0, 1)
      }),
  }
}

function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

export const loadQuestion: LoadQuestion = async ({ choices }) => {
  const has = (list: string, part: number) => choices[list]?.includes(part) === true
  const folder = choices.folder?.[0]
  function* part(part: number): Work<Answer> {
    if (typeof folder === 'string') {
      appendFileSync(join(folder, 'ran'), `${part}\n`)
      const mark = join(folder, `hangs-${part}`)
      if (has('hang', part) && !existsSync(mark)) {
        writeFileSync(mark, '')
        block(1e9)
      }
    }
    if (has('kill', part)) process.kill(process.pid, 'SIGKILL')
    if (has('bad', part)) throw new ShardloomError('PRETENDED', `Part ${part} is bad.`, { help: 'Ask for another.' })
    if (has('exit', part)) process.exit(0)
    const kept = []
    while (has('hungry', part)) kept.push(new Array(1e5).fill({}).map(() => ({})))
    if (has('late', part)) {
      setTimeout(() => {
        throw new Error('too late')
      })
      block(100)
      yield { work: 'pretend', done: 0, of: 1 }
    }
    block(Number(choices.milliseconds?.[0] ?? 0))
    return yield* answerOf(part)
  }
  return {
    part,
    *share({ found }, share) {
      yield { work: 'pretend', done: 0, of: 1 }
      if (has('exitShares', share)) process.exit(0)
      if (has('badShares', share)) throw new ShardloomError('PRETENDED', 'It is bad.', { help: 'Do without.' })
      return found
    },
    // Of the metrics it is bytes that tells what comes of a candidate; of many nobody can say.
    *simulated(candidate) {
      if (candidate.name === 'exits') process.exit(0)
      yield { work: 'pretend', done: 0, of: 1 }
      const { bytes = 0 } = candidate.metrics
      const said = { candidate, spec: { model: 'tiny', batch: 1 }, misses: [] }
      if (bytes < 20) return { ...said, score: bytes }
      return { ...said, error: new ShardloomError('PRETENDED', 'It is too large.', { help: 'Take a smaller one.' }) }
    },
    nearMisses() {
      if (choices.dies) process.exit(0)
      return []
    },
  }
}

/**
 * What threads call, by its name.
 *
 * @public
 */
export const workOn = taskWorker(loadQuestion)
