/**
 * Facts about models and clusters that others measured or published, and mistakes that other planners make, as tests of
 * our graphs. What stands elsewhere: FLOPs, bytes and KV traffic of 36 layers (packages/models/test/graph.test.ts),
 * parameters of published checkpoints (huggingface-reference.test.ts), decode that reads only the experts which its
 * tokens touch (graph.test.ts), units (packages/exporters/test/format.test.ts), determinism (packages/core/test),
 * experts reduced over fewer ranks (packages/strategy-ep/test), transfers that hang or mismatch
 * (packages/schedules/test/transfers.test.ts).
 */
import { readFile } from 'node:fs/promises'
import { engines } from '@shardloom/simulator'
import {
  isShardloomError,
  loadSpec,
  type PlanSummary,
  plan,
  programToJson,
  type SpecField,
  type SpecInput,
  simulateLoaded,
  specFields,
  summarise,
} from 'shardloom'
import { scheduleNames } from 'shardloom/schedules'
import { describe, expect, test } from 'vitest'

const reference = process.env.SHARDLOOM_REFERENCE

async function summary(spec: SpecInput): Promise<PlanSummary> {
  return summarise(await plan(spec, { readText: (path) => readFile(path, 'utf8') }))
}

describe('KV cache', () => {
  // Zhao et al. 2025, Insights into DeepSeek-V3 (arXiv 2505.09343), table 1; 2 bytes per element.
  test.each([
    ['deepseek-v3', 70_272],
    ['llama-3.1-405b', 516_096],
  ])('%s keeps %d bytes per token: grouped and latent attention are not read as multi-head', async (model, bytes) => {
    const { perRank } = await summary({ model, phase: 'decode', batch: 1, seq: 1024 })
    expect(perRank.kvBytesWritten).toBe(bytes)
    expect(perRank.kvBytesRead).toBe(1024 * bytes)
  })

  // Copies of each cached value: max(1, attention TP / (KV heads × dcp)), latent attention having one.
  test.each([
    ['deepseek-v3', 8, 1, 8],
    ['deepseek-v3', 8, 2, 4],
    ['deepseek-v3', 8, 8, 1],
    ['qwen3-235b-a22b', 8, 1, 2],
    ['qwen3-235b-a22b', 8, 2, 1],
    ['llama-3.1-8b', 8, 1, 1],
    ['llama-3.1-8b', 32, 1, 4],
    ['llama-3.1-8b', 32, 2, 2],
    ['llama-2-7b', 32, 1, 1],
  ])('of %s on tp %d, of which dcp %d, is held %d times', expectCopies)

  test.skipIf(!reference).each([
    ['deepseek-ai--DeepSeek-R1', 8, 1, 8],
    ['deepseek-ai--DeepSeek-R1', 8, 8, 1],
    ['moonshotai--Kimi-K2-Instruct', 16, 8, 2],
    ['Qwen--Qwen3-235B-A22B', 8, 1, 2],
  ])('of %s on tp %d, of which dcp %d, is held %d times', (name, tp, dcp, copies) =>
    expectCopies(`${reference}/models/${name}.json`, tp, dcp, copies),
  )

  async function expectCopies(model: string, tp: number, dcp: number, copies: number) {
    const spec: SpecInput = { model, phase: 'decode', batch: 1, seq: 64 }
    const [one, many] = [await summary(spec), await summary({ ...spec, parallel: { tp, dcp } })]
    expect(many.perRank.kvBytesWritten * tp).toBe(copies * one.perRank.kvBytesWritten)
    expect(many.perRank.kvBytesRead * tp).toBe(copies * one.perRank.kvBytesRead)
  }

  test('over dcp, ranks that hold a position more are not counted as if all did', async () => {
    const spec: SpecInput = { model: 'deepseek-v3', phase: 'decode', batch: 1, seq: 65, steps: 3 }
    const planned = await plan({ ...spec, parallel: { tp: 4, dcp: 4 } })
    const bytes = [0, 1, 2, 3].map((rank) => summarise(planned, { rank }).perRank.kvBytesRead)
    expect(bytes.reduce((sum, each) => sum + each, 0)).toBe((65 + 66 + 67) * 70_272)
    expect(new Set(bytes).size).toBeGreaterThan(1)
  })
})

