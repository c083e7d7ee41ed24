import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { openCheckpoint } from '../../src/search/checkpoint.js'
import { Crew } from '../../src/search/crew.js'
import { questionDifference } from '../../src/search/question-difference.js'
import { runSearch } from '../../src/search/run-search.js'
import { temporaryFolder } from '../run-command.js'
import { loadQuestion, pretend } from './fake-answerer.js'
import { buildPretended, ended, quiet, runsOf, start, until } from './pretended.js'

const question = pretend({ parts: 5 })

const search = (checkpoint: string, asked = question) =>
  runSearch({
    question: asked,
    crew: new Crew({ loadQuestion, module: new URL('file:///nowhere') }, 1),
    checkpoint,
    io: quiet,
    signal: new AbortController().signal,
  })

/** A finished checkpoint and the outcome that it is of. */
async function finished() {
  const path = `${temporaryFolder()}/search.jsonl`
  const outcome = await search(path)
  return { path, outcome, text: readFileSync(path, 'utf8') }
}

test('has a header and a line for each part', async () => {
  const { text } = await finished()
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines[0]).toEqual({
    schema: 'shardloom.checkpoint/1',
    version: JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version,
    question: expect.stringMatching(/^[0-9a-f]{64}$/),
    parts: 5,
    asked: question,
  })
  expect(lines.slice(1).map(({ part }) => part)).toEqual([0, 1, 2, 3, 4])
})

test('cut anywhere, it goes on to the same answer and the same file', async () => {
  const { path, outcome, text } = await finished()
  const bytes = Buffer.from(text)
  for (let cut = 0; cut < bytes.length; cut += 97) {
    writeFileSync(path, bytes.subarray(0, cut))
    expect(await search(path)).toEqual(outcome)
    expect(readFileSync(path, 'utf8')).toBe(text)
  }
})

test('with a part twice, counts it once', async () => {
  const { path, outcome, text } = await finished()
  writeFileSync(path, `${text}${text.split('\n')[2]}\n`)
  expect(await search(path)).toEqual(outcome)
})

describe('refuses and leaves as it is', () => {
  const header = (text: string) => text.split('\n')[0]
  test.each([
    ['a checkpoint of another question', (text: string) => text, 'another question: `ranks` is 8 there and 16 here.'],
    [
      'another question than one that is not written down',
      (text: string) => text.replace(/,"asked":.*/, '}'),
      'another question.',
    ],
    [
      'one that another release wrote',
      (text: string) => text.replace(/"version":"[^"]*"/, '"version":"99.1.2"'),
      'shardloom 99.1.2 wrote it, and this is ',
    ],
    [
      'one from before releases were named',
      (text: string) => text.replace(/"version":"[^"]*",/, ''),
      'a release that did not say',
    ],
    ['a text', () => 'dear diary', 'not a checkpoint'],
    ['lines of text', () => 'dear\ndiary\n', 'not a checkpoint'],
    ['a document', () => '{\n}\n', 'not a checkpoint'],
    ['one with a damaged line', (text: string) => text.replace('"counts"', '"count"'), 'line 2 is damaged'],
    ['one with a line cut in the middle', (text: string) => text.replace(/\}\n/, '\n'), 'not a checkpoint'],
    [
      'one with a part too many',
      (text: string) => `${header(text)}\n${text.split('\n')[1]?.replace('0', '7')}\n`,
      'part 7',
    ],
  ])('%s', async (name, change, reason) => {
    const { path, text } = await finished()
    const changed = change(text)
    writeFileSync(path, changed)
    const asked = name.includes('another') ? { ...question, ranks: 16 } : question
    await expect(search(path, asked)).rejects.toMatchObject({
      code: 'CHECKPOINT',
      subject: path,
      message: expect.stringContaining(reason),
    })
    expect(readFileSync(path, 'utf8')).toBe(changed)
  })

  test('a folder, and a path in none', async () => {
    const folder = temporaryFolder()
    mkdirSync(`${folder}/inside`)
    for (const path of [`${folder}/inside`, `${folder}/nowhere/search.jsonl`])
      await expect(search(path)).rejects.toMatchObject({ code: 'OUTPUT', subject: path })
  })
})

test('says in what questions differ: three of it at most, long values cut', () => {
  const spec = { ...question.spec, model: 'x'.repeat(60) }
  const other = { ...question, top: 7, parts: 4, front: ['a', 'b'] as const, spec }
  expect(questionDifference(question, question)).toBe('')
  expect(questionDifference(question, { ...question, choices: { ...question.choices, tp: [1, 2] } })).toBe(
    '`choices.tp` is not given there and [1,2] here',
  )
  // How many are kept beyond those that are shown is nothing that is asked.
  expect(questionDifference(question, { ...question, top: 7, kept: 28 })).toBe(
    `\`top\` is ${question.top} there and 7 here`,
  )
  const told = questionDifference(question, other)
  expect(told).toMatch(
    /^`front` is \["seconds","bytes"\] there and \["a","b"\] here, `parts` is 5 there and 4 here, `spec\.model` is /,
  )
  expect(told).toMatch(/x{40}… here, 1 more$/)
})

test('hears how many candidates the file had', async () => {
  const { path, outcome, text } = await finished()
  const kept: number[] = []
  const run = {
    question,
    crew: new Crew({ loadQuestion, module: new URL('file:///nowhere') }, 1),
    checkpoint: path,
    resumed: (candidates: number) => void kept.push(candidates),
    io: quiet,
    signal: new AbortController().signal,
  }
  await runSearch(run)
  const [first = '', part = ''] = text.split('\n')
  writeFileSync(path, `${first}\n${part}\n`)
  await runSearch(run)
  writeFileSync(path, '')
  await runSearch(run)
  expect(kept).toEqual([outcome.answer.counts.total, JSON.parse(part).answer.counts.total])
})

test('the order of keys does not make another question', async () => {
  const { path } = await finished()
  const { schema, spec, ...others } = question
  const file = await openCheckpoint(quiet, path, { ...others, spec, schema })
  expect(file.answers.size).toBe(5)
  await file.close()
})

test('a process that is killed loses the part that it worked on, and no other', async () => {
  const built = await buildPretended()
  try {
    const folder = temporaryFolder()
    const checkpoint = `${folder}/search.jsonl`
    const told = { parts: 6, folder, hang: [3], checkpoint }
    const child = start(built, told)
    await until(() => existsSync(`${folder}/hangs-3`))
    child.kill('SIGKILL')
    await ended(child)
    const { code, out } = await ended(start(built, told))
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ missing: [], failed: [] })
    expect(runsOf(folder)).toEqual({ 0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1 })
    const { answers, ...whole } = await search(`${folder}/other.jsonl`, pretend({ parts: 6 }))
    expect(JSON.parse(out)).toEqual(whole)
  } finally {
    built.remove()
  }
})
