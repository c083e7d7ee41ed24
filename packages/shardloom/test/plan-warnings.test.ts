import type { Plugin } from '@shardloom/core'
import { presetNames } from '@shardloom/models'
import { savedTensors } from '@shardloom/simulator'
import { describe, expect, test } from 'vitest'
import { type Plan, type PlanAccess, plan, type SpecInput, summarise } from '../src/index.js'

const tiny = { model: 'tiny', batch: 8, seq: 16 } as const

async function warningsOf(spec: SpecInput, access: PlanAccess = {}): Promise<readonly string[]> {
  return (await plan(spec, access)).warnings
}

/** A strategy that splits the sequence, which has one token in a decode step. */
const slices: Plugin = {
  name: 'slices',
  axes: [{ name: 'slices', description: 'splits the sequence' }],
  passes: [
    {
      name: 'slices/split-sequence',
      phase: 'partition',
      run: (program) => {
        if (program.preferences.some(({ strategy }) => strategy === 'slices')) return program
        const wish = { strategy: 'slices', axis: 'slices', class: 'token', dims: ['seq'] } as const
        return { ...program, preferences: [...program.preferences, wish] }
      },
    },
  ],
}

describe('a strategy that changes nothing', () => {
  test('is named with the module that its selector nearly matches', async () => {
    const idle = 'axis `tp` splits nothing: its 2 ranks repeat the same work'
    const where = (selector: object) => ({ ...tiny, parallel: { tp: 2 }, options: { tp: { where: selector } } })
    const about = (text: string) => [`\`tp\`'s selector ${text}`, idle]
    expect(await warningsOf(where({ module: 'fnn' }))).toEqual(
      about('{module: fnn} matches no operator; did you mean `module: ffn`?'),
    )
    expect(await warningsOf(where({ layers: '70-90' }))).toEqual(
      about('{layers: 70-90} matches no operator; the layers are 0 to 1'),
    )
    expect(await warningsOf(where({ module: 'head', layers: 0 }))).toEqual(
      about('{module: head; layers: 0} matches no operator; no operator fits all of its fields at once'),
    )
  })

  test('is not named where another of its wishes is met', async () => {
    const options = { tp: { keyValueGradients: 'defer' } } as const
    expect(
      await warningsOf({ model: 'llama-3.1-8b', batch: 1, phase: 'prefill', parallel: { tp: 16 }, options }),
    ).toEqual([])
    expect(await warningsOf({ ...tiny, parallel: { tp: 2 }, options: { tp: { where: { module: 'ffn' } } } })).toEqual(
      [],
    )
  })

  test('is named where the dim that it splits is too small for the phase', async () => {
    const spec = { ...tiny, parallel: { slices: 4 }, options: { uneven: 'ragged' } } as const
    expect(await warningsOf(spec, { plugins: [slices] })).toEqual([])
    expect(await warningsOf({ ...tiny, phase: 'decode', parallel: { slices: 4 } }, { plugins: [slices] })).toEqual([
      'axis `slices` splits nothing: its 4 ranks repeat the same work',
    ])
  })
})

describe('the length of a sequence', () => {
  test('beyond what the model was made for is named with both numbers', async () => {
    const text = (what: string) => [`the sequence has ${what}, but Tiny was made for at most 128`]
    expect(await warningsOf({ ...tiny, seq: 129 })).toEqual(text('129 positions'))
    expect(await warningsOf({ ...tiny, phase: 'decode', seq: 120, steps: 10 })).toEqual(
      text('129 positions (those that decode steps add included)'),
    )
    expect(await warningsOf({ ...tiny, phase: 'decode', seq: 120, steps: 9 })).toEqual([])
  })

  test('is by default 8192 or what the model has positions for', async () => {
    const seq = async (spec: SpecInput) => summarise(await plan(spec)).batch.seq
    expect(await seq({ model: 'llama-3.1-8b', batch: 1 })).toBe(8192)
    expect(await seq({ model: 'tiny', batch: 1 })).toBe(128)
    expect(await seq({ model: 'tiny', batch: 1, phase: 'decode', steps: 9 })).toBe(120)
  })

  test.each(presetNames().filter((name) => /^(gpt|llama-2)/.test(name)))(
    '%s plans by default, without a warning',
    async (model) => {
      expect(await warningsOf({ model, batch: 1 })).toEqual([])
    },
  )
})

test('shares that may differ are named where figures depend on it', async () => {
  const planned = await plan({ ...tiny, parallel: { tp: 3 }, options: { uneven: 'ragged' } })
  expect(planned.program.notes.uneven).toBe('ragged')
  const { allRanks, conventions, perRank } = summarise(planned)
  expect(conventions).toMatchObject({ uneven: 'ragged', keyValueGradients: 'reduce' })
  expect(allRanks.flopsPerRank?.most).toBe(perRank.flops)
  expect(allRanks.flopsPerRank?.least).toBeLessThan(perRank.flops)
  expect((await plan(tiny)).program.notes.uneven).toBeUndefined()
  const even = await plan({ ...tiny, parallel: { tp: 2 }, options: { uneven: 'ragged' } })
  expect(summarise(even).allRanks.flopsPerRank).toBeUndefined()
})

