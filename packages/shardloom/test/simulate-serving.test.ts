import { describe, expect, test } from 'vitest'
import {
  finish,
  loadSpec,
  prepareServing,
  simulateLoaded,
  simulateServingLoaded,
  summariseServingSimulation,
  summariseSimulation,
} from '../src/index.js'
import { capacityOf, deviceCost } from '../src/step-cost.js'

const host = { step: 0, layer: 0, sequence: 0, request: 0, issue: 0 }
const serving = (more: object = {}, fields: object = {}) =>
  loadSpec({
    model: 'llama-3.1-8b',
    cluster: 'dgx-h100',
    phase: 'serving',
    batch: 16,
    seq: 1024,
    parallel: { tp: 2 },
    ...fields,
    options: { serving: { host, load: { clients: 4, requests: 8, output: 32 }, ...more } },
  })
const phase = async (phase: 'prefill' | 'decode', fields: object) =>
  loadSpec({ model: 'llama-3.1-8b', cluster: 'dgx-h100', phase, parallel: { tp: 2 }, ...fields })

describe('a step of an engine', () => {
  test('without other work it grows with tokens and contexts, and reads the cache at what memory sustains', async () => {
    const [prefill, decode] = [
      await phase('prefill', { batch: 1, seq: 1024 }),
      await phase('decode', { batch: 1, seq: 1024 }),
    ]
    const cost = deviceCost(prefill, decode, { collectiveSeconds: 3e-6, accelerators: [] })
    const decoding = (contexts: number[]) => cost({ prefill: [], decode: contexts, sampled: contexts.length })
    expect(decoding([2048, 2048]).attention).toBeCloseTo(2 * decoding([2048]).attention, 12)
    expect(decoding([4096]).attention).toBeGreaterThan(1.9 * decoding([2048]).attention)
    // Llama 3.1 8B: 8 KV heads of 128, keys and values, 2 bytes, 32 layers: 131,072 bytes per token, half of them on each rank.
    const seconds = (2048 * 131_072) / 2 / 3.35e12
    expect(seconds / decoding([2048]).attention).toBeGreaterThan(0.85)
    expect(seconds / decoding([2048]).attention).toBeLessThan(1)
    const prompts = (parts: { tokens: number; context: number }[]) => {
      const { tokens, attention } = cost({ prefill: parts, decode: [], sampled: 1 })
      return tokens + attention
    }
    expect(prompts([{ tokens: 2048, context: 0 }])).toBeGreaterThan(prompts([{ tokens: 1024, context: 0 }]))
    expect(prompts([{ tokens: 1024, context: 4096 }])).toBeGreaterThan(prompts([{ tokens: 1024, context: 0 }]))
    // Two prompts side by side attend to less than one of both lengths does.
    const two = prompts([
      { tokens: 4096, context: 0 },
      { tokens: 4096, context: 0 },
    ])
    expect(two).toBeLessThan(prompts([{ tokens: 8192, context: 0 }]))
  })

  test('with a prompt it is issued kernel by kernel, and decoding alone replayed (TensorRT-LLM, Piecewise CUDA Graph)', async () => {
    const load = { clients: 1, requests: 1, input: 256, output: 8 }
    const of = async (issue: number) => simulateServingLoaded(await serving({ host: { ...host, issue }, load })).result
    const [slow, fast] = [await of(2e-3), await of(0)]
    // 32 layers.
    expect(fast.ttft.mean).toBeLessThan(32 * 2e-3)
    expect(slow.ttft.mean).toBeCloseTo(32 * 2e-3, 12)
    expect(slow.tpot?.mean).toBeCloseTo(fast.tpot?.mean ?? 0, 12)
  })

  test('the weights bound it from below: all are read in each step of decode', async () => {
    const simulation = simulateServingLoaded(await serving({ load: { clients: 1, requests: 1, output: 64 } }))
    // 8.03 B parameters of 2 bytes on 2 ranks, without the embedding, of which rows are read; 3.35 TB/s (NVIDIA 2023).
    const least = ((8.03e9 - 128_256 * 4096) * 2) / 2 / 3.35e12
    expect(simulation.result.tpot?.mean).toBeGreaterThan(least)
    expect(simulation.result.tpot?.mean).toBeLessThan(1.7 * least)
  })
})

