import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadSpec, readSpecText, simulateLoaded, stepFigures } from 'shardloom'
import { beforeAll, describe, expect, test } from 'vitest'
import { shardloom } from '../../../packages/cli/test/run-command.js'
import { answerPart, foundOf, questionsOf, spaceOf } from '../src/search/answer.js'
import type { Found } from '../src/search/jobs.js'
import { emptySearch, type SearchState, searchCommand } from '../src/search/state.js'

const training = 'model: llama-3.1-8b\ncluster: dgx-h100\nbatch: 32\nseq: 4096\nparallel: {tp: 8}\n'
const serving = `model: llama-3.1-8b
cluster: dgx-h100
phase: serving
batch: 8
seq: 512
parallel: {tp: 4}
options: {serving: {load: {clients: 16, input: 512, output: 64}}}
`
const narrow: SearchState = {
  ...emptySearch,
  limits: ['peak-memory<=60GB'],
  choose: ['tp=2,4,8', 'cp=1', 'ulysses=1', 'recompute=none', 'schedule=1f1b', 'virtual=1'],
  keep: ['order'],
  top: 3,
  front: ['step-time', 'peak-memory'],
}

/** What a page finds whose workers answer the parts of a search, each knowing only its own; the parts end in this order. */
async function searched(text: string, asked: SearchState, backwards = false): Promise<Found> {
  const { question, wide } = await questionsOf({ text, asked })
  const parts = Array.from({ length: question.parts }, (_, part) => part)
  const answers = []
  for (const part of backwards ? parts.reverse() : parts)
    answers.push((await answerPart({ question, part }, () => {})).answer)
  return foundOf({ question, wide, answers: structuredClone(answers), simulate: true }, () => {})
}

/** What the command says of the same, by the very words that the page shows. */
async function commanded(text: string, asked: SearchState) {
  const folder = mkdtempSync(join(tmpdir(), 'studio-'))
  const [file, best] = [join(folder, 'plan.yaml'), join(folder, 'best.yaml')]
  writeFileSync(file, text)
  const words: readonly string[] = searchCommand(file, asked).match(/'[^']*'|\S+/g) ?? []
  const args = words.slice(words.indexOf('shardloom') + 1).map((word) => word.replace(/^'(.*)'$/s, '$1'))
  const { out } = await shardloom([...args, '--workers', '1', '--json', '--spec', best])
  return { document: JSON.parse(out), best: readFileSync(best, 'utf8') }
}

describe.each([
  ['training', training, narrow],
  ['decode', training.replace('batch: 32', 'phase: decode\nbatch: 32'), { ...emptySearch, top: 2 }],
  ['serving', serving, { ...emptySearch, choose: ['clients=8,16', 'pools=1'], top: 2 }],
] as const)('a search of %s in the page', (_, text, asked) => {
  let found: Found
  beforeAll(async () => {
    found = await searched(text, asked)
  })

  test('has seen what the command sees, and what each of its best opens is the spec that the command has', async () => {
    const { document, best } = await commanded(text, asked)
    expect(found.total).toBe(document.candidates.total)
    expect(found.evaluated).toBe(document.candidates.evaluated)
    expect(found.rows).toHaveLength(document.best.length)
    expect(found.rows[0]?.text).toBe(best)
  })

  test('is the same in whatever order its workers end', async () => {
    expect(await searched(text, asked, true)).toEqual(found)
  })
})

test('the front is one: what is better in one metric is worse in the other, and its points can be planned', async () => {
  const { front } = await searched(training, narrow)
  const points = front?.points ?? []
  expect(points.length).toBeGreaterThan(1)
  for (const [at, { x, y }] of points.entries())
    for (const other of points.slice(at + 1)) expect((x - other.x) * (y - other.y)).toBeLessThan(0)
  const { question } = await questionsOf({ text: points[0]?.text ?? '', asked: emptySearch })
  expect(question.ranks).toBe(8)
})

test('a change that would help keeps the rule that was missed', async () => {
  const tight: SearchState = { ...narrow, limits: [], keep: ['order', 'recompute'] }
  const { misses } = await searched(training, {
    ...tight,
    choose: ['tp=1', 'pp=1', 'zero=0'],
    front: undefined,
  } as never)
  const fix = misses.find(({ rule }) => rule === 'memory')?.fixes[0]
  expect(fix?.change).toMatch(/=/)
  const step = stepFigures(simulateLoaded(await loadSpec(readSpecText(fix?.text ?? ''))))
  expect(step.memory.fits).toBe(true)
})

test('what can be asked is what the phase has', async () => {
  const space = await spaceOf({ text: training })
  expect(space).toMatchObject({ phase: 'training', ranks: 8 })
  expect(space.objectives[0]).toBe('step-time')
  expect(space.choices.map(({ name }) => name)).toContain('recompute')
  expect((await spaceOf({ text: serving })).objectives).toContain('ttft')
})

test.each([
  ['a limit that no number says', { limits: ['peak-memory<=1e999'] }, 'LIMIT'],
  ['a limit of nothing', { limits: ['<script>alert(1)</script>'] }, 'LIMIT'],
  ['a unit that there is not', { limits: ['step-time<=5parsec'] }, 'LIMIT'],
  ['a choice with script in its name', { choose: ['<img src=x onerror=alert(1)>=1'] }, 'CHOICE'],
  ['a name that reaches prototypes', { choose: ['__proto__=1'] }, 'CHOICE'],
  ['an objective that there is not', { objective: 'constructor' }, 'OBJECTIVE'],
])('%s is refused with its code', async (_, asked, code) => {
  await expect(questionsOf({ text: training, asked: { ...emptySearch, ...asked } })).rejects.toMatchObject({ code })
})

test('a space beyond all memory is refused before it is made', async () => {
  const values = Array.from({ length: 120 }, (_, index) => index + 2).join(',')
  const choose = ['dp.bucket', 'tp.overlap', 'pp.group'].map((name) => `${name}=${values}`)
  const { question } = await questionsOf({ text: training, asked: { ...emptySearch, choose } })
  await expect(answerPart({ question, part: 0 }, () => {})).rejects.toMatchObject({ code: 'SPACE' })
})
