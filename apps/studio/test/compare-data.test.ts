import { compare, formatBytes, loadSpec, type Simulation, type SpecInput, simulateLoaded } from 'shardloom'
import { expect, test } from 'vitest'
import { compareVariants } from '../src/compare/data.js'
import { differenceWords, metricDifference, smallWords } from '../src/compare/words.js'

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
  const peak = ({ step }: Simulation) => Math.max(...step.ranks.map((rank) => rank.memory.peakBytes))
  expect(memory).toContain(formatBytes(peak(long) - peak(short)))
  const [, rank] = /on rank (\d+), the fullest/.exec(memory) ?? []
  if (rank !== undefined)
    for (const each of [short, long]) expect(each.step.ranks[Number(rank)]?.memory.peakBytes).toBe(peak(each))
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

test('the peak is said to grow by what the fullest rank grows by, whichever that is', async () => {
  const simulation = await simulated(pipeline)
  const comparison = compare([
    { name: 'a', simulation },
    { name: 'b', simulation },
  ])
  const gigabytes = (...list: number[]) => list.map((each, rank) => ({ rank, bytes: each * 1e9 }))
  const words = (before: number[], after: number[]) =>
    differenceWords(comparison, 1, gigabytes(...before), gigabytes(...after))
  expect(words([50, 10], [10, 66])).toEqual([`+${formatBytes(16e9)} on the fullest rank`])
  expect(words([50, 10], [60, 59])).toEqual([`+${formatBytes(10e9)} on rank 0, the fullest`])
  expect(words([50, 50], [20, 20])).toEqual([`−${formatBytes(30e9)} on every rank`])
})

test('what eats half of a gain is no small difference, whatever its share of the step', async () => {
  const simulation = await simulated(pipeline)
  const { metrics, ...rest } = compare([
    { name: 'a', simulation },
    { name: 'b', simulation },
  ])
  const part = { unit: 's', better: 'less', part: true } as const
  const step = { ...part, metric: 'stepSeconds', part: false, values: [4, 3.45] }
  const of = (metric: string, after: number) => ({
    ...part,
    metric,
    values: [1, after],
    differences: [{ relative: after - 1, tie: true }],
  })
  const comparison = {
    ...rest,
    metrics: [
      { ...step, differences: [{ relative: -0.1375, tie: false }] },
      of('exposed tp', 1.25),
      of('exposed dp', 1.01),
    ],
  }
  const [, tp, dp] = comparison.metrics
  expect(tp && metricDifference(tp, 1, comparison)).toBe('+25.0\u00a0%')
  expect(dp && metricDifference(dp, 1, comparison)).toBe('+1.0\u00a0%, small')
  expect(smallWords(comparison)).toContain(`±${Math.round(100 * comparison.error)}\u00a0% of the step`)
  expect(differenceWords(comparison, 1, [], []).filter((each) => /exposed/.test(each))).toHaveLength(1)
})
