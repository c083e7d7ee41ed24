import {
  type DataType,
  isShardloomError,
  type Mesh,
  type OperatorNode,
  operandText,
  type Phase,
  type Port,
  type Program,
  parseRule,
  type Rule,
  type Segment,
  type Tensor,
} from '@shardloom/core'

/** A node as far as a text says it; what is left out follows from the rest. */
export interface NodeText extends Partial<Omit<OperatorNode, 'type' | 'communication'>> {
  readonly type: 'node'
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** Present when it communicates, whatever it says. */
  readonly communication?: unknown
}

/** A region as far as a text says it. */
export interface RegionText<Node extends NodeText> {
  readonly type: 'region'
  readonly id: string
  readonly axis: string
  readonly bodies: readonly { readonly name: string; readonly items: readonly ItemText<Node>[] }[]
  readonly ports: readonly Port[]
}

export type ItemText<Node extends NodeText> = Node | RegionText<Node>

/** What the head of a text says about everything below it. */
export interface Known {
  readonly mesh: Mesh
  readonly phase: Phase
  readonly dtype: DataType
  readonly sizes: ReadonlyMap<string, number>
}

/** What a head says of a program so that little else need be said: the type of its parameters, the usual sizes of dims. */
export function knownOf({ mesh, phase, tensors }: Program): Known {
  const list = [...tensors.values()]
  const parameters = list.filter(({ role }) => role === 'parameter')
  const dtype = mostFrequent(parameters.map((tensor) => tensor.dtype)) ?? 'bf16'
  return { mesh, phase, dtype, sizes: usualSizes(list) }
}

/** The value that stands most often in a list, the first of several. */
function mostFrequent<Value extends DataType | number>(values: readonly Value[]): Value | undefined {
  const counts = new Map<Value, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  let best: Value | undefined
  for (const [value, count] of counts) if (best === undefined || count > (counts.get(best) ?? 0)) best = value
  return best
}

/** The size that each dim has most often. */
function usualSizes(tensors: readonly Tensor[]): Map<string, number> {
  const sizes = new Map<string, number[]>()
  for (const { dims, shape } of tensors) {
    dims.forEach((dim, index) => {
      const list = sizes.get(dim) ?? []
      sizes.set(dim, list)
      list.push(shape[index] ?? 0)
    })
  }
  return new Map([...sizes].map(([dim, list]) => [dim, mostFrequent(list) ?? 0]))
}

/** A tensor as it is where a text says nothing of it. A size that is not known is undefined. */
export interface Guess
  extends Pick<Tensor, 'dtype' | 'role' | 'per'>,
    Partial<
      Pick<
        Tensor,
        | 'dims'
        | 'body'
        | 'density'
        | 'growth'
        | 'rotation'
        | 'copies'
        | 'placement'
        | 'versionOf'
        | 'nextOf'
        | 'storage'
      >
    > {
  readonly shape?: readonly (number | undefined)[]
}

/** The fields of a node that follow from its place and its name. */
export interface NodeGuess extends Pick<OperatorNode, 'id' | 'kind' | 'segment' | 'module'> {
  /** Absent when it does not follow: then the text must give it. */
  readonly rule?: string
  readonly rest: {
    /** The tensor that a communication node makes another placement of, and the node that made it. */
    readonly source: string
    readonly producer: string | null
  }
}

/** Who settles what: the parser fills in what is written, the printer finds out what need not be written. */
export interface Settler<Node extends NodeText> {
  /** Tensors from outside, settled before everything else. */
  readonly outside: readonly string[]
  /** The tensor, given what it would be without a word; undefined when it does not exist. */
  tensor(id: string, guess: Guess): Tensor | undefined
  /** The node's place and rule, before its results are settled. */
  node(node: Node, guess: NodeGuess): Pick<OperatorNode, 'id' | 'segment' | 'module' | 'rule'>
  /** Called when all tensors around the node are settled. */
  finish(node: Node, guess: NodeGuess, tensor: (id: string) => Tensor | undefined): void
}

interface Scope {
  readonly per: readonly string[]
  /** The name of the innermost body. */
  readonly name: string | undefined
  /** The same, where its region has others. */
  readonly body: string | undefined
}

type Maker = Pick<OperatorNode, 'id' | 'segment' | 'module'>

