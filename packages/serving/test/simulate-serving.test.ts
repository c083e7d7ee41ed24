import { describe, expect, test } from 'vitest'
import { type EngineStep, makeRequests, type Pool, type Scheduler, simulateServing } from '../src/index.js'
import { leastSteps } from '../src/steps.js'

const scheduler: Scheduler = {
  batching: 'mixed',
  chunked: true,
  maxTokens: 2048,
  maxSequences: 256,
  blockTokens: 16,
  reserve: 0,
  preemption: 'recompute',
}
/** Linear in tokens and in what is read of the cache, like an engine whose weights are read once per step. */
const cost = ({ prefill, decode }: EngineStep): number =>
  5e-3 +
  prefill.reduce((sum, { tokens, context }) => sum + tokens * (20e-6 + 1e-9 * (context + tokens / 2)), 0) +
  decode.reduce((sum, context) => sum + 10e-6 + 2e-9 * context, 0)
const pool: Pool = { scheduler, cost, capacityTokens: 1_000_000 }
const schedulers: Record<string, Scheduler> = {
  chunked: scheduler,
  mixed: { ...scheduler, chunked: false, reserve: 1 },
  'prefill first': { ...scheduler, batching: 'separate', reserve: 0.5 },
}
const mix = { count: 400, input: { from: 100, to: 1500 }, output: { from: 1, to: 300 }, seed: 7 }

test('one request takes its prefill and a decode step for each further token, exactly', () => {
  const [input, output] = [700, 50]
  let now = cost({ prefill: [{ tokens: input, context: 0 }], decode: [], sampled: 1 })
  const { requests } = simulateServing({ pool }, { requests: [{ input, output }], clients: 1 })
  expect(requests[0]?.first).toBe(now)
  for (let token = 1; token < output; token++) now += cost({ prefill: [], decode: [input + token - 1], sampled: 1 })
  expect(requests[0]?.last).toBe(now)
})

test('requests of one token have no time per output token behind it, and no gaps', () => {
  const one = simulateServing({ pool }, { requests: [{ input: 8, output: 1 }], clients: 1 })
  expect([one.tpot, one.itl]).toEqual([null, null])
  expect(one.ttft.mean).toBeGreaterThan(0)
})

test('a prompt longer than the tokens of a step is prefilled in chunks that see what is there', () => {
  const parts = [0, 2048, 4096].map((context) => ({ tokens: Math.min(2048, 5000 - context), context }))
  const expected = parts.reduce((sum, part) => sum + cost({ prefill: [part], decode: [], sampled: 0 }), 0)
  const { ttft } = simulateServing({ pool }, { requests: [{ input: 5000, output: 1 }] })
  expect(ttft.mean).toBeCloseTo(expected, 12)
})

test('a load of more steps than anybody waits for is refused, with how many they are and what would do', () => {
  const one = { pool: { ...pool, scheduler: { ...scheduler, maxTokens: 1 } } }
  // 400 prompts of 100,000 tokens at one token in a step.
  const long = makeRequests({ ...mix, input: 100_000, output: 1 })
  const message = /40,000,000 tokens .* at most 1 \(`maxTokens`\): .* at least 40,000,000 steps, and at most 10,000,000/
  expect(() => simulateServing(one, { requests: long, clients: 1 })).toThrow(
    expect.objectContaining({
      code: 'WORKLOAD',
      subject: 'maxTokens',
      message: expect.stringMatching(message),
      help: expect.stringContaining('Raise `maxTokens` by a factor of 4 or more'),
    }),
  )
  const single = { pool: { ...pool, scheduler: { ...scheduler, maxSequences: 1 } } }
  const wordy = makeRequests({ ...mix, count: 150, input: 10, output: 100_000 })
  expect(() => simulateServing(single, { requests: wordy })).toThrow(/`maxSequences`.*at least 14,999,850 steps/)
})

