import {
  closePorts,
  corePasses,
  createMesh,
  type Item,
  type OperatorNode,
  operatorTable,
  type Preference,
  type Program,
  type Region,
  runPasses,
  type Segment,
  type Tensor,
} from '@shardloom/core'

/** The operators of the programs below. */
export const operators = operatorTable([
  { name: 'matmul', reduce: 'sum', linear: [[0]], flops: 2, class: 'linear' },
  { name: 'norm', flops: 4 },
  { name: 'add', linear: 'all', flops: 1 },
  { name: 'gradient', reduce: 'sum', flops: 2 },
  { name: 'update', flops: 10 },
  { name: 'route', kind: 'control' },
  { name: 'cache_write', kind: 'memory' },
  { name: 'cache_read', kind: 'memory' },
])

const sizes: Readonly<Record<string, number>> = { batch: 4, seq: 64, hidden: 32, ffn: 128 }

interface Options {
  readonly name?: string
  readonly layers?: number
  readonly microbatches?: number
  readonly tp?: number
  readonly dp?: number
}

/** Collects nodes and tensors of one program. */
class Sketch {
  readonly tensors = new Map<string, Tensor>()
  segment: Segment = 'forward'
  body = ''
  per: readonly string[] = []

  tensor(id: string, dims: string, role: Tensor['role'] = 'activation', per = this.per): string {
    const names = dims.split(' ').filter(Boolean)
    const shape = names.map((dim) => sizes[dim] ?? 1)
    this.tensors.set(id, { id, dims: names, shape, dtype: 'bf16', role, per })
    return id
  }

  node(
    module: string,
    name: string,
    op: string,
    rule: string,
    inputs: readonly string[],
    more: Partial<OperatorNode> = {},
  ): OperatorNode {
    const id = [this.segment, this.body, module, name].filter(Boolean).join('/')
    const dims = (rule.split('->')[1] ?? '').trim().replaceAll('!', '')
    const outputs = [this.tensor(id, dims === '.' ? '' : dims)]
    return { type: 'node', id, kind: 'compute', op, rule, inputs, outputs, segment: this.segment, module, ...more }
  }
}

function region(
  id: string,
  axis: string,
  extent: number,
  order: Region['order'],
  bodies: Region['bodies'],
  ports: Region['ports'],
): Region {
  return {
    type: 'region',
    id,
    axis,
    extent,
    order,
    bodies,
    select: bodies.map((_, body) => ({ body, count: body === 0 ? 1 : extent - 1 })),
    ports,
  }
}

function partitioned(
  sketch: Sketch,
  items: readonly Item[],
  phase: Program['phase'],
  { name = 'toy', tp = 1, dp = 1 }: Options,
): Program {
  const preferences: Preference[] = [
    { strategy: 'tp', axis: 'tp', class: 'feature', dims: ['ffn'] },
    { strategy: 'dp', axis: 'dp', class: 'token', dims: ['batch'] },
  ]
  const program: Program = {
    schema: 'shardloom.program/1',
    name,
    phase,
    mesh: createMesh([
      { name: 'dp', degree: dp },
      { name: 'tp', degree: tp },
    ]),
    tensors: sketch.tensors,
    items: closePorts(items, sketch.tensors),
    preferences,
    uneven: 'refuse',
    notes: { model: name, seq: 64, causal: 'whole' },
  }
  return runPasses(program, corePasses, { operators, warn: () => undefined })
}

/** Layers of two bodies, each norm → up → down → add: prefill, with a router before and the cache of the second body. */
export function prefillProgram(options: Options = {}): Program {
  const { layers = 4 } = options
  const sketch = new Sketch()
  sketch.segment = 'prefill'
  const tokens = sketch.tensor('inputs/x', 'batch seq hidden', 'input')
  const first = sketch.node('embedding', 'scale', 'norm', 'batch seq hidden! -> batch seq hidden!', [tokens])
  sketch.per = ['layer']
  const inner = sketch.tensor('prefill/layers/x', 'batch seq hidden')
  const layer = (body: string, extra: boolean) => {
    sketch.body = body
    const weight = (name: string, dims: string) => sketch.tensor(`parameters/${body}/${name}`, dims, 'parameter')
    const norm = sketch.node('ffn', 'norm', 'norm', 'batch seq hidden! -> batch seq hidden!', [inner])
    const up = sketch.node('ffn', 'up', 'matmul', 'batch seq hidden, hidden ffn -> batch seq ffn', [
      norm.id,
      weight('up', 'hidden ffn'),
    ])
    const down = sketch.node('ffn', 'down', 'matmul', 'batch seq ffn, ffn hidden -> batch seq hidden', [
      up.id,
      weight('down', 'ffn hidden'),
    ])
    const add = sketch.node('ffn', 'residual', 'add', 'batch seq hidden, batch seq hidden -> batch seq hidden', [
      inner,
      down.id,
    ])
    if (!extra) return { name: body, items: [norm, up, down, add] }
    const write = sketch.node('cache', 'write', 'cache_write', 'batch seq hidden -> batch seq hidden', [add.id], {
      kind: 'memory',
    })
    const read = sketch.node('cache', 'read', 'cache_read', 'batch seq hidden -> batch seq hidden', [inner], {
      kind: 'memory',
      after: [write.id],
    })
    return { name: body, items: [norm, up, down, add, write, read] }
  }
  const bodies = [layer('plain-layer', false), layer('cache-layer', true)]
  sketch.body = ''
  sketch.per = []
  const result = sketch.tensor('prefill/layers/out', 'batch seq hidden')
  const next = ['prefill/plain-layer/ffn/residual', 'prefill/cache-layer/ffn/residual']
  const stack = region('prefill/layers', 'layer', layers, 'forward', bodies, [
    { kind: 'carry', initial: first.id, inner, next, result },
  ])
  const route = sketch.node('head', 'choose', 'route', 'batch seq hidden! -> batch seq', [result], { kind: 'control' })
  return partitioned(sketch, [first, stack, route], 'prefill', { tp: 2, ...options })
}

