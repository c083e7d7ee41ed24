import { expect, test } from 'vitest'
import {
  loadSpec,
  type Progress,
  runWork,
  servingSimulationWork,
  simulateLoaded,
  simulateServingLoaded,
  simulationSummaryWork,
  summariseSimulation,
} from '../src/index.js'
import { proofWork, proveLoaded } from '../src/testing.js'

const serving = () =>
  loadSpec({
    model: 'llama-3.1-8b',
    cluster: 'dgx-h100',
    phase: 'serving',
    batch: 16,
    seq: 1024,
    parallel: { tp: 2 },
    options: { serving: { load: { requests: 400, clients: 16 } } },
  })

const training = () => loadSpec({ model: 'tiny', cluster: 'dgx-h100', batch: 4, seq: 16, parallel: { tp: 2 } })

test('work that is done piece by piece comes to what it comes to at once', async () => {
  const [served, step] = [await serving(), simulateLoaded(await training())]
  expect((await runWork(servingSimulationWork(served))).result).toEqual(simulateServingLoaded(served).result)
  const options = { whatIf: true }
  expect(await runWork(simulationSummaryWork(step, options))).toEqual(summariseSimulation(step, options))
  expect(await runWork(proofWork(await training()))).toEqual(proveLoaded(await training()))
})

test('it says how far it is: never backwards, never beyond all', async () => {
  const told: Progress[] = []
  await runWork(servingSimulationWork(await serving()), { progress: (each) => told.push(each) })
  const shares = told.filter(({ work }) => work === 'serving').map(({ done, of }) => done / of)
  expect(shares.length).toBeGreaterThan(2)
  expect(shares).toEqual([...shares].sort((a, b) => a - b))
  expect(shares.at(-1)).toBeLessThanOrEqual(1)
})

test('it ends with the reason of its signal, before it is begun and in its midst', async () => {
  const loaded = await serving()
  const stop = new AbortController()
  const reason = new Error('no longer needed')
  let heard = 0
  const work = runWork(servingSimulationWork(loaded), {
    signal: stop.signal,
    progress: () => {
      if (++heard === 3) stop.abort(reason)
    },
  })
  await expect(work).rejects.toBe(reason)
  expect(heard).toBe(3)
  await expect(runWork(servingSimulationWork(loaded), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})

test('meanwhile others have their turn: a timer stops it', async () => {
  const endless = (function* () {
    for (;;) yield { work: 'waiting', done: 0, of: 1 }
  })()
  const stop = new AbortController()
  setTimeout(() => stop.abort(new Error('time is up')), 1)
  await expect(runWork(endless, { signal: stop.signal })).rejects.toThrow('time is up')
})
