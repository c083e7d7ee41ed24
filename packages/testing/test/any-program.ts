import {
  createMesh,
  type DimLayout,
  type Item,
  type Json,
  type Mesh,
  type OperatorNode,
  type Partition,
  type Placement,
  type Port,
  type Preference,
  type Program,
  type Region,
  type Rotation,
  type Tensor,
} from '@shardloom/core'
import fc from 'fast-check'

const roles = ['activation', 'parameter', 'gradient', 'optimizer', 'input', 'cache'] as const
const reductions = ['sum', 'max', 'lse'] as const
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })

/** An object without the fields that are undefined. */
function trim<T extends object>(value: { [Key in keyof T]: T[Key] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T // as the optional fields of T allow
}

/** Ids as plans have them, and as a hostile plugin could make them. */
const word = fc.oneof(
  fc.constantFrom(
    'x',
    'w',
    'forward/layer/attention/q',
    'x/all-reduce(tp.0.tp.1)',
    'x:1',
    'x#2',
    'norm+dp',
    'loss.input',
  ),
  fc.constantFrom(
    '',
    ' ',
    'a b',
    '"',
    "'",
    '\\',
    'a"b',
    '#',
    ';',
    '=',
    ',',
    '-',
    '()',
    'a(b',
    'x)',
    ' x ',
    'a\nb',
    'é·→',
  ),
  fc.constantFrom(
    'repeat',
    'outside',
    'order',
    'carry',
    'body',
    'none',
    'to',
    'from',
    '__proto__',
    'constructor',
    '0',
    '1-2',
  ),
  fc.string({ maxLength: 4 }),
)
const dim = fc.oneof(fc.constantFrom('batch', 'seq', 'hidden', 'ffn', 'experts'), word)
const share = fc.tuple(fc.nat(8), fc.integer({ min: 1, max: 8 }))
const json = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value)) as Json) // JSON has no −0

const meshes: readonly Mesh[] = [
  createMesh(),
  createMesh([{ name: 'tp', degree: 1 }]),
  createMesh([
    { name: 'dp', degree: 2 },
    { name: 'tp', degree: 4, factors: [2, 2] },
  ]),
  createMesh(
    [
      { name: 'dp', degree: 4 },
      { name: 'tp', degree: 2 },
    ],
    [
      { name: 'edp', degree: 2 },
      { name: 'ep', degree: 4 },
      { name: 'one', degree: 1 },
    ],
  ),
  {
    world: 6,
    atoms: [
      { name: 'a b', degree: 2 },
      { name: 'a.b', degree: 3 },
    ],
    axes: [{ name: '', degree: 6, atoms: ['a.b', 'a b'] }],
  },
]

const atom = fc.oneof(fc.constantFrom('dp', 'tp', 'tp.0', 'tp.1', 'dp.0', 'edp'), word)
const atoms = fc.array(atom, { maxLength: 3 })

const placement = (rank: number): fc.Arbitrary<Placement> =>
  fc.record({
    shards: fc.oneof(fc.array(atoms, { minLength: rank, maxLength: rank }), fc.array(atoms, { maxLength: 3 })),
    partial: fc.dictionary(atom, fc.constantFrom(...reductions), { maxKeys: 2, noNullPrototype: true }),
  })

const tensor = (id: string): fc.Arbitrary<Tensor> =>
  fc.array(dim, { maxLength: 3 }).chain((dims) =>
    fc
      .record({
        id: fc.constant(id),
        dims: fc.constant(dims),
        shape: fc.array(fc.nat(5), { minLength: dims.length, maxLength: dims.length }),
        dtype: fc.constantFrom('bf16' as const, 'fp32' as const, 'int32' as const),
        role: fc.constantFrom(...roles),
        per: fc.array(word, { maxLength: 2 }),
        body: optional(word),
        density: optional(share),
        growth: optional(
          fc
            .record({
              position: fc.nat(3),
              axis: word,
              by: fc.integer({ min: -2, max: 9 }),
              limit: optional(fc.nat(9)),
            })
            .map((growth) => trim<NonNullable<Tensor['growth']>>(growth)),
        ),
        rotation: optional(
          fc
            .record({ position: fc.nat(3), atoms, axis: optional(word), offset: fc.integer({ min: -2, max: 3 }) })
            .map((rotation) => trim<Rotation>(rotation)),
        ),
        placement: optional(placement(dims.length)),
        versionOf: optional(word),
      })
      .map((each) => trim<Tensor>(each)),
  )

const partition: fc.Arbitrary<Partition> = fc.record({
  splits: fc.dictionary(dim, atoms, { maxKeys: 3, noNullPrototype: true }),
  partial: fc.dictionary(atom, fc.array(fc.nat(3), { maxLength: 2 }), { maxKeys: 2, noNullPrototype: true }),
  by: fc.dictionary(atom, word, { maxKeys: 2, noNullPrototype: true }),
})

const rule = fc.oneof(
  fc.constantFrom('batch hidden, hidden ffn -> batch ffn', 'batch -> batch', '. -> .', ' -> batch', 'a!,b->a! b, a'),
  word,
)