describe('capacity', () => {
  test('is what the fraction of memory leaves beside weights and reserve, over what a token holds', async () => {
    const decode = await phase('decode', { batch: 1, seq: 1024 })
    const { tokens, bytesPerToken, parameterBytes } = capacityOf(decode, 0.9, 1024)
    expect(bytesPerToken).toBe(131_072 / 2)
    expect(tokens).toBe(Math.floor((0.9 * 80 * 2 ** 30 - parameterBytes - 3_758_096_384 - 358_612_992) / bytesPerToken))
  })

  test('weights and caches of one byte take half', async () => {
    const [wide, narrow] = await Promise.all(
      [{}, { weightDtype: 'fp8', cacheDtype: 'fp8' }].map(async (options) => {
        const decode = await phase('decode', { batch: 1, seq: 1024, options })
        return capacityOf(decode, 0.9, 1024)
      }),
    )
    expect(narrow?.bytesPerToken).toBe((wide?.bytesPerToken ?? 0) / 2)
    // Embedding and head stay: 2 × 128,256 × 4,096 of 8,030,261,248.
    const kept = (2 * 128_256 * 4096) / 2
    expect(narrow?.parameterBytes).toBeCloseTo(((wide?.parameterBytes ?? 0) - 2 * kept) / 2 + 2 * kept, -6)
  })
})

test('more ranks, and more engines, serve more', async () => {
  const rate = async (parallel: object) =>
    simulateServingLoaded(await serving({ load: { clients: 32, requests: 64, output: 32 } }, { parallel })).result
      .outputTokensPerSecond
  const [one, two, engines] = [await rate({ tp: 1 }), await rate({ tp: 2 }), await rate({ tp: 1, replicas: 2 })]
  expect(two).toBeGreaterThan(one)
  expect(engines).toBeGreaterThan(one)
})

test('each rank of dp has places and tokens of a step of its own, as `--max-num-seqs` of vLLM is of a data parallel rank', async () => {
  const load = { clients: 64, requests: 64, input: 64, output: 64 }
  const of = async (dp: number) => {
    const model = { model: 'mixtral-8x7b', parallel: { tp: 1, dp, ep: dp } }
    const spec = await serving({ load, scheduler: { maxSequences: 8, maxTokens: 64 } }, model)
    const { pools, limits } = summariseServingSimulation(simulateServingLoaded(spec))
    return { limits: limits.join(), running: pools[0]?.meanRunning ?? 0 }
  }
  const [two, eight] = [await of(2), await of(8)]
  expect(two.limits).toContain('all 16 places are taken')
  expect(two.running).toBeLessThanOrEqual(16)
  expect(eight.running).toBeGreaterThan(16)
})

test('requests that wait for room are told of with what makes some, and nothing of the kind where there is room', async () => {
  const load = { clients: 8, requests: 16, input: 1000, output: 8 }
  const limits = async (options: object, more: object = {}) =>
    summariseServingSimulation(
      simulateServingLoaded(await serving({ load, ...options }, { parallel: { tp: 1 }, ...more })),
    ).limits.join()
  // Room for one request and half of another: the cache is never full.
  const short = await limits({ memoryFraction: 0.2331 })
  expect(short).toMatch(/lacks nothing but room in the KV cache in (9\d|100) % of the time/)
  expect(short).toContain('a `memoryFraction` above 0.2331, more ranks, `cacheDtype: fp8` or shorter contexts')
  expect(await limits({})).not.toContain('KV cache')
})

test.each([
  [{ clients: 1e8 }, 'options.serving.load.clients', /^100,000,000 clients .* 10 each where `requests` are not given/],
  [{ requests: 1e9 }, 'options.serving.load.requests', /^`options\.serving\.load\.requests` is 1,000,000,000/],
])('more requests than are simulated are told by the field that asks for them: %o', async (load, subject, message) => {
  const loaded = await serving({ load })
  expect(() => simulateServingLoaded(loaded)).toThrow(
    expect.objectContaining({ code: 'WORKLOAD', subject, message: expect.stringMatching(message) }),
  )
})