describe('options that have nothing to do', () => {
  test('positions without `cp`, and gradients of KV heads that no ranks share', async () => {
    const sp = { sp: { positions: 'contiguous' } } as const
    const share = '`positions: contiguous` has nothing to do: no ranks of `cp` share positions.'
    expect(await warningsOf({ ...tiny, options: sp })).toEqual([share])
    expect(await warningsOf({ ...tiny, parallel: { cp: 2 }, options: sp })).toEqual([])
    const idle = (parallel: object, keyValueGradients: 'gather' | 'defer') =>
      warningsOf({ ...tiny, parallel: { ...parallel }, options: { tp: { keyValueGradients } } })
    const text = (why: string) => [`\`keyValueGradients: ${why}.`]
    expect(await idle({}, 'gather')).toEqual(text('gather` has nothing to do: `tp` is 1'))
    expect(await idle({ tp: 2 }, 'gather')).toEqual(text('gather` has nothing to do: no ranks of `tp` share a KV head'))
    expect(await idle({ tp: 4 }, 'gather')).toEqual([])
  })

  test.each(['prefill', 'decode'] as const)('options of gradients in %s are refused, and not listed', async (phase) => {
    const spec = { ...tiny, phase } as const
    for (const options of [
      { dp: { reduce: 'step' } },
      { gradientDtype: 'bf16' },
      { dp: { reduceDtype: 'bf16' } },
    ] as const)
      await expect(plan({ ...spec, options })).rejects.toThrow(/only training has gradients.*the phase is/)
    const { conventions } = summarise(await plan(spec))
    for (const name of ['gradientDtype', 'reduceDtype', 'keyValueGradients', 'recompute', 'offload'])
      expect(conventions).not.toHaveProperty(name)
  })
})

test('all ranks together repeat what no axis splits', async () => {
  const { allRanks, perRank } = summarise(await plan({ ...tiny, parallel: { dp: 2 } }))
  expect(allRanks.parameters).toBe(2 * perRank.parameters)
  expect(allRanks.replicatedParameters).toBe(perRank.parameters)
  expect(allRanks.flops).toBe(2 * perRank.flops)
  expect(allRanks.replicatedFlops).toBeGreaterThan(0)
  expect(allRanks.flopsPerRank).toBeUndefined()
})

describe("an engine of one's own", () => {
  const warningsFor = (engine: object, more: object = {}) => warningsOf({ ...tiny, ...more, options: { engine } })
  const experts = { model: 'tiny-moe', parallel: { dp: 4, ep: 2 } }
  test.each<[object, object, RegExp]>([
    [{ dispatch: 'per-node' }, {}, /`engine\.dispatch` changes nothing: no tokens/],
    [{ castBytes: 5 }, {}, /`engine\.castBytes` changes nothing: no products are cast/],
    [{ castsAgain: true }, {}, /`engine\.castsAgain` changes nothing/],
    [{ castRate: 0.9 }, {}, /`engine\.castRate` changes nothing/],
    [
      { blocking: ['tp', 'dp'] },
      { parallel: { tp: 2 } },
      /`engine\.blocking` changes nothing: .* over tp, not over `dp`/,
    ],
    [{ fused: { tp: 0.9 } }, { parallel: { dp: 2 } }, /`engine\.fused` changes nothing: .* over `tp`/],
    [{ traffic: { router: 2 } }, {}, /`engine\.traffic` changes nothing: .* `router`/],
    [{ traffic: { 'experts/down': 2 } }, {}, /`engine\.traffic` changes nothing: .* `experts\/down`/],
  ])('of %j on %j names what no part of the plan has', async (engine, more, expected) => {
    expect(await warningsFor(engine, more)).toEqual([expect.stringMatching(expected)])
  })

  test('is not named where it changes something, nor one that is known by name', async () => {
    expect(
      await warningsFor({ dispatch: 'per-node', blocking: ['ep'], traffic: { router: 2, 'experts/down': 2 } }, experts),
    ).toEqual([])
    expect(await warningsFor({ blocking: ['tp'], fused: { tp: 0.9 } }, { parallel: { tp: 2 } })).toEqual([])
    expect(await warningsOf({ ...tiny, options: { engine: { castBytes: 5 }, linearDtype: 'fp8' } })).toEqual([])
    expect(await warningsOf({ ...tiny, options: { engine: 'megatron-2021' } })).toEqual([])
  })
})

test('a border that saves the same bytes either way is named, and no other', async () => {
  const planOf = (border: 'saved' | 'again', full: object) =>
    plan({ model: 'llama-3.1-8b', batch: 1, seq: 512, options: { recompute: { full, border } } })
  const bytesOf = ({ program, operators }: Plan) =>
    savedTensors(program, operators).reduce((sum, { bytes }) => sum + bytes, 0)
  const found: boolean[] = []
  for (const full of [{}, { module: 'ffn' }, { except: { name: ['q', 'down'] } }]) {
    const again = await planOf('again', full)
    const isIdle = bytesOf(again) === bytesOf(await planOf('saved', full))
    const named = again.warnings.filter((each) => each.includes('`recompute.border: again` changes nothing'))
    expect(named.length, JSON.stringify(full)).toBe(isIdle ? 1 : 0)
    found.push(isIdle)
  }
  expect(found).toContain(true)
  expect(found).toContain(false)
})
