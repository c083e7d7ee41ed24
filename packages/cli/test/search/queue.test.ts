import { existsSync } from 'node:fs'
import { Redis } from 'ioredis'
import type { Question } from 'shardloom/search'
import { afterAll, beforeAll, describe, expect, type onTestFinished, test } from 'vitest'
import { Crew } from '../../src/search/crew.js'
import { parseQueue } from '../../src/search/queue-address.js'
import { askQueue } from '../../src/search/queue-ask.js'
import { workOnQueue } from '../../src/search/queue-work.js'
import { runSearch } from '../../src/search/run-search.js'
import { temporaryFolder } from '../run-command.js'
import { type Behaviour, pretend } from './fake-answerer.js'
import {
  type Built,
  buildPretended,
  ended,
  expected,
  freePort,
  hasRedis,
  quiet,
  type RedisServer,
  runsOf,
  start,
  startRedis,
  until,
} from './pretended.js'

let built: Built
beforeAll(async () => {
  built = await buildPretended()
})
afterAll(() => built.remove())

const ask = (question: Question, url: string, { signal } = new AbortController()) =>
  runSearch({ question, crew: new Crew(built.answerer, 1), queue: parseQueue(url), io: quiet, signal })

/** A database of a server, with what a test does there: what tests do at the same time does not meet. */
function placeAt(url: string, finished: typeof onTestFinished) {
  return {
    url,
    /** Starts a worker in a process of its own. */
    worker: (workers = 1) => start(built, { worker: true, queue: url, workers }, { finished }),
    /** A question of which the parts write down that they ran. */
    question(behaviour: Behaviour) {
      const folder = temporaryFolder(finished)
      return { folder, question: pretend({ ...behaviour, folder }) }
    },
    /** The jobs that the server has, by key. */
    async jobs(): Promise<string[]> {
      const client = new Redis(url)
      const keys = await client.keys('bull:shardloom-search:*-*')
      client.disconnect()
      return keys.filter((key) => /[0-9a-f]{64}-\d+$/.test(key))
    },
  }
}

