import { expect, test } from 'vitest'
import { knownSpec } from '../src/worker/cached.js'

const text = (more: string) => `model: llama-3.1-8b
cluster: dgx-h100
phase: serving
seq: 512
${more}`

const batches = async (more: string) => {
  const { of } = await knownSpec(text(more))
  return [of('prefill'), of('decode')].map(({ plan, loaded }) => {
    expect(plan.program.mesh.world).toBeGreaterThan(1)
    return loaded.spec.batch
  })
}

test('steps of serving are those of a prompt for each engine and a token for each client', async () => {
  expect(await batches('parallel: {tp: 2}\n')).toEqual([1, 16])
  expect(await batches('parallel: {tp: 2, replicas: 4}\noptions: {serving: {load: {clients: 30}}}\n')).toEqual([4, 32])
  expect(await batches('parallel: {tp: 2}\nbatch: 8\n')).toEqual([8, 8])
})
