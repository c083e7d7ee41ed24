import { corePasses, createMesh, nodesOf, type Program, runPasses } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { communicationTable } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { draw, lines, operators, plan, text, wish } from './draw.js'
import { thrown } from './thrown.js'

const sizes = { batch: 4, seq: 8, hidden: 16, ffn: 32, heads: 8, dim: 2 }
/** Bytes of a tensor of the residual stream's shape, in bf16. */
const stream = 4 * 8 * 16 * 2

const network = `
  h = einsum(x, w1): batch seq hidden, hidden ffn -> batch seq ffn
  a = gelu(h): batch seq ffn -> batch seq ffn
  y = einsum(a, w2): batch seq ffn, ffn hidden -> batch seq hidden
  n = norm(y): batch seq hidden! -> batch seq hidden!
`

/** Kind, group size and bytes per rank of every communication node, in order. */
function table(program: Program): string[] {
  for (const report of verifyProgram(program, operators)) expect(report.violations, report.name).toEqual([])
  return communicationTable(program, operators).flatMap((row) =>
    row.nodes.map(() => `${row.segment} ${row.op} n=${row.groupSize} ${row.bytesPerRank}`),
  )
}

describe('communicate', () => {
  // Shoeybi et al. 2019, section 3: a column- and then a row-parallel linear layer need one all-reduce.
  it('a column-parallel and a row-parallel layer: one all-reduce', () => {
    const after = plan(draw(sizes, network), { tp: 4 }, [wish('tp', 'ffn')])
    expect(text(after)).toBe(
      lines(`
        h = einsum(x, w1)  # ffn/tp
        a = gelu(h)  # ffn/tp
        y = einsum(a, w2)  # partial(sum)/tp
        y/all-reduce(tp) = all-reduce(y)  # replicate
        n = norm(y/all-reduce(tp))  # replicate
      `),
    )
    expect(table(after)).toEqual([`forward all-reduce n=4 ${(2 * stream * 3) / 4}`])
  })

  it('the same under data parallelism: each replica reduces its own half', () => {
    const after = plan(draw(sizes, network), { dp: 2, tp: 4 }, [
      wish('tp', 'ffn'),
      wish('dp', 'batch', { class: 'token' }),
    ])
    expect(table(after)).toEqual([`forward all-reduce n=4 ${((2 * stream) / 2) * (3 / 4)}`])
    expect(communicationTable(after, operators)[0]?.axes).toEqual(['tp'])
  })

  // Korthikanti et al. 2022, section 4.2.2: with the sequence split between, the all-reduce is a reduce-scatter and an all-gather.
  it('the sequence split around them: all-gather and reduce-scatter', () => {
    const layer = `
      m = norm(x): batch seq hidden! -> batch seq hidden!
      h = einsum(m, w1): batch seq hidden, hidden ffn -> batch seq ffn
      y = einsum(h, w2): batch seq ffn, ffn hidden -> batch seq hidden
      r = add(x, y): batch seq hidden, batch seq hidden -> batch seq hidden
    `
    const after = plan(draw(sizes, layer), { tp: 4 }, [wish('tp', 'ffn seq')])
    expect(text(after)).toBe(
      lines(`
        m = norm(x)  # seq/tp
        m/all-gather(tp) = all-gather(m)  # replicate
        h = einsum(m/all-gather(tp), w1)  # ffn/tp
        y = einsum(h, w2)  # partial(sum)/tp
        y/reduce-scatter(tp) = reduce-scatter(y)  # seq/tp
        r = add(x, y/reduce-scatter(tp))  # seq/tp
      `),
    )
    expect(table(after)).toEqual([
      `forward all-gather n=4 ${(stream * 3) / 4}`,
      `forward reduce-scatter n=4 ${(stream * 3) / 4}`,
    ])
  })

  // Jacobs et al. 2023 (DeepSpeed-Ulysses), section 3.2: heads inside attention, the sequence elsewhere.
  it('heads inside, the sequence outside: two all-to-alls', () => {
    const core = `
      q = einsum(x, w1): batch seq hidden, hidden heads dim -> batch seq heads dim
      c = gelu(q): batch seq! heads dim -> batch seq! heads dim
      o = einsum(c, w2): batch seq heads dim, heads dim hidden -> batch seq hidden
    `
    const after = plan(draw(sizes, core), { sp: 4 }, [
      wish('sp', 'seq', { class: 'token' }),
      wish('sp', 'heads', { where: { name: 'c' } }),
    ])
    expect(text(after)).toBe(
      lines(`
        q = einsum(x, w1)  # seq/sp
        q/all-to-all(sp) = all-to-all(q)  # heads/sp
        c = gelu(q/all-to-all(sp))  # heads/sp
        c/all-to-all(sp) = all-to-all(c)  # seq/sp
        o = einsum(c/all-to-all(sp), w2)  # seq/sp
      `),
    )
    expect(table(after)).toEqual([
      `forward all-to-all n=4 ${(stream * 3) / 16}`,
      `forward all-to-all n=4 ${(stream * 3) / 16}`,
    ])
  })

  it('a saved tensor: backward reads the smallest version and gathers it again', () => {
    const step = `
      m = norm(x): batch seq hidden! -> batch seq hidden!
      h = einsum(m, w1): batch seq hidden, hidden ffn -> batch seq ffn
      l = loss(h): batch seq ffn -> .
      backward | g = gelu(h): batch seq ffn -> batch seq ffn ~ h
      backward | d = einsum(m, g): batch seq hidden, batch seq ffn -> hidden ffn ~ h
    `
    const after = plan(draw(sizes, step), { tp: 2 }, [wish('tp', 'ffn seq')])
    expect(text(after)).toBe(
      lines(`
        m = norm(x)  # seq/tp
        m/all-gather(tp) = all-gather(m)  # replicate
        h = einsum(m/all-gather(tp), w1)  # ffn/tp
        l = loss(h)  # partial(sum)/tp
        g = gelu(h)  # ffn/tp
        backward/m/all-gather(tp) = all-gather(m)  # replicate
        d = einsum(backward/m/all-gather(tp), g)  # ffn/tp
      `),
    )
    expect(table(after)).toEqual([`forward all-gather n=2 ${stream / 2}`, `backward all-gather n=2 ${stream / 2}`])
  })

  it('what one reader converted, the next one shares', () => {
    const two = `
      m = norm(x): batch seq hidden! -> batch seq hidden!
      h = einsum(m, w1): batch seq hidden, hidden ffn -> batch seq ffn
      g = einsum(m, w2): batch seq hidden, hidden ffn -> batch seq ffn
    `
    const after = plan(draw(sizes, two), { tp: 2 }, [wish('tp', 'ffn seq')])
    expect(table(after)).toEqual([`forward all-gather n=2 ${stream / 2}`])
    const nodes = after.items.flatMap((item) => (item.type === 'node' && item.op === 'einsum' ? [item.inputs[0]] : []))
    expect(new Set(nodes)).toEqual(new Set(['m/all-gather(tp)']))
  })

  for (const order of [
    ['whole', 'shard'],
    ['shard', 'whole'],
  ]) {
    it(`one reader wants ${order[0]} and the next ${order[1]}: one all-reduce, the other slices`, () => {
      const reader = {
        whole: 'n = norm(y): batch seq! hidden! -> batch seq! hidden!',
        shard: 'm = norm(y): batch seq hidden! -> batch seq hidden!',
      }
      const sum = 'y = einsum(x, w): batch seq ffn, ffn hidden -> batch seq hidden'
      const readers = order.map((which) => reader[which as keyof typeof reader]) // the names above
      const after = plan(draw(sizes, sum, ...readers), { tp: 2 }, [wish('tp', 'ffn seq')])
      expect(table(after)).toEqual([`forward all-reduce n=2 ${stream}`])
    })
  }

  it('several axes on one dim: one collective over both, innermost alone where only that one goes', () => {
    const both = `
      m = norm(x): batch seq hidden! -> batch seq hidden!
      n = norm(m): batch! seq hidden! -> batch! seq hidden!
    `
    const wishes = [wish('dp', 'batch', { class: 'token' }), wish('ep', 'batch', { class: 'token' })]
    const whole = plan(draw({ ...sizes, batch: 6 }, both), { dp: 3, ep: 2 }, wishes)
    const bytes = 6 * 8 * 16 * 2
    expect(table(whole)).toEqual([`forward all-gather n=6 ${(bytes * 5) / 6}`])
    const inner = [wishes[0], wish('ep', 'batch', { class: 'token', where: { name: 'm' } })].flatMap(
      (each) => each ?? [],
    )
    const some = plan(draw({ ...sizes, batch: 6 }, both.replaceAll('batch!', 'batch')), { dp: 3, ep: 2 }, inner)
    expect(table(some)).toEqual([`forward all-gather n=2 ${bytes / 3 / 2}`])
  })

  it('a reader that splits by the inner of two axes alone is refused, never gathered silently', () => {
    const both = `
      m = norm(x): batch seq hidden! -> batch seq hidden!
      n = norm(m): batch seq hidden! -> batch seq hidden!
    `
    const wishes = [
      wish('dp', 'batch', { class: 'token', where: { name: 'm' } }),
      wish('ep', 'batch', { class: 'token' }),
    ]
    expect(thrown(() => plan(draw(sizes, both), { dp: 2, ep: 2 }, wishes)).code).toBe('ORDER_CONFLICT')
  })

  it('says why each node exists', () => {
    const after = plan(draw(sizes, network), { tp: 4 }, [wish('tp', 'ffn', { strategy: 'columns' })])
    expect(communicationTable(after, operators).map((row) => row.reason)).toEqual([
      { tensor: 'y', producer: 'y', consumer: 'n', strategies: ['columns'] },
    ])
  })

  it('parts of a divided axis reduce over the ranks that share a term', () => {
    const mesh = createMesh([{ name: 'tp', degree: 4, factors: [2, 2] }])
    const partly = 'y = einsum(x, w): batch seq ffn, ffn hidden -> batch seq hidden'
    const wishes = [wish('tp', 'ffn', { atoms: ['tp.1'] }), wish('tp', 'batch', { atoms: ['tp.0'] })]
    const after = plan(draw(sizes, partly, 'n = norm(y): batch seq hidden! -> batch seq hidden!'), mesh, wishes)
    expect(table(after)).toEqual([`forward all-reduce n=2 ${stream / 2}`])
    expect(communicationTable(after, operators)[0]?.axes).toEqual(['tp.1'])
  })

  it('adds nothing where every axis has degree 1, and nothing the second time', () => {
    const alone = plan(draw(sizes, network), { tp: 1, dp: 1 }, [wish('tp', 'ffn'), wish('dp', 'batch')])
    expect(table(alone)).toEqual([])
    const after = plan(draw(sizes, network), { tp: 4 }, [wish('tp', 'ffn')])
    expect(runPasses(after, corePasses, { operators, warn: () => {} })).toBe(after)
  })
})