// Each in a database of its own: locks that expire take seconds, in which there is nothing to do.
describe.skipIf(!hasRedis)('a queue', { concurrent: true }, () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  test('gives a part of a worker that is killed to another', async ({ expect, onTestFinished }) => {
    const { url, worker, question: ownQuestion } = placeAt(`${redis.url}/1`, onTestFinished)
    const { folder, question } = ownQuestion({ parts: 4, hang: [1] })
    const first = worker()
    const asking = ask(question, url)
    await until(() => existsSync(`${folder}/hangs-1`))
    first.kill('SIGKILL')
    worker()
    const outcome = await asking
    expect(outcome).toMatchObject({ answer: await expected(question), missing: [], failed: [] })
    expect(runsOf(folder)).toEqual({ 0: 1, 1: 2, 2: 1, 3: 1 })
  })

  test('tells of a part that kills its workers, and has it tried three times', async ({ expect, onTestFinished }) => {
    const { url, worker, jobs, question: ownQuestion } = placeAt(`${redis.url}/2`, onTestFinished)
    const { folder, question } = ownQuestion({ parts: 3, kill: [1] })
    let asked = true
    const keepWorking = async () => {
      while (asked) await ended(worker())
    }
    void keepWorking()
    const outcome = await ask(question, url)
    asked = false
    expect(outcome.failed).toMatchObject([{ part: 1, failure: { code: 'CRASH' } }])
    expect([...outcome.answers.keys()]).toEqual([0, 2])
    expect(runsOf(folder)).toEqual({ 0: 1, 1: 3, 2: 1 })
    expect(await jobs()).toEqual([])
  })

  test('does a part once that takes longer than a lock', async ({ expect, onTestFinished }) => {
    const { url, worker, question: ownQuestion } = placeAt(`${redis.url}/3`, onTestFinished)
    const { folder, question } = ownQuestion({ parts: 2, milliseconds: 10_000 })
    worker(2)
    worker()
    expect((await ask(question, url)).missing).toEqual([])
    expect(runsOf(folder)).toEqual({ 0: 1, 1: 1 })
  })

  test('that is lost is an error for who asks and who works', async ({ expect, onTestFinished }) => {
    const own = await startRedis()
    const { folder, question } = placeAt(own.url, onTestFinished).question({ parts: 2, hang: [0] })
    const answers = Promise.allSettled([ask(question, own.url), work(own.url)])
    await until(() => existsSync(`${folder}/hangs-0`))
    await own.stop()
    const error = { status: 'rejected', reason: { code: 'QUEUE', subject: own.url } }
    expect(await answers).toMatchObject([error, error])
  })

  test('has several workers do each part once, and keeps nothing', async ({ expect, onTestFinished }) => {
    const { url, worker, jobs, question: ownQuestion } = placeAt(`${redis.url}/4`, onTestFinished)
    const { folder, question } = ownQuestion({ parts: 12 })
    worker(2)
    worker()
    const outcome = await ask(question, url)
    expect(outcome).toMatchObject({ answer: await expected(question), missing: [], failed: [], interrupted: false })
    expect(Object.values(runsOf(folder))).toEqual(Array(12).fill(1))
    expect(await jobs()).toEqual([])
  })

  test('tells of parts that end their threads, and of one that is bad, which is tried once', async ({
    expect,
    onTestFinished,
  }) => {
    const { url, worker, jobs, question: ownQuestion } = placeAt(`${redis.url}/5`, onTestFinished)
    const { folder, question } = ownQuestion({ parts: 4, late: [1], bad: [2], exit: [3] })
    worker(2)
    const outcome = await ask(question, url)
    expect(outcome.failed).toMatchObject([
      { part: 1, failure: { code: 'CRASH', message: expect.stringContaining('too late') } },
      { part: 2, failure: { code: 'PRETENDED', message: 'Part 2 is bad.', help: 'Ask for another.' } },
      { part: 3, failure: { code: 'CRASH', message: expect.stringContaining('ended by what it ran') } },
    ])
    expect(runsOf(folder)).toEqual({ 0: 1, 1: 3, 2: 1, 3: 3 })
    expect(await jobs()).toEqual([])
  })

  test('asked twice at the same time, does each part once and answers both', async ({ expect, onTestFinished }) => {
    const { url, worker, jobs, question: ownQuestion } = placeAt(`${redis.url}/6`, onTestFinished)
    const { folder, question } = ownQuestion({ parts: 6, milliseconds: 50 })
    const both = [ask(question, url), ask(question, url)]
    worker()
    for (const outcome of await Promise.all(both)) expect(outcome.answer).toEqual(await expected(question))
    expect(Object.values(runsOf(folder))).toEqual(Array(6).fill(1))
    expect(await jobs()).toEqual([])
  })

  test('does a share of the parts, and goes on from a checkpoint', async ({ expect, onTestFinished }) => {
    const { url, worker, jobs, question: ownQuestion } = placeAt(`${redis.url}/7`, onTestFinished)
    const { folder, question } = ownQuestion({ parts: 7 })
    worker()
    const own = { crew: new Crew(built.answerer, 1), io: quiet, signal: new AbortController().signal }
    const here = { ...own, question, checkpoint: `${folder}/search.jsonl` }
    const first = await runSearch({ ...here, shard: { index: 1, count: 3 }, queue: parseQueue(url) })
    expect([...first.answers.keys()]).toEqual([0, 3, 6])
    await runSearch({ ...here, shard: { index: 1, count: 2 } })
    const whole = await runSearch({ ...here, queue: parseQueue(url) })
    expect(whole.answer).toEqual(await expected(question))
    expect(Object.values(runsOf(folder))).toEqual(Array(7).fill(1))
    expect(await jobs()).toEqual([])
  })

  test('keeps what was not collected for who asks again', async ({ expect, onTestFinished }) => {
    const { url, worker, jobs, question: ownQuestion } = placeAt(`${redis.url}/8`, onTestFinished)
    const { folder, question } = ownQuestion({ parts: 3 })
    const controller = new AbortController()
    const asking = ask(question, url, controller)
    while ((await jobs()).length < 3) await new Promise((resolve) => setTimeout(resolve, 20))
    controller.abort()
    expect(await asking).toMatchObject({ missing: [0, 1, 2], interrupted: true, answer: { best: [] } })
    const working = worker()
    await until(() => existsSync(`${folder}/ran`) && Object.keys(runsOf(folder)).length === 3)
    expect((await ask(question, url)).answer).toEqual(await expected(question))
    expect(Object.values(runsOf(folder))).toEqual([1, 1, 1])
    working.kill('SIGINT')
    expect(await ended(working)).toMatchObject({ code: 0 })
  })

  test('a worker that is stopped finishes its part', async ({ expect, onTestFinished }) => {
    const { url, worker, question: ownQuestion } = placeAt(`${redis.url}/9`, onTestFinished)
    const { folder, question } = ownQuestion({ parts: 2, milliseconds: 1000 })
    const working = worker()
    const asking = ask(question, url)
    await until(() => existsSync(`${folder}/ran`))
    working.kill('SIGINT')
    const { code, err } = await ended(working)
    expect(code).toBe(0)
    expect(err).toContain('Ctrl-C again')
    expect(runsOf(folder)).toEqual({ 0: 1 })
    worker()
    expect((await asking).missing).toEqual([])
    expect(runsOf(folder)).toEqual({ 0: 1, 1: 1 })
  })

  test('is not for who has not the password', async ({ expect, onTestFinished }) => {
    const own = await startRedis('--requirepass', 'open sesame')
    onTestFinished(() => own.stop())
    const refused = { code: 'QUEUE', message: expect.stringMatching(/NOAUTH|WRONGPASS/) }
    const question = pretend({ parts: 3 })
    await expect(ask(question, own.url)).rejects.toMatchObject(refused)
    await expect(ask(question, own.url.replace('//', '//:sesame@'))).rejects.toMatchObject(refused)
    const url = own.url.replace('//', '//:open%20sesame@')
    placeAt(url, onTestFinished).worker()
    expect((await ask(question, url)).answer).toEqual(await expected(question))
  })

  test('ends a search whose answers cannot be kept', async ({ expect, onTestFinished }) => {
    const { url, worker, question: ownQuestion } = placeAt(`${redis.url}/10`, onTestFinished)
    const { question } = ownQuestion({ parts: 3, hang: [2] })
    worker()
    const failing = askQueue(parseQueue(url), quiet)(question, [0, 1, 2], full, new AbortController().signal)
    await expect(failing).rejects.toThrow('full')
  })
})

