import fc from 'fast-check'
import { expect, test } from 'vitest'
import { balanceEqualLayers, balanceStages, layerSums, type StageProblem } from '../src/index.js'

/** All divisions of layers among stages, as numbers of layers. */
function* divisions(layers: number, stages: number, least: number): Generator<readonly number[]> {
  if (stages === 0) {
    if (layers === 0) yield []
    return
  }
  for (let count = least; count <= layers; count++)
    for (const rest of divisions(layers - count, stages - 1, least)) yield [count, ...rest]
}

/** All choices of so many stages. */
function* choicesOf(stages: number, choices: number): Generator<readonly number[]> {
  if (stages === 0) yield []
  else
    for (let choice = 0; choice < choices; choice++)
      for (const rest of choicesOf(stages - 1, choices)) yield [choice, ...rest]
}

/** Tries everything: first the least excess, then the least time. */
function bruteForce({
  layers,
  stages,
  microbatches,
  least = 1,
  choices = 1,
  time,
  memory,
  limit = Infinity,
}: StageProblem) {
  let best: { seconds: number; excess: number } | undefined
  for (const counts of divisions(layers, stages, least))
    for (const chosen of choicesOf(stages, choices)) {
      let first = 0
      const costs: number[] = []
      let excess = 0
      for (const [stage, count] of counts.entries()) {
        const range = [first, first + count, stage, chosen[stage] as number] as const
        costs.push(time(...range))
        excess = Math.max(excess, (memory?.(...range) ?? 0) / limit - 1)
        first += count
      }
      const seconds = costs.reduce((sum, cost) => sum + cost, 0) + (microbatches - 1) * Math.max(...costs)
      if (!(seconds < Infinity)) continue
      if (best === undefined || excess < best.excess || (excess === best.excess && seconds < best.seconds))
        best = { seconds, excess }
    }
  return best
}

const sizes = fc.record({
  layers: fc.integer({ min: 1, max: 7 }),
  stages: fc.integer({ min: 1, max: 4 }),
  microbatches: fc.integer({ min: 1, max: 9 }),
  least: fc.constantFrom(0, 1, 2),
})
const real = fc.double({ min: 0, max: 4, noNaN: true })
const list = (value: fc.Arbitrary<number>) => fc.array(value, { minLength: 7, maxLength: 7 })

/** That a balance is what it says it is: consecutive stages, all layers, times and bytes of its own choices. */
function expectTrue(problem: StageProblem) {
  const balance = balanceStages(problem)
  const best = bruteForce(problem)
  if (best === undefined || balance === undefined) return expect(balance).toEqual(best)
  expect(balance.seconds / (best.seconds || 1)).toBeCloseTo(best.seconds === 0 ? 0 : 1, 9)
  expect(balance.excess).toBe(best.excess)
  const { stages, microbatches, layers, least = 1, time, memory = () => 0, limit = Infinity } = problem
  expect(balance.stages).toHaveLength(stages)
  let at = 0
  for (const [stage, { first, end, choice, seconds, bytes }] of balance.stages.entries()) {
    expect(first).toBe(at)
    expect(end - first).toBeGreaterThanOrEqual(least)
    expect(seconds).toBe(time(first, end, stage, choice))
    expect(bytes).toBe(memory(first, end, stage, choice))
    expect(bytes / limit - 1).toBeLessThanOrEqual(balance.excess)
    at = end
  }
  expect(at).toBe(layers)
  const times = balance.stages.map(({ seconds }) => seconds)
  expect(balance.seconds).toBe(times.reduce((sum, each) => sum + each, 0) + (microbatches - 1) * Math.max(...times))
}

test('layers whose times add up, with an embedding, a head and 1F1B memory: what trying everything finds', () => {
  fc.assert(
    fc.property(
      sizes,
      list(real),
      real,
      real,
      list(fc.nat(5)),
      fc.integer({ min: 1, max: 40 }),
      (size, times, embed, head, bytes, limit) => {
        const saved = layerSums(bytes.slice(0, size.layers), (stage) => (stage === 0 ? 3 : 0))
        expectTrue({
          ...size,
          time: layerSums(
            times.slice(0, size.layers),
            (stage) => (stage === 0 ? embed : 0) + (stage === size.stages - 1 ? head : 0),
          ),
          memory: (first, end, stage, choice) =>
            Math.min(size.microbatches, size.stages - stage) * saved(first, end, stage, choice),
          limit,
        })
      },
    ),
    { numRuns: 500 },
  )
})

