import { operandText, parseRule } from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { thrown } from './thrown.js'

const dim = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/).filter((name) => !(name in Object.prototype))
const dims = fc.uniqueArray(dim, { maxLength: 5 })

describe('parseRule', () => {
  it('reads a linear layer', () => {
    const rule = parseRule('batch seq hidden, hidden ffn -> batch seq ffn')
    expect(rule.operands).toEqual([
      ['batch', 'seq', 'hidden'],
      ['hidden', 'ffn'],
    ])
    expect(rule.results).toEqual([['batch', 'seq', 'ffn']])
    expect(rule.space).toEqual(['batch', 'seq', 'hidden', 'ffn'])
    expect([...rule.whole]).toEqual([])
  })

  it('reads scalars, sources, several results and dims that stay whole', () => {
    expect(parseRule('batch, . -> .')).toMatchObject({ operands: [['batch'], []], results: [[]] })
    expect(parseRule('-> seq')).toMatchObject({ operands: [], results: [['seq']] })
    const norm = parseRule('batch hidden!, hidden! -> batch hidden!, batch')
    expect(norm.results).toEqual([['batch', 'hidden'], ['batch']])
    expect([...norm.whole]).toEqual(['hidden'])
  })

  it('refuses what is no rule, with the text in the message', () => {
    for (const text of [
      '',
      'a b',
      'a -> b -> c',
      'a ->',
      'a a -> a',
      'a, -> a',
      'a b!! -> a',
      '1a -> a',
      'a.b -> a',
      'a;b -> a',
      '__proto__ -> .',
      'constructor -> .',
    ]) {
      const error = thrown(() => parseRule(text))
      expect(error.code, text).toBe('RULE_SYNTAX')
      expect(error.message).toContain(`\`${text}\``)
    }
  })

  it('reads back every list of operands and results that it can be given', () => {
    const side = fc.array(dims, { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(side, side, fc.array(dim, { maxLength: 3 }), (operands, results, marked) => {
        const write = (lists: readonly string[][]) =>
          lists.map((list) => operandText(list.map((name) => (marked.includes(name) ? `${name}!` : name)))).join(' , ')
        const rule = parseRule(`${write(operands)}->${write(results)}`)
        expect(rule.operands).toEqual(operands)
        expect(rule.results).toEqual(results)
        const all = [...operands, ...results].flat()
        expect([...rule.space].sort()).toEqual([...new Set(all)].sort())
        expect([...rule.whole].sort()).toEqual([...new Set(marked)].filter((name) => all.includes(name)).sort())
      }),
    )
  })

  it('throws nothing but its own error, whatever the text', () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^[ab!.,> -]{0,20}$/))
    fc.assert(
      fc.property(text, (each) => {
        try {
          const rule = parseRule(each)
          // A node without results has no operands either: it does nothing but wait.
          if (rule.operands.length > 0) expect(rule.results.length).toBeGreaterThan(0)
        } catch (error) {
          expect(error).toMatchObject({ name: 'ShardloomError', code: 'RULE_SYNTAX' })
        }
      }),
      { numRuns: 1000 },
    )
  })
})
