import { expect, test } from 'vitest'
import { loadSpec, simulateLoaded, summariseSimulation } from '../src/index.js'

test('a type of 16 bits that the accelerator does not name is timed as the other, and it is said', async () => {
  const summary = async (dtype: string, peak: object) => {
    const chip = { name: 'chip', peak, memoryBytes: 64e9, memoryBandwidth: 2e12 }
    const levels = [{ name: 'node', fanOut: 4, bandwidth: 100e9, latency: 1e-6 }]
    const cluster = { accelerator: chip, levels }
    return summariseSimulation(
      simulateLoaded(await loadSpec({ model: 'gpt2', batch: 1, seq: 128, cluster, options: { dtype } })),
    )
  }
  const stood = await summary('bf16', { fp16: 1e14 })
  expect(stood.warnings).toEqual([expect.stringMatching(/`chip` .*bf16.* fp16 stands in/)])
  expect(stood.conventions.peak).toBe(1e14)
  expect((await summary('fp16', { fp16: 1e14 })).warnings).toEqual([])
  expect((await summary('bf16', { bf16: 2e14, fp16: 1e14 })).warnings).toEqual([])
})