test.each([1, 7, 64, 2048])(
  'no engine of %i tokens a step serves a load in fewer steps than are reckoned',
  (maxTokens) => {
    const requests = makeRequests({ count: 12, input: { from: 60, to: 300 }, output: { from: 1, to: 60 }, prefix: 50 })
    for (const batching of ['mixed', 'separate'] as const)
      for (const maxSequences of [1, 5, 200])
        for (const [chunked, most] of [
          [true, maxTokens],
          [false, maxTokens + 300],
        ] as const) {
          const each: Scheduler = { ...scheduler, batching, chunked, maxSequences, maxTokens: most }
          const { pool: both } = simulateServing({ pool: { ...pool, scheduler: each } }, { requests, clients: 8 })
          expect(both.steps).toBeGreaterThanOrEqual(leastSteps(requests, each))
          const deployment = { pool: { ...pool, scheduler: each }, decode: { ...pool, scheduler: each } }
          const { pool: first, decode } = simulateServing(deployment, { requests, clients: 8 })
          expect(first.steps + (decode?.steps ?? 0)).toBeGreaterThanOrEqual(leastSteps(requests, each, each))
        }
  },
)

test('one client at one token a step takes just the steps that are reckoned', () => {
  const requests = makeRequests({ ...mix, count: 20 })
  const each = { ...scheduler, maxTokens: 1 }
  const { pool: usage } = simulateServing({ pool: { ...pool, scheduler: each } }, { requests, clients: 1 })
  expect(usage.steps).toBe(leastSteps(requests, each))
})

describe.each(Object.entries(schedulers))('the laws of queues hold when %s', (_, each) => {
  const served = (capacityTokens: number) =>
    simulateServing(
      { pool: { ...pool, scheduler: each, capacityTokens } },
      { requests: makeRequests(mix), clients: 32 },
    )

  test('Little 1961: what is inside is what passes through times how long it stays', () => {
    const { pool: usage, requestsPerSecond, latency } = served(1_000_000)
    expect(usage.meanRunning + usage.meanWaiting).toBeCloseTo(requestsPerSecond * latency.mean, 8)
    expect(usage.meanRunning + usage.meanWaiting).toBeLessThanOrEqual(32)
  })

  test('tokens are conserved: each prompt once, each output but the first once', () => {
    const { pool: usage, requests } = served(1_000_000)
    expect(usage.prefillTokens).toBe(requests.reduce((sum, { input }) => sum + input, 0))
    expect(usage.decodeTokens).toBe(requests.reduce((sum, { output }) => sum + output - 1, 0))
    expect(usage.preemptions).toBe(0)
  })

  test('capacity is never exceeded, and all are served where it is short', () => {
    const short = served(6_000)
    expect(short.pool.peakCapacityUsed).toBeLessThanOrEqual(1)
    expect(short.pool.peakCapacityUsed).toBeGreaterThan(0.8)
    expect(short.requests.every(({ sent, first, last }) => sent < first && first <= last)).toBe(true)
    expect(short.ttft.mean).toBeGreaterThan(served(1_000_000).ttft.mean)
    if (each.reserve === 1) expect(short.pool.preemptions).toBe(0)
    if (each.reserve === 0) expect(short.pool.preemptions).toBeGreaterThan(0)
  })

  test('percentiles are in order, and the same input gives the same result', () => {
    const once = served(20_000)
    for (const spread of [once.ttft, once.tpot, once.itl, once.latency]) {
      const { p50, p90, p99 } = spread ?? { p50: 2, p90: 1, p99: 0 }
      expect(p50).toBeLessThanOrEqual(p90)
      expect(p90).toBeLessThanOrEqual(p99)
    }
    expect(served(20_000)).toEqual(once)
  })

  test('more clients never lower the throughput while there is room', () => {
    const rates = [1, 4, 16, 64].map((clients) => {
      const requests = makeRequests({ count: 640, input: 500, output: 200 })
      return simulateServing({ pool: { ...pool, scheduler: each } }, { requests, clients }).outputTokensPerSecond
    })
    expect([...rates].sort((a, b) => a - b)).toEqual(rates)
  })
})

