import { loadSpec, type SpecInput, simulateLoaded, stepFigures } from 'shardloom'
import { describe, expect, test } from 'vitest'
import { buffersOf } from '../src/buffers.js'
import { memoryOfSimulation, momentAt } from '../src/memory/data.js'

const specs: Readonly<Record<string, SpecInput>> = {
  'a pipeline': {
    model: 'gpt2',
    cluster: 'dgx-h100',
    seq: 512,
    batch: 16,
    microbatch: 1,
    parallel: { pp: 4, dp: 2 },
  },
  prefill: { model: 'llama-3.1-8b', cluster: 'dgx-h100', seq: 512, phase: 'prefill', batch: 8, parallel: { tp: 2 } },
}

describe.each(Object.entries(specs))('the memory of %s', (_, spec) => {
  test('begins and ends with what stays, and its peak is that of the simulation', async () => {
    const simulation = simulateLoaded(await loadSpec(spec))
    const { ranks, limit, reserve } = memoryOfSimulation(simulation, 'x')
    // 80 GiB, as accelerators count.
    expect(limit + reserve).toBe(80 * 2 ** 30)
    // What is over the limit does not fit.
    const { fits, peakBytes } = stepFigures(simulation).memory
    expect(peakBytes <= limit).toBe(fits)
    expect(reserve).toBeGreaterThan(1e9)
    expect(ranks.map(({ rank }) => rank)).toEqual(simulation.memory.map(({ rank }) => rank))
    for (const { rank, total, seconds, bands, peak } of ranks) {
      const held = simulation.step.ranks.find((each) => each.rank === rank)?.memory
      const { parameters = 0, optimizer = 0, cache = 0 } = held?.parts ?? {}
      expect(total.at(-1)).toBe(parameters + optimizer + cache)
      // Before anything has come.
      if ((simulation.memory.find((each) => each.rank === rank)?.curve.seconds[0] ?? 0) > 0)
        expect(total[0]).toBe(parameters + optimizer + cache)
      expect(Math.max(...total)).toBe(held?.peakBytes)
      expect(peak).toEqual({ seconds: held?.atSeconds, bytes: held?.peakBytes })
      expect(total[momentAt(seconds, peak.seconds)]).toBe(peak.bytes)
      for (const [at, bytes] of total.entries())
        expect(bands.reduce((sum, band) => sum + (band.bytes[at] ?? 0), 0)).toBe(bytes)
    }
  })

  test('every buffer can be handed over', async () => {
    const data = memoryOfSimulation(simulateLoaded(await loadSpec(spec)), 'x')
    const before = structuredClone(data)
    expect(structuredClone(data, { transfer: buffersOf(data) })).toEqual(before)
  })
})

test('a moment holds until the next', () => {
  const seconds = Float64Array.of(0, 1, 3)
  expect([-1, 0, 0.5, 1, 2.9, 3, 9].map((time) => momentAt(seconds, time))).toEqual([-1, 0, 0, 1, 1, 2, 2])
})