test('how many sequences there are the load says, not the batch of plans', async () => {
  const of = async (fields: object) =>
    simulateServingLoaded(await serving({}, { parallel: { tp: 1, replicas: 3 }, ...fields })).result
  const three = await of({ batch: 512 })
  expect(three.requests).toHaveLength(8)
  expect(await of({ batch: 3, microbatch: 1 })).toEqual(three)
})

test('a rate that an engine cannot keep up with is warned of, and no other', async () => {
  const of = async (rate: number) => {
    const load = { rate, requests: 400, input: 512, output: 128 }
    const { warnings, requestsPerSecond } = summariseServingSimulation(simulateServingLoaded(await serving({ load })))
    return { warning: warnings.find((each) => each.includes('faster than they are served')), requestsPerSecond }
  }
  const [slow, fast] = [await of(4), await of(1000)]
  expect(slow.warning).toBeUndefined()
  expect(fast.requestsPerSecond).toBeLessThan(500)
  expect(fast.warning).toContain('1000/s against')
})

test('two pools hand the cache over, and decode without prompts between', async () => {
  const pools = { prefill: { parallel: { tp: 2 } }, decode: { parallel: { tp: 2 } } }
  const load = { clients: 16, requests: 64, output: 64 }
  const apart = simulateServingLoaded(await serving({ ...pools, load }, { parallel: {} }))
  const together = simulateServingLoaded(await serving({ load }))
  expect(apart.transferSecondsPerToken).toBeGreaterThan(0)
  expect(apart.result.decode?.prefillTokens).toBe(0)
  expect(apart.result.itl?.p99).toBeLessThan(together.result.itl?.p99 ?? Number.NaN)
  expect(summariseServingSimulation(apart)).toMatchObject({
    world: 4,
    pools: [{ phase: 'prefill' }, { phase: 'decode' }],
  })
})

test('a budget is of generated tokens: ranks times hours times their price', async () => {
  const priced = { tokens: 1e9, pricePerRankHour: 3 }
  const { budget, tokensPerSecond, world } = summariseServingSimulation(
    simulateServingLoaded(await serving({}, { parallel: { tp: 2, replicas: 2 }, ...priced })),
  )
  expect(world).toBe(4)
  const hours = 1e9 / tokensPerSecond / 3600
  expect(budget).not.toHaveProperty('steps')
  expect(budget?.days).toBeCloseTo(hours / 24, 8)
  expect(budget?.cost).toBeCloseTo(hours * 4 * 3, 6)
  expect(budget?.costPerMillionTokens).toBeCloseTo((hours * 4 * 3) / 1000, 8)
})

test('requests at a rate that stop coming before engines are as full as they get are warned of', async () => {
  const of = async (requests: object) => {
    const load = { rate: 20, input: { from: 800, to: 1200 }, output: { from: 200, to: 300 }, ...requests }
    return summariseServingSimulation(simulateServingLoaded(await serving({ load }, { parallel: { tp: 2 } })))
  }
  const [few, usual] = [await of({ requests: 60 }), await of({})]
  expect(few.warnings).toEqual([expect.stringContaining('give more `requests`')])
  expect(usual.warnings).toEqual([])
  expect(usual.load.requests).toBe(1200) // of a minute
  expect(few.tpotSeconds ?? 0).toBeLessThan(usual.tpotSeconds ?? 0)
})

test('of two pools the one that all requests wait for is named, until it has engines enough', async () => {
  const load = { clients: 200, requests: 1200, input: { from: 1500, to: 2000 }, output: { from: 300, to: 500 } }
  const of = async (replicas: number) => {
    const pools = { prefill: { parallel: { replicas } }, decode: { parallel: { replicas: 6 } } }
    return summariseServingSimulation(simulateServingLoaded(await serving({ load, ...pools }, { parallel: {} })))
  }
  const [few, enough] = [await of(1), await of(6)]
  const named = ({ limits }: typeof few) => limits.filter((line) => line.includes('requests wait here'))
  expect(named(few)).toEqual([expect.stringMatching(/^prefill: /)])
  expect(named(enough)).toEqual([])
  expect(enough.requestsPerSecond).toBeGreaterThan(1.5 * few.requestsPerSecond)
})