/** One matmul per layer, forward and backward over microbatches, and an update: training. */
export function trainingProgram(options: Options = {}): Program {
  const { layers = 3, microbatches = 4 } = options
  const sketch = new Sketch()
  sketch.per = ['microbatch']
  const x = sketch.tensor('inputs/x', 'batch seq hidden', 'input')
  const embed = sketch.node('embedding', 'scale', 'norm', 'batch seq hidden! -> batch seq hidden!', [x])
  sketch.per = ['microbatch', 'layer']
  sketch.body = 'layer'
  const weight = sketch.tensor('parameters/layer/w', 'hidden ffn', 'parameter', ['layer'])
  const weight2 = sketch.tensor('parameters/layer/v', 'ffn hidden', 'parameter', ['layer'])
  const inner = sketch.tensor('forward/layers/x', 'batch seq hidden')
  const up = sketch.node('ffn', 'up', 'matmul', 'batch seq hidden, hidden ffn -> batch seq ffn', [inner, weight])
  const down = sketch.node('ffn', 'down', 'matmul', 'batch seq ffn, ffn hidden -> batch seq hidden', [up.id, weight2])
  sketch.per = ['microbatch']
  const last = sketch.tensor('forward/layers/out', 'batch seq hidden')
  const forward = region(
    'forward/layers',
    'layer',
    layers,
    'forward',
    [{ name: 'layer', items: [up, down] }],
    [{ kind: 'carry', initial: embed.id, inner, next: [down.id], result: last }],
  )
  sketch.body = ''
  const loss = sketch.node('head', 'loss', 'norm', 'batch seq hidden! -> batch seq hidden!', [last])
  sketch.segment = 'backward'
  const start = sketch.node('head', 'loss.x', 'norm', 'batch seq hidden! -> batch seq hidden!', [loss.id], {
    differentiates: loss.id,
  })
  sketch.per = ['microbatch', 'layer']
  sketch.body = 'layer'
  const dy = sketch.tensor('backward/layers/dy', 'batch seq hidden')
  const downGradient = sketch.node(
    'ffn',
    'down.x',
    'gradient',
    'batch seq hidden, ffn hidden -> batch seq ffn',
    [dy, weight2],
    { differentiates: down.id },
  )
  const weightGradient = sketch.node(
    'ffn',
    'up.weight',
    'gradient',
    'batch seq ffn, batch seq hidden -> hidden ffn',
    [downGradient.id, inner],
    { differentiates: up.id },
  )
  const downWeight = sketch.node(
    'ffn',
    'down.weight',
    'gradient',
    'batch seq hidden, batch seq ffn -> ffn hidden',
    [dy, up.id],
    { differentiates: down.id },
  )
  const inputGradient = sketch.node(
    'ffn',
    'up.x',
    'gradient',
    'batch seq ffn, hidden ffn -> batch seq hidden',
    [downGradient.id, weight],
    { differentiates: up.id },
  )
  sketch.per = ['microbatch']
  const dx = sketch.tensor('backward/layers/out', 'batch seq hidden')
  const backward = region(
    'backward/layers',
    'layer',
    layers,
    'reverse',
    [{ name: 'layer', items: [downGradient, downWeight, weightGradient, inputGradient] }],
    [{ kind: 'carry', initial: start.id, inner: dy, next: [inputGradient.id], result: dx }],
  )
  sketch.body = ''
  const sum = sketch.tensor('gradients/layer/w', 'hidden ffn', 'gradient', ['layer'])
  const sum2 = sketch.tensor('gradients/layer/v', 'ffn hidden', 'gradient', ['layer'])
  const steps = region(
    'microbatches',
    'microbatch',
    microbatches,
    'parallel',
    [{ name: 'microbatch', items: [embed, forward, loss, start, backward] }],
    [
      { kind: 'reduce', inner: [weightGradient.id], result: sum },
      { kind: 'reduce', inner: [downWeight.id], result: sum2 },
    ],
  )
  sketch.segment = 'optimizer'
  sketch.per = ['layer']
  sketch.body = 'layer'
  const update = sketch.node('ffn', 'w', 'update', 'hidden ffn, hidden ffn -> hidden ffn', [weight, sum], {
    updates: weight,
  })
  const optimizer = region('optimizer/layers', 'layer', layers, 'parallel', [{ name: 'layer', items: [update] }], [])
  return partitioned(sketch, [steps, optimizer], 'training', { tp: 2, dp: 2, ...options })
}
