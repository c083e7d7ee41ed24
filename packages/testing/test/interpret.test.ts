import {
  type Communication,
  createMesh,
  type Item,
  nodesOf,
  type OperatorNode,
  type Program,
  replicated,
} from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { draw } from '../../core/test/draw.js'
import { thrown } from '../../core/test/thrown.js'
import { interpret } from '../src/interpret.js'
import { operators, place } from './drawn.js'

const sizes = { row: 4, column: 3, inner: 6 }
const product = draw(
  sizes,
  `
  y = matmul(x, w): row inner, inner column -> row column
  z = square(y): row column -> row column
  `,
)
const initial = { initial: (_: unknown, __: unknown, index: number) => index + 1 }

describe('a program on one rank', () => {
  it('computes what its operators say', () => {
    const run = interpret(place(product, {}, {}), operators, initial)
    // Row 0 of x is 1 … 6; column 0 of w is 1, 4, 7, 10, 13, 16.
    expect(run.whole('y')[0]).toBe(1 + 8 + 21 + 40 + 65 + 96)
    expect(run.whole('z')[0]).toBe(231 ** 2)
    expect([...run.executed]).toEqual([
      ['matmul', 1],
      ['square', 1],
    ])
  })
})

describe('every rank reads its own store', () => {
  const two = place(product, { a: 2 }, { a: 'inner' })

  it('a contracted dim that is split leaves a term on each rank, and the sum on all', () => {
    const run = interpret(two, operators, initial)
    const terms = run.blocks('y').map(({ values }) => values[0])
    expect(terms).toEqual([1 + 8 + 21, 40 + 65 + 96])
    expect(run.whole('y')[0]).toBe(231)
    expect(run.blocks('y/all-reduce(a)').map(({ values }) => values[0])).toEqual([231, 231])
    expect(run.executed.get('all-reduce')).toBe(2)
  })

  it('shares that differ, and none at all', () => {
    for (const degree of [4, 5, 7]) {
      const run = interpret(
        place(product, { a: degree }, { a: 'inner' }, operators, { uneven: 'ragged' }),
        operators,
        initial,
      )
      expect(run.whole('z')[0]).toBe(231 ** 2)
    }
    const rows = interpret(
      place(product, { a: 3, b: 3 }, { a: 'row', b: 'inner' }, operators, { uneven: 'ragged' }),
      operators,
      initial,
    )
    expect(rows.blocks('z').map(({ positions }) => positions[0]?.length)).toEqual([2, 2, 2, 1, 1, 1, 1, 1, 1])
    expect(rows.whole('z')).toEqual(interpret(place(product, {}, {}), operators, initial).whole('z'))
  })

  it('sees a node when all ranks have run it', () => {
    const seen: string[] = []
    interpret(two, operators, { ...initial, observe: ({ id }, _, [blocks]) => seen.push(`${id} ${blocks?.length}`) })
    expect(seen).toEqual(['y 2', 'y/all-reduce(a) 2', 'z 2'])
  })
})

describe('a loop', () => {
  const loop = (first: string) =>
    draw(sizes, `y = double(x): row${first} column -> row${first} column`, {
      id: 'layers',
      axis: 'layer',
      extent: 3,
      bodies: { layer: 'z = double(h): row column -> row column' },
      carry: { initial: 'y', inner: 'h', next: ['z'], result: 'out' },
    })

  it('hands on to each rank its part of what starts replicated', () => {
    const program = place(loop('!'), { a: 2 }, { a: 'row' })
    expect(nodesOf(program.items).some(({ communication }) => communication)).toBe(false)
    const run = interpret(program, operators, initial)
    expect(run.blocks('y').map(({ values }) => values.length)).toEqual([12, 12])
    expect(run.blocks('h', new Map([['layer', 0]])).map(({ values }) => [...values])).toEqual([
      [2, 4, 6, 8, 10, 12],
      [14, 16, 18, 20, 22, 24],
    ])
    expect([...run.whole('out')]).toEqual(Array.from({ length: 12 }, (_, index) => 16 * (index + 1)))
  })

  it('that hands on less than the next iteration reads is an error of the loop', () => {
    const program = place(loop(''), { a: 2 }, { a: 'row' })
    const wide = program.tensors.get('h')
    if (!wide) throw new Error('h was drawn')
    const tensors = new Map(program.tensors).set('h', { ...wide, placement: replicated(2) })
    const error = thrown(() => interpret({ ...program, tensors }, operators))
    expect([error.code, error.message]).toEqual([
      'MISSING_VALUE',
      'Rank 0 runs `layers` and lacks positions 2, 3 of dim `row` of `y`.',
    ])
  })
})

