import { existsSync, readFileSync } from 'node:fs'
import { Writable } from 'node:stream'
import fc from 'fast-check'
import type { ShardloomError } from 'shardloom'
import type { Question } from 'shardloom/search'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Io } from '../../src/io.js'
import { answersDocument, mergeDocuments } from '../../src/search/answers-document.js'
import { Crew } from '../../src/search/crew.js'
import { exitCodeOf, type Outcome, warningsOf } from '../../src/search/outcome.js'
import { partsOf } from '../../src/search/part.js'
import { runSearch, type SearchRun } from '../../src/search/run-search.js'
import { temporaryFolder } from '../run-command.js'
import { type Behaviour, loadQuestion, pretend } from './fake-answerer.js'
import { type Built, buildPretended, ended, expected, printed, quiet, runsOf, start, until } from './pretended.js'

let built: Built
beforeAll(async () => {
  built = await buildPretended()
})
afterAll(() => built.remove())

type Run = Partial<SearchRun> & { readonly workers?: number; readonly loadQuestion?: typeof loadQuestion }

async function run(question: Question, { workers = 1, loadQuestion, ...more }: Run = {}): Promise<Outcome> {
  const crew = new Crew({ ...built.answerer, ...(loadQuestion && { loadQuestion }) }, workers)
  const { signal } = new AbortController()
  return runSearch({ question, crew, io: quiet, signal, ...more }).finally(() => crew.dismiss())
}

/** A signal that is aborted once so many parts have begun. */
function abortAfter(question: Question, begun: number): Run {
  const controller = new AbortController()
  let count = 0
  const counting: typeof loadQuestion = async (asked) => {
    const answers = await loadQuestion(asked)
    return {
      ...answers,
      *part(part) {
        if (count++ === begun) controller.abort()
        yield { work: 'pretend', done: 0, of: question.parts }
        return yield* answers.part(part)
      },
    }
  }
  return { loadQuestion: counting, signal: controller.signal }
}

