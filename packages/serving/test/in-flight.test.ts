import { describe, expect, test } from 'vitest'
import { type EngineStep, makeRequests, type Pool, type Scheduler, simulateServing } from '../src/index.js'

const scheduler: Scheduler = {
  batching: 'mixed',
  chunked: true,
  maxTokens: 2048,
  maxSequences: 256,
  blockTokens: 16,
  reserve: 0,
  preemption: 'recompute',
}
const seconds = ({ prefill, decode }: EngineStep) =>
  4e-3 +
  prefill.reduce((sum, { tokens, context }) => sum + tokens * (20e-6 + 1e-9 * (context + tokens / 2)), 0) +
  decode.reduce((sum, context) => sum + 10e-6 + 2e-9 * context, 0)
/** An engine whose steps pass stages that take these shares of them, behind a host that takes some of its own. */
const piped = (shares: readonly number[], host = 0): Pool => ({
  scheduler,
  capacityTokens: 1_000_000,
  inFlight: shares.length,
  cost: (step) => [host, ...shares.map((share) => share * seconds(step))],
})
const quarters = [1 / 4, 1 / 4, 1 / 4, 1 / 4]

test('one request takes what it takes without stages: it passes all of them for each token', () => {
  const workload = { requests: makeRequests({ count: 3, input: 700, output: 50 }), clients: 1 }
  const [one, four] = [[1], quarters].map((shares) => simulateServing({ pool: piped(shares, 1e-3) }, workload))
  expect(four?.latency.mean).toBeCloseTo(one?.latency.mean ?? Number.NaN, 10)
  expect(four?.ttft.mean).toBeCloseTo(one?.ttft.mean ?? Number.NaN, 10)
})

// Reiser and Lavenberg 1980, at fixed times of service: min(N / Σ t, 1 / max t) for N customers that go round.
test.each([
  { shares: quarters, clients: 1, perStep: 1 },
  { shares: quarters, clients: 3, perStep: 3 },
  { shares: quarters, clients: 4, perStep: 4 },
  { shares: [0.1, 0.2, 0.4, 0.3], clients: 2, perStep: 2 },
  { shares: [0.1, 0.2, 0.4, 0.3], clients: 4, perStep: 2.5 },
])('batches that decode go round in a closed line: $clients in stages of $shares', ({ shares, clients, perStep }) => {
  const step = 8e-3
  const pool: Pool = { ...piped(shares), cost: () => [0, ...shares.map((share) => share * step)] }
  // One after another, so that each begins a batch of its own.
  const requests = Array.from({ length: clients }, (_, at) => ({ input: 1, output: 2000, arrival: (at * step) / 16 }))
  const { outputTokensPerSecond, pool: usage } = simulateServing({ pool }, { requests })
  expect((outputTokensPerSecond * step) / perStep).toBeCloseTo(1, 2)
  expect(usage.busy).toBeCloseTo(perStep / 4, 2)
})

test('parts of a prompt follow each other through the stages: m parts take m + p − 1 turns of one (Huang et al. 2019, GPipe)', () => {
  const turn = 1e-3
  for (const [parts, stages] of [
    [1, 4],
    [4, 4],
    [11, 4],
    [6, 2],
  ] as const) {
    const shares = Array.from({ length: stages }, () => turn)
    const pool: Pool = { ...piped(shares), cost: () => [0, ...shares] }
    const requests = [{ input: parts * scheduler.maxTokens, output: 1 }]
    const { ttft } = simulateServing({ pool }, { requests, clients: 1 })
    expect(ttft.mean).toBeCloseTo((parts + stages - 1) * turn, 12)
  }
})

test('parts of prompts see what those before them have put into the cache, in flight or not', () => {
  const seen: number[] = []
  const pool = piped(quarters)
  const cost = (step: EngineStep) => {
    for (const { context } of step.prefill) seen.push(context)
    return pool.cost(step)
  }
  simulateServing({ pool: { ...pool, cost } }, { requests: [{ input: 5 * 2048, output: 2 }], clients: 1 })
  expect(seen).toEqual([0, 1, 2, 3, 4].map((part) => part * 2048))
})

test('small parts of prompts leave fewer gaps in the stages (Agrawal et al. 2023, SARATHI)', () => {
  const requests = makeRequests({ count: 300, input: { from: 1000, to: 3000 }, output: { from: 50, to: 150 } })
  const busy = (maxTokens: number, shares: readonly number[]) =>
    simulateServing({ pool: { ...piped(shares), scheduler: { ...scheduler, maxTokens } } }, { requests, clients: 32 })
      .pool.busy
  expect(busy(256, quarters)).toBeGreaterThan(busy(2048, quarters) + 0.1)
  // Without stages there are no gaps but at the end.
  for (const maxTokens of [256, 2048]) expect(busy(maxTokens, [1])).toBeGreaterThan(0.99)
})

