import { describe, expect, test } from 'vitest'
import { architectures } from './architectures.js'
import { covered } from './covering.js'
import { generate, generatePlainly, type Pool, prefill, promptsOf, speculate } from './generate.js'
import { and, context, sequence, ulysses } from './strategies.js'

const [seq, sequences, count] = [6, 12, 5]

/** Ways to place a phase: the same for prefill and decode here, so that each is seen with each model. */
const pools: readonly (readonly [string, Pool])[] = [
  ['one device', {}],
  ['tp 4', { degrees: { tp: 4 } }],
  ['dp 3', { degrees: { dp: 3 } }],
  ['dp 2 × tp 3', { degrees: { dp: 2, tp: 3 } }],
  ['cp 3', { degrees: { cp: 3 }, options: and(context) }],
  ['tp 2 with its sequence split', { degrees: { tp: 2 }, options: and(sequence) }],
  ['Ulysses 2', { degrees: { ulysses: 2 }, options: and(ulysses) }],
]

/** With stages the batches in flight keep them busy. */
const stages: readonly (readonly [string, Pool])[] = [
  ['pp 2', { degrees: { pp: 2 }, build: { microbatches: 2 } }],
  ['pp 2 × dp 2', { degrees: { pp: 2, dp: 2 }, build: { microbatches: 3 } }],
  ['pp 2 × tp 3', { degrees: { pp: 2, tp: 3 }, build: { microbatches: 2 } }],
]

describe.each(architectures.map((model, place) => [model.name, model, place] as const))('%s', (_, model, place) => {
  const prompts = promptsOf(model, sequences, seq)
  const plain = generatePlainly(model, prompts, count)

  // A parallel residual without gated activations repeats one token with these weights.
  test('tokens differ between sequences', () => {
    expect(new Set(plain.map((tokens) => tokens.join())).size).toBeGreaterThan(
      model.name.startsWith('parallel') ? 0 : 3,
    )
  })

  test.each(covered(3, pools, place))('prefill, then decode steps: %s generates what one device does', (_, pool) => {
    expect(generate(model, prompts, count, { prefill: pool, decode: pool })).toEqual(plain)
  })

  test('two pools that place the cache differently generate what one device does', () => {
    const { 'tp 4': tp, 'dp 2 × tp 3': both, 'cp 3': cp = {} } = Object.fromEntries(pools)
    expect(generate(model, prompts, count, { prefill: cp, decode: both ?? {} })).toEqual(plain)
    expect(generate(model, prompts, count, { prefill: both ?? {}, decode: tp ?? {} })).toEqual(plain)
  })

  test('two pools: so it does when each rank gets its blocks from the ranks that the plan names', () => {
    const { 'tp 4': tp, 'dp 2 × tp 3': both, 'cp 3': cp, 'Ulysses 2': ulysses } = Object.fromEntries(pools)
    const pairs = [
      [tp, both],
      [cp, tp],
      [ulysses, both],
    ]
    for (const [from = {}, to = {}] of covered(3, pairs, place))
      expect(generate(model, prompts, count, { prefill: from, decode: to, transfer: true })).toEqual(plain)
  })

  test.each(covered(3, stages, place))('stages: %s generates what one device does', (_, pool) => {
    expect(generate(model, prompts, count, { prefill: pool, decode: pool })).toEqual(plain)
  })

  test('a pool with stages hands its cache to one without, and the other way round', () => {
    const { 'dp 2 × tp 3': both = {}, 'pp 2 × tp 3': staged = {} } = Object.fromEntries([...pools, ...stages])
    expect(generate(model, prompts, count, { prefill: staged, decode: both, transfer: true })).toEqual(plain)
    expect(generate(model, prompts, count, { prefill: both, decode: staged, transfer: true })).toEqual(plain)
  })

  test.each(covered(2, pools.slice(3, 5), place))('in microbatches and batches in flight: %s', (_, pool) => {
    const halves = { ...pool, build: { microbatches: 2 } }
    expect(generate(model, prompts, count, { prefill: halves, decode: halves })).toEqual(plain)
  })
})

/** In each the last chunk ends with the prompt of six tokens. */
const chunked = [{ chunk: 3 }, { cached: 2, chunk: 2 }, { cached: 5, microbatches: 2 }] as const

describe.each(architectures.map((model, place) => [model.name, model, place] as const))(
  '%s, prefill in parts',
  (_, model, place) => {
    const prompts = promptsOf(model, 4, seq)
    const plain = generatePlainly(model, prompts, 3)
    // What an earlier request with the same prefix left.
    const prefix = prefill(model, prompts, {})
    const few = pools.filter(([name]) => ['dp 2 × tp 3', 'cp 3', 'Ulysses 2'].includes(name))
    test.each(chunked.map((build, at) => [JSON.stringify(build), build, at] as const))('%s', (_name, build, at) => {
      for (const [, { degrees = {}, options }] of covered(3, few, place, at)) {
        // Context parallelism has fewer tokens in a chunk than ranks.
        const pool = { degrees, options: { ...options, uneven: 'ragged' as const }, build }
        expect(generate(model, prompts, 3, { prefill: pool, prefix })).toEqual(plain)
        if ('microbatches' in build) continue
        const later = { degrees: { tp: 2 } }
        expect(generate(model, prompts, 3, { prefill: pool, prefix, decode: later, transfer: true })).toEqual(plain)
      }
    })
  },
)

describe.each(architectures.map((model) => [model.name, model] as const))('%s, speculative decoding', (_, model) => {
  const prompts = promptsOf(model, 4, 3)
  const plain = generatePlainly(model, prompts, 9)
  /** The tokens that follow, the first `right` of three as plain generation has them. */
  const drafts = (right: number) => (sequence: number, length: number) =>
    [0, 1, 2].map((index) => {
      const token = plain[sequence]?.[length + index] ?? 0
      return index < right ? token : (token + 1) % model.vocab
    })

  // A step begins behind the tokens that the steps before it kept, and reads the last of them.
  test.each([
    ['all drafts right', 3, 4, 2],
    ['one of three right', 1, 2, 3],
    ['one of three right, less is kept', 1, 1, 4],
    ['none right', 0, 1, 4],
  ])('%s: what is accepted is what plain greedy decoding generates', (_name, right, keep, steps) => {
    for (const degrees of [{}, { dp: 2, tp: 3 }]) {
      const pool = { degrees, build: { draft: 3, keep } }
      const { chosen, valid } = speculate(model, prompts, steps, pool, drafts(right))
      for (let step = 0; step < steps; step++) {
        expect(valid[step]).toEqual(prompts.map(() => right + 1))
        const expected = plain.map((tokens) => tokens.slice(1 + step * keep, 2 + step * keep + right))
        expect(chosen[step]?.map((tokens) => tokens.slice(0, right + 1))).toEqual(expected)
      }
    }
  })
})