/** Keeps no answer. */
async function full(): Promise<void> {
  throw new Error('the disk is full')
}

/** Works in this process. */
function work(url: string): Promise<number> {
  const { signal } = new AbortController()
  return workOnQueue({
    queue: parseQueue(url),
    answerer: built.answerer,
    workers: 1,
    io: quiet,
    signal,
  })
}

test('a queue that is not there is an error soon, for who asks and who works', async () => {
  const url = `redis://127.0.0.1:${await freePort()}`
  const error = {
    name: 'ShardloomError',
    code: 'QUEUE',
    message: `Cannot use the queue at ${url}: nothing listens there.`,
  }
  await expect(ask(pretend(), url)).rejects.toMatchObject(error)
  await expect(work(url)).rejects.toMatchObject(error)
})

test('a queue without its packages says what to install', async () => {
  const bare = await buildPretended('bullmq')
  try {
    expect(await ended(start(bare, { queue: 'redis://localhost' }))).toEqual({
      code: 1,
      out: '',
      err: expect.stringMatching(/^error\[QUEUE\] .*bullmq.*\nhelp: Run `npm install bullmq ioredis`.*\n$/),
    })
  } finally {
    bare.remove()
  }
})

describe('the address of a queue', () => {
  test.each([
    ['redis://localhost', { host: 'localhost', port: 6379, database: 0, tls: false, shown: 'redis://localhost' }],
    ['redis://[::1]:7000/3', { host: '::1', port: 7000, database: 3, tls: false, shown: 'redis://[::1]:7000/3' }],
    [
      'rediss://me:se%20cret@example.org:1/',
      {
        host: 'example.org',
        port: 1,
        database: 0,
        username: 'me',
        password: 'se cret',
        tls: true,
        shown: 'rediss://example.org:1',
      },
    ],
  ])('%s', (text, address) => {
    expect(parseQueue(text)).toEqual(address)
  })

  test.each(['localhost:6379', 'http://localhost', 'redis://', 'redis://localhost/name', 'redis://localhost?db=1', ''])(
    'is not %j',
    (text) => {
      expect(() => parseQueue(text)).toThrow('Give the address of a Redis server')
    },
  )
})
