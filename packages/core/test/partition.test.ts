import { nodesOf, orList, type Preference, type Program, partialDim, placementText } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { draw, lines, plan, text, wish } from './draw.js'
import { thrown } from './thrown.js'

const sizes = { batch: 12, seq: 12, hidden: 12, ffn: 24, experts: 6 }
const layer = 'y = einsum(x, w): batch seq hidden, hidden ffn -> batch seq ffn'
const placed = (program: Program, id: string) => {
  const tensor = program.tensors.get(id)
  return tensor?.placement ? placementText(tensor.placement, tensor.dims) : 'not placed'
}

describe('preferences', () => {
  it('the first dim that is present, not whole and divisible is taken', () => {
    const split = (dims: string, degree: number, drawn = layer) =>
      placed(plan(draw(sizes, drawn), { tp: degree }, [wish('tp', dims)]), 'y')
    expect(split('heads ffn seq', 4)).toBe('ffn/tp')
    expect(split('seq ffn', 8)).toBe('ffn/tp')
    expect(split('ffn seq', 4, layer.replaceAll('ffn', 'ffn!'))).toBe('seq/tp')
    expect(split('heads', 4)).toBe('replicate')
    expect(split('ffn seq', 1)).toBe('replicate')
  })

  it('several axes on one dim must divide it together', () => {
    const wishes = [wish('dp', 'batch', { class: 'token' }), wish('ep', 'batch seq', { class: 'token' })]
    expect(placed(plan(draw(sizes, layer), { dp: 3, ep: 4 }, wishes), 'y')).toBe('batch/dp.ep')
    expect(placed(plan(draw(sizes, layer), { dp: 4, ep: 4 }, wishes), 'y')).toBe('batch/dp · seq/ep')
  })

  it('classes come in a fixed order, whatever the order of the plugins', () => {
    const drawn = draw(sizes, 'y = scale(x): experts batch ffn -> experts batch ffn')
    const wishes: Preference[] = [
      { strategy: 'c', axis: 'one', class: 'token', dims: ['batch'] },
      { strategy: 'b', axis: 'one', class: 'feature', dims: ['ffn'] },
      { strategy: 'a', axis: 'one', class: 'experts', dims: ['experts'] },
    ]
    const orders = [wishes, [...wishes].reverse(), [1, 0, 2].flatMap((index) => wishes[index] ?? [])]
    for (const order of orders) {
      expect(placed(plan(drawn, { one: 3 }, order), 'y')).toBe('experts/one')
      const fewer = order.filter((each) => each.class !== 'experts')
      expect(placed(plan(drawn, { one: 3 }, fewer), 'y')).toBe('ffn/one')
    }
  })

  it('two strategies of one class on one operator and axis are refused, both named', () => {
    const wishes = [wish('tp', 'ffn', { strategy: 'columns' }), wish('tp', 'seq', { strategy: 'rows' })]
    const error = thrown(() => plan(draw(sizes, layer), { tp: 2 }, wishes))
    expect(error).toMatchObject({ code: 'CONFLICT', subject: 'y' })
    for (const word of ['`columns`', '`rows`', '`tp`', '`ffn`', '`seq`', '`y`']) expect(error.message).toContain(word)
    expect(error.help).toContain('where')
    const apart = [
      wish('tp', 'ffn', { strategy: 'columns', where: { name: 'other' } }),
      wish('tp', 'seq', { strategy: 'rows' }),
    ]
    expect(placed(plan(draw(sizes, layer), { tp: 2 }, apart), 'y')).toBe('seq/tp')
  })

  it('lists of one strategy join: the first that fits is taken', () => {
    const wishes = [wish('tp', 'ffn', { where: { name: 'z' } }), wish('tp', 'seq')]
    expect(placed(plan(draw(sizes, layer), { tp: 2 }, wishes), 'y')).toBe('seq/tp')
  })

  it('a dim that does not divide is refused with the degrees that would work', () => {
    const error = thrown(() => plan(draw(sizes, layer), { tp: 5 }, [wish('tp', 'ffn')]))
    expect(error.code).toBe('INDIVISIBLE')
    expect(error.message).toBe(
      'Cannot split dim `ffn` (24) of `y` over axis `tp` (degree 5): 24 is not divisible by 5.',
    )
    const degrees = [...(error.help?.split(',  or set')[0] ?? '').matchAll(/\b\d+\b/g)].map(Number)
    expect(degrees).toEqual([1, 2, 3, 4, 6, 8, 12, 24])
    for (const degree of degrees)
      expect(() => plan(draw(sizes, layer), { tp: degree }, [wish('tp', 'ffn')])).not.toThrow()
  })

  it('a dim that two axes split names degrees that work beside the other one', () => {
    const wishes = [wish('dp', 'batch', { class: 'token' }), wish('ep', 'batch', { class: 'token' })]
    const error = thrown(() => plan(draw(sizes, layer), { dp: 3, ep: 3 }, wishes))
    expect(error.code).toBe('INDIVISIBLE')
    expect(error.message).toContain('`ep` (degree 3)')
    expect(error.message).not.toContain('12 is not divisible by 3')
    const degrees = [...(error.help ?? '').matchAll(/\b\d+\b/g)].map(Number)
    expect(degrees).toEqual([1, 2, 4])
    for (const degree of degrees) expect(() => plan(draw(sizes, layer), { dp: 3, ep: degree }, wishes)).not.toThrow()
  })
})

