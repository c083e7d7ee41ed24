import { plan, summarise } from 'shardloom'
import { expect, test } from 'vitest'
import { uniform } from './models.js'

/** Sums what every stage of a pipeline holds, two bytes a parameter and four of its gradient. */
async function held(schedule: string, pp: number, layers: number, more: object = {}) {
  const model = uniform(layers, more)
  const planned = await plan({ model, batch: 4 * pp, seq: 4, parallel: { pp }, options: { schedule } } as never)
  const stages = Array.from({ length: pp }, (_, rank) => summarise(planned, { rank }).perRank)
  for (const each of stages) {
    // bf16 parameters, fp32 gradients, fp32 master copies and two moments: 2, 4 and 12 bytes each.
    expect(each.parameterBytes).toBe(2 * each.parameters)
    expect(each.gradientBytes).toBe(4 * each.parameters)
    expect(each.optimizerBytes).toBe(12 * each.parameters)
  }
  const sum = (field: 'parameters' | 'flops') => stages.reduce((total, each) => total + each[field], 0)
  const { allRanks, model: whole } = summarise(planned)
  expect(sum('parameters')).toBe(allRanks.parameters)
  expect(sum('flops')).toBe(allRanks.flops)
  return sum('parameters') / whole.parameters
}

test.each(['1f1b', 'zbh1', 'zbv', 'interleaved1f1b', 'dualpipev'])(
  '%s holds every parameter once',
  async (schedule) => {
    expect(await held(schedule, 2, 6)).toBe(1)
  },
)

test('DualPipe holds every parameter twice (DeepSeek-V3 report, table 2)', async () => {
  expect(await held('dualpipe', 2, 6)).toBe(2)
  expect(await held('dualpipe', 4, 8)).toBe(2)
})

test('a table that embedding and head share is held by both ends, or by one rank on a V', async () => {
  const tied = { tiedEmbeddings: true }
  const table = 12 * 8
  expect(await held('zbv', 2, 6, tied)).toBe(1)
  const parameters = summarise(await plan({ model: uniform(6, tied) } as never)).model.parameters
  expect(await held('1f1b', 2, 6, tied)).toBeCloseTo(1 + table / parameters, 12)
})