test.each([0.3, 0.6, 0.8])('an engine of one place at load %d waits like M/D/1 (Pollaczek and Khinchine)', (load) => {
  const seconds = 0.01
  const engine: Pool = { scheduler: { ...scheduler, maxSequences: 1 }, cost: () => seconds, capacityTokens: 1000 }
  const requests = makeRequests({ count: 200_000, input: 10, output: 1, seed: 3 }, load / seconds)
  const { ttft, pool: usage } = simulateServing({ pool: engine }, { requests })
  const waiting = (load * seconds) / (2 * (1 - load))
  expect((ttft.mean - seconds) / waiting).toBeGreaterThan(0.95)
  expect((ttft.mean - seconds) / waiting).toBeLessThan(1.05)
  expect(usage.busy).toBeCloseTo(load, 2)
})

describe('prefixes', () => {
  const requests = makeRequests({ count: 50, input: 1000, output: 20, prefix: 800 })

  test('a shared start is computed once, in whole blocks', () => {
    const { pool: usage } = simulateServing({ pool }, { requests, clients: 1 })
    expect(usage.cachedTokens).toBe(49 * 800)
    expect(usage.prefillTokens).toBe(50 * 1000 - 49 * 800)
  })

  test('it is held once: sequences side by side need less room', () => {
    const usageOf = (prefix: number) =>
      simulateServing({ pool }, { requests: makeRequests({ count: 50, input: 1000, output: 20, prefix }), clients: 8 })
        .pool
    expect(usageOf(800).peakCapacityUsed).toBeLessThan(usageOf(0).peakCapacityUsed)
  })

  test('it makes room when others need it', () => {
    const others = [{ input: 1500, output: 10 }]
    const engine = { ...pool, capacityTokens: 1600 }
    const { pool: usage } = simulateServing(
      { pool: engine },
      { requests: [...requests.slice(0, 2), ...others, ...requests.slice(2, 4)], clients: 1 },
    )
    expect(usage.cachedTokens).toBe(2 * 800)
    expect(usage.preemptions).toBe(0)
  })
})

describe('a request waits until its whole prompt has room', () => {
  const requests = [200, 201, 202, 203].map((output) => ({ input: 5000, output }))
  // Blocks of 16 tokens of three such requests, and of half a prompt.
  const half = { ...pool, capacityTokens: 3 * 5216 + 2500 }

  test('and is not begun and thrown out again (vllm-project/vllm, pull request 37307)', () => {
    const { pool: usage } = simulateServing({ pool: half }, { requests, clients: 4 })
    expect([usage.preemptions, usage.prefillTokens]).toEqual([0, 4 * 5000])
    const begun = { ...half, scheduler: { ...scheduler, admission: 'chunk' as const } }
    const { pool: before } = simulateServing({ pool: begun }, { requests, clients: 4 })
    expect(before.preemptions).toBeGreaterThan(0)
    expect(before.prefillTokens).toBeGreaterThan(4 * 5000)
  })

  test('for which the engine says how long: no longer than it waited, and never for want of anything else', () => {
    const two = [4, 5].map((output) => ({ input: 2000, output }))
    const wait = simulateServing({ pool: { ...pool, capacityTokens: 2500 } }, { requests: two, clients: 2 })
    expect(wait.pool.roomless * wait.seconds).toBeCloseTo(wait.requests[0]?.last ?? 0, 12)
    expect(simulateServing({ pool }, { requests, clients: 4 }).pool.roomless).toBe(0)
    const narrow = { ...pool, scheduler: { ...scheduler, maxSequences: 1 } }
    const places = simulateServing({ pool: narrow }, { requests, clients: 4 }).pool
    expect([places.roomless, places.meanWaiting > 1]).toEqual([0, true])
  })
})

