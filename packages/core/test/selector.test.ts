import {
  bodyAt,
  bodyCounts,
  compileSelector,
  intersect,
  iterationsOf,
  layerRanges,
  type OperatorNode,
  type Place,
  type Region,
  type Selector,
} from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draw } from './draw.js'
import { thrown } from './thrown.js'

const drawn = draw({ batch: 2, hidden: 4 }, 'y = einsum(x, w): batch hidden, hidden -> batch')
const [plain] = drawn.items as [OperatorNode] // one line was drawn
const node: OperatorNode = { ...plain, id: 'forward/moe-layer/moe/experts/gate', module: 'moe/experts' }

const region = (extent: number, select: Region['select'], bodies = ['dense', 'moe-layer']): Region => ({
  type: 'region',
  id: 'layers',
  axis: 'layer',
  extent,
  order: 'forward',
  bodies: bodies.map((name) => ({ name, items: [] })),
  select,
  ports: [],
})
/** Three dense layers and then five with experts. */
const layers = region(8, [
  { body: 0, count: 3 },
  { body: 1, count: 5 },
])
const inLayers: Place = { path: [{ region: layers, body: 1 }], executions: 5 }
const matches = (selector: Selector | undefined, place = inLayers) =>
  compileSelector(selector, (id) => drawn.tensors.get(id))(node, place)

describe('compileSelector', () => {
  it('matches everything when nothing is asked', () => {
    expect(matches(undefined)).toBe(true)
    expect(matches({})).toBe(true)
  })

  it('matches each field, alone or as one of a list', () => {
    const right = {
      segment: 'forward',
      module: 'moe',
      operator: 'einsum',
      name: 'gate',
      body: 'moe-layer',
      layers: '3-7',
      role: 'parameter',
    } satisfies Required<Omit<Selector, 'except' | 'and'>>
    for (const [field, value] of Object.entries(right)) {
      expect(matches({ [field]: value }), field).toBe(true)
      expect(matches({ [field]: field === 'layers' ? ['0', value] : ['nothing', value] }), field).toBe(true)
      expect(matches({ [field]: field === 'layers' ? '0-2' : 'nothing' }), field).toBe(false)
    }
    expect(matches(right)).toBe(true)
    expect(matches({ ...right, name: 'up' })).toBe(false)
  })

  it('leaves out what `except` matches', () => {
    expect(matches({ module: 'moe', except: { name: 'up' } })).toBe(true)
    expect(matches({ module: 'moe', except: { name: 'g*' } })).toBe(false)
    expect(matches({ except: { module: 'moe', name: 'up' } })).toBe(true)
    expect(matches({ except: {} })).toBe(false)
  })

  it('is narrowed by a second selector, and by a third', () => {
    const moe = { module: 'moe' }
    expect(matches(intersect(moe, { name: 'gate' }))).toBe(true)
    expect(matches(intersect(moe, { module: 'attention' }))).toBe(false)
    expect(matches(intersect(intersect(moe, { name: 'gate' }), { except: { operator: 'einsum' } }))).toBe(false)
    expect(matches(intersect(intersect(moe, { name: 'up' }), { segment: 'forward' }))).toBe(false)
    expect(intersect(undefined, moe)).toBe(moe)
  })

  it('takes a module by any prefix of its path, but not by part of a name', () => {
    expect(matches({ module: 'moe/experts' })).toBe(true)
    expect(matches({ module: 'experts' })).toBe(false)
    expect(matches({ module: 'mo' })).toBe(false)
  })

  it('takes `*` for any run of characters and everything else literally', () => {
    expect(matches({ name: 'g*' })).toBe(true)
    expect(matches({ name: '*at*' })).toBe(true)
    expect(matches({ name: '*' })).toBe(true)
    expect(matches({ name: 'ga*te*e' })).toBe(false)
    expect(matches({ name: 'ga*ate' })).toBe(false)
    for (const literal of ['g.te', 'gat[e]', '(gate)', 'gate|x', '^gate$', 'gate?', 'g\\ate', ''])
      expect(matches({ name: literal })).toBe(false)
  })

  it('agrees with a slow reading of patterns', () => {
    const slow = (pattern: string, word: string): boolean => {
      if (pattern === '') return word === ''
      if (pattern[0] === '*') return slow(pattern.slice(1), word) || (word !== '' && slow(pattern, word.slice(1)))
      return pattern[0] === word[0] && slow(pattern.slice(1), word.slice(1))
    }
    fc.assert(
      fc.property(fc.stringMatching(/^[ab*]{0,8}$/), fc.stringMatching(/^[ab]{0,8}$/), (pattern, word) => {
        const test = compileSelector({ operator: pattern }, () => undefined)
        expect(test({ ...node, op: word }, inLayers)).toBe(slow(pattern, word))
      }),
      { numRuns: 1000 },
    )
  })

  // One that tried every way to match would take years.
  it('answers, whatever the pattern', () => {
    const test = compileSelector({ operator: `${'*a'.repeat(40)}b` }, () => undefined)
    expect(test({ ...node, op: 'a'.repeat(80) }, inLayers)).toBe(false)
  })

  it('refuses layers that cover only some of those that share a body', () => {
    expect(matches({ layers: '5' }, { path: [], executions: 1 })).toBe(false)
    const error = thrown(() => matches({ layers: [3, '5-6'] }))
    expect(error).toMatchObject({ code: 'LAYER_RANGE', subject: node.id })
    expect(error.help).toContain('boundaries')
  })
})

describe('layers', () => {
  it('reads numbers and inclusive ranges', () => {
    expect(layerRanges({ layers: [5, '10-20', ' 3 '] })).toEqual([
      [5, 5],
      [10, 20],
      [3, 3],
    ])
    for (const wrong of ['', 'x', '5-', '-5', '7-3', '1.5', -1, '1-2-3', Number.NaN])
      expect(thrown(() => layerRanges({ layers: wrong })).code, String(wrong)).toBe('LAYER_RANGE')
  })

  it('repeats the choice of bodies until the extent is covered', () => {
    const run = fc.record({ body: fc.nat(2), count: fc.integer({ min: 1, max: 4 }) })
    fc.assert(
      fc.property(fc.array(run, { minLength: 1, maxLength: 4 }), fc.nat(30), (select, extent) => {
        const each = region(extent, select, ['a', 'b', 'c'])
        const period = select.flatMap(({ body, count }) => Array.from({ length: count }, () => body))
        const expected = Array.from({ length: extent }, (_, index) => period[index % period.length])
        expect(expected.map((_, index) => bodyAt(each, index))).toEqual(expected)
        expect(bodyCounts(each)).toEqual([0, 1, 2].map((body) => expected.filter((which) => which === body).length))
        for (const body of [0, 1, 2])
          expect(iterationsOf(each, body)).toEqual(expected.flatMap((which, index) => (which === body ? [index] : [])))
      }),
    )
  })
})