const segments: readonly string[] = ['forward', 'backward', 'optimizer', 'prefill', 'decode'] satisfies Segment[]
const isSegment = (word: string | undefined): word is Segment => word !== undefined && segments.includes(word)

/** Every tensor that a node or a port of the items makes. */
export function madeBy<Node extends NodeText>(items: readonly ItemText<Node>[], made = new Set<string>()): Set<string> {
  for (const item of items) {
    if (item.type === 'node') {
      for (const id of item.outputs) made.add(id)
      continue
    }
    for (const port of item.ports) {
      if (port.kind === 'carry') made.add(port.inner)
      if (port.kind === 'carry' || port.kind === 'reduce') made.add(port.result)
    }
    for (const body of item.bodies) madeBy(body.items, made)
  }
  return made
}

/**
 * Walks items in order and settles every tensor once, where it is first met. Printer and parser take the same walk, so
 * that what one leaves out is what the other puts in. Returns the tensors as they usually follow each other: from outside,
 * then made, then what communication makes of them.
 */
export function settle<Node extends NodeText>(
  items: readonly ItemText<Node>[],
  known: Known,
  settler: Settler<Node>,
): Map<string, Tensor> {
  const settled = new Map<string, Tensor | undefined>()
  const makers = new Map<string, Maker>()
  const made = madeBy(items)
  const tensor = (id: string) => settled.get(id)
  const settleTensor = (id: string, guess: Guess) => {
    if (!settled.has(id)) settled.set(id, settler.tensor(id, guess))
  }
  const sizesOf = (dims: readonly string[]) => dims.map((dim) => known.sizes.get(dim))
  const bare: Guess = { dtype: known.dtype, role: 'input', per: [] }
  for (const id of settler.outside) settleTensor(id, bare)

  const visitNode = (node: Node, scope: Scope) => {
    const guess = guessNode(node, scope, known, tensor, makers)
    const begun = settler.node(node, guess)
    const rule = tryRule(begun.rule)
    node.inputs.forEach((id, index) => {
      const dims = rule?.operands[index]
      if (!made.has(id)) settleTensor(id, { ...bare, ...(dims && { dims, shape: sizesOf(dims) }) })
    })
    const results = node.communication === undefined ? undefined : tensor(guess.rest.source)
    const guesses = guessResults(node, rule, scope, known, tensor)
    node.outputs.forEach((id, index) => {
      const other = results && { ...versionOf(results), ...inScope(scope), versionOf: guess.rest.source }
      settleTensor(id, other ?? guesses[index] ?? { ...bare, role: 'activation', ...inScope(scope) })
    })
    for (const id of node.outputs) makers.set(id, begun)
    settler.finish(node, guess, tensor)
  }
  const like = (id: string | null | undefined): Guess => {
    const {
      id: _,
      versionOf: __,
      body: ___,
      placement: ____,
      nextOf: _____,
      storage: ______,
      ...rest
    } = (id && tensor(id)) || { ...bare, id: '' }
    return rest
  }
  const visitRegion = (region: RegionText<Node>, scope: Scope) => {
    const { axis, bodies, ports } = region
    const per = [...scope.per, axis]
    ports.forEach((port) => {
      if (port.kind !== 'carry') return
      if (!made.has(port.initial)) settleTensor(port.initial, bare)
      const initial = like(port.initial)
      const role = initial.role === 'cache' ? 'cache' : 'activation'
      settleTensor(port.inner, {
        ...initial,
        role,
        per: [...per, ...initial.per.filter((each) => !per.includes(each))],
      })
    })
    for (const { name, items } of bodies) visit(items, { per, name, body: bodies.length > 1 ? name : undefined })
    ports.forEach((port) => {
      if (port.kind === 'carry') {
        const inner = like(port.inner)
        settleTensor(port.result, { ...inner, ...inScope(scope), per: outer(inner.per, axis) })
        handOn(port.next[0], port.result)
      }
      if (port.kind === 'reduce') {
        const inner = port.inner.find((each) => each !== null)
        const guess = like(inner)
        const role = inner ? guess.role : 'activation'
        settleTensor(port.result, { ...guess, role, ...inScope(scope), per: outer(guess.per, axis) })
        handOn(inner, port.result)
      }
    })
  }
  const handOn = (from: string | undefined, to: string) => {
    const maker = from === undefined ? undefined : makers.get(from)
    if (maker) makers.set(to, maker)
  }
  const visit = (list: readonly ItemText<Node>[], scope: Scope) => {
    for (const item of list) {
      if (item.type === 'node') visitNode(item, scope)
      else visitRegion(item, scope)
    }
  }
  visit(items, { per: [], name: undefined, body: undefined })
  const entries = [...settled].flatMap(([id, each]) => (each ? [[id, each] as const] : []))
  const rank = (id: string, { versionOf }: Tensor) => (!made.has(id) ? 0 : versionOf === undefined ? 1 : 2)
  return new Map(entries.sort(([a, left], [b, right]) => rank(a, left) - rank(b, right)))
}