test('stages that choose a strategy of their own, with any time and memory: what trying everything finds', () => {
  const range = (first: number, end: number, stage: number, choice: number) =>
    ((choice * 4 + stage) * 8 + first) * 8 + end
  const table = (value: fc.Arbitrary<number>) => fc.array(value, { minLength: 768, maxLength: 768 })
  const few = fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 11, Infinity)
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 1, max: 3 }),
      fc.oneof(table(few), table(real)),
      table(fc.nat(6)),
      fc.integer({ min: 1, max: 8 }),
      (size, choices, times, bytes, limit) => {
        expectTrue({
          ...size,
          layers: Math.min(size.layers, 5),
          choices,
          time: (...at) => times[range(...at)] as number,
          memory: (...at) => bytes[range(...at)] as number,
          limit,
        })
      },
    ),
    { numRuns: 500 },
  )
})

const counts = (problem: StageProblem) => balanceStages(problem)?.stages.map(({ first, end }) => end - first)

test('equal layers are divided evenly, and those that do not divide as evenly as they can', () => {
  const time = layerSums(new Array(32).fill(0.1))
  expect(counts({ layers: 32, stages: 4, microbatches: 8, time })).toEqual([8, 8, 8, 8])
  expect(counts({ layers: 30, stages: 4, microbatches: 8, time })?.sort()).toEqual([7, 7, 8, 8])
  expect(counts({ layers: 10, stages: 4, microbatches: 8, time })?.sort()).toEqual([2, 2, 3, 3])
})

test('layers that all take as long: the step of what balances any layers, by their number alone', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 64 }),
      fc.double({ min: 0.01, max: 4, noNaN: true }),
      fc.array(real, { minLength: 1, maxLength: 12 }),
      (layers, microbatches, seconds, besides) => {
        const found = balanceEqualLayers(layers, seconds, besides)
        const time = layerSums(new Array(layers).fill(seconds), (stage) => besides[stage] ?? 0)
        const exact = balanceStages({ layers, stages: besides.length, microbatches, time })
        expect(found === undefined).toBe(exact === undefined)
        if (found === undefined || exact === undefined) return
        expect(found.reduce((sum, each) => sum + each, 0)).toBe(layers)
        expect(Math.min(...found)).toBeGreaterThanOrEqual(1)
        const times = found.map((each, stage) => each * seconds + (besides[stage] ?? 0))
        const step = times.reduce((sum, each) => sum + each, 0) + (microbatches - 1) * Math.max(...times)
        expect(step / exact.seconds).toBeCloseTo(1, 9)
      },
    ),
    { numRuns: 500 },
  )
})

test('Llama 3.1 405B with 16 stages: 126 layers leave one fewer to the first and the last stage', () => {
  // Section 3.3.2 of the Llama 3 paper: one layer less on both, for balance with embedding and head.
  const time = layerSums(new Array(126).fill(1), (stage) => (stage === 0 || stage === 15 ? 1 : 0))
  expect(counts({ layers: 126, stages: 16, microbatches: 128, time })).toEqual([7, ...new Array(14).fill(8), 7])
})

test('where ends may be empty, 126 layers on 128 chunks leave both ends to embedding and head, as Llama 3.1 405B has it', () => {
  // The same section: 16 stages of 8 chunks, the first and the last of them without a layer.
  const besides = Float64Array.from({ length: 128 }, (_, at) => (at === 0 || at === 127 ? 0.9 : 0))
  expect(balanceEqualLayers(126, 1, besides)).toBeUndefined()
  expect(balanceEqualLayers(126, 1, besides, 0)).toEqual([0, ...new Array(126).fill(1), 0])
})

test('what does not fit misses the limit by as little as it can, and says by how much', () => {
  const one = new Array(8).fill(1)
  const problem = { layers: 8, stages: 2, microbatches: 4, time: layerSums(one), memory: layerSums(one), limit: 3 }
  expect(balanceStages(problem)).toMatchObject({ excess: 4 / 3 - 1, stages: [{ bytes: 4 }, { bytes: 4 }] })
  expect(balanceStages({ ...problem, limit: 4 })?.excess).toBe(0)
})

test('more stages than layers are none, and what is no number of them is refused', () => {
  const time = layerSums([1, 1])
  expect(balanceStages({ layers: 2, stages: 3, microbatches: 1, time })).toBeUndefined()
  expect(balanceStages({ layers: 2, stages: 3, microbatches: 1, least: 0, time })?.seconds).toBe(2)
  for (const wrong of [{ layers: 0 }, { stages: 1.5 }, { microbatches: Number.NaN }, { limit: 0 }])
    expect(() => balanceStages({ layers: 2, stages: 1, microbatches: 1, time, ...wrong })).toThrow(
      Object.keys(wrong)[0],
    )
})
