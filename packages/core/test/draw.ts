import {
  type Body,
  corePasses,
  createMesh,
  type Item,
  type Mesh,
  type OperatorDefinition,
  type OperatorNode,
  operatorTable,
  type Phase,
  type Preference,
  type Program,
  parseRule,
  placementText,
  type Region,
  runPasses,
  type Segment,
  type Tensor,
} from '@shardloom/core'

/** The operators that the drawn programs are made of: what textbooks say about their algebra, and nothing else. */
export const operators = operatorTable([
  { name: 'einsum', reduce: 'sum', linear: 'each', flops: 2 },
  { name: 'add', linear: 'all', flops: 1 },
  { name: 'merge', linear: 'all', joins: true, flops: 1 },
  { name: 'gelu', flops: 1 },
  { name: 'scale', linear: [[0]], flops: 1 },
  { name: 'halve', linear: [[0]], flops: 1 },
  { name: 'norm', flops: 4 },
  { name: 'loss', reduce: 'sum', flops: 1 },
  { name: 'adam', flops: 1 },
] satisfies OperatorDefinition[])

/** A repeated part of a drawn program; each body is a text of lines. */
export interface Loop {
  readonly id: string
  readonly axis: string
  readonly extent: number
  readonly bodies: Readonly<Record<string, string>>
  readonly select?: Region['select']
  readonly order?: Region['order']
  readonly carry?: {
    readonly initial: string
    readonly inner: string
    readonly next: readonly string[]
    readonly result: string
  }
  readonly reduce?: { readonly inner: readonly (string | null)[]; readonly result: string }
}

/**
 * Draws a program from lines `y = einsum(x, w): batch hidden, hidden ffn -> batch ffn`. A tensor that nobody makes comes
 * from outside: a parameter when its name begins with `w`, else an input. `backward | dx = …` puts a node into another
 * segment, ` ~ y` behind a line says which node it is the derivative of.
 */
export function draw(sizes: Readonly<Record<string, number>>, ...parts: readonly (string | Loop)[]): Program {
  const tensors = new Map<string, Tensor>()
  const declare = (
    id: string,
    dims: readonly string[],
    role: Tensor['role'],
    per: readonly string[],
    body?: string,
  ) => {
    if (tensors.has(id)) return
    const shape = dims.map((dim) => sizes[dim] ?? 1)
    tensors.set(id, { id, dims, shape, dtype: 'bf16', role, per, ...(body !== undefined && { body }) })
  }
  const line = (text: string, per: readonly string[], body: string | undefined): OperatorNode => {
    const found = /^\s*(?:(\w+) \| )?([\w, ]+?) = ([\w-]+)\(([^)]*)\): ([^~]+?)(?: ~ (\S+))?\s*$/.exec(text)
    if (!found) throw new Error(`not a line: ${text}`)
    const [, segment = 'forward', results = '', op = '', reads = '', rule = '', differentiates] = found
    const outputs = results.split(',').map((id) => id.trim())
    const inputs = reads.split(',').map((id) => id.trim())
    const parsed = parseRule(rule)
    inputs.forEach((id, index) => {
      declare(id, parsed.operands[index] ?? [], id.startsWith('w') ? 'parameter' : 'input', [])
    })
    outputs.forEach((id, index) => {
      declare(id, parsed.results[index] ?? [], 'activation', per, body)
    })
    const [id = ''] = outputs
    return {
      type: 'node',
      id,
      kind: 'compute',
      op,
      rule,
      inputs,
      outputs,
      segment: segment as Segment, // the texts of the tests name segments only
      module: '',
      ...(differentiates && { differentiates }),
    }
  }
  const lines = (text: string, per: readonly string[] = [], body?: string) =>
    text
      .split('\n')
      .filter((each) => each.trim())
      .map((each) => line(each, per, body))
  const region = (loop: Loop): Region => {
    const { id, axis, extent, order = 'forward', select = [{ body: 0, count: extent }], carry, reduce } = loop
    const dimsOf = (tensor: string) => tensors.get(tensor)?.dims ?? []
    if (carry) declare(carry.inner, dimsOf(carry.initial), 'activation', [axis])
    const several = Object.keys(loop.bodies).length > 1
    const bodies = Object.entries(loop.bodies).map(
      ([name, text]): Body => ({ name, items: lines(text, [axis], several ? name : undefined) }),
    )
    if (carry) declare(carry.result, dimsOf(carry.initial), 'activation', [])
    if (reduce) declare(reduce.result, dimsOf(reduce.inner.find((each) => each !== null) ?? ''), 'activation', [])
    const ports = [
      ...(carry ? [{ kind: 'carry' as const, ...carry }] : []),
      ...(reduce ? [{ kind: 'reduce' as const, ...reduce }] : []),
    ]
    return { type: 'region', id, axis, extent, order, bodies, select, ports }
  }
  const items = parts.flatMap((part): Item[] => (typeof part === 'string' ? lines(part) : [region(part)]))
  return {
    schema: 'shardloom.program/1',
    name: 'drawn',
    phase: 'training' satisfies Phase,
    mesh: createMesh([]),
    tensors,
    items,
    preferences: [],
    uneven: 'refuse',
    notes: {},
  }
}

/** A preference in one line: strategy and axis of one name, one list of dims. */
export function wish(axis: string, dims: string, more: Partial<Preference> = {}): Preference {
  return { strategy: axis, axis, class: 'feature', dims: dims.split(' '), ...more }
}

/** Plans a drawn program over a mesh. */
export function plan(
  program: Program,
  mesh: Mesh | Readonly<Record<string, number>>,
  preferences: readonly Preference[],
  fields: Partial<Program> = {},
): Program {
  const made =
    'atoms' in mesh ? (mesh as Mesh) : createMesh(Object.entries(mesh).map(([name, degree]) => ({ name, degree }))) // a record of degrees has no list `atoms`
  return runPasses({ ...program, mesh: made, preferences, ...fields }, corePasses, { operators, warn: () => {} })
}

/** A program as text: one line per node, with the placement of what it makes; bodies are indented. */
export function text(program: Program): string {
  const show = (items: readonly Item[], indent: string): string[] =>
    items.flatMap((item) => {
      if (item.type === 'region')
        return item.bodies.flatMap((body) => [
          `${indent}${item.id}/${body.name} ×${item.extent}:`,
          ...show(body.items, `${indent}  `),
        ])
      const made = item.outputs.map((id) => {
        const tensor = program.tensors.get(id)
        return tensor?.placement ? placementText(tensor.placement, tensor.dims) : '?'
      })
      return [`${indent}${item.outputs.join(', ')} = ${item.op}(${item.inputs.join(', ')})  # ${made.join(' ; ')}`]
    })
  return show(program.items, '').join('\n')
}

/** Removes the indentation of a template text. */
export function lines(template: string): string {
  const all = template.split('\n').filter((line) => line.trim())
  const indent = Math.min(...all.map((line) => line.length - line.trimStart().length))
  return all.map((line) => line.slice(indent).trimEnd()).join('\n')
}