/** Replaces one node by others. */
function swap(program: Program, id: string, by: readonly OperatorNode[]): Program {
  return { ...program, items: program.items.flatMap((item): readonly Item[] => (item.id === id ? by : [item])) }
}
const find = (program: Program, id: string) => {
  const node = nodesOf(program.items).find((each) => each.id === id)
  if (!node) throw new Error(`no node ${id}`)
  return node
}

describe('errors say what was tried, where, why not, and what would work', () => {
  it('MISSING_VALUE: a gather that was left out', () => {
    const program = place(
      draw(sizes, 'y = square(x): row column -> row column', 'z = square(y): row! column -> row! column'),
      { a: 2 },
      { a: 'row' },
    )
    const gather = nodesOf(program.items).find((node) => node.communication)
    const z = find(program, 'z')
    const error = thrown(() => {
      const without = swap(swap(program, gather?.id ?? '', []), 'z', [{ ...z, inputs: ['y'] }])
      interpret(without, operators)
    })
    expect(error.code).toBe('MISSING_VALUE')
    expect(error.message).toBe('Rank 0 runs `z` and lacks positions 2, 3 of dim `row` of `y`.')
    expect(error.help).toBe('No communication node brings them to this rank: derive one, or split another dim.')
    expect(error.subject).toBe('z')
  })

  it('COLLECTIVE: ranks whose parts cannot be added up', () => {
    const program = place(product, { a: 2, b: 2 }, { a: 'inner', b: 'row' })
    const reduce = find(program, 'y/all-reduce(a)')
    const wrong = { ...reduce, communication: { ...(reduce.communication as Communication), atoms: ['a', 'b'] } }
    const error = thrown(() => interpret(swap(program, reduce.id, [wrong]), operators))
    expect(error.code).toBe('COLLECTIVE')
    expect(error.message).toBe(
      '`y/all-reduce(a)` fails among the ranks 0, 1, 2, 3: its members hold different parts of the tensor, which cannot be added up.',
    )
    expect(error.help).toBe('Check its atoms and the placements that it converts.')
  })

  it('NO_SEMANTICS says how to give them', () => {
    const program = place(draw(sizes, 'y = silent(x): row -> row'), {}, {})
    const error = thrown(() => interpret(program, operators))
    expect(error.code).toBe('NO_SEMANTICS')
    expect(error.message).toBe('`y` cannot be run: nobody says what the operator `silent` computes.')
    expect(error.help).toBe(
      "Give its definition `execute: (operands, context) => results`, in the plugin's `operators: [{ name: 'silent', … }]`.",
    )
  })

  it('KERNEL: what a kernel threw, a result of another size, positions that it did not ask for', () => {
    const failing = (op: string) =>
      thrown(() =>
        interpret(place(draw(sizes, `y = ${op}(x): row column -> row column`), { a: 2 }, { a: 'row' }), operators),
      )
    const broken = failing('broken')
    expect(broken.code).toBe('KERNEL')
    expect(broken.message).toBe('The `execute` of the operator `broken` failed at `y`: the table is empty.')
    expect(broken.cause).toBeInstanceOf(Error)
    expect(failing('short').message).toBe(
      'The `execute` of the operator `short` failed at `y`: result 0 has 1 elements, but its shape on rank 0 is 2×3.',
    )
    expect(failing('short').help).toBe(
      'A kernel returns one Float64Array per result, with the elements of its local shape.',
    )
    expect(failing('curious').message).toMatch(
      /reads the positions of `row`, which its definition's `index` does not name/,
    )
  })

  it('INTERPRET_SIZE: refused before anything runs, with what it would take', () => {
    const error = thrown(() => interpret(place(product, {}, {}), operators, { limit: { points: 50 } }))
    expect(error.code).toBe('INTERPRET_SIZE')
    // 4 × 3 × 6 products and 4 × 3 squares.
    expect(error.message).toMatch(
      /`drawn` on 1 virtual rank would take about 8\.4e\+1 points .* the limits are 5\.0e\+1 and/,
    )
    expect(error.help).toMatch(/^Use smaller dims/)
  })

  it('NOT_COMPUTED: a tensor that nobody has made yet, or that is not there', () => {
    const program = place(product, {}, {})
    const backwards = { ...program, items: [...program.items].reverse() }
    const error = thrown(() => interpret(backwards, operators))
    expect(error.code).toBe('NOT_COMPUTED')
    expect(error.message).toBe('`y` has no value: `y` has not run.')
    expect(error.help).toBe('A program makes each tensor before it is read; `verify` says where it does not.')
  })
})

