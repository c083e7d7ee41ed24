import { nodesOf } from '@shardloom/core'
import { describe, expect, test } from 'vitest'
import { checkSpec, explain, hybrids, type Plan, plan, summarise, verifyPlan } from '../src/index.js'
import { prove } from '../src/testing.js'

const plans = new Map<string, Plan>()
const planned = async (preset: string): Promise<Plan> => {
  const known = plans.get(preset) ?? (await plan({ preset } as never)) // the preset brings the model
  plans.set(preset, known)
  return known
}

/** What rank 0 communicates inside of layers, going forward. */
const inLayers = (each: Plan, segment: string) =>
  summarise(each)
    .communication.filter(({ region, phase }) => region.endsWith('layer') && phase === segment)
    .map(({ op, axes }) => `${op} ${axes.join('.')}`)

describe.each(Object.keys(hybrids))('the hybrid %s', (preset) => {
  test('keeps every rule, and each communication says why', async () => {
    const each = await planned(preset)
    expect(verifyPlan(each).rules.flatMap(({ violations }) => violations)).toEqual([])
    const communication = nodesOf(each.program.items).filter((node) => node.communication)
    expect(communication.length).toBeGreaterThan(0)
    for (const { id } of communication.slice(0, 5)) expect(explain(each, id).text[0]).toMatch(/\w+ .*\./)
  })

  test('computes what one device computes, in small', async () => {
    const proof = await prove({ preset } as never) // as above
    expect(proof.difference?.message).toBeUndefined()
    expect(proof.violations).toEqual([])
    expect(proof.worst.error).toBeLessThan(1e-9)
    expect(proof.unlike).toEqual([])
  })
})

test('data and tensor parallel: an all-reduce over tp in layers, gradients over dp once per step', async () => {
  const each = await planned('dp-tp')
  expect(new Set(inLayers(each, 'forward'))).toEqual(new Set(['all-reduce tp']))
  const late = summarise(each).communication.filter(({ phase }) => phase === 'optimizer')
  expect(new Set(late.map(({ axes }) => axes.join('.')))).toEqual(new Set(['dp', 'tp']))
})

test('Megatron (Korthikanti et al. 2022): no activation is all-reduced in layers; three chunks per rank', async () => {
  const each = await planned('megatron')
  expect(each.program.mesh.world).toBe(512)
  expect(inLayers(each, 'forward').filter((row) => row.startsWith('all-reduce'))).toEqual([])
  // Rank 0 holds chunks 0, 8 and 16 of 24: each hands all 64 microbatches on.
  const sends = summarise(each).communication.filter(({ op, phase }) => op === 'send' && phase === 'forward')
  expect(sends.reduce((sum, { count }) => sum + count, 0)).toBe(3 * 64)
})

test('Llama 3 405B (Grattafiori et al. 2024, table 4): 16,384 ranks share its parameters', async () => {
  const each = await planned('llama3-405b')
  expect(each.program.mesh.world).toBe(16_384)
  expect(each.program.pipeline?.chunks.map(({ from, to }) => to - from)).toEqual([3, ...Array(30).fill(4), 3])
  const { perRank, model } = summarise(each, { rank: 8192 })
  // A rank in the middle holds 8 of 126 layers, 1/(8 · 16 · 8) of each.
  const layers = model.parameters - 2 * 128_256 * 16_384
  expect(perRank.parameters / ((layers * 8) / 126 / 1024)).toBeCloseTo(1, 2)
})

test('experts and attention factor the same ranks differently', async () => {
  const { program } = await planned('dp-tp-pp-ep')
  const degrees = Object.fromEntries(program.mesh.axes.map(({ name, degree }) => [name, degree]))
  expect(program.mesh.world).toBe(128)
  expect((degrees['dp'] ?? 0) * (degrees['tp'] ?? 0)).toBe(
    (degrees['expertDp'] ?? 0) * (degrees['ep'] ?? 0) * (degrees['expertTp'] ?? 0),
  )
  expect(inLayers(await planned('zero3-ep'), 'forward')).toEqual(
    expect.arrayContaining([expect.stringMatching(/^all-to-all/), expect.stringMatching(/^all-gather/)]),
  )
})

test('a spec overrides its preset field by field', () => {
  const spec = checkSpec({ preset: 'megatron', batch: 64, parallel: { dp: 1 }, options: { recompute: 'none' } })
  expect(spec).toMatchObject({ model: 'gpt3-175b', batch: 64, parallel: { dp: 1, tp: 8, pp: 8 } })
  expect(spec.options).toMatchObject({ recompute: 'none', schedule: 'interleaved1f1b', sequenceParallel: true })
})

test('an unknown preset is refused with the nearest', () => {
  expect(() => checkSpec({ preset: 'megatrom' })).toThrow(/no preset `megatrom`/)
  expect(() => checkSpec({ preset: 3 })).toThrow(/no preset `3`/)
})