describe('counts', () => {
  test('a FLOP is a multiply or an add, attention has its S² term (GPT-3 175B, Narayanan et al. 2021, appendix)', async () => {
    const [s, l, h, V] = [2048, 96, 12288, 51200]
    const options = { attention: 'materialised' } as const // flash computes scores once more in backward
    const { perRank } = await summary({ model: 'gpt3-175b', batch: 1, seq: s, options })
    const { linear, attention, head } = perRank.flopsByClass
    expect(linear).toBe(3 * 24 * s * l * h ** 2)
    expect(attention).toBe(3 * 4 * s ** 2 * l * h)
    expect(head / (3 * 2 * s * h)).toBeGreaterThan(50_000)
    expect(head / (3 * 2 * s * h)).toBeLessThanOrEqual(V)
  })

  test('bytes are bytes: each element type scales them, down to what a collective carries', async () => {
    const spec: SpecInput = { model: 'llama-3.1-8b', phase: 'prefill', batch: 1, seq: 512, parallel: { tp: 4 } }
    for (const [dtype, size] of [
      ['fp8', 1],
      ['bf16', 2],
      ['fp32', 4],
    ] as const) {
      const { perRank, communication } = await summary({ ...spec, options: { dtype } })
      expect(perRank.parameterBytes).toBe(size * perRank.parameters)
      expect(communication.map(({ payloadBytes }) => payloadBytes / (512 * 4096))).toContain(size)
    }
    const { perRank } = await summary({ model: 'llama-3.1-8b', phase: 'prefill', batch: 1, seq: 1 })
    expect(perRank.parameterBytes).toBe(16_060_522_496) // `total_size` of the published checkpoint's index
  })
})

describe('communication', () => {
  test.each([2, 4, 8])('an all-reduce of %d ranks sends 2S(n − 1)/n: the size of the group counts', async (tp) => {
    const { communication } = await summary({ model: 'llama-3.1-8b', phase: 'prefill', batch: 1, parallel: { tp } })
    const sums = communication.filter(({ op }) => op === 'all-reduce')
    expect(sums.length).toBeGreaterThan(0)
    for (const { groupSize, payloadBytes, bytesPerRank } of sums) {
      expect([groupSize, bytesPerRank]).toEqual([tp, (2 * payloadBytes * (tp - 1)) / tp])
    }
  })

  test('without ZeRO nothing is gathered or scattered', async () => {
    const { communication } = await summary({ model: 'llama-3.1-8b', batch: 8, parallel: { dp: 8 } })
    expect(new Set(communication.map(({ op }) => op))).toEqual(new Set(['all-reduce']))
  })

  test('no group has one member, whichever axes are 1, and a group is as large as its axes', async () => {
    const degrees = [1, 2]
    for (const dp of degrees)
      for (const tp of degrees)
        for (const ep of degrees)
          for (const cp of degrees) {
            if ((dp * tp * cp) % ep) continue
            const { communication, mesh } = await summary({ model: 'tiny-moe', batch: 4, parallel: { dp, tp, ep, cp } })
            if (dp * tp * cp === 1) expect(communication).toEqual([])
            for (const { axes, groupSize } of communication) {
              expect(groupSize).toBeGreaterThan(1)
              if (axes.every((axis) => mesh[axis] !== undefined))
                expect(axes.reduce((product, axis) => product * (mesh[axis] ?? 0), 1)).toBe(groupSize)
            }
          }
  })
})

describe('degrees', () => {
  // Launchers take: ep divides dp·cp·tp (torchtitan); tp·attention dp·cp = moe tp·moe ep (serving engines).
  const outcomes = async (parallel: Record<string, number>) => {
    try {
      const { mesh, world } = await summary({ model: 'mixtral-8x7b', phase: 'prefill', batch: 2, parallel })
      return { mesh, world }
    } catch (error) {
      if (!isShardloomError(error)) throw error
      return error.code
    }
  }

  test('experts divide the ranks that are there once more, and never add any', async () => {
    for (const ep of [1, 2, 4, 8])
      for (const expertTp of [1, 2, 4, 8]) {
        const outcome = await outcomes({ dp: 2, tp: 4, ep, expertTp })
        if (8 % (ep * expertTp) === 0) expect(outcome, `${ep} × ${expertTp}`).toMatchObject({ world: 8 })
        else expect(typeof outcome, `${ep} × ${expertTp}`).toBe('string')
      }
    for (const ep of [3, 16]) expect(typeof (await outcomes({ dp: 2, tp: 4, ep }))).toBe('string')
  })
})