describe('a search', () => {
  test('that is stopped in its first part has what that had found', async () => {
    const question = pretend({ parts: 3, folder: temporaryFolder() })
    const controller = new AbortController()
    const candidate = { name: 'a=1', choices: { a: 1 }, score: 7, metrics: { cost: 7 } }
    const endless: typeof loadQuestion = async (asked) => ({
      ...(await loadQuestion(asked)),
      *part() {
        const found = [candidate]
        for (let done = 0; ; done++) {
          if (done === 3) controller.abort()
          yield { work: 'pretend', done, of: 10, ...(done > 0 && { found }) }
        }
      },
    })
    const outcome = await run(question, { loadQuestion: endless, signal: controller.signal })
    expect(outcome.answer.best).toEqual([candidate])
    expect(outcome.answers.size).toBe(0)
    expect(exitCodeOf(outcome)).toBe(130)
  })

  test('has the same answer however it is shared out and interrupted, and does no part twice', async () => {
    const splits = fc.record({
      parts: fc.integer({ min: 1, max: 17 }),
      shards: fc.integer({ min: 1, max: 5 }),
      interruptions: fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 4 }),
      order: fc.infiniteStream(fc.nat()),
    })
    await fc.assert(
      fc.asyncProperty(splits, async ({ parts, shards, interruptions, order }) => {
        const folder = temporaryFolder()
        const question = pretend({ parts, folder })
        const documents = []
        for (let index = 1; index <= shards; index++) {
          const shard = { index, count: shards }
          const checkpoint = `${folder}/${index}.jsonl`
          for (const begun of interruptions) {
            const left = partsOf(question, shard).length
            const outcome = await run(question, { shard, checkpoint, ...abortAfter(question, begun) })
            expect(outcome.answers.size + outcome.missing.length).toBe(left)
            expect(exitCodeOf(outcome)).toBe(outcome.missing.length > 0 ? 130 : 0)
          }
          const outcome = await run(question, { shard, checkpoint })
          const text = JSON.stringify(answersDocument(question, outcome))
          documents.push({ name: `${index}`, text, place: order.next().value })
        }
        documents.sort((a, b) => (a.place ?? 0) - (b.place ?? 0))
        const { outcome, doubled } = mergeDocuments(documents)
        expect(outcome).toMatchObject({ answer: await expected(question), missing: [], failed: [], interrupted: false })
        expect(doubled).toEqual([])
      }),
      { numRuns: 25 },
    )
  })

  test('has the same answer in threads, each part once', async () => {
    const folder = temporaryFolder()
    const question = pretend({ parts: 13, folder })
    const threads = await run(question, { workers: 3 })
    expect(runsOf(folder)).toEqual(Object.fromEntries(partsOf(question).map((part) => [part, 1])))
    expect(threads).toEqual(await run(question))
    expect(threads.answer).toEqual(await expected(question))
  })

  test('of more threads than parts, and of a share that has none', async () => {
    const question = pretend({ parts: 2 })
    expect((await run(question, { workers: 5 })).answer).toEqual(await expected(question))
    const none = await run(question, { workers: 5, shard: { index: 3, count: 3 } })
    expect(none).toMatchObject({ missing: [], interrupted: false, answer: { counts: { total: 0 }, best: [] } })
  })

  test('that is stopped while threads work has what was found so far', async () => {
    const folder = temporaryFolder()
    const question = pretend({ parts: 6, folder, hang: [2, 3] })
    const controller = new AbortController()
    const searching = run(question, { workers: 3, signal: controller.signal, checkpoint: `${folder}/all.jsonl` })
    const hangs = (part: number) => existsSync(`${folder}/hangs-${part}`)
    await until(() => hangs(2) && hangs(3) && linesOf(`${folder}/all.jsonl`) === 5)
    controller.abort()
    const outcome = await searching
    expect(outcome).toMatchObject({ missing: [2, 3], failed: [], interrupted: true })
    expect(warningsOf(question, outcome)).toEqual([
      'the search was interrupted: 2 of 6 parts are missing (2-3); 4 have an answer',
    ])
    // It goes on from there: what has an answer is not worked on again.
    const whole = await run(question, { workers: 3, checkpoint: `${folder}/all.jsonl` })
    expect(whole.answer).toEqual(await expected(pretend({ parts: 6 })))
    expect(runsOf(folder)).toEqual({ 0: 1, 1: 1, 2: 2, 3: 2, 4: 1, 5: 1 })
  })

  test('of a process that is interrupted prints what was found so far, and ends with 130', async () => {
    const folder = temporaryFolder()
    const child = start(built, { parts: 4, folder, hang: [0], workers: 2, checkpoint: `${folder}/all.jsonl` })
    await until(() => existsSync(`${folder}/hangs-0`) && linesOf(`${folder}/all.jsonl`) === 4)
    child.kill('SIGINT')
    const { code, out } = await ended(child)
    expect(code).toBe(130)
    expect(printed(out)).toMatchObject({ missing: [0], interrupted: true, answer: { counts: { total: 60 } } })
  })

  test.each([1, 2])('ends where its answers cannot be kept, with %i workers', async (workers) => {
    const question = pretend({ parts: 4, folder: temporaryFolder(), hang: [2] })
    const full = async () => {
      throw new Error('the disk is full')
    }
    const failing = new Crew(built.answerer, workers).runParts(
      question,
      [0, 1, 2, 3],
      full,
      new AbortController().signal,
    )
    await expect(failing).rejects.toThrow('full')
  })

  test.each([1, 2])('names parts that fail, with %i workers, and answers the others', async (workers) => {
    const question = pretend({ parts: 5, bad: [1, 3] })
    const outcome = await run(question, { workers })
    expect(outcome).toMatchObject({
      missing: [1, 3],
      interrupted: false,
      failed: [
        { part: 1, failure: { code: 'PRETENDED', message: 'Part 1 is bad.', help: 'Ask for another.' } },
        { part: 3, failure: { code: 'PRETENDED' } },
      ],
    })
    expect(outcome.answers.size).toBe(3)
    expect(exitCodeOf(outcome)).toBe(1)
    expect(warningsOf(question, outcome)).toEqual([
      'part 1 failed, PRETENDED: Part 1 is bad. Ask for another.',
      'part 3 failed, PRETENDED: Part 3 is bad. Ask for another.',
      'the answer is not of the whole: 2 of 5 parts are missing (1, 3); 3 have an answer',
    ])
  })

  test.each([1, 2])('of which every part fails throws why, with %i workers', async (workers) => {
    const failure = run(pretend({ parts: 2, bad: [0, 1] }), { workers })
    await expect(failure).rejects.toMatchObject({
      name: 'ShardloomError',
      code: 'PRETENDED',
      message: 'Part 0 is bad.',
    } satisfies Partial<ShardloomError>)
  })

  test('outlives threads that die of a part or would end', async () => {
    const outcome = await run(pretend({ parts: 4, late: [1], exit: [2] }), { workers: 2 })
    expect(outcome.failed).toMatchObject([
      { part: 1, failure: { code: 'CRASH', message: expect.stringContaining('too late') } },
      { part: 2, failure: { code: 'CRASH', message: expect.stringContaining('ended by what it ran') } },
    ])
    expect([...outcome.answers.keys()]).toEqual([0, 3])
  })

  test.each<Behaviour>([{ badShares: [7] }, { exitShares: [0, 3] }])(
    'does without a start that threads do not find: %j',
    async (behaviour) => {
      const question = pretend({ parts: 4, ...behaviour })
      expect((await run(question, { workers: 2 })).answer).toEqual(await expected(question))
    },
  )

  test('outlives threads that run out of memory', async () => {
    const { code, out } = await ended(
      start(built, { parts: 4, workers: 2, hungry: [1] }, { options: ['--max-old-space-size=48'] }),
    )
    expect(code).toBe(1)
    const { missing, failed } = printed(out)
    expect([missing, failed]).toMatchObject([
      [1],
      [{ part: 1, failure: { message: expect.stringContaining('memory') } }],
    ])
  })
})

