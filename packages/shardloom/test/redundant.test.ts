import { describe, expect, test } from 'vitest'
import { plan } from '../src/plan.js'
import { summarise } from '../src/summarise.js'
import { prove } from '../src/testing.js'

/** Gate, up and down of one routed expert of DeepSeek-V3. */
const expert = 3 * 7168 * 2048
const layers = 58

describe("DeepSeek's own layout (DeepSeek-V3/R1 inference system overview 2025)", () => {
  test.each([
    ['deepseek-prefill', 32, 9],
    ['deepseek-decode', 144, 2],
  ])('%s: %i ranks hold %i experts each', async (preset, ranks, held) => {
    const each = await plan({ preset } as never) // the preset brings the model
    const { world, model, perRank, allRanks, warnings } = summarise(each)
    expect(world).toBe(ranks)
    // The layouts leave open which type weights have.
    expect(warnings.filter((each) => !each.includes('published with weights in fp8'))).toEqual([])
    // All but the routed experts is on every rank: attention is data parallel.
    const rest = model.parameters - layers * 256 * expert
    expect(perRank.parameters).toBe(rest + layers * held * expert)
    expect(allRanks.parameters - allRanks.replicatedParameters).toBe(model.parameters)
    expect(allRanks.parameters).toBe(perRank.parameters * ranks)
  })

  test('without redundant experts 144 ranks cannot divide them, and the help says how many would do', async () => {
    const spec = { preset: 'deepseek-decode', options: { ep: { redundant: 0 } } }
    await expect(plan(spec as never)).rejects.toMatchObject({ code: 'INDIVISIBLE' }) // as above
  })

  test('proofs in small have as many slots as the large plan per rank can divide', async () => {
    const proof = await prove({ preset: 'deepseek-decode' } as never) // as above
    expect(proof.proven).toBe(true)
    expect(proof.shrunk.map(({ name }) => name)).toContain('redundant')
  })
})

test('an option that changes nothing is named', async () => {
  const spec = { model: 'mixtral-8x7b', batch: 4, phase: 'prefill', options: { ep: { redundant: 2 } } } as const
  expect((await plan(spec)).warnings).toContain('`ep.redundant` changes nothing: `ep` is 1')
})