function node(id: fc.Arbitrary<string>): fc.Arbitrary<OperatorNode> {
  const ids = fc.array(id, { maxLength: 3 })
  const communication = fc
    .record({
      atoms,
      reduction: optional(fc.constantFrom(...reductions)),
      shift: optional(fc.integer({ min: -3, max: 3 })),
      from: placement(2),
      to: placement(2),
      reason: fc.record({
        tensor: id,
        producer: fc.option(word),
        consumer: word,
        strategies: fc.array(word, { maxLength: 2 }),
      }),
    })
    .map((each) => trim<NonNullable<OperatorNode['communication']>>(each))
  return fc
    .record({
      type: fc.constant('node' as const),
      id,
      kind: fc.constantFrom('compute' as const, 'communication' as const, 'control' as const, 'memory' as const),
      op: fc.oneof(fc.constantFrom('einsum', 'all-reduce', 'add'), word),
      rule,
      inputs: ids,
      outputs: ids,
      segment: fc.constantFrom('forward' as const, 'backward' as const, 'decode' as const),
      module: fc.oneof(fc.constantFrom('', 'attention', 'moe/experts'), word),
      attributes: optional(fc.dictionary(word, json, { maxKeys: 3, noNullPrototype: true })),
      density: optional(share),
      fusion: optional(word),
      differentiates: optional(word),
      recompute: optional(fc.constant(true as const)),
      updates: optional(word),
      after: optional(
        fc.array(
          fc.oneof(
            word,
            fc.record(
              { item: word, distance: fc.integer({ min: 1, max: 99 }), turns: fc.constant(true as const) },
              { requiredKeys: ['item', 'distance'] },
            ),
          ),
          {
            maxLength: 2,
          },
        ),
      ),
      barrier: optional(fc.array(word, { maxLength: 2 })),
      partition: optional(partition),
      communication: optional(communication),
    })
    .map((each) => trim<OperatorNode>(each))
}

function region(id: fc.Arbitrary<string>, items: fc.Arbitrary<readonly Item[]>): fc.Arbitrary<Region> {
  const port: fc.Arbitrary<Port> = fc.oneof(
    fc.record({
      kind: fc.constant('carry' as const),
      initial: id,
      inner: id,
      next: fc.array(id, { maxLength: 2 }),
      result: id,
    }),
    fc.record({ kind: fc.constant('reduce' as const), inner: fc.array(fc.option(id), { maxLength: 2 }), result: id }),
    fc.record({ kind: fc.constantFrom('each' as const, 'const' as const), tensor: id }),
  )
  return fc.record({
    type: fc.constant('region' as const),
    id: word,
    axis: fc.oneof(fc.constantFrom('layer', 'microbatch'), word),
    extent: fc.nat(9),
    order: fc.constantFrom('forward' as const, 'reverse' as const, 'parallel' as const),
    bodies: fc.array(fc.record({ name: fc.oneof(fc.constant('layer'), word), items }), { maxLength: 2 }),
    select: fc.array(fc.record({ body: fc.nat(2), count: fc.nat(9) }), { maxLength: 2 }),
    ports: fc.array(port, { maxLength: 3 }),
  })
}

const fields = fc.dictionary(fc.constantFrom('segment', 'module', 'layers'), fc.oneof(word, fc.array(word)), {
  noNullPrototype: true,
})

const preference: fc.Arbitrary<Preference> = fc
  .record({
    strategy: word,
    axis: atom,
    atoms: optional(atoms),
    class: fc.constantFrom('experts' as const, 'feature' as const, 'token' as const),
    where: optional(fc.oneof(fields, fc.record({ except: fields, and: fields }, { noNullPrototype: true }))),
    dims: fc.array(dim, { maxLength: 3 }),
    together: optional(fc.constant(true as const)),
    innermost: optional(fc.constant(true as const)),
  })
  .map((each) => trim<Preference>(each as Preference)) // `where` holds fields of a selector

const layout: fc.Arbitrary<DimLayout> = fc.record({
  axis: word,
  dims: fc.array(dim, { maxLength: 3 }),
  order: fc.constantFrom('zigzag' as const, 'round-robin' as const),
})

/** Programs of every shape that the types allow, most of them nonsense: text must keep them all. */
export const anyProgram: fc.Arbitrary<Program> = fc.uniqueArray(word, { minLength: 1, maxLength: 8 }).chain((pool) => {
  const id = fc.constantFrom(...pool)
  const level0 = fc.array(node(id), { maxLength: 3 })
  const level1 = fc.array(fc.oneof(node(id), region(id, level0)), { maxLength: 3 })
  const items = fc.array(fc.oneof(node(id), region(id, level1)), { maxLength: 3 })
  const program = fc.record({
    schema: fc.constant('shardloom.program/1' as const),
    name: fc.oneof(fc.constant('program'), word),
    phase: fc.constantFrom('training' as const, 'prefill' as const, 'decode' as const),
    mesh: fc.constantFrom(...meshes),
    tensors: fc
      .shuffledSubarray([...pool])
      .chain((ids) => fc.tuple(...ids.map((each) => tensor(each))))
      .map((list) => new Map(list.map((each) => [each.id, each]))),
    items,
    preferences: fc.array(preference, { maxLength: 2 }),
    layouts: optional(fc.array(layout, { minLength: 1, maxLength: 2 })),
    uneven: fc.constantFrom('refuse' as const, 'ragged' as const),
    notes: fc.dictionary(word, json, { maxKeys: 2, noNullPrototype: true }),
  })
  return program.map((each) => trim<Program>(each))
})