/** How many lines a file has, the header of a checkpoint included. */
const linesOf = (path: string) => readFileSync(path, 'utf8').split('\n').length - 1

/** A stream that a person reads at a terminal. */
class Terminal extends Writable {
  readonly isTTY = true
  readonly columns = 40
  text = ''

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk
    done()
  }
}

test('a person is told that good candidates come first, while no part has ended', async () => {
  const stderr = new Terminal()
  const io: Io = { stdin: process.stdin, stdout: process.stdout, stderr, env: {}, cwd: () => process.cwd() }
  const slow: typeof loadQuestion = async (question) => {
    const answers = await loadQuestion(question)
    await new Promise((resolve) => setTimeout(resolve, 1200))
    return answers
  }
  await run(pretend({ parts: 2 }), { io, loadQuestion: slow })
  expect(stderr.text).toContain('search: 0 of 2 parts, good candidates first'.slice(0, 39))
})

test('a person sees how far a search is and how long it takes, and nothing of it afterwards', async () => {
  const stderr = new Terminal()
  const io: Io = { stdin: process.stdin, stdout: process.stdout, stderr, env: {}, cwd: () => process.cwd() }
  await run(pretend({ parts: 4, milliseconds: 400 }), { io })
  expect(stderr.text).toMatch(/search: 2 of 4 parts, about \d+ s left/)
  // The first part is longer than the others: it says nothing of how long these take.
  expect(stderr.text).toContain('search: 1 of 4 parts\r')
  const screen = stderr.text.split('\r\u001b[K').at(-1)
  expect(screen).toBe('')
})
