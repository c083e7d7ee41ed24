import { atomDegree } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { DataParallelOptions } from '@shardloom/strategy-dp'
import { describe, expect, test } from 'vitest'
import { architectures, odd } from './architectures.js'
import { covered } from './covering.js'
import { communicated, type Degrees, prove } from './prove.js'
import { and, context, sequence, ulysses } from './strategies.js'

const named = (...names: readonly string[]) =>
  [...architectures, ...odd]
    .filter(({ name }) => names.includes(name))
    .map((model, place) => [model.name, model, place] as const)

/** Stages with the ways in which gradients are reduced and parameters gathered. */
const storages: readonly DataParallelOptions[] = [
  { reduce: 'microbatch' },
  { zero: 1 },
  { zero: 2 },
  { zero: 3 },
  { zero: 3, gather: 'keep' },
  { zero: 3, gather: 'step' },
  { zero: 3, reduce: 'step' },
]
const hybrids: readonly DataParallelOptions[] = [
  { zero: 1, dpReplicate: 2 },
  { zero: 2, dpReplicate: 2 },
  { zero: 3, dpReplicate: 2 },
  { zero: 3, dpReplicate: 2, reduce: 'microbatch' },
  { zero: 3, dpReplicate: 2, reduce: 'step', gather: 'keep' },
  { zero: 3, dpReplicate: 2, reduce: 'step', gather: 'step' },
]
const cases: readonly (readonly [Degrees, DataParallelOptions, number])[] = [
  ...storages.flatMap((dp): (readonly [Degrees, DataParallelOptions, number])[] => [
    [{ dp: 2 }, dp, 4],
    [{ dp: 3 }, dp, 1],
    [{ dp: 4 }, dp, 2],
    [{ dp: 2, tp: 2 }, dp, 2],
    [{ tp: 2, dp: 3 }, dp, 2],
  ]),
  ...hybrids.flatMap((dp): (readonly [Degrees, DataParallelOptions, number])[] => [
    [{ dp: 4 }, dp, 2],
    [{ dp: 6 }, dp, 1],
    [{ tp: 2, dp: 4 }, dp, 4],
  ]),
]

describe.each(named('grouped-query attention', 'mixture with a gated shared expert', 'tied embeddings, biased head'))(
  '%s',
  (_, model, place) => {
    test.each(covered(3, cases, place))('%j, %j, %i microbatches are one device', (degrees, dp, microbatches) => {
      const build = { phase: 'training', batch: 12, seq: 3, microbatches } as const
      const { program, operators, ...proven } = prove(model, build, degrees, { dp })
      for (const { rule, violations } of verifyProgram(program, operators)) expect(violations, `${rule}`).toEqual([])
      const kinds = communicated({ program, operators, ...proven })
      expect('reduce-scatter' in kinds).toBe((dp.zero ?? 0) > 0)
      expect('all-gather' in kinds).toBe((dp.zero ?? 0) > 0)
    })
  },
)

describe('parameters, gradients and states in shares that differ', () => {
  test.each(named('odd sizes, dense', 'odd sizes, three groups'))('%s', (_, model) => {
    for (const zero of [1, 2, 3])
      for (const degrees of [{ dp: 2 }, { dp: 4 }, { dp: 3, tp: 2 }])
        prove(model, { phase: 'training', batch: 3, seq: 4, microbatches: 2 }, degrees, {
          uneven: 'ragged',
          dp: { zero },
        })
  })
})

describe('with the sequence split too', () => {
  const [[, model] = []] = named('grouped-query attention')
  test.each([
    ['Megatron', { dp: 2, tp: 2 }, sequence],
    ['context parallel', { dp: 2, cp: 2 }, context],
    ['Ulysses', { dp: 2, ulysses: 2 }, ulysses],
  ])('%s', (_, degrees, strategy) => {
    if (!model) throw new Error('a model of that name is missing')
    for (const zero of [1, 2, 3]) {
      const build = { phase: 'training', batch: 4, seq: 4, microbatches: 2 } as const
      const { program } = prove(model, build, degrees, { dp: { zero }, ...and(strategy) })
      // One group over all ranks with the same parameter and other tokens.
      const expected = 'tp' in degrees ? ['dp'] : Object.keys(degrees)
      const gain = program.tensors.get('optimizer/final_norm/gain.moment1')?.placement?.shards
      expect([...(gain?.[0] ?? [])].sort()).toEqual([...expected].sort())
    }
  })
})

describe('experts are divided among the ranks that hold the same ones', () => {
  const [[, model] = []] = named('mixture with a gated shared expert')
  test.each([
    [{ dp: 4, expertDp: 2, ep: 2 }, { zero: 3 }, 'dp.1', 'dp.0'],
    [{ dp: 4, expertDp: 2, ep: 2 }, { zero: 3, dpReplicate: 2 }, 'dp.1', undefined],
    [{ dp: 2, tp: 2, expertDp: 2, ep: 2, expertTp: 1 }, { zero: 2 }, 'tp', 'dp'],
    [{ dp: 2, tp: 2, expertDp: 1, ep: 4, expertTp: 1 }, { zero: 3 }, 'tp', 'dp'],
    // Experts are whole on two ranks of tp, which take tokens of their own there.
    [{ dp: 2, tp: 4, expertDp: 4, ep: 2, expertTp: 1 }, { zero: 1 }, 'tp.1', 'dp'],
    [{ dp: 2, tp: 4, expertDp: 4, ep: 2, expertTp: 1 }, { zero: 3 }, 'tp.1', 'dp'],
  ] as readonly (readonly [Degrees, DataParallelOptions, string, string | undefined])[])(
    '%j %j',
    (degrees, dp, outer, inner) => {
      if (!model) throw new Error('a model of that name is missing')
      const build = { phase: 'training', batch: 8, seq: 4, microbatches: 2 } as const
      const { program, operators } = prove(model, build, degrees, { dp })
      for (const { rule, violations } of verifyProgram(program, operators)) expect(violations, `${rule}`).toEqual([])
      const state = program.tensors.get('optimizer/layer/moe/experts/up/weight.moment1')?.placement?.shards.flat() ?? []
      expect(state).toContain(outer)
      if (inner) expect(state).toContain(inner)
      const held = state.reduce((product, atom) => product * atomDegree(program.mesh, atom), 1)
      expect(held).toBe(program.mesh.world / (dp.dpReplicate ?? 1))
    },
  )
})
