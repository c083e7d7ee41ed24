import { ShardloomError } from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadSpec } from '../../src/index.js'
import { type Choices, specWith } from '../../src/search/choices.js'
import { Pipelines } from '../../src/search/pipelines.js'
import { Samples } from '../../src/search/samples.js'

/** What strategies decide, and what is decided in the sizes that they are given: of one structure a sample is planned once. */
const structure = (isRouted: boolean) =>
  fc.record({
    isSplit: fc.record({
      tp: fc.boolean(),
      cp: fc.boolean(),
      ulysses: fc.boolean(),
      dp: fc.constant(true),
      ep: fc.constant(isRouted),
      expertTp: isRouted ? fc.boolean() : fc.constant(false),
    }),
    recompute: fc.constantFrom('none', 'full'),
    sequenceParallel: fc.boolean(),
    offload: fc.constantFrom('none', 'activations'),
    schedule: fc.constantFrom('1f1b', 'zbh1'),
    zero: fc.constantFrom(0, 1, 2, 3),
    hybrid: fc.boolean(),
  })
const degree = fc.constantFrom(2, 4)
const anyOrder = fc.constantFrom('tp,ulysses,cp,dp,pp', 'tp,ulysses,cp,pp,dp', 'dp,tp,ulysses,cp,pp')
const sizes = fc.record({
  tp: degree,
  cp: degree,
  ulysses: degree,
  dp: fc.constantFrom(4, 8, 16),
  ep: degree,
  expertTp: fc.constant(2),
  pp: fc.constantFrom(1, 2, 4),
  microbatch: fc.constantFrom(1, 2, 4),
  order: anyOrder,
})

function choicesOf(
  { isSplit, hybrid, ...rest }: Record<string, unknown> & { isSplit: Record<string, boolean>; hybrid: boolean },
  { order, pp, microbatch, ...degrees }: Record<string, string | number>,
): Choices {
  const parallel = Object.fromEntries(
    Object.entries(degrees).map(([axis, each]) => [axis, isSplit[axis] === true ? each : 1]),
  )
  const isHybrid = hybrid && Number(rest['zero']) > 0
  const sequenceParallel = rest['sequenceParallel'] === true && isSplit['tp'] === true
  return { ...rest, order, ...parallel, sequenceParallel, pp, microbatch, dpReplicate: isHybrid ? 2 : 1 } as Choices
}

/** What planning gives, or the code by which it is refused. */
function tried<T>(plan: () => T): T | string {
  try {
    return plan()
  } catch (error) {
    if (error instanceof ShardloomError) return error.message
    throw error
  }
}

/** Equal but for the order in which numbers are summed. */
function expectClose(found: unknown, exact: unknown, path: string): void {
  if (typeof exact === 'number' && typeof found === 'number') {
    expect(Math.abs(found - exact) / (Math.abs(exact) || 1), `${path}: ${found} for ${exact}`).toBeLessThan(1e-9)
    return
  }
  if (typeof exact !== 'object' || exact === null) {
    expect(found, path).toEqual(exact)
    return
  }
  const entries = (value: unknown) => (value instanceof Map ? [...value] : Object.entries(value as object))
  expect(
    entries(found).map(([key]) => key),
    path,
  ).toEqual(entries(exact).map(([key]) => key))
  const others = new Map(entries(found))
  for (const [key, value] of entries(exact)) expectClose(others.get(key), value, `${path}.${key}`)
}

describe.each([
  ['llama-3.1-8b', 'rotary positions, gated layers'],
  ['gpt3-175b', 'biases, dropout, tied embeddings'],
  ['mixtral-8x7b', 'experts'],
])('%s (%s)', async (model) => {
  const loaded = await loadSpec({ model, cluster: 'dgx-h100', batch: 1, seq: 2048 })
  const isRouted = model.startsWith('mixtral')
  const draw = (choices: Choices) => {
    const { offload, ...rest } = choices
    return specWith(loaded.spec, { ...rest, offload: offload ?? 'none' })
  }
  const ask = (samples: Samples, choices: Choices) =>
    tried(() => {
      const spec = draw(choices)
      const laid = samples.laidBy(spec)
      const blocks = samples.blocks({ ...spec, options: { ...spec.options, zero: 0 } }, laid)
      const plain = {
        ...spec,
        microbatch: 1,
        options: { ...spec.options, recompute: 'none', offload: 'none' },
      } as const
      return { blocks, states: samples.states(plain, laid) }
    })

  test('a sample that was planned in other sizes is what one is that was planned in these', () => {
    let apart = 0
    const known = new Samples(loaded, new Pipelines())
    fc.assert(
      fc.property(structure(isRouted), sizes, sizes, (same, first, sizes) => {
        // Which ranks experts lie on depends on the order; for the rest it is one sample, wherever axes lie.
        const before = isRouted ? { ...first, order: sizes.order } : first
        ask(known, choicesOf(same, before))
        const choices = choicesOf(same, sizes)
        const others = [before, sizes].map((each) => {
          const own = new Samples(loaded, new Pipelines())
          const answer = ask(own, choicesOf(same, each))
          apart += own.count.planned
          return answer
        })
        const exact = others[1]
        const found = ask(known, choices)
        expectClose(found, exact, JSON.stringify([choicesOf(same, before), choices]))
      }),
      { numRuns: isRouted ? 40 : 16, seed: 7, endOnFailure: true },
    )
    expect(known.count.planned).toBeLessThan(apart)
  })
})
