import { expect, test } from 'vitest'
import { loadSpec } from '../src/index.js'

const spec = { model: 'tiny', cluster: 'dgx-h100', phase: 'serving' } as const
const warningsOf = async (load: object) => (await loadSpec({ ...spec, options: { serving: { load } } })).warnings ?? []

// A closed loop of so many clients has that many requests at a time only where each of them sends one.
test.each([
  [{ clients: 64, requests: 10 }, /10 requests are all that 64 clients send, so that 54 of them send none/],
  [{ clients: 10_000_000, requests: 1 }, /1 request is all that 10000000 clients send/],
])('a load that gives some clients nothing to send is doubted: %j', async (load, text) => {
  expect((await warningsOf(load)).join()).toMatch(text)
})

test.each([{ clients: 64, requests: 64 }, { clients: 64 }, { requests: 10 }, { rate: 4, requests: 10 }])(
  'no other is: %j',
  async (load) => {
    expect(await warningsOf(load)).toEqual([])
  },
)