describe('what comes before preferences', () => {
  it('a derivative follows its forward node', () => {
    const step = `
      ${layer}
      backward | d = einsum(x, g): batch seq hidden, batch seq ffn -> hidden ffn ~ y
    `
    const after = plan(draw(sizes, step), { tp: 2 }, [
      wish('tp', 'ffn', { where: { segment: 'forward' } }),
      wish('tp', 'seq', { where: { segment: 'backward' } }),
    ])
    expect(placed(after, 'd')).toBe('ffn/tp')
  })

  it('an operator of the optimizer follows the tensor that it updates', () => {
    const drawn = draw(sizes, layer, 'optimizer | u = adam(g): hidden ffn -> hidden ffn')
    const items = drawn.items.map((item) => (item.id === 'u' ? { ...item, updates: 'w' } : item))
    expect(placed(plan({ ...drawn, items }, { tp: 2 }, [wish('tp', 'ffn')]), 'u')).toBe('ffn/tp')
  })
})

describe('partial sums', () => {
  const sum = 'y = einsum(x, w): batch seq ffn, ffn hidden -> batch seq hidden'
  const shrink = 'z = einsum(y, v): batch seq hidden, hidden -> batch seq'

  it('pass a linear operator when they get smaller', () => {
    const after = plan(draw(sizes, sum, shrink), { tp: 2 }, [wish('tp', 'ffn')])
    expect(placed(after, 'z')).toBe('partial(sum)/tp')
    expect(nodesOf(after.items).filter((node) => node.communication)).toEqual([])
  })

  it('are resolved before an operator that is not linear, or where they do not get smaller', () => {
    for (const reader of [
      'z = gelu(y): batch seq hidden -> batch seq hidden',
      'z = scale(y): batch seq hidden -> batch seq hidden',
    ])
      expect(placed(plan(draw(sizes, sum, reader), { tp: 2 }, [wish('tp', 'ffn')]), 'z')).toBe('replicate')
  })

  it('are resolved when any one reader cannot pass them', () => {
    const after = plan(draw(sizes, sum, shrink, 'n = gelu(y): batch seq hidden -> batch seq hidden'), { tp: 2 }, [
      wish('tp', 'ffn'),
    ])
    expect(placed(after, 'z')).toBe('replicate')
    expect(nodesOf(after.items).filter((node) => node.communication)).toHaveLength(1)
  })

  it('pass where a strategy asks for it, though they do not get smaller', () => {
    const reader = 'z = scale(y): batch seq hidden -> batch seq hidden'
    const wishes = [wish('tp', partialDim, { where: { name: 'z' } }), wish('tp', 'ffn')]
    expect(placed(plan(draw(sizes, sum, reader), { tp: 2 }, wishes), 'z')).toBe('partial(sum)/tp')
    const product = 'z = gelu(y): batch seq hidden -> batch seq hidden'
    expect(placed(plan(draw(sizes, sum, product), { tp: 2 }, wishes), 'z')).toBe('replicate')
  })

  it('two partial factors of one product are never both passed', () => {
    const product = 'z = einsum(y, y2): batch seq hidden, batch seq hidden -> batch'
    const after = plan(
      draw(sizes, sum, 'y2 = einsum(x2, w2): batch seq ffn, ffn hidden -> batch seq hidden', product),
      { tp: 2 },
      [wish('tp', 'ffn')],
    )
    expect(placed(after, 'z')).not.toContain('partial')
  })
})

