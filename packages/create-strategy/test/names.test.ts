import { specFields } from 'shardloom'
import { describe, expect, it } from 'vitest'
import { namesOf, ownAxes } from '../src/names.js'

describe('the names of a skeleton', () => {
  it('follow from the name of the package', () => {
    expect(namesOf('vocab-parallel', undefined, 'vocab')).toEqual({
      package: 'vocab-parallel',
      factory: 'vocabParallel',
      axis: 'vp',
      dim: 'vocab',
      pass: 'split-vocab',
      passFactory: 'splitVocab',
    })
    expect(namesOf('strategy-heads', undefined, 'kv_heads')).toMatchObject({
      factory: 'heads',
      axis: 'heads',
      pass: 'split-kv-heads',
      passFactory: 'splitKvHeads',
    })
    expect(namesOf('wide', 'w2', 'ffn')).toMatchObject({ axis: 'w2' })
  })

  it('never meet a keyword, an import or each other', () => {
    const factories = ['class', 'plan', 'split-vocab', 'check-pass', 'strategy-2d'].map(
      (name) => namesOf(name, 'vp', 'vocab').factory,
    )
    expect(factories).toEqual([
      'classStrategy',
      'planStrategy',
      'splitVocabStrategy',
      'checkPassStrategy',
      'strategy2dStrategy',
    ])
  })

  it('refuse what cannot work, and say what would', () => {
    const refused = (name: string, axis: string | undefined, dim: string) => {
      try {
        return namesOf(name, axis, dim)
      } catch (error) {
        return error
      }
    }
    for (const name of ['', 'My-Strategy', 'a/b', '..', 'ends-', 'é', 'x'.repeat(101), 'a\nb'])
      expect(refused(name, 'vp', 'vocab')).toMatchObject({ code: 'NAME', help: expect.stringContaining('lower-case') })
    for (const axis of ['', 'v p', '2d', 'Vp', "'", 'x'.repeat(33)])
      expect(refused('some-name', axis, 'vocab')).toMatchObject({
        code: 'AXIS',
        help: expect.stringContaining('--axis'),
      })
    expect(refused('expert-parallel', undefined, 'experts')).toMatchObject({ code: 'AXIS' })
    for (const dim of ['', 'batch', 'words', 'constructor'])
      expect(refused('some-name', 'vp', dim)).toMatchObject({
        code: 'DIM',
        help: expect.stringContaining('vocab or experts'),
      })
  })

  it('know every axis of the spec', () => {
    const axes = specFields().flatMap(({ path }) => (path[0] === 'parallel' && path[1] ? [path[1]] : []))
    expect([...ownAxes].sort()).toEqual(axes.sort())
  })
})