describe('every option changes something', () => {
  const training: SpecInput = { model: 'tiny', batch: 8, parallel: { dp: 2, tp: 2 } }
  const bases: readonly SpecInput[] = [
    training,
    { ...training, parallel: { tp: 3 } },
    { ...training, parallel: { tp: 4 } }, // two ranks for each KV head
    { ...training, parallel: { dp: 4, cp: 2 } },
    { ...training, parallel: { dp: 4 }, options: { zero: 3 } },
    { ...training, parallel: { dp: 4, dpReplicate: 2 }, options: { zero: 3 } },
    { model: 'gpt2', batch: 8, parallel: { pp: 4 }, options: { schedule: '1f1b' } },
    { model: 'gpt2', batch: 8, parallel: { pp: 2 }, options: { schedule: 'interleaved1f1b', virtual: 2 } },
    { model: 'tiny-moe', batch: 8, parallel: { dp: 2, tp: 2, ep: 2 } },
    { model: 'tiny-moe', phase: 'prefill', batch: 8, parallel: { dp: 2, ep: 2 } },
    { model: 'tiny', phase: 'decode', batch: 8, seq: 16, parallel: { tp: 2 } },
    { model: 'tiny', phase: 'decode', batch: 8, seq: 16, parallel: { tp: 2 }, options: { decode: { draft: 3 } } },
    { model: 'gpt2', batch: 8, parallel: { dp: 2 }, options: { zero: 3 } },
  ]

  /** Values that a field may have: its choices, or the words by which its description names them. */
  function valuesOf({ path, type, choices, description }: SpecField): readonly unknown[] {
    if (choices) return choices
    if (path.join('.') === 'options.engine') return Object.keys(engines)
    if (type === 'boolean') return [true, false]
    if (type === 'number') return [0, 0.25, 0.5, 1, 2]
    return type === 'integer' ? [1, 2, 3, 10_000_000] : [...description.split(/\W+/), ...scheduleNames()]
  }

  /** The graph, without the notes that only repeat the options, or its time, or the code of what refuses it. */
  async function outcome(base: SpecInput, { path, description }: SpecField, value: unknown): Promise<string> {
    const keys = path.slice(1)
    const [first = '', ...deeper] = keys
    const own = base.options?.[first]
    const set = deeper.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value)
    const options = { ...base.options, [first]: deeper.length > 0 ? { ...Object(own), ...Object(set) } : set }
    try {
      if (isOfTime(description)) {
        const loaded = await loadSpec({ ...base, options, cluster: 'dgx-h100' })
        return `{${simulateLoaded(loaded).step.seconds}}`
      }
      const { program } = await plan({ ...base, options })
      return JSON.stringify(programToJson({ ...program, notes: {} }))
    } catch (error) {
      if (!isShardloomError(error)) throw error
      return error.code
    }
  }
  const isGraph = (text: string) => text.startsWith('{')
  const differ = (a = '', b = '') => a !== b && (isGraph(a) || isGraph(b))
  const isOfTime = (description: string) => description.startsWith('simulate:')

  // What a pool of serving has of its own are the fields of the spec once more; a file of constants changes what simulate
  // says in packages/cli/test/calibrate.test.ts.
  const fields = specFields().filter(
    ({ path }) => path[0] === 'options' && path[1] !== 'serving' && path[1] !== 'efficiency',
  )

  test.each(fields.map((field) => [field.path.join('.'), field] as const))('%s', async (_, field) => {
    const values = [...new Set(valuesOf(field))]
    let alike = values.flatMap((value, index) => values.slice(0, index).map((other) => [other, value] as const))
    // Of the choices every two differ somewhere, but types of one size take the same time.
    const most = field.choices && !isOfTime(field.description) ? 0 : alike.length - 1
    for (const base of bases) {
      if (alike.length <= most) break
      const made = await Promise.all(values.map(async (value) => [value, await outcome(base, field, value)] as const))
      const outcomes = new Map(made)
      alike = alike.filter(([one, other]) => !differ(outcomes.get(one), outcomes.get(other)))
    }
    expect(alike.length, JSON.stringify(alike)).toBeLessThanOrEqual(most)
  })
})
