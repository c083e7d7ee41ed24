import { describe, expect, test } from 'vitest'
import { answersDocument, mergeDocuments } from '../../src/search/answers-document.js'
import { Crew } from '../../src/search/crew.js'
import { exitCodeOf, warningsOf } from '../../src/search/outcome.js'
import { runSearch } from '../../src/search/run-search.js'
import { loadQuestion, pretend } from './fake-answerer.js'
import { quiet } from './pretended.js'

const question = pretend({ parts: 7 })

async function documentOf(index: number, count: number, asked = question) {
  const outcome = await runSearch({
    question: asked,
    crew: new Crew({ loadQuestion, module: new URL('file:///nowhere') }, 1),
    shard: { index, count },
    io: quiet,
    signal: new AbortController().signal,
  })
  return { name: `${index}of${count}.json`, text: JSON.stringify(answersDocument(asked, outcome)) }
}

test('a document has the question and its parts', async () => {
  const { text } = await documentOf(2, 3)
  const { schema, question: found, parts } = JSON.parse(text)
  expect({ schema, found }).toEqual({ schema: 'shardloom.answers/1', found: question })
  expect(parts.map(({ part }: { part: number }) => part)).toEqual([1, 4])
})

test('parts that are missing are named, and the others answered', async () => {
  const { outcome } = mergeDocuments([await documentOf(1, 3), await documentOf(3, 3)])
  expect(outcome.missing).toEqual([1, 4])
  expect(exitCodeOf(outcome)).toBe(1)
  expect(warningsOf(question, outcome)).toEqual([
    'the answer is not of the whole: 2 of 7 parts are missing (1, 4); 5 have an answer',
  ])
})

test('parts that are doubled are named, and count once', async () => {
  const whole = mergeDocuments([await documentOf(1, 1)])
  const { outcome, doubled } = mergeDocuments([await documentOf(1, 2), await documentOf(2, 2), await documentOf(1, 3)])
  expect(outcome).toEqual(whole.outcome)
  expect(doubled).toEqual([0, 3, 6])
})

describe('throws for', () => {
  const failing = async (change: (text: string) => string) => {
    const { name, text } = await documentOf(1, 1)
    return () => mergeDocuments([{ name, text: change(text) }])
  }

  test.each([
    ['what is not JSON', () => 'x', 'not JSON'],
    ['another document', () => '{"schema": "shardloom.plan/1"}', 'schema'],
    ['an answer that is none', (text: string) => text.replace('"counts"', '"count"'), 'parts.0.answer.counts'],
    ['a part too many', (text: string) => text.replace('"parts":7', '"parts":4'), 'part 4'],
  ])('%s', async (_, change, reason) => {
    expect(await failing(change)).toThrow(
      expect.objectContaining({ code: 'ANSWERS', subject: '1of1.json', message: expect.stringContaining(reason) }),
    )
  })

  test('answers of different questions, and different answers of one', async () => {
    const [a, b] = [await documentOf(1, 2), await documentOf(2, 2, { ...question, top: 5 })]
    expect(() => mergeDocuments([a, b])).toThrow(
      '2of2.json and 1of2.json answer different questions: `top` is 3 in 1of2.json and 5 in 2of2.json.',
    )
    const changed = { name: 'changed.json', text: a.text.replace('"total":20', '"total":21') }
    expect(() => mergeDocuments([a, changed])).toThrow('changed.json and 1of2.json have different answers of part 0.')
  })
})