describe('communicate in regions', () => {
  const layers = { id: 'layers', axis: 'layer', extent: 4 } as const

  it('a carry is handed on as it came: the residual stream costs one all-reduce for each layer', () => {
    const body = `
      h = einsum(r, w1): batch seq hidden, hidden ffn -> batch seq ffn
      y = einsum(h, w2): batch seq ffn, ffn hidden -> batch seq hidden
      z = add(r, y): batch seq hidden, batch seq hidden -> batch seq hidden
    `
    const drawn = draw(
      sizes,
      'e = norm(x): batch seq hidden! -> batch seq hidden!',
      { ...layers, bodies: { layer: body }, carry: { initial: 'e', inner: 'r', next: ['z'], result: 'out' } },
      'n = norm(out): batch seq hidden! -> batch seq hidden!',
    )
    const after = plan(drawn, { tp: 2 }, [wish('tp', 'ffn')])
    expect(table(after)).toEqual([`forward all-reduce n=2 ${stream}`])
    expect(communicationTable(after, operators)[0]).toMatchObject({ count: 4, region: 'layer' })
    const split = plan(drawn, { tp: 2 }, [wish('tp', 'ffn seq')])
    expect(table(split)).toEqual([`forward all-gather n=2 ${stream / 2}`, `forward reduce-scatter n=2 ${stream / 2}`])
  })

  it('two bodies that read one value from outside differently each convert it, and that is no duplicate', () => {
    const drawn = draw(
      sizes,
      'm = norm(x): batch seq hidden! -> batch seq hidden!',
      'e = norm(x): batch seq hidden! -> batch seq hidden!',
      {
        ...layers,
        bodies: {
          a: 'ya = scale(r, m): batch seq hidden, batch seq! hidden! -> batch seq! hidden',
          b: 'yb = norm(r, m): batch seq! hidden, batch seq! hidden! -> batch seq! hidden',
        },
        select: [
          { body: 0, count: 1 },
          { body: 1, count: 1 },
        ],
        carry: { initial: 'e', inner: 'r', next: ['ya', 'yb'], result: 'out' },
      },
    )
    const after = plan(drawn, { sp: 2 }, [wish('sp', 'seq', { class: 'token' })])
    table(after)
    const gathers = nodesOf(after.items).filter((node) => node.communication?.reason.tensor === 'm')
    expect(gathers.map((node) => node.op)).toEqual(['all-gather', 'all-gather'])
    expect(new Set(gathers.map((node) => node.id)).size).toBe(2)
  })

  it('gradients of microbatches are summed before they are reduced', () => {
    const drawn = draw(
      sizes,
      {
        id: 'microbatches',
        axis: 'microbatch',
        extent: 3,
        order: 'parallel',
        bodies: { microbatch: 'd = einsum(x, g): batch seq hidden, batch seq ffn -> hidden ffn' },
        reduce: { inner: ['d'], result: 'sum' },
      },
      'optimizer | u = adam(sum): hidden ffn -> hidden ffn',
    )
    const after = plan(drawn, { dp: 2 }, [wish('dp', 'batch', { class: 'token' })])
    expect(table(after)).toEqual([`optimizer all-reduce n=2 ${16 * 32 * 2}`])
    expect(communicationTable(after, operators)[0]?.count).toBe(1)
  })
})