describe('send and recv', () => {
  const line = draw({ row: 2 }, 'y = double(x): row -> row')
  const placement = replicated(1)
  const hop = (
    op: 'send' | 'recv',
    input: string,
    output: string,
    shift: number | undefined,
    atoms: readonly string[],
  ): OperatorNode => ({
    type: 'node',
    id: output,
    kind: 'communication',
    op,
    rule: 'row -> row',
    inputs: [input],
    outputs: [output],
    segment: 'forward',
    module: '',
    communication: {
      atoms,
      ...(shift !== undefined && { shift }),
      from: placement,
      to: placement,
      reason: { tensor: 'y', producer: 'y', consumer: '', strategies: [] },
    },
  })
  const ring = (
    sent: number | undefined,
    received: number | undefined,
    sendAtoms = ['a'],
    recvAtoms = ['a'],
    input = 's',
  ) => {
    const base = place(line, { a: 3, b: 2 }, {})
    const like = base.tensors.get('y')
    if (!like) throw new Error('y was drawn')
    const tensors = new Map(base.tensors)
    for (const id of ['s', 'r']) tensors.set(id, { ...like, id, versionOf: 'y' })
    const items = [...base.items, hop('send', 'y', 's', sent, sendAtoms), hop('recv', input, 'r', received, recvAtoms)]
    return { ...base, tensors, items }
  }
  /** Each rank has its own number, as if it held another block. */
  const ranked = (program: Program) => {
    let rank = 0
    const table = new Map(operators).set('double', {
      name: 'double',
      execute: () => [Float64Array.of(rank, rank++)],
    })
    return interpret(program, table)
  }

  it('a hop takes every block to the next rank of the ring, and the last to the first', () => {
    expect(
      createMesh([
        { name: 'a', degree: 3 },
        { name: 'b', degree: 2 },
      ]).world,
    ).toBe(6)
    const received = (...given: Parameters<typeof ring>) =>
      ranked(ring(...given))
        .blocks('r')
        .map(({ values }) => values[0])
    // Rank = 2a + b: along `a` the ring of rank 0 is 0, 2, 4.
    expect(received(1, -1)).toEqual([4, 5, 0, 1, 2, 3])
    expect(received(undefined, undefined)).toEqual([4, 5, 0, 1, 2, 3])
    expect(received(2, -2)).toEqual(received(-1, 1))
    expect(received(-1, 1)).toEqual([2, 3, 4, 5, 0, 1])
    expect(received(1, -1, ['b'], ['b'])).toEqual([1, 0, 3, 2, 5, 4])
    expect(received(1, -1, ['a', 'b'], ['a', 'b'])).toEqual([5, 0, 1, 2, 3, 4])
    // Two hops back are one hop on, around three ranks.
    expect(received(1, 2)).toEqual(received(1, -1))
  })

  it('a recv whose partner sent elsewhere, or that nobody sent to, is an error', () => {
    const error = thrown(() => ranked(ring(1, 1)))
    expect(error.code).toBe('COLLECTIVE')
    expect(error.message).toBe('`r` lets rank 0 receive from rank 2, which sent to rank 4.')
    expect(error.help).toBe('A recv reads the result of its send, over the same atoms, with the opposite shift.')
    expect(thrown(() => ranked(ring(1, -1, ['a'], ['b']))).message).toMatch(/receive from rank 1, which sent to rank 3/)
    expect(thrown(() => ranked(ring(1, -1, ['a'], ['a'], 'y'))).message).toBe(
      '`r` receives `y`, which no send has made.',
    )
  })
})