const outer = (per: readonly string[], axis: string) => {
  const at = per.indexOf(axis)
  return at < 0 ? per : [...per.slice(0, at), ...per.slice(at + 1)]
}
const inScope = ({ per, body }: Scope) => ({ per, ...(body !== undefined && { body }) })

/** Another placement of a tensor: what it keeps of it. */
function versionOf({
  id: _,
  body: __,
  placement: ___,
  nextOf: ____,
  storage: _____,
  role,
  ...rest
}: Tensor): Omit<Guess, 'body'> {
  return { ...rest, role: role === 'gradient' || role === 'parameter' ? role : 'activation' }
}

/** The rule, or undefined where the text is none. */
export function tryRule(text: string): Rule | undefined {
  try {
    return parseRule(text)
  } catch (error) {
    if (isShardloomError(error)) return undefined
    throw error
  }
}

function guessNode<Node extends NodeText>(
  node: Node,
  scope: Scope,
  { phase }: Known,
  tensor: (id: string) => Tensor | undefined,
  makers: ReadonlyMap<string, Maker>,
): NodeGuess {
  const id = node.id ?? node.outputs[0] ?? ''
  const parts = id.split('/')
  const written = isSegment(parts[0]) ? parts.shift() : undefined
  const segment = written ?? (phase === 'training' ? 'forward' : phase)
  if (parts.length > 1 && parts[0] === scope.name) parts.shift()
  const [input = ''] = node.inputs
  const communicates = node.communication !== undefined
  const source = tensor(input)?.versionOf ?? input
  const maker = makers.get(source)
  const module = (communicates ? maker?.module : undefined) ?? parts.slice(0, -1).join('/')
  const operands = node.inputs.map((each) => tensor(each)?.dims)
  const sides = operands.flatMap((dims) => (dims ? [operandText(dims)] : []))
  const same = sides.length > 0 && sides.length === operands.length && node.outputs.length === 1
  const rule = same ? `${sides.join(', ')} -> ${sides[0]}` : undefined
  return {
    id,
    kind: communicates ? 'communication' : 'compute',
    segment: segment as Segment, // a phase of inference is the name of its only segment
    module,
    ...(rule !== undefined && tryRule(rule) && { rule }),
    rest: { source, producer: maker?.id ?? null },
  }
}

/** The results of a rule: its dims, with the sizes and the growth that they have in the operands. */
function guessResults<Node extends NodeText>(
  node: Node,
  rule: Rule | undefined,
  scope: Scope,
  { sizes, dtype: usual }: Known,
  tensor: (id: string) => Tensor | undefined,
): Guess[] {
  const bound = new Map<string, number | undefined>()
  const growing = new Map<string, NonNullable<Tensor['growth']>>()
  node.inputs.forEach((id, index) => {
    const { shape = [], growth } = tensor(id) ?? {}
    rule?.operands[index]?.forEach((dim, position) => {
      if (!bound.has(dim) && shape[position] !== undefined) bound.set(dim, shape[position])
      if (growth?.position === position) growing.set(dim, growth)
    })
  })
  // What is computed has the type of what it is computed from; indices and masks do not count.
  const types = new Set(node.inputs.flatMap((id) => tensor(id)?.dtype ?? []).filter((type) => !type.startsWith('int')))
  const [first] = types
  const dtype = types.size === 1 && first ? first : usual
  return (rule?.results ?? []).map((dims): Guess => {
    const position = dims.findIndex((dim) => growing.has(dim))
    const growth = growing.get(dims[position] ?? '')
    const shape = dims.map((dim) => bound.get(dim) ?? sizes.get(dim))
    return {
      dims,
      shape,
      dtype,
      role: 'activation',
      ...inScope(scope),
      ...(growth && { growth: { ...growth, position } }),
    }
  })
}