test('room for part of a prompt is said to let nothing in where room is reserved', async () => {
  const of = async (reserve: number) => {
    const load = { clients: 2, requests: 4, input: { from: 100, to: 200 }, output: 4 }
    const spec = await serving({ load, scheduler: { admission: 'chunk', reserve } })
    return summariseServingSimulation(simulateServingLoaded(spec)).warnings
  }
  expect(await of(0)).toEqual([])
  expect(await of(0.5)).toEqual([expect.stringContaining('`scheduler.admission: chunk` changes nothing')])
})

test('requests that no engine takes are warned of', async () => {
  const load = { clients: 1, requests: 2, input: 131_072, output: 2 } // Llama 3.1 was made for 131,072
  const { warnings } = summariseServingSimulation(
    simulateServingLoaded(await serving({ load }, { parallel: { tp: 8 } })),
  )
  expect(warnings).toEqual([expect.stringContaining('made for at most 131,072')])
})

describe('pipeline stages of an engine have a batch in flight each', () => {
  test('no engine was measured with them, so that their times are good for less', async () => {
    const errorOf = async (parallel: object) =>
      summariseServingSimulation(simulateServingLoaded(await serving({ host: {} }, { parallel }))).conventions.error
    const [tp, pp] = [await errorOf({ tp: 2 }), await errorOf({ pp: 2 })]
    expect(pp.tpot).toBeGreaterThan(tp.tpot)
    expect(pp.ttft).toBeGreaterThan(tp.ttft)
  })

  // 32 layers on 4 stages, of which the last has the head, on 3 that are not alike, and on 2.
  test.each([4, 3, 2])(
    'sequences that decode, each in a batch of its own, go round as fast as plans of their phase let batches follow each other: pp %d',
    async (pp) => {
      const load = { rate: 1000, requests: pp, input: 1000, output: 48 }
      const { result } = simulateServingLoaded(await serving({ load }, { parallel: { pp } }))
      const seconds = async (batch: number, steps = 1) => {
        const spec = await phase('decode', { batch, microbatch: 1, seq: 1025, steps, parallel: { pp } })
        return summariseSimulation(simulateLoaded(spec)).stepSeconds
      }
      const [one, five] = [await seconds(1), await seconds(5)]
      const spec = await phase('decode', { batch: 5, microbatch: 1, seq: 1025, parallel: { pp } })
      const { warnings } = summariseSimulation(simulateLoaded(spec))
      expect(warnings).toEqual([expect.stringContaining(`fill ${pp} stages and drain them`)])
      // Reiser and Lavenberg 1980, at fixed times of service: a round takes the sum of all stages, or the slowest for each batch.
      const round = Math.max(one, (pp * (five - one)) / 4)
      expect((result.itl?.p50 ?? 0) / round).toBeCloseTo(1, 2)
      expect(round / one).toBeGreaterThan(pp === 4 ? 1.1 : 1)
      // A plan of several steps has its batches go round as well: but for its first step and its last it takes as long.
      expect(((await seconds(pp, 9)) - (await seconds(pp, 3))) / 6 / round).toBeCloseTo(1, 2)
    },
  )

  test('four stages serve nearly what four engines do: each has a quarter of the weights to read for each of four batches', async () => {
    const load = { clients: 256, requests: 1024, input: { from: 20, to: 40 }, output: { from: 100, to: 200 } }
    const of = async (parallel: object) => {
      // Requests that do not come at once come to different batches.
      const { result } = simulateServingLoaded(await serving({ load, host: { ...host, request: 0.05 } }, { parallel }))
      return { rate: result.outputTokensPerSecond, busy: result.pool.busy }
    }
    const [pp, engines] = [await of({ pp: 4 }), await of({ replicas: 4 })]
    expect(pp.rate / engines.rate).toBeGreaterThan(0.7)
    expect(pp.rate / engines.rate).toBeLessThan(1)
    expect(pp.busy).toBeGreaterThan(0.7)
  })
})

test('of one output token there is no time per output token, and the warnings say so', async () => {
  const summaryOf = async (output: number) =>
    summariseServingSimulation(
      simulateServingLoaded(
        await serving({ load: { clients: 2, requests: 4, input: { from: 100, to: 200 }, output } }),
      ),
    )
  const [one, two] = [await summaryOf(1), await summaryOf(2)]
  expect(one).toMatchObject({ tpotSeconds: null, spread: { tpot: null, itl: null } })
  expect(one.warnings).toEqual([expect.stringContaining('no time per output token')])
  expect(two.tpotSeconds).toBeGreaterThan(0)
  expect(two.warnings).toEqual([])
})

