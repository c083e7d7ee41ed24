import { expect, test } from 'vitest'
import { loadSpec, simulateServingLoaded, summariseServingSimulation } from '../src/index.js'

const summary = async (load: object) => {
  const spec = { model: 'llama-3.1-8b', cluster: 'dgx-h100', phase: 'serving', options: { serving: { load } } }
  return summariseServingSimulation(simulateServingLoaded(await loadSpec(spec)))
}

test('clients whose requests are all alike queue for their first tokens, and are warned of', async () => {
  const alike = await summary({ clients: 32, requests: 96, input: 2048, output: 64 })
  const advised = { input: { from: 1638, to: 2048 }, output: { from: 51, to: 64 } }
  const mixed = await summary({ clients: 32, requests: 96, ...advised })
  expect(alike.warnings).toEqual([
    expect.stringContaining('`load: {input: {from: 1638, to: 2048}, output: {from: 51, to: 64}}`'),
  ])
  expect(mixed.warnings).toEqual([])
  expect(alike.spread.ttft.p50).toBeGreaterThan(mixed.spread.ttft.p50)
})

test('one client, or requests that come by themselves, are not', async () => {
  expect((await summary({ clients: 1, requests: 2, input: 64, output: 4 })).warnings).toEqual([])
  expect((await summary({ rate: 5, requests: 4, input: 64, output: 4 })).warnings).toEqual([])
})