describe('preemption', () => {
  const requests = makeRequests({ count: 40, input: 400, output: 400 })
  const short = { ...pool, capacityTokens: 4000 }

  test('recomputing computes again what was dropped; swapping does not', () => {
    const again = simulateServing({ pool: short }, { requests, clients: 20 })
    const swapping: Scheduler = { ...scheduler, preemption: { swapSecondsPerToken: 0 } }
    const swapped = simulateServing({ pool: { ...short, scheduler: swapping } }, { requests, clients: 20 })
    expect(again.pool.prefillTokens).toBeGreaterThan(40 * 400)
    expect(swapped.pool.preemptions).toBeGreaterThan(0)
    expect(swapped.pool.prefillTokens).toBe(40 * 400)
    expect(swapped.pool.decodeTokens).toBe(40 * 399)
    expect(swapped.seconds).toBeLessThan(again.seconds)
  })

  test('swapping takes its time on the way out and back', () => {
    const secondsOf = (swapSecondsPerToken: number) =>
      simulateServing(
        { pool: { ...short, scheduler: { ...scheduler, preemption: { swapSecondsPerToken } } } },
        { requests, clients: 20 },
      ).seconds
    expect(secondsOf(1e-5)).toBeGreaterThan(secondsOf(0))
  })
})

describe('two pools', () => {
  const requests = makeRequests({ count: 1, input: 700, output: 50 })

  test('one request takes its prefill, its transfer and its decode steps', () => {
    const together = simulateServing({ pool }, { requests, clients: 1 })
    const apart = simulateServing(
      { pool, decode: pool, transferSeconds: (tokens) => tokens * 1e-6 },
      { requests, clients: 1 },
    )
    expect(apart.ttft.mean).toBe(together.ttft.mean)
    expect(apart.latency.mean).toBeCloseTo(together.latency.mean + 700e-6, 12)
  })

  test('decoding is not interrupted by prompts: gaps are as short as without them', () => {
    const many = makeRequests({ count: 200, input: 1500, output: 100 }, 8)
    const together = simulateServing({ pool }, { requests: many })
    const apart = simulateServing({ pool, decode: pool }, { requests: many })
    expect(together.itl?.p99).toBeGreaterThan(2 * (apart.itl?.p99 ?? Number.NaN))
    expect(apart.decode?.prefillTokens).toBe(0)
    expect(apart.pool.decodeTokens).toBe(0)
  })
})

describe.each(Object.entries(schedulers))('the laws of queues hold over two pools when %s', (_, each) => {
  // Prompts of up to twice the tokens of a step, where they may be divided.
  const most = each.chunked ? 2 * each.maxTokens : 1500
  const cases = [1, 2, 3, 4, 5, 6].map((seed) => {
    const [output, capacityTokens] = seed % 2 ? [{ from: 1, to: 300 }, 1_000_000] : [{ from: 1, to: 60 }, 2 * most]
    return { seed, output, capacityTokens, engines: 1 + (seed % 3), rate: seed > 4 ? 20 : undefined }
  })
  test.each(cases)('%o', ({ seed, output, capacityTokens, engines, rate }) => {
    const requests = makeRequests({ count: 100, input: { from: 50, to: most }, output, seed }, rate)
    const one: Pool = { ...pool, scheduler: each, capacityTokens }
    const workload = rate === undefined ? { requests, clients: 24 } : { requests }
    const served = simulateServing({ pool: one, decode: { ...one, engines } }, workload)
    const { pool: usage, decode, latency, requestsPerSecond } = served
    // All end, in order.
    expect(served.requests.every(({ sent, first, last }) => sent < first && first <= last)).toBe(true)
    expect(served.requests.every(({ output, first, last }) => output === 1 || first < last)).toBe(true)
    // Little 1961, over both pools: the transfer takes no time here. Means are of one engine.
    const decoding = engines * ((decode?.meanRunning ?? 0) + (decode?.meanWaiting ?? 0))
    expect(usage.meanRunning + usage.meanWaiting + decoding).toBeCloseTo(requestsPerSecond * latency.mean, 8)
    expect(Math.max(usage.peakCapacityUsed, decode?.peakCapacityUsed ?? 0)).toBeLessThanOrEqual(1)
    // Tokens are conserved: each prompt once, each output but the first once; more only where room was made.
    expect(usage.decodeTokens).toBe(0)
    const prompts = requests.reduce((sum, { input }) => sum + input, 0)
    const outputs = requests.reduce((sum, each) => sum + each.output - 1, 0)
    if (usage.preemptions === 0) expect(usage.prefillTokens).toBe(prompts)
    if (decode?.preemptions === 0) expect([decode.prefillTokens, decode.decodeTokens]).toEqual([0, outputs])
    if (capacityTokens === 1_000_000) expect(usage.preemptions + (decode?.preemptions ?? 0)).toBe(0)
  })
})

