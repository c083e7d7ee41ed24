import type { Tensor } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { domainsOf, usualValues } from '../src/initial-values.js'
import { interpret } from '../src/interpret.js'

const parameter: Tensor = {
  id: 'w',
  dims: ['a', 'b'],
  shape: [16, 4],
  dtype: 'bf16',
  role: 'parameter',
  per: ['layer'],
}
const draws = (tensor: Tensor, at: readonly number[], range?: Parameters<typeof usualValues>[2], count = 2000) =>
  Array.from({ length: count }, (_, index) => usualValues(tensor, at, range)(index))

describe('values from outside', () => {
  it('depend on the tensor, the iteration and the index alone', () => {
    expect(draws(parameter, [0])).toEqual(draws({ ...parameter, shape: [4, 16] }, [0]))
    expect(draws(parameter, [0])).not.toEqual(draws(parameter, [1]))
    expect(draws(parameter, [0])).not.toEqual(draws({ ...parameter, id: 'v' }, [0]))
  })

  it('are spread evenly around zero, matrices by the root of their longer side', () => {
    const mean = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length
    const plain = draws({ ...parameter, role: 'input' }, [])
    const scaled = draws(parameter, [])
    for (const [list, bound] of [
      [plain, 1],
      [scaled, 2 / Math.sqrt(16)],
    ] as const) {
      expect(Math.abs(mean(list))).toBeLessThan(0.05 * bound)
      expect(Math.max(...list)).toBeLessThan(bound)
      expect(Math.max(...list)).toBeGreaterThan(0.98 * bound)
      // The variance of a uniform distribution over [−b, b] is b² / 3.
      expect(mean(list.map((value) => value * value)) / (bound * bound)).toBeCloseTo(1 / 3, 1)
    }
    expect(new Set(scaled).size).toBeGreaterThan(1990)
  })

  it('keep to their domain', () => {
    expect(Math.min(...draws(parameter, [], 'positive'))).toBeGreaterThan(0)
    expect([...new Set(draws(parameter, [], { below: 5 }))].sort()).toEqual([0, 1, 2, 3, 4])
  })

  it.each(['training', 'decode'] as const)(
    'tokens are rows of the vocabulary and second moments are positive: %s',
    (phase) => {
      const { program, operators } = planned('tiny', { phase, batch: 4, seq: 8 }, { dp: 2, tp: 2 })
      const domains = domainsOf(program, operators)
      const vocab = program.tensors.get('embedding/weight')?.shape[0]
      expect(domains.get('inputs/tokens')).toEqual({ below: vocab })
      if (phase === 'training') {
        expect(domains.get('inputs/labels')).toEqual({ below: vocab })
        expect(domains.get('optimizer/embedding/weight.moment2')).toBe('positive')
        expect(domains.get('optimizer/embedding/weight.moment1')).toBeUndefined()
      }
    },
  )

  it('are the same on every mesh', () => {
    const build = { phase: 'prefill', batch: 4, seq: 4 } as const
    const one = planned('tiny', build, {})
    const many = planned('tiny', build, { dp: 2, tp: 4 })
    for (const id of ['inputs/tokens', 'embedding/weight', 'final_norm/gain'])
      expect(interpret(many.program, many.operators).whole(id), id).toEqual(
        interpret(one.program, one.operators).whole(id),
      )
  })
})
