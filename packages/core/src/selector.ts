import { ShardloomError } from './error.js'
import type { Region } from './program.js'
import { bodyAt, type OperatorNode, type Place, type Tensor } from './program.js'

/**
 * A set of nodes. Every given field must match; a list matches when one of its entries does. Patterns may use `*` for
 * any run of characters inside a name.
 */
export interface Selector {
  /** `forward`, `backward`, `optimizer`, `prefill`, `decode`. */
  readonly segment?: string | readonly string[]
  /** Module path or a prefix of it: `attention`, `ffn`, `moe`, `moe/experts`, `embedding`, `head`. */
  readonly module?: string | readonly string[]
  /** Operator name, such as `einsum`. */
  readonly operator?: string | readonly string[]
  /** Last segment of the node's id, such as `q` or `gate`. */
  readonly name?: string | readonly string[]
  /** Name of a layer's body, such as `moe-layer`. */
  readonly body?: string | readonly string[]
  /** Layers by depth, from 0: `5`, `10-20` (inclusive), or a list of such. */
  readonly layers?: string | number | readonly (string | number)[]
  /** Role of a tensor that the node reads or writes, such as `cache`. */
  readonly role?: string | readonly string[]
  /** Nodes that are left out of the set. */
  readonly except?: Omit<Selector, 'except' | 'and'>
  /** A second selector that has to match too. */
  readonly and?: Selector
}

/** The nodes that both selectors name; without the first, those of the second. */
export function intersect(where: Selector | undefined, own: Selector): Selector {
  return where ? { ...where, and: where.and ? intersect(where.and, own) : own } : own
}

/** A compiled selector. */
export type Matcher = (node: OperatorNode, place: Place) => boolean

const list = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T]) // Array.isArray does not narrow readonly arrays

/**
 * Compiles a selector. `tensor` looks up tensors for the field `role`. Layers are matched against the iterations of the
 * body that a node stands in: all of them must be meant, else the body would have to be divided first (`LAYER_RANGE`).
 */
export function compileSelector(selector: Selector | undefined, tensor: (id: string) => Tensor | undefined): Matcher {
  if (!selector) return () => true
  const tests: Matcher[] = []
  const name = (
    patterns: string | readonly string[] | undefined,
    read: (node: OperatorNode, place: Place) => readonly string[],
  ) => {
    if (patterns === undefined) return
    const compiled = list(patterns).map(pattern)
    tests.push((node, place) => read(node, place).some((word) => compiled.some((test) => test(word))))
  }
  name(selector.segment, (node) => [node.segment])
  name(selector.operator, (node) => [node.op])
  name(selector.name, (node) => [node.id.slice(node.id.lastIndexOf('/') + 1)])
  name(selector.module, (node) => node.module.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/')))
  name(selector.body, (_, place) => place.path.map(({ region, body }) => region.bodies[body]?.name ?? ''))
  name(selector.role, (node) => [...node.inputs, ...node.outputs].map((id) => tensor(id)?.role ?? ''))
  if (selector.layers !== undefined) {
    const ranges = layerRanges(selector)
    tests.push((node, place) => layersMatch(ranges, node, place))
  }
  if (selector.except) {
    const excepted = compileSelector(selector.except, tensor)
    tests.push((node, place) => !excepted(node, place))
  }
  if (selector.and) tests.push(compileSelector(selector.and, tensor))
  return (node, place) => tests.every((test) => test(node, place))
}

/** The layer ranges that a selector names, each inclusive. Throws `LAYER_RANGE` on anything else. */
export function layerRanges(selector: Selector): (readonly [number, number])[] {
  return list(selector.layers ?? []).map((text) => {
    const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(String(text).trim())
    const first = Number(match?.[1])
    const last = Number(match?.[2] ?? match?.[1])
    if (match && first <= last) return [first, last] as const
    throw new ShardloomError('LAYER_RANGE', `\`${text}\` is not a range of layers.`, {
      help: 'Write `5` or `10-20`, counted from 0.',
    })
  })
}

function layersMatch(ranges: readonly (readonly [number, number])[], node: OperatorNode, place: Place): boolean {
  const at = place.path.find(({ region }) => region.axis === 'layer')
  if (!at) return false
  const iterations = iterationsOf(at.region, at.body)
  const meant = iterations.filter((layer) => ranges.some(([first, last]) => layer >= first && layer <= last))
  if (meant.length === 0 || meant.length === iterations.length) return meant.length > 0
  const message = `The layers selected cover only some of those that share the body of \`${node.id}\`.`
  const help = 'Build the model with these ranges as boundaries, so that they have a body of their own.'
  throw new ShardloomError('LAYER_RANGE', message, { subject: node.id, help })
}

/** The iterations of a region that run body `body`. */
export function iterationsOf(region: Region, body: number): number[] {
  return Array.from({ length: region.extent }, (_, index) => index).filter((index) => bodyAt(region, index) === body)
}

/** Whether a word is `text`, where `*` stands for any run of characters. Takes the pieces greedily: O(|word|·|text|). */
function pattern(text: string): (word: string) => boolean {
  const [first = '', ...pieces] = text.split('*')
  const last = pieces.pop()
  if (last === undefined) return (word) => word === text
  return (word) => {
    if (!word.startsWith(first)) return false
    let at = first.length
    for (const piece of pieces) {
      const found = word.indexOf(piece, at)
      if (found < 0) return false
      at = found + piece.length
    }
    return word.length - last.length >= at && word.endsWith(last)
  }
}
