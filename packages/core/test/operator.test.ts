import {
  definitionOf,
  dimSizes,
  linearSets,
  type OperatorDefinition,
  type OperatorNode,
  operatorTable,
  parseRule,
  reductionOf,
  splittable,
  type Tensor,
} from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { draw, operators } from './draw.js'
import { thrown } from './thrown.js'

const sizes = { batch: 4, hidden: 8, ffn: 16 }
const drawn = draw(sizes, 'y = einsum(x, w): batch hidden, hidden ffn -> batch ffn')
const [node] = drawn.items as [OperatorNode] // one line was drawn
const tensor = (id: string) => drawn.tensors.get(id) as Tensor // every id of the drawing is known

describe('operatorTable', () => {
  it('refuses two definitions of one name, but takes the same one twice', () => {
    const one: OperatorDefinition = { name: 'einsum' }
    expect(operatorTable([one, one]).size).toBe(1)
    expect(thrown(() => operatorTable([one, { name: 'einsum' }]))).toMatchObject({
      code: 'OPERATOR_TWICE',
      subject: 'einsum',
    })
  })
})

describe('definitionOf', () => {
  it('knows communication without a definition, and nothing else', () => {
    expect(definitionOf({ ...node, op: 'all-reduce', kind: 'communication' }, operators).kind).toBe('communication')
    for (const wrong of [
      { ...node, op: 'all-reduce' },
      { ...node, op: 'gossip', kind: 'communication' as const },
      { ...node, op: 'constructor' },
    ]) {
      const error = thrown(() => definitionOf(wrong, operators))
      expect(error.code).toBe('UNKNOWN_OPERATOR')
      expect(error.message).toContain(`\`${wrong.op}\``)
    }
  })
})

// ALGEBRA, section 1: a contracted dim can be split only if the operator says how it is reduced.
describe('splittable', () => {
  const rule = parseRule('batch hidden, hidden! ffn -> batch ffn')
  const einsum: OperatorDefinition = { name: 'einsum', reduce: 'sum' }
  const other: OperatorDefinition = { name: 'other' }
  const perDim: OperatorDefinition = { name: 'some', reduce: { hidden: 'lse' } }

  it('follows the rule and the reductions', () => {
    expect(splittable(rule, einsum, 'batch')).toBe(true)
    expect(splittable(rule, einsum, 'ffn')).toBe(true)
    expect(splittable(rule, einsum, 'hidden')).toBe(false)
    expect(splittable(rule, einsum, 'seq')).toBe(false)
    const contracted = parseRule('batch hidden, hidden ffn -> batch ffn')
    expect(splittable(contracted, einsum, 'hidden')).toBe(true)
    expect(splittable(contracted, other, 'hidden')).toBe(false)
    expect(splittable(contracted, other, 'batch')).toBe(true)
    expect(splittable(contracted, perDim, 'hidden')).toBe(true)
  })

  it('asks for a reduction when only one of several results has the dim', () => {
    const two = parseRule('batch seq -> batch seq, batch')
    expect(splittable(two, other, 'seq')).toBe(false)
    expect(splittable(two, { name: 'max', reduce: 'max' }, 'seq')).toBe(true)
  })

  it('reads reductions per dim or for all', () => {
    expect(reductionOf(einsum, 'hidden')).toBe('sum')
    expect(reductionOf(perDim, 'hidden')).toBe('lse')
    expect(reductionOf(perDim, 'ffn')).toBeUndefined()
  })
})

it('linearSets: each alone, all together, or as listed', () => {
  expect(linearSets({ name: 'mul', linear: 'each' }, 3)).toEqual([[0], [1], [2]])
  expect(linearSets({ name: 'add', linear: 'all' }, 3)).toEqual([[0, 1, 2]])
  expect(linearSets({ name: 'rotary', linear: [[0]] }, 2)).toEqual([[0]])
  expect(linearSets({ name: 'gelu' }, 1)).toEqual([])
})

describe('dimSizes', () => {
  it('binds by position, whatever the tensors call their dims', () => {
    const renamed = (id: string): Tensor => ({ ...tensor(id), dims: tensor(id).dims.map((dim) => `other_${dim}`) })
    expect(Object.fromEntries(dimSizes(node, renamed))).toEqual(sizes)
  })

  it('refuses sizes that disagree and operands of another number of dims', () => {
    const wrong = (id: string): Tensor => (id === 'w' ? { ...tensor(id), shape: [9, 16] } : tensor(id))
    const error = thrown(() => dimSizes(node, wrong))
    expect(error.code).toBe('SHAPE')
    expect(error.message).toMatch(/`hidden` is 8 .* 9/)
    const flat = (id: string): Tensor => (id === 'w' ? { ...tensor(id), shape: [128] } : tensor(id))
    expect(thrown(() => dimSizes(node, flat)).code).toBe('SHAPE')
    expect(thrown(() => dimSizes({ ...node, inputs: ['x', 'w', 'w'] }, tensor)).code).toBe('SHAPE')
  })
})
