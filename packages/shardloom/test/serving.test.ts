import { nodesOf, type Program, regionsOf, walk } from '@shardloom/core'
import { describe, expect, test } from 'vitest'
import { plan, planServing, type SpecInput, summariseServing, verifyPlan } from '../src/index.js'

const llama = { model: 'llama-3.1-8b', phase: 'serving', batch: 8, seq: 4096 } as const
const serve = (serving: object, more: Partial<SpecInput> = {}, options: object = {}) =>
  planServing({ ...llama, ...more, options: { serving, ...options } })
const passing = ({ items }: Program) => nodesOf(items).filter(({ communication }) => communication?.pool)

/** Keys and values of Llama 3.1 8B: 32 layers, 8 heads of 128, 2 bytes each, for 8 prompts of 4,096 tokens. */
const cacheBytes = 2 * 32 * 8 * 128 * 2 * 8 * 4096

describe('the bytes that pass are those of the cache, once for every copy that decode holds', () => {
  test.each([
    ['tp 4 to tp 8', { tp: 4 }, { tp: 8 }, 1],
    ['cp 3 in zigzag and tp 2 to tp 4', { cp: 4, tp: 2 }, { tp: 4 }, 1],
    ['copies of heads: tp 16 to tp 4', { tp: 16 }, { tp: 4 }, 1],
    ['tp 2 to tp 16, which holds each head twice', { tp: 2 }, { tp: 16 }, 2],
    ['pp 4 to pp 2 × tp 2', { pp: 4 }, { pp: 2, tp: 2 }, 1],
    ['cp 2 × Ulysses 2 to tp 2', { cp: 2, ulysses: 2 }, { tp: 2 }, 1],
    ['dp 4 to one rank', { dp: 4 }, {}, 1],
    ['tp 4 to tp 16, whose ranks hold positions in turn', { tp: 4 }, { tp: 16, dcp: 2 }, 1],
  ] as const)('%s', async (_, prefill, decode, copies) => {
    const parts = { prefill: { chunk: 512, cached: 1024 } }
    for (const options of [{}, parts]) {
      const served = await serve({ prefill: { parallel: prefill }, decode: { parallel: decode } }, {}, options)
      expect(served.pools).toBe(2)
      expect(summariseServing(served).total.bytes).toBe(copies * cacheBytes)
      expect(verifyPlan(served).rules.flatMap(({ violations }) => violations)).toEqual([])
      // What nodes say that they send is what passes.
      const { prefill: first, decode: later } = summariseServing(served)
      // A share is the mean of a pool: exact for rank 0 where all ranks hold alike.
      if (!('pp' in prefill || 'dcp' in decode)) {
        const sent = first.communication.filter(({ op, axes }) => op === 'send' && axes.length === 0)
        const bytes = sent.reduce((sum, { count, bytesPerRank }) => sum + count * bytesPerRank, 0)
        const chunked = 'prefill' in options
        if (!chunked) expect(bytes * first.world).toBeCloseTo(copies * cacheBytes, 3)
        const got = later.communication.filter(({ op, axes }) => op === 'recv' && axes.length === 0)
        const received = got.reduce((sum, { count, payloadBytes }) => sum + count * payloadBytes, 0)
        expect(received * later.world).toBeCloseTo(copies * cacheBytes, 3)
      }
    }
  })

  test('a batch of decode takes in several of prefill', async () => {
    const parallel = { tp: 2 }
    const served = await serve({ prefill: { parallel, batch: 2 }, decode: { parallel } })
    const { total } = summariseServing(served)
    expect([total.prefillSteps, total.bytes]).toEqual([4, cacheBytes])
    expect([total.mostSent, total.mostReceived]).toEqual([cacheBytes / 2, cacheBytes / 2])
  })

  test('a layer with a window hands on the positions that its window still reaches', async () => {
    const pool = { parallel: { tp: 2 } }
    const served = await serve({ prefill: pool, decode: pool }, { model: 'gpt-oss-120b', seq: 6000 })
    // Every second of 36 layers has a window of 128 positions, of which the new token is one.
    for (const { positions, layers, bytesPerLayer } of summariseServing(served).transfer) {
      const first = positions[0]
      expect([0, 6000 - 127]).toContain(first)
      expect([positions[1], layers]).toEqual([6000, 18])
      expect(bytesPerLayer).toBe(8 * (6000 - first) * 8 * 64 * 2)
    }
  })
})