test('without a load clients come as they have room, and the load says what was assumed', async () => {
  const summary = async (load: object, fields: object) =>
    summariseServingSimulation(simulateServingLoaded(await serving({ load }, fields)))
  const usual = await summary({ requests: 32, output: 8 }, { parallel: { tp: 2, replicas: 2 }, batch: 512 })
  expect(usual.load).toMatchObject({ clients: 32, assumed: ['clients', 'input'] })
  const long = await summary({ input: 100_000, output: 8, requests: 8 }, { parallel: { tp: 1 } })
  const [pool] = long.pools
  expect(long.load.clients).toBe(Math.floor((pool?.capacityTokens ?? 0) / 100_008))
  expect(long.load.clients).toBeLessThan(16)
  expect(pool?.meanWaiting).toBeLessThan(long.load.clients ?? 0)
  expect(pool?.preemptions).toBe(0)
  expect((await summary({ rate: 4, requests: 8, input: 64, output: 8 }, {})).load.assumed).toEqual([])
})

test('what was prepared once serves other loads as if it were new', async () => {
  const [some, others] = [await serving(), await serving({ load: { clients: 8, requests: 16, output: 16 } })]
  expect(finish(prepareServing(some)(others)).result).toEqual(simulateServingLoaded(others).result)
})

test('one phase says its time to the first token, or per token', async () => {
  const prefill = summariseSimulation(simulateLoaded(await phase('prefill', { batch: 1, seq: 512 })))
  expect(prefill.ttftSeconds).toBe(prefill.stepSeconds)
  const decode = summariseSimulation(simulateLoaded(await phase('decode', { batch: 4, seq: 512, steps: 4 })))
  expect(decode.tpotSeconds).toBe(decode.stepSeconds / 4)
})

test.each([{ engine: 'megatron-2024' }, { engine: 'bogus' }])(
  '%o is refused: serving has engines of its own',
  async (options) => {
    const fields = { model: 'llama-3.1-8b', cluster: 'dgx-h100', phase: 'serving' }
    for (const each of [options, { serving: { decode: { options } } }]) {
      const loaded = await loadSpec({ ...fields, options: each })
      expect(() => simulateServingLoaded(loaded)).toThrow(
        expect.objectContaining({ code: 'OPTION', help: expect.stringContaining('options.serving.engine') }),
      )
    }
  },
)

test.each([
  [{ engine: 'vlm' }, 'UNKNOWN_ENGINE'],
  [{ load: { clients: 4, rate: 2 } }, 'OPTION'],
  [{ load: { clients: 1, requests: 1, input: 2_000_000 } }, 'KV_CAPACITY'],
  [{ engine: 'tensorrt-llm', load: { clients: 1, requests: 1, input: 10_000 } }, 'PROMPT'],
])('%o is refused', async (options, code) => {
  const loaded = await serving(options)
  expect(() => simulateServingLoaded(loaded)).toThrow(expect.objectContaining({ code }))
})

test('the type of products and constants of an accelerator matter as they do for a step', async () => {
  const loaded = await serving()
  const ttft = (changed: typeof loaded) => simulateServingLoaded(changed).result.ttft.mean
  const { spec } = loaded
  // The peak of H100 in eight bits is twice that in sixteen.
  expect(ttft({ ...loaded, spec: { ...spec, options: { ...spec.options, linearDtype: 'fp8' } } })).toBeLessThan(
    0.9 * ttft(loaded),
  )
  const slow = { schema: 'shardloom.efficiency/1', accelerator: 'h100-sxm', source: 'a test' } as const
  expect(ttft({ ...loaded, efficiency: { ...slow, values: { matmul: 0.2, matmul8: 0.2 } } })).toBeGreaterThan(
    1.5 * ttft(loaded),
  )
})

test('weights that leave no room are told apart from requests that are too long', async () => {
  const large = await serving({}, { model: 'llama-3.1-405b' })
  expect(() => simulateServingLoaded(large)).toThrow(/^Parameters of 406\sGB on a rank.* no room for a KV cache/)
})
