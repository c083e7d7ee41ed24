import { composePlugins, dimSizesOf, type Plugin, withPreferences } from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draw, wish } from './draw.js'
import { thrown } from './thrown.js'

const run = <T>(program: T) => program

describe('composePlugins', () => {
  it('joins what plugins bring, in their order', () => {
    const first: Plugin = { name: 'first', operators: [{ name: 'einsum' }], axes: [{ name: 'tp', description: '' }] }
    const second: Plugin = { name: 'second', passes: [{ name: 'second/do-it', phase: 'partition', run }] }
    const both = composePlugins([first, second])
    expect(both.plugins).toEqual([first, second])
    expect([...both.operators.keys()]).toEqual(['einsum'])
    expect(both.axes.map((axis) => axis.name)).toEqual(['tp'])
    expect(both.passes.map((pass) => pass.name)).toEqual(['second/do-it'])
    expect(composePlugins([]).passes).toEqual([])
  })

  it('refuses two that claim the same, both named', () => {
    const claims: readonly [string, Omit<Plugin, 'name'>][] = [
      ['axis `tp`', { axes: [{ name: 'tp', description: '' }] }],
      ['operator `einsum`', { operators: [{ name: 'einsum' }] }],
      ['pass `a/b`', { passes: [{ name: 'a/b', phase: 'partition', run }] }],
    ]
    for (const [what, brings] of claims) {
      const error = thrown(() =>
        composePlugins([{ name: 'megatron', ...brings }, { name: 'other' }, { name: 'ulysses', ...brings }]),
      )
      expect(error.code).toBe('PLUGIN_CONFLICT')
      for (const word of ['`megatron`', '`ulysses`', what]) expect(error.message).toContain(word)
    }
    expect(thrown(() => composePlugins([{ name: 'tp' }, { name: 'tp' }])).code).toBe('PLUGIN_CONFLICT')
  })

  it('refuses what is not a plugin, whatever it is', () => {
    const wrong: unknown[] = [
      null,
      undefined,
      'tp',
      () => ({ name: 'tp' }),
      {},
      { name: '' },
      { name: 'two words' },
      { name: 'x'.repeat(100) },
      { name: 'a', axes: {} },
      { name: 'a', passes: [null] },
      { name: 'a', passes: [{ name: 'a/b', phase: 'partition' }] },
      { name: 'a', passes: [{ name: 'a/b', phase: 'whenever', run }] },
      { name: 'a', operators: ['einsum'] },
      { name: 'a', verify: [{ name: 'rule' }] },
    ]
    // The types forbid these values; plugins from JavaScript do not know that.
    for (const each of wrong)
      expect(thrown(() => composePlugins([each as Plugin])).code, String(JSON.stringify(each))).toBe('PLUGIN')
    fc.assert(
      fc.property(fc.anything(), (each) => {
        try {
          composePlugins([each as Plugin]) // as above
        } catch (error) {
          expect(error).toMatchObject({ name: 'ShardloomError' })
        }
      }),
    )
  })
})

describe('what passes of plugins use', () => {
  const drawn = draw({ a: 2, b: 6 }, 'y = einsum(x, w): a b, b -> a')

  it('withPreferences adds each wish once and gives the same program back when there is none to add', () => {
    const once = withPreferences(drawn, [wish('tp', 'a')])
    expect(once.preferences).toEqual([wish('tp', 'a')])
    expect(withPreferences(once, [wish('tp', 'a')])).toBe(once)
    expect(withPreferences(once, [wish('tp', 'b'), wish('tp', 'a')]).preferences).toEqual([
      wish('tp', 'a'),
      wish('tp', 'b'),
    ])
    expect(drawn.preferences).toEqual([])
  })

  it('dimSizesOf lists every size of a dim', () => {
    const more = draw({ a: 2, b: 6 }, 'y = einsum(x, w): a b, b -> a')
    const tensors = new Map(more.tensors).set('z', {
      id: 'z',
      dims: ['b'],
      shape: [4],
      dtype: 'bf16',
      role: 'input',
      per: [],
    })
    expect(dimSizesOf({ ...more, tensors }, 'b')).toEqual([4, 6])
    expect(dimSizesOf(more, 'c')).toEqual([])
  })
})