test('a send stands behind its write and waits for nothing else; a recv before the first step', async () => {
  const { prefill, decode } = await serve({ prefill: { parallel: { tp: 4 } }, decode: { parallel: { tp: 8 } } })
  const ids: string[] = []
  walk(prefill.program.items, ({ id }) => ids.push(id))
  for (const { inputs, op, id } of passing(prefill.program)) {
    expect(op).toBe('send')
    expect(ids[ids.indexOf(id) - 1]).toBe(inputs[0])
  }
  const recvs = passing(decode.program)
  expect(recvs.map(({ op }) => op)).toEqual(['recv', 'recv'])
  const [receive, steps] = decode.program.items
  expect([receive?.id, steps?.id]).toEqual(['decode/receive', 'decode/steps'])
  const carried = regionsOf(decode.program.items).flatMap(({ ports }) => ports)
  for (const { id } of recvs) expect(carried.some((port) => port.kind === 'carry' && port.initial === id)).toBe(true)
})

test('one pool: every rank goes on with what it holds, or hands on what another goes on with', async () => {
  const same = await serve({}, { parallel: { dp: 2, tp: 2 } })
  expect([same.pools, same.transfer.length, passing(same.prefill.program).length]).toEqual([1, 0, 0])
  // Decode that does not split attention needs on both ranks what each has half of.
  const whole = await serve({ decode: { options: { tp: { where: { module: 'ffn' } } } } }, { parallel: { tp: 2 } })
  expect([whole.pools, summariseServing(whole).total.bytes]).toEqual([1, cacheBytes])
})

test('a send without its recv, a cache that nobody receives and a shared node are violations', async () => {
  const served = await serve({ prefill: { parallel: { tp: 4 } }, decode: { parallel: { tp: 8 } } })
  const { decode: bare } = await serve({ prefill: { parallel: { tp: 4 } }, decode: { parallel: { tp: 8 } } })
  const before = bare.log.at(-1)?.before ?? bare.program
  const broken = verifyPlan({ ...served, decode: { ...bare, program: before } })
  const rules = broken.rules.filter(({ violations }) => violations.length).map(({ rule }) => rule)
  expect(rules).toEqual([2, 4])
  const shared = verifyPlan({ ...served, decode: served.prefill })
  expect(shared.rules.find(({ rule }) => rule === 6)?.violations.length).toBeGreaterThan(0)
})

describe('pools that contradict each other are refused, naming both', () => {
  const pool = { parallel: { tp: 2 } }
  test.each([
    ['batches', { prefill: { ...pool, batch: 3 }, decode: { ...pool, batch: 8 } }, {}, 'POOLS', /3 sequences and 8/],
    ['types', { prefill: pool, decode: { ...pool, options: { dtype: 'fp8' } } }, {}, 'POOLS', /bf16 and fp8/],
    ['idle degrees', { prefill: pool, decode: pool }, { parallel: { dp: 2 } }, 'OPTION', /`parallel\.dp` is 2/],
    ['models', { prefill: pool, decode: { ...pool, model: 'gpt2' } }, {}, 'SPEC_KEY', /serving\.decode\.model/],
    ['another phase', { prefill: pool }, { phase: 'decode' }, 'SERVING', /phase is decode/],
  ] as const)('%s', async (_, serving, more, code, message) => {
    await expect(serve(serving, more)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })

  test('one plan has nothing of pools', async () => {
    const one = { ...llama, phase: 'decode', options: { serving: { prefill: pool } } } as const
    await expect(plan(one)).rejects.toMatchObject({ subject: 'options.serving.prefill.parallel' })
    await expect(plan(llama)).rejects.toMatchObject({ code: 'SERVING' })
  })
})