describe('sums of contributions', () => {
  const part = (name: string, dim: string) =>
    `${name} = einsum(x_${name}, w_${name}): batch seq ${dim}, ${dim} hidden -> batch seq hidden`
  const three = 'batch seq hidden, batch seq hidden, batch seq hidden -> batch seq hidden'

  it('of terms partial along the same axis stay partial, and cost one reduction', () => {
    const after = plan(
      draw(
        sizes,
        part('a', 'ffn'),
        part('b', 'ffn'),
        's = merge(a, b): batch seq hidden, batch seq hidden -> batch seq hidden',
        'n = norm(s): batch seq hidden! -> batch seq hidden!',
      ),
      { tp: 2 },
      [wish('tp', 'ffn')],
    )
    expect(placed(after, 's')).toBe('partial(sum)/tp')
    expect(
      nodesOf(after.items)
        .filter((node) => node.communication)
        .map((node) => node.id),
    ).toEqual(['s/all-reduce(tp)'])
  })

  it('of terms partial along different axes are grouped, so that each group is reduced once', () => {
    const after = plan(
      draw(
        sizes,
        part('a', 'ffn'),
        part('b', 'experts'),
        part('c', 'ffn'),
        `s = merge(a, b, c): ${three}`,
        'n = norm(s): batch seq hidden! -> batch seq hidden!',
      ),
      { tp: 2, ep: 3 },
      [wish('tp', 'ffn'), wish('ep', 'experts', { class: 'experts' })],
    )
    expect(text(after)).toBe(
      lines(`
        a = einsum(x_a, w_a)  # partial(sum)/tp
        b = einsum(x_b, w_b)  # partial(sum)/ep
        c = einsum(x_c, w_c)  # partial(sum)/tp
        s+tp = merge(a, c)  # partial(sum)/tp
        b/all-reduce(ep) = all-reduce(b)  # replicate
        s+tp/all-reduce(tp) = all-reduce(s+tp)  # replicate
        s = merge(b/all-reduce(ep), s+tp/all-reduce(tp))  # replicate
        n = norm(s)  # replicate
      `),
    )
  })

  it('keep a split that all terms share', () => {
    const same = (name: string) => `${name} = norm(x_${name}): batch seq hidden! -> batch seq hidden!`
    const after = plan(
      draw(sizes, same('a'), same('b'), 's = merge(a, b): batch seq hidden, batch seq hidden -> batch seq hidden'),
      { sp: 2 },
      [wish('sp', 'seq', { where: { operator: 'norm' } })],
    )
    expect(placed(after, 's')).toBe('seq/sp')
  })
})

it('orList joins as a sentence does', () => {
  expect([[], [1], [1, 2], [1, 2, 4]].map(orList)).toEqual(['', '1', '1 or 2', '1, 2 or 4'])
})
