import { type Item, nodesOf, type OperatorNode, type Program } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { draw } from '../../core/test/draw.js'
import { thrown } from '../../core/test/thrown.js'
import { compareRuns, type Equivalence, runReference, tolerance } from '../src/index.js'
import { operators, place } from './drawn.js'

const program = draw(
  { row: 4, column: 3, inner: 6 },
  'y = matmul(x, w): row inner, inner column -> row column',
  {
    id: 'layers',
    axis: 'layer',
    extent: 2,
    bodies: { layer: 'z = square(h): row column -> row column\n t = square(z): row column -> row column' },
    carry: { initial: 'y', inner: 'h', next: ['z'], result: 'out' },
    reduce: { inner: ['t'], result: 'total' },
  },
  'last = square(total): row column -> row column',
)
const reference = runReference(place(program, {}, {}), operators)
const many = place(program, { a: 2, b: 2 }, { a: 'inner', b: 'row' })
const edited = (change: (node: OperatorNode) => readonly OperatorNode[]): Program => {
  const visit = (items: readonly Item[]): Item[] =>
    items.flatMap((item): readonly Item[] =>
      item.type === 'node'
        ? change(item)
        : [{ ...item, bodies: item.bodies.map((body) => ({ ...body, items: visit(body.items) })) }],
    )
  return { ...many, items: visit(many.items) }
}
const compared = (mutant: Program, table = operators): Equivalence => compareRuns(reference, mutant, table)

describe('compareRuns', () => {
  it('compares every tensor on every rank, once per iteration', () => {
    const result = compared(many)
    expect(result.equal).toBe(true)
    expect(result.difference).toBeUndefined()
    // y and its sum, two tensors in each of two layers, and the last one.
    expect(result.compared).toBe(2 + 2 * 2 + 1)
    expect(result.worst.error).toBeLessThan(tolerance)
    expect([...result.executed]).toEqual([
      ['matmul', 4],
      ['all-reduce', 4],
      ['square', 4 * (2 * 2 + 1)],
    ])
  })

  it('names the first node that differs, its layer and its rank', () => {
    let calls = 0
    const wrong = new Map(operators).set('square', {
      name: 'square',
      // The third square is of the first layer's second operator on rank 2: four ranks run each.
      execute: ([x = new Float64Array()]) => [x.map((value) => value * value * (calls++ < 6 * 6 ? 1 : 1.5))],
    })
    const { difference, equal } = compareRuns(reference, many, wrong)
    expect(equal).toBe(false)
    expect(difference).toMatchObject({
      node: 't',
      operator: 'square',
      iterations: 'layer 0',
      rank: 2,
      placement: 'row/b',
    })
    expect(difference?.message).toMatch(
      /^`t` \(square, layer 0\) is the first to differ: rank 2 holds wrong elements of `t`, placed row\/b, relative error \S+\.$/,
    )
  })

  it('errors below the tolerance are counted and forgiven', () => {
    const rough = new Map(operators).set('square', {
      name: 'square',
      execute: ([x = new Float64Array()]) => [x.map((value) => value * value * (1 + 1e-12))],
    })
    const result = compareRuns(reference, many, rough)
    expect(result.equal).toBe(true)
    expect(result.worst.error).toBeGreaterThan(1e-13)
  })

  it('a value that is no number differs', () => {
    const broken = new Map(operators).set('square', {
      name: 'square',
      execute: ([x = new Float64Array()]) => [x.map(() => Number.NaN)],
    })
    expect(compareRuns(reference, many, broken).difference?.message).toMatch(/a value that is no number\.$/)
  })

  it('of terms of a sum the sum counts, not each of them', () => {
    const matmul = operators.get('matmul')
    let calls = 0
    const wrong = new Map(operators).set('matmul', {
      ...matmul,
      name: 'matmul',
      execute: (operands, context) =>
        (matmul?.execute?.(operands, context) ?? []).map((result) =>
          result instanceof Float64Array && calls++ === 3 ? result.map((value) => value + 1) : result,
        ),
    })
    const { difference } = compareRuns(reference, many, wrong)
    expect(difference?.message).toMatch(
      /^`y` \(matmul\) is the first to differ: the terms of the ranks add up to a wrong whole/,
    )
    expect(difference?.rank).toBeUndefined()
  })

  it('what nobody reads must be made', () => {
    const { difference } = compared(edited((node) => (node.id === 'last' ? [] : [node])))
    expect(difference).toMatchObject({ tensor: 'last', error: Number.POSITIVE_INFINITY })
    expect(difference?.message).toBe('`last` is never made, though the reference makes it and nothing reads it there.')
  })

  it('a sum over iterations without one of its terms differs', () => {
    const items = many.items.map((item) =>
      item.type === 'region'
        ? { ...item, ports: item.ports.map((port) => (port.kind === 'reduce' ? { ...port, inner: ['z'] } : port)) }
        : item,
    )
    expect(compared({ ...many, items }).difference?.node).toBe('last')
  })

  it('two bodies whose sum lacks the term of one', () => {
    const two = draw(
      { row: 4 },
      'h = double(x): row -> row',
      {
        id: 'layers',
        axis: 'layer',
        extent: 3,
        bodies: { even: 's = double(h): row -> row', odd: 't = square(h): row -> row' },
        select: [
          { body: 0, count: 1 },
          { body: 1, count: 1 },
        ],
        order: 'parallel',
        reduce: { inner: ['s', 't'], result: 'total' },
      },
      'last = double(total): row -> row',
    )
    const whole = runReference(place(two, {}, {}), operators)
    const split = place(two, { a: 2 }, { a: 'row' })
    expect(compareRuns(whole, split, operators).equal).toBe(true)
    // Twice 2h and once h², with h = 2x, doubled.
    const [x = 0] = whole.run.whole('x')
    expect(whole.run.whole('last')[0]).toBeCloseTo(2 * (8 * x + 4 * x * x), 12)
    const items = split.items.map((item) =>
      item.type === 'region'
        ? {
            ...item,
            ports: item.ports.map((port) => (port.kind === 'reduce' ? { ...port, inner: ['s', null] } : port)),
          }
        : item,
    )
    expect(compareRuns(whole, { ...split, items }, operators).difference?.node).toBe('last')
  })

  it('a run that cannot go on is a difference; an operator that cannot be run is an error', () => {
    const cut = compared(edited((node) => (node.id === 'y/all-reduce(a)' ? [] : [node])))
    expect(cut.difference?.message).toBe('`y/all-reduce(a)` has no value: nothing makes it.')
    expect(cut.difference?.error).toBe(Number.POSITIVE_INFINITY)
    expect(nodesOf(many.items).map(({ id }) => id)).toContain('y/all-reduce(a)')
    const silent = new Map(operators).set('square', { name: 'square' })
    expect(thrown(() => compareRuns(reference, many, silent)).code).toBe('NO_SEMANTICS')
  })
})
