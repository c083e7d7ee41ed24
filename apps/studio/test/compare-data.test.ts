import { compare, loadSpec, type Simulation, type SpecInput, simulateLoaded } from 'shardloom'
import { expect, test } from 'vitest'
import { compareVariants } from '../src/compare/data.js'
import { differenceWords } from '../src/compare/words.js'

const simulated = async (spec: SpecInput): Promise<Simulation> => simulateLoaded(await loadSpec(spec))

const pipeline = {
  model: 'gpt2',
  cluster: 'dgx-h100',
  seq: 512,
  batch: 16,
  microbatch: 1,
  parallel: { pp: 4, dp: 2 },
} as const

test('signs and figures are those of the simulations', async () => {
  const list = [
    { name: 'short', simulation: await simulated(pipeline) },
    { name: 'long', simulation: await simulated({ ...pipeline, seq: 1024 }) },
  ]
  const { words, timelines, memories } = compareVariants(list)
  const [short, long] = list.map(({ simulation }) => simulation) as [Simulation, Simulation]
  const relative = long.step.seconds / short.step.seconds - 1
  expect(words[0]).toEqual([])
  expect(words[1]?.[0]).toBe(`+${(100 * relative).toFixed(1)}\u00a0% step time`)
  const memory = words[1]?.find((each) => /on rank|on every rank/.test(each)) ?? ''
  const most = long.step.ranks
    .map(({ rank, memory: { peakBytes } }, at) => ({
      rank,
      by: peakBytes - (short.step.ranks[at]?.memory.peakBytes ?? 0),
    }))
    .sort((a, b) => Math.abs(b.by) - Math.abs(a.by))[0]
  expect(memory).toContain(`on rank ${most?.rank}`)
  expect(memory).toMatch(/^\+/)
  expect(timelines.map(({ name }) => name)).toEqual(['short', 'long'])
  expect(memories.map(({ name }) => name)).toEqual(['short', 'long'])
})

test('a spec does not differ from itself', async () => {
  const simulation = await simulated(pipeline)
  expect(
    compareVariants([
      { name: 'a', simulation },
      { name: 'b', simulation },
    ]).words,
  ).toEqual([[], ['no difference']])
})

test('the other way round every sign is the other', async () => {
  const [a, b] = [await simulated(pipeline), await simulated({ ...pipeline, options: { schedule: 'zbh1' } })]
  const there =
    compareVariants([
      { name: 'a', simulation: a },
      { name: 'b', simulation: b },
    ]).words[1] ?? []
  const back =
    compareVariants([
      { name: 'b', simulation: b },
      { name: 'a', simulation: a },
    ]).words[1] ?? []
  const about = (words: readonly string[]) => words.map((each) => each.replace(/^[+−][^ \u00a0]+\u00a0\S+ /, ''))
  expect(about(back)).toEqual(about(there))
  const signs = (words: readonly string[]) => words.map((each) => each[0])
  const turned = signs(there).map((sign) => (sign === '+' ? '−' : sign === '−' ? '+' : sign))
  expect(signs(back)).toEqual(turned)
})

test('where ranks are not the same, the fullest are compared', async () => {
  const [a, b] = [await simulated(pipeline), await simulated({ ...pipeline, parallel: { pp: 2, dp: 2 } })]
  const { comparison } = {
    comparison: compare([
      { name: 'a', simulation: a },
      { name: 'b', simulation: b },
    ]),
  }
  const peaks = (of: Simulation) => of.step.ranks.map(({ rank, memory }) => ({ rank, bytes: memory.peakBytes }))
  expect(differenceWords(comparison, 1, peaks(a), peaks(b)).join(' ')).toContain('on the fullest rank')
})
