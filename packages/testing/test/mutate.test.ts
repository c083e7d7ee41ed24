import { nodesOf } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { draw } from '../../core/test/draw.js'
import { runReference } from '../src/index.js'
import { type Mutation, mutationReport, mutations } from '../src/mutate.js'
import { operators, place } from './drawn.js'

const program = draw(
  { row: 4, column: 4, inner: 4 },
  `
  y = matmul(x, w): row inner, inner column -> row column
  z = square(y): row column! -> row column!
  u = square(z): row! column -> row! column
  `,
)
/** A sum that is scattered over rows, and rows that are exchanged for columns. */
const both = place(program, { a: 2, b: 2 }, { a: 'inner row column', b: 'row' }, operators)
const list = [...mutations(both)]
const of = (kind: Mutation['kind']) => list.filter((each) => each.kind === kind)

describe('mutations', () => {
  it('are none without communication', () => {
    expect([...mutations(place(program, {}, {}))]).toEqual([])
  })

  it('leave each communication node out once, so that its readers get what it read', () => {
    const nodes = nodesOf(both.items).filter(({ communication }) => communication)
    expect(nodes.map(({ op }) => op)).toEqual(['reduce-scatter', 'all-to-all', 'all-gather'])
    expect(of('dropped').map(({ node }) => node)).toEqual(nodes.map(({ id }) => id))
    for (const { node, program: mutant } of of('dropped')) {
      const after = nodesOf(mutant.items)
      expect(after.map(({ id }) => id)).not.toContain(node)
      expect(after.flatMap(({ inputs }) => inputs)).not.toContain(node)
      expect(after.length).toBe(nodesOf(both.items).length - 1)
    }
  })

  it('spoil nothing else, and never the program itself', () => {
    const before = JSON.stringify(both.items)
    for (const { node, program: mutant } of list) {
      const [old, next] = [both, mutant].map(({ items }) =>
        nodesOf(items)
          .filter(({ communication }) => !communication)
          .map(({ inputs: _, ...rest }) => rest),
      )
      expect(next, node).toEqual(old)
    }
    expect(JSON.stringify(both.items)).toBe(before)
    expect(new Set(list.map(({ node, kind, change }) => `${node} ${kind} ${change}`)).size).toBe(list.length)
  })

  it('name other groups: each other atom, one more, one fewer', () => {
    const changes = of('misgrouped').filter(({ node }) => node.includes('reduce-scatter'))
    expect(changes.map(({ change }) => change)).toEqual([
      'over b instead of a',
      'over a.b instead of a',
      'over nobody instead of a',
    ])
  })

  it('retarget to another dim and by another reduction', () => {
    const changes = of('retargeted').map(({ node, change }) => `${node}: ${change}`)
    expect(changes).toContain('y/reduce-scatter(a): by max instead of sum')
    expect(changes).toContain('y/reduce-scatter(a): to `column` instead of `row`')
  })

  it('come one at a time', () => {
    const first = mutations(both).next()
    expect(first.done).toBe(false)
  })
})

describe('mutationReport', () => {
  it('counts who saw what', () => {
    const reference = runReference(place(program, {}, {}), operators)
    const report = mutationReport(reference, both, operators)
    expect(report.made).toBe(list.length)
    expect(Object.values(report.byKind).reduce((sum, { made }) => sum + made, 0)).toBe(list.length)
    expect(report.verifier).toBe(list.length)
    expect(report.missed).toEqual([])
    expect(report.interpreter + report.harmless.length).toBe(list.length)
    expect(report.byKind.dropped).toEqual({ made: 3, interpreter: 3, verifier: 3 })
  })
})
