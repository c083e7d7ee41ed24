import { nodesOf, type OperatorDefinition, operatorTable } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { draw } from '../../core/test/draw.js'
import { compareRuns, interpret, runReference } from '../src/index.js'
import { place } from './drawn.js'

/** Attention as Vaswani et al. (2017, section 3.2.1) define it, causal, over the key positions that the rank has. */
const attend: OperatorDefinition = {
  name: 'attend',
  reduce: { kv_seq: 'lse' },
  index: ['seq', 'kv_seq'],
  execute([q = new Float64Array(), k = new Float64Array(), v = new Float64Array()], { size, positions }) {
    const [rows, keys, width] = [positions('seq'), positions('kv_seq'), size('dim')]
    const values = new Float64Array(rows.length * width)
    const logSumExp = Float64Array.from(rows, (query, row) => {
      const score = (key: number) => {
        let sum = 0
        for (let j = 0; j < width; j++) sum += (q[row * width + j] ?? 0) * (k[key * width + j] ?? 0)
        return (keys[key] ?? 0) <= query ? sum / Math.sqrt(width) : Number.NEGATIVE_INFINITY
      }
      const weights = Array.from(keys, (_, key) => Math.exp(score(key)))
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      weights.forEach((weight, key) => {
        for (let j = 0; j < width && total > 0; j++)
          values[row * width + j] = (values[row * width + j] ?? 0) + (weight / total) * (v[key * width + j] ?? 0)
      })
      return Math.log(total)
    })
    return [{ values, logSumExp }]
  },
}
const table = operatorTable([
  attend,
  { name: 'halve', execute: ([x = new Float64Array()]) => [x.map((value) => value / 2)] },
])
const program = draw(
  { seq: 6, kv_seq: 6, dim: 4 },
  `
  o = attend(q, k, v): seq dim!, kv_seq dim!, kv_seq dim! -> seq dim!
  y = halve(o): seq dim -> seq dim
  `,
)
const whole = runReference(place(program, {}, {}, table), table)

describe('attention split over its keys equals attention over all keys', () => {
  it('one rank is softmax attention, written down a second time', () => {
    const { run } = whole
    const [q, k, v, o] = ['q', 'k', 'v', 'o'].map((id) => run.whole(id))
    if (!q || !k || !v || !o) throw new Error('four tensors were drawn')
    for (let row = 0; row < 6; row++) {
      const scores = Array.from({ length: row + 1 }, (_, key) =>
        [0, 1, 2, 3].reduce((sum, j) => sum + (q[row * 4 + j] ?? 0) * (k[key * 4 + j] ?? 0), 0),
      )
      const weights = scores.map((score) => Math.exp(score / 2))
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      for (let j = 0; j < 4; j++) {
        const expected = weights.reduce((sum, weight, key) => sum + (weight / total) * (v[key * 4 + j] ?? 0), 0)
        expect(o[row * 4 + j]).toBeCloseTo(expected, 12)
      }
    }
  })

  it.each([2, 3, 4, 6, 8])('over %i ranks', (degree) => {
    const many = place(program, { cp: degree }, { cp: 'kv_seq' }, table, { uneven: 'ragged' })
    const merge = nodesOf(many.items).find((node) => node.communication)
    expect([merge?.op, merge?.communication?.reduction]).toEqual(['all-reduce', 'lse'])
    const result = compareRuns(whole, many, table)
    expect(result.difference?.message).toBeUndefined()
    expect(result.worst.error).toBeLessThan(1e-14)
    // The operator, the merge and the reader.
    expect(result.compared).toBe(3)
  })

  it('scattered to the ranks that go on with the rows', () => {
    const list = program.items.map((item) => (item.id === 'y' ? { ...item, rule: 'seq dim! -> seq dim!' } : item))
    for (const degree of [2, 3]) {
      const many = place({ ...program, items: list }, { cp: degree }, { cp: 'kv_seq seq' }, table)
      const merge = nodesOf(many.items).find((node) => node.communication)
      expect([merge?.op, merge?.communication?.reduction]).toEqual(['reduce-scatter', 'lse'])
      expect(compareRuns(whole, many, table).worst.error).toBeLessThan(1e-14)
    }
  })

  it('merged as a plain sum it is wrong, and the merge is named', () => {
    const many = place(program, { cp: 2 }, { cp: 'kv_seq' }, table)
    const items = many.items.map((item) =>
      item.type === 'node' && item.communication
        ? { ...item, communication: { ...item.communication, reduction: 'sum' as const } }
        : item,
    )
    const { difference } = compareRuns(whole, { ...many, items }, table)
    expect(difference?.message).toMatch(/^`o\/all-reduce\(cp\)` \(all-reduce\) is the first to differ: rank 0 holds/)
  })

  it('a term without its weights cannot be merged', () => {
    const forgetful: OperatorDefinition = {
      ...attend,
      execute: (operands, context) =>
        (attend.execute?.(operands, context) ?? []).map((each) => (each instanceof Float64Array ? each : each.values)),
    }
    const plain = operatorTable([forgetful, ...[...table.values()].filter(({ name }) => name !== 'attend')])
    const many = place(program, { cp: 2 }, { cp: 'kv_seq' }, plain)
    expect(() => interpret(many, plain)).toThrow(/its members give no log-sum-exp weights/)
  })
})
