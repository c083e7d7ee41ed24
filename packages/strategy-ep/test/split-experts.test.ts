import { isShardloomError } from '@shardloom/core'
import { findPreset } from '@shardloom/models'
import { communicationTable, measure } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { experts, grouped, layerOf, modelOf } from '../../../test/proof/architectures.js'
import { type PlannedOptions, planned, ranksOf } from '../../core/test/planned.js'

const training = { phase: 'training', batch: 8, seq: 8, gradientDtype: 'bf16' } as const

function refusal(model: string, degrees: Readonly<Record<string, number>>, options: PlannedOptions = {}): string {
  try {
    planned(model, training, degrees, options)
  } catch (error) {
    if (isShardloomError(error)) return `${error.code} ${error.message} ${error.help}`
  }
  return ''
}

describe('what cannot be split is refused with what would work', () => {
  it('experts that the degree does not divide', () => {
    expect(refusal('mixtral-8x7b', { dp: 3, ep: 3 })).toBe(
      'INDIVISIBLE Cannot split 8 experts over axis `ep` (degree 3): 3 does not divide them. Use 1, 2, 4 or 8, or set `uneven: ragged` to let shares differ by one.',
    )
  })
  it('a model without experts', () => {
    expect(refusal('llama-3.1-8b', { dp: 2, ep: 2 })).toMatch(/^NO_EXPERTS .* the model has no experts/)
    expect(refusal('llama-3.1-8b', { tp: 2, expertTp: 2 })).toMatch(/^NO_EXPERTS/)
  })
  it('a selector of operators that are no experts', () => {
    expect(refusal('mixtral-8x7b', { dp: 2, ep: 2 }, { ep: { where: { module: 'attention' } } })).toBe(
      'SELECTOR `ep` splits experts, but its `where` names `attention`. Leave `module` out of `ep.where`, or set it to `moe/experts`.',
    )
  })
})

describe('experts on their own factorisation', () => {
  it('each rank holds its share of the experts and all of what is not split (Mixtral 8x7B on 8 ranks)', () => {
    const model = findPreset('mixtral-8x7b')
    const expert = 3n * 4096n * 14336n
    const whole = measure(planned(model, training, {}).program, planned(model, training, {}).operators).parameters
    const rest = whole - 32n * 8n * expert
    for (const [degrees, share] of [
      [{ dp: 8, expertDp: 4, ep: 2 }, 32n * 4n * expert],
      [{ dp: 8, expertDp: 1, ep: 8 }, 32n * expert],
      [{ dp: 8, expertDp: 2, ep: 2, expertTp: 2 }, 32n * 2n * expert],
    ] as const) {
      const { program, operators } = planned(model, training, degrees)
      for (const rank of ranksOf(program)) expect(measure(program, operators, { rank }).parameters).toBe(share + rest)
    }
  })

  it('splits the experts of some layers alone, and repeats the others', () => {
    const model = modelOf('two layers', { first: layerOf(grouped, experts), second: layerOf(grouped, experts) })
    const all = planned(model, training, { dp: 2, ep: 2 })
    const some = planned(model, training, { dp: 2, ep: 2 }, { ep: { where: { body: 'second' } } })
    const count = ({ program, operators }: typeof all) => measure(program, operators).parameters
    expect(count(some) - count(all)).toBe(2n * 3n * 8n * 12n) // two more experts in the first layer
    const exchanges = ({ program, operators }: typeof all) =>
      communicationTable(program, operators)
        .filter(({ op }) => op === 'all-to-all')
        .reduce((sum, row) => sum + row.count, 0)
    expect([exchanges(all), exchanges(some)]).toEqual([8, 4])
  })

  it('all-to-all sends fewer bytes than all-gather where a token has fewer experts than there are ranks, else more', () => {
    const sent = (topK: number, dispatch: 'all-to-all' | 'all-gather') => {
      const model = modelOf(`top ${topK}`, { layer: layerOf(grouped, { ...experts, topK }) }, { hidden: 256 })
      const { program, operators } = planned(model, training, { dp: 2, ep: 2 }, { ep: { dispatch } })
      return communicationTable(program, operators)
        .filter(({ segment }) => segment === 'forward')
        .reduce((sum, row) => sum + row.count * row.bytesPerRank, 0)
    }
    // Forward, per token: twice topK/n of a row and back, against one row gathered and one reduced, with indices and weights.
    expect(sent(1, 'all-to-all')).toBeLessThan(sent(1, 'all-gather'))
    expect(sent(4, 'all-to-all')).toBeGreaterThan(sent(4, 'all-gather'))
  })
})

it('degrees of 1 change nothing, and an option that would is named', () => {
  const plain = planned('mixtral-8x7b', training, { dp: 2 }).program
  expect(planned('mixtral-8x7b', training, { dp: 2, ep: 1, expertTp: 1 }).program.items).toEqual(plain.items)
})
