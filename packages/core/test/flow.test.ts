import { nodesOf, type Program, placementText } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { draw, plan, wish } from './draw.js'

const sizes = { batch: 12, seq: 12, hidden: 12, ffn: 24 }
const placed = (program: Program, id: string) => {
  const tensor = program.tensors.get(id)
  return tensor?.placement ? placementText(tensor.placement, tensor.dims) : 'not placed'
}
const batch = (axis: string, more = {}) => wish(axis, 'batch', { class: 'token', ...more })

describe('tensors from outside', () => {
  it('take what their forward readers ask for, and the most sharded wins', () => {
    const drawn = draw(
      sizes,
      `
      a = einsum(x, w): batch hidden, hidden ffn -> batch ffn
      b = einsum(y, w): seq hidden, hidden ffn! -> seq ffn!
    `,
    )
    const after = plan(drawn, { tp: 3 }, [wish('tp', 'ffn')])
    expect(placed(after, 'w')).toBe('ffn/tp')
    expect(placed(after, 'x')).toBe('replicate')
    const backwards = draw(
      sizes,
      `
      b = einsum(y, w): seq hidden, hidden ffn! -> seq ffn!
      a = einsum(x, w): batch hidden, hidden ffn -> batch ffn
    `,
    )
    expect(placed(plan(backwards, { tp: 3 }, [wish('tp', 'ffn')]), 'w')).toBe('ffn/tp')
  })

  it('do not listen to backward', () => {
    const drawn = draw(
      sizes,
      `
      a = einsum(x, w): batch hidden!, hidden! ffn! -> batch ffn!
      backward | d = einsum(g, w): batch ffn, hidden ffn -> batch hidden
    `,
    )
    const after = plan(drawn, { tp: 3 }, [wish('tp', 'ffn')])
    expect(placed(after, 'w')).toBe('replicate')
    expect(placed(after, 'd')).toBe('partial(sum)/tp')
  })
})

describe('nesting', () => {
  const both = 'm = norm(x): batch hidden! -> batch hidden!'

  it('follows the mesh where nothing else is known', () => {
    const after = plan(draw(sizes, both), { dp: 3, ep: 2 }, [batch('ep'), batch('dp')])
    expect(placed(after, 'm')).toBe('batch/dp.ep')
  })

  it('keeps the order of the producer and appends innermost', () => {
    const twice = `
      m = norm(x): batch hidden! -> batch hidden!
      n = norm(m): batch hidden! -> batch hidden!
    `
    const after = plan(draw(sizes, twice), { dp: 3, ep: 2 }, [batch('ep'), batch('dp', { where: { name: 'n' } })])
    expect(placed(after, 'm')).toBe('batch/ep')
    expect(placed(after, 'n')).toBe('batch/ep.dp')
  })

  describe('of atoms of which one leaves for another dim, and one is gathered', () => {
    const layer = `
      m = norm(x): batch hidden! -> batch hidden!
      y = einsum(m, w): batch hidden, hidden ffn! -> batch ffn!
      z = gelu(y): batch! ffn -> batch! ffn
    `
    const leaving = (axis: string) => wish(axis, 'ffn', { innermost: true, where: { name: 'z' } })
    /** Splits the hidden dim of a weight that nobody reads in this program: one more dim, as many as those that leave. */
    const gathered = wish('tp', 'hidden', { where: { name: 'none' } })
    const tokens = ['cp', 'ep', 'tp'].map((axis) => batch(axis, { where: { name: ['m', 'y'] } }))
    const steps = (program: Program) =>
      nodesOf(program.items).flatMap(({ op, communication }) =>
        communication ? [`${op} ${communication.atoms.join('.')}`] : [],
      )

    it('has the former inside, which leaves before the latter is gathered', () => {
      const after = plan(draw(sizes, layer), { ep: 3, tp: 2 }, [...tokens, leaving('ep'), gathered])
      expect(placed(after, 'y')).toBe('batch/tp.ep')
      expect(steps(after)).toEqual(['all-to-all ep', 'all-gather tp'])
      const outside = plan(draw(sizes, layer), { ep: 3, tp: 2 }, [
        ...tokens,
        wish('ep', 'ffn', { where: { name: 'z' } }),
        gathered,
      ])
      expect(placed(outside, 'y')).toBe('batch/ep.tp')
      expect(steps(outside)).toEqual(['all-gather tp', 'all-to-all ep'])
    })

    it('has none inside where another that leaves stays outside: it could not be the next to leave', () => {
      const more = ['ep', 'tp'].map((axis) => wish(axis, 'seq', { where: { name: 'none' } }))
      const wishes = [...tokens, leaving('cp'), leaving('ep'), gathered, ...more]
      const after = plan(draw(sizes, layer), { cp: 2, ep: 3, tp: 2 }, wishes)
      expect(placed(after, 'y')).toBe('batch/cp.ep.tp')
      expect(steps(after)).toEqual(['all-gather tp', 'all-to-all cp.ep'])
    })
  })

  it('of a derivative is that of its forward node', () => {
    const twice = `
      m = norm(x): batch hidden! -> batch hidden!
      n = norm(m): batch hidden! -> batch hidden!
      backward | d = norm(g, n): batch hidden!, batch hidden! -> batch hidden! ~ n
    `
    const after = plan(draw(sizes, twice), { dp: 3, ep: 2 }, [batch('ep'), batch('dp', { where: { name: 'n' } })])
    expect(placed(after, 'd')).toBe('batch/ep.dp')
  })
})

