import { loadSpec } from 'shardloom'
import { type Answer, type Candidate, questionOf } from 'shardloom/search'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Crew } from '../../src/search/crew.js'
import { rerank, simulateThese } from '../../src/search/rerank.js'
import { runSearch } from '../../src/search/run-search.js'
import { pretend } from './fake-answerer.js'
import { type Built, buildPretended, quiet } from './pretended.js'

let built: Built
beforeAll(async () => {
  built = await buildPretended()
})
afterAll(() => built.remove())

/** What a crew finds, and what comes of the best of it. */
async function reranked(
  workers: number,
  then: (working: Working, answer: Answer) => Promise<unknown>,
  searched = question,
) {
  const crew = new Crew(built.answerer, workers)
  const { signal } = new AbortController()
  try {
    const { answer } = await runSearch({ question: searched, crew, io: quiet, signal })
    return await then({ crew, io: quiet, signal }, answer)
  } finally {
    await crew.dismiss()
  }
}
type Working = Parameters<typeof rerank>[0]

const question = pretend({ parts: 6 })
const loaded = await loadSpec({ model: 'tiny', batch: 8, cluster: 'dgx-h100' })
const asked = { loaded, question }
const real = questionOf(loaded, { ranks: 1 })

test('threads that have searched simulate the best: the same comes of it as in one thread', async () => {
  const all = (working: Working, answer: Answer) => rerank(working, asked, { answer, others: question })
  const [one, three] = [await reranked(1, all), await reranked(3, all)]
  expect(three).toEqual(one)
  expect(one).toMatchObject({ simulated: expect.any(Number), nearMisses: [] })
})

test('what refuses a candidate is told of it, from a thread too', async () => {
  const candidate = (name: string, bytes: number): Candidate => ({ name, choices: {}, score: 1, metrics: { bytes } })
  const some = [candidate('large', 30), candidate('b', 12), candidate('a', 11)]
  const both = (working: Working) => simulateThese(working, asked, some)
  for (const workers of [1, 2])
    expect(await reranked(workers, both)).toMatchObject([
      { candidate: { name: 'a' }, score: 11 },
      { candidate: { name: 'b' }, score: 12 },
      { candidate: { name: 'large' }, error: { code: 'PRETENDED', help: 'Take a smaller one.' } },
    ])
})

test('a thread that dies costs what it was at, not what was found', async () => {
  const dying = { ...question, choices: { ...question.choices, dies: [true] } }
  const some = [{ name: 'exits' }, { name: 'a' }].map((named) => ({ ...named, choices: {}, score: 1, metrics: {} }))
  const both = (working: Working, answer: Answer) =>
    rerank(working, { loaded, question: real }, { answer: { ...answer, best: some }, others: real })
  expect(await reranked(2, both, dying)).toMatchObject({
    simulated: 2,
    nearMisses: [],
    best: [{ candidate: { name: 'a' } }, { candidate: { name: 'exits' }, error: { code: 'CRASH' } }],
  })
})

test('one thread hears of a signal between two candidates', async () => {
  const controller = new AbortController()
  const loadQuestion: typeof built.answerer.loadQuestion = async (asked) => {
    const answers = await built.answerer.loadQuestion(asked)
    return {
      ...answers,
      *simulated(candidate) {
        setImmediate(() => controller.abort())
        return yield* answers.simulated(candidate)
      },
    }
  }
  const crew = new Crew({ ...built.answerer, loadQuestion }, 1)
  const some = ['a', 'b', 'c'].map((name) => ({ name, choices: {}, score: 1, metrics: {} }))
  const working = { crew, io: quiet, signal: controller.signal }
  const told = await simulateThese(working, { loaded, question: real }, some)
  expect(told.map(({ score }) => score)).toEqual([undefined, undefined, undefined])
})

test('what is stopped is told as it was estimated', async () => {
  const controller = new AbortController()
  controller.abort()
  const crew = new Crew(built.answerer, 1)
  const candidate = { name: 'tp=1', choices: { tp: 1 }, score: 1, metrics: {} }
  const answer: Answer = {
    counts: { total: 1, rejected: {}, bounded: 0, evaluated: 1 },
    best: [candidate],
    front: [],
    misses: [],
  }
  const working = { crew, io: quiet, signal: controller.signal }
  expect(await rerank(working, { loaded, question: real }, { answer, others: real })).toMatchObject({
    simulated: 0,
    nearMisses: [],
    best: [{ candidate, spec: { model: 'tiny' } }],
  })
})