test('a pool of prefill keeps no room for what is generated elsewhere', () => {
  const whole: Scheduler = { ...scheduler, chunked: false, reserve: 1 }
  const requests = makeRequests({ count: 8, input: 800, output: 400 })
  const prefill: Pool = { ...pool, scheduler: whole, capacityTokens: 1000 }
  const served = simulateServing({ pool: prefill, decode: { ...pool, scheduler: whole } }, { requests, clients: 4 })
  expect(served.decode?.decodeTokens).toBe(8 * 399)
})

test('engines side by side serve as many times the requests', () => {
  const requests = makeRequests({ count: 384, input: 500, output: 100 })
  const one = simulateServing({ pool }, { requests: requests.slice(0, 96), clients: 8 })
  const four = simulateServing({ pool: { ...pool, engines: 4 } }, { requests, clients: 32 })
  expect(four.requestsPerSecond / one.requestsPerSecond).toBeCloseTo(4, 1)
})

describe('what can never run is refused', () => {
  test('a request that is larger than the capacity', () => {
    const run = () =>
      simulateServing({ pool: { ...pool, capacityTokens: 1000 } }, { requests: [{ input: 990, output: 30 }] })
    expect(run).toThrow(expect.objectContaining({ code: 'KV_CAPACITY' }))
    expect(run).toThrow('needs a KV cache of 1019 tokens, as the last is given without being stored;')
  })
  test('a prompt longer than a step where prompts are whole', () => {
    const engine = { ...pool, scheduler: { ...scheduler, chunked: false } }
    const run = () => simulateServing({ pool: engine }, { requests: [{ input: 3000, output: 3 }] })
    expect(run).toThrow(expect.objectContaining({ code: 'PROMPT' }))
  })
  test.each([{ count: 0 }, { input: 0 }, { output: 2.5 }, { prefix: 1501 }])('a workload such as %o', (wrong) => {
    const made = () => makeRequests({ ...mix, ...wrong })
    expect(made).toThrow(expect.objectContaining({ code: 'WORKLOAD' }))
  })
})

test('loads that would take hours, and lengths that end before they begin, are refused', () => {
  const mix = { count: 10, input: 10, output: 10 }
  for (const change of [{ count: 1e9 }, { count: 1e6, output: 1000 }, { input: { from: 10, to: 5 } }])
    expect(() => makeRequests({ ...mix, ...change })).toThrowError(expect.objectContaining({ code: 'WORKLOAD' }))
})

test('a load that is too long is told in the tokens that it generates, whichever of the two is large', () => {
  for (const change of [
    { count: 1e6, output: 1000 },
    { count: 16, output: 1e7 },
  ]) {
    const told = new RegExp(`${change.count} requests.* ${change.output} tokens`)
    expect(() => makeRequests({ input: 10, ...change })).toThrowError(told)
  }
})