const batchings: readonly Partial<Scheduler>[] = [
  {},
  { chunked: false, reserve: 1 },
  { batching: 'separate', reserve: 0.5 },
  { preemption: { swapSecondsPerToken: 1e-6 } },
]
describe.each(batchings)('with batches in flight the laws of queues hold: %j', (changed) => {
  const cases = [1, 2, 3, 4].flatMap((seed) => [
    { seed, capacityTokens: 1_000_000, rate: undefined },
    { seed, capacityTokens: 4_000, rate: undefined },
    { seed, capacityTokens: 6_000, rate: 10 },
  ])
  test.each(cases)('%o', ({ seed, capacityTokens, rate }) => {
    const stages = 2 + seed
    const pool: Pool = {
      ...piped(Array.from({ length: stages }, (_, at) => (2 * (at + 1)) / (stages * (stages + 1)))),
      scheduler: { ...scheduler, ...changed },
      capacityTokens,
    }
    const requests = makeRequests(
      { count: 150, input: { from: 10, to: 1500 }, output: { from: 1, to: 300 }, seed },
      rate,
    )
    const served = simulateServing({ pool }, rate === undefined ? { requests, clients: 24 } : { requests })
    const { pool: usage, requestsPerSecond, latency } = served
    expect(served.requests.every(({ sent, first, last }) => sent < first && first <= last)).toBe(true)
    // Little 1961.
    expect(usage.meanRunning + usage.meanWaiting).toBeCloseTo(requestsPerSecond * latency.mean, 8)
    // Tokens are conserved: each prompt once, each output but the first once; more only where room was made.
    const prompts = requests.reduce((sum, { input }) => sum + input, 0)
    const outputs = requests.reduce((sum, { output }) => sum + output - 1, 0)
    if (usage.preemptions === 0) expect([usage.prefillTokens, usage.decodeTokens]).toEqual([prompts, outputs])
    else expect(usage.prefillTokens + usage.decodeTokens).toBeGreaterThanOrEqual(prompts + outputs)
    if (changed.reserve === 1 || capacityTokens === 1_000_000) expect(usage.preemptions).toBe(0)
    expect(usage.peakCapacityUsed).toBeLessThanOrEqual(1)
    expect(usage.busy).toBeLessThanOrEqual(1)
  })
})

test('batches in flight of one place wait for each other there', () => {
  const requests = Array.from({ length: 3 }, (_, at) => ({ input: 1, output: 300, arrival: at * 1e-3 }))
  const served = simulateServing({ pool: { ...piped(quarters), cost: () => 5e-3 } }, { requests })
  expect(served.outputTokensPerSecond * 5e-3).toBeCloseTo(1, 2)
  expect(served.pool.busy).toBeCloseTo(1, 2)
})

test('what a host does before the stages is none of their time, and bounds how many steps there are', () => {
  // Four stages of 2 ms behind a host of 20: a step for each of its turns.
  const pool: Pool = { ...piped(quarters), cost: () => [20e-3, 2e-3, 2e-3, 2e-3, 2e-3] }
  const requests = Array.from({ length: 4 }, (_, at) => ({ input: 1, output: 500, arrival: at * 1e-3 }))
  const { pool: usage, outputTokensPerSecond } = simulateServing({ pool }, { requests })
  expect(outputTokensPerSecond * 20e-3).toBeCloseTo(1, 2)
  expect(usage.busy).toBeCloseTo(2 / 20, 2)
})

describe('sequences are shared out over the batches in flight', () => {
  // Sure that no lane outgrows the others, however long it goes on: what is served per second settles.
  const rates = (sharing: 'even' | 'greedy', batching: 'mixed' | 'separate') =>
    [2000, 8000].map((count) => {
      const pool: Pool = { ...piped(quarters), scheduler: { ...scheduler, maxSequences: 1024, sharing, batching } }
      const requests = makeRequests({ count, input: 500, output: { from: 60, to: 100 } })
      const served = simulateServing({ pool, requestSeconds: 0.04 }, { requests, clients: 400 })
      return served.outputTokensPerSecond
    }) as [number, number]

  test.each(['mixed', 'separate'] as const)('evenly, for as long as it goes on: %s', (batching) => {
    const [few, many] = rates('even', batching)
    expect(many / few).toBeGreaterThan(0.9)
  })

  // "Most requests are packed into the first few microbatches" (vLLM, pull request 19873), "persistent microbatch imbalance" (50410).
  test('or as they come, when one takes most of them and the others wait for it', () => {
    const [, even] = rates('even', 'mixed')
    const [, greedy] = rates('greedy', 'mixed')
    expect(greedy).toBeLessThan(0.95 * even)
  })
})

test.each([
  [1, 2],
  [2, 1],
  [4, 2],
  [3, 3],
])('pools of %d and %d stages hand over to each other where prompts come first', (stages, others) => {
  const of = (count: number): Pool => ({
    ...piped(Array.from({ length: count }, () => 1 / count)),
    scheduler: { ...scheduler, batching: 'separate' },
  })
  const requests = makeRequests({ count: 200, input: { from: 50, to: 800 }, output: { from: 20, to: 60 } }, 40)
  const { decode, requests: served } = simulateServing({ pool: of(stages), decode: of(others) }, { requests })
  expect(served.every(({ first, last }) => first < last)).toBe(true)
  // All stages of decode have something to do: one batch alone would be in flight for a share of one of them.
  const alone = simulateServing({ pool: of(stages), decode: of(1) }, { requests })
  expect(decode?.busy).toBeGreaterThan((0.9 * (alone.decode?.busy ?? 1)) / others)
  expect(decode?.decodeTokens).toBe(alone.decode?.decodeTokens)
})

test('sequences that are in flight keep their room while others make it', () => {
  // Two fit as long as they are short; each needs all at its end.
  const pool: Pool = { ...piped([0.5, 0.5]), capacityTokens: 1024 }
  const requests = makeRequests({ count: 6, input: 400, output: 600 })
  const { pool: usage, requests: ended } = simulateServing({ pool }, { requests, clients: 3 })
  expect(ended).toHaveLength(6)
  expect(usage.preemptions).toBeGreaterThan(0)
  expect(usage.peakCapacityUsed).toBeLessThanOrEqual(1)
})
