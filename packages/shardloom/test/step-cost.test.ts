import { nodeTimes, representatives, simulate } from '@shardloom/simulator'
import { expect, test } from 'vitest'
import { loadSpec, simulateServingLoaded, timedPlan } from '../src/index.js'
import { machineOfSpec } from '../src/simulate-plan.js'
import { resized } from '../src/step-cost.js'

const cases = [
  ['decode', 'llama-3.1-8b', { tp: 4, pp: 2 }, ['batch'], 37],
  ['decode', 'llama-3.1-8b', { tp: 16, dcp: 2 }, ['batch'], 12],
  ['decode', 'deepseek-v3', { tp: 4, dp: 2, ep: 8 }, ['batch'], 96],
  ['decode', 'deepseek-v3', { tp: 4, dp: 2, expertTp: 8 }, ['batch'], 5],
  ['prefill', 'llama-3.1-8b', { tp: 4, pp: 2 }, ['seq', 'kv_seq'], 24],
  ['prefill', 'deepseek-v3', { tp: 4, dp: 2, ep: 8 }, ['seq', 'kv_seq'], 64],
] as const

test.each(cases)('%s of %s in other sizes takes what a plan of those sizes takes: %j', async (...of) => {
  const [phase, model, parallel, dims, times] = of
  const at = async (factor: number) => {
    const { dp = 1, pp = 1 }: Readonly<Record<string, number>> = parallel
    const [batch, seq] = phase === 'decode' ? [dp * pp * factor, 2] : [dp * pp, 64 * factor]
    const loaded = await loadSpec({ model, cluster: 'dgx-h100', phase, batch, seq, parallel })
    return { loaded, timed: timedPlan(loaded) }
  }
  const [base, whole] = [await at(1), await at(times)]
  const measured = [resized(base.timed, dims, times), whole.timed].map((timed) => {
    const { program, operators } = timed
    const machine = machineOfSpec(whole.loaded, timed)
    const [rank = 0] = representatives(program)
    const nodes = nodeTimes(program, operators, machine, rank).times
    return {
      seconds: simulate(program, operators, machine).seconds,
      nodes: [...nodes].map(([id, time]) => [id, time.seconds(0)]),
    }
  })
  expect(measured[0]).toEqual(measured[1])
})

test('engines that split their cache by position serve both phases', async () => {
  const spec = (parallel: object) =>
    loadSpec({
      model: 'llama-3.1-8b',
      cluster: 'dgx-h100',
      phase: 'serving',
      batch: 8,
      seq: 1024,
      parallel,
      options: { serving: { load: { clients: 4, requests: 8, output: 32 } } },
    })
  const [whole, split] = [
    simulateServingLoaded(await spec({ tp: 16 })),
    simulateServingLoaded(await spec({ tp: 16, dcp: 2 })),
  ]
  // 8 KV heads on 16 ranks are held twice: by halves there is room for twice as many tokens.
  const [once, twice] = [whole, split].map(({ pools }) => pools[0]?.capacity.tokens ?? 0)
  expect((twice ?? 0) / (once ?? 1)).toBeCloseTo(2, 3)
})