describe('carries', () => {
  const loop = (
    bodies: Record<string, string>,
    next: readonly string[],
    select: readonly { body: number; count: number }[],
  ) =>
    draw(sizes, 'e = norm(x): batch seq! hidden! -> batch seq! hidden!', {
      id: 'layers',
      axis: 'layer',
      extent: select.reduce((sum, run) => sum + run.count, 0),
      bodies,
      select,
      carry: { initial: 'e', inner: 'r', next, result: 'out' },
    })
  const seq = wish('sp', 'seq', { class: 'token' })
  const split = (name: string) => `${name} = norm(r): batch seq hidden! -> batch seq hidden!`
  const whole = (name: string) => `${name} = norm(r): batch seq! hidden! -> batch seq! hidden!`

  it('take the placement that the body keeps, not the one at the border', () => {
    const after = plan(loop({ layer: split('y') }, ['y'], [{ body: 0, count: 3 }]), { sp: 2 }, [seq])
    expect(placed(after, 'e')).toBe('replicate')
    for (const id of ['r', 'y', 'out']) expect(placed(after, id)).toBe('seq/sp')
  })

  it('are never partial', () => {
    const body =
      'y = einsum(r, w): batch seq hidden, hidden ffn -> batch seq ffn\nz = einsum(y, v): batch seq ffn, ffn hidden -> batch seq hidden'
    const after = plan(loop({ layer: body }, ['z'], [{ body: 0, count: 3 }]), { tp: 2 }, [wish('tp', 'ffn')])
    expect(placed(after, 'z')).toBe('partial(sum)/tp')
    expect(placed(after, 'r')).toBe('replicate')
    expect(placed(after, 'out')).toBe('replicate')
  })

  for (const [often, expected] of [
    ['split', 'seq/sp'],
    ['whole', 'replicate'],
  ] as const) {
    it(`follow the most frequent of bodies that disagree (${often}), and the other pays inside its border`, () => {
      const [first, second] = often === 'split' ? [1, 3] : [3, 1]
      const select = [
        { body: 0, count: first },
        { body: 1, count: second },
      ]
      const after = plan(loop({ whole: whole('a'), split: split('b') }, ['a', 'b'], select), { sp: 2 }, [seq])
      expect(placed(after, 'r')).toBe(expected)
      expect(placed(after, 'out')).toBe(expected)
      const [region] = after.items.filter((item) => item.type === 'region')
      const [wholeBody, splitBody] = (region?.bodies ?? []).map((body) =>
        body.items.flatMap((item) => (item.type === 'node' ? [item.op] : [])),
      )
      const pays = ['all-gather']
      expect([...(wholeBody ?? []), ...(splitBody ?? [])].filter((op) => op !== 'norm')).toEqual(pays)
      expect(often === 'split' ? wholeBody : splitBody).toContain('all-gather')
    })
  }
})
