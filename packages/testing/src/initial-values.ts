import {
  type Domain,
  definitionOf,
  dimSizes,
  lookup,
  type OperatorTable,
  type Program,
  parseRule,
  sourcesOf,
  type Tensor,
  walk,
} from '@shardloom/core'

/**
 * The element of a tensor from outside at a flat row-major index of the whole tensor. `iterations` are those of the
 * tensor's `per` axes, outermost first. Undefined: the usual pseudo-random value.
 */
export type InitialValue = (tensor: Tensor, iterations: readonly number[], index: number) => number | undefined

/** Initial values by a formula that is made once for a tensor and its iterations, not for each element. */
export function perTensor(
  make: (tensor: Tensor, iterations: readonly number[]) => ((index: number) => number | undefined) | undefined,
): InitialValue {
  let last: { tensor: Tensor; iterations: readonly number[]; value: ReturnType<typeof make> } | undefined
  return (tensor, iterations, index) => {
    if (last?.tensor !== tensor || last.iterations !== iterations)
      last = { tensor, iterations, value: make(tensor, iterations) }
    return last.value?.(index)
  }
}

/** What an operand's domain comes to for one tensor: positive numbers, or whole numbers below a limit. */
type Range = 'positive' | { readonly below: number }

/** Which values the tensors from outside may have, from the operators that read them. */
export function domainsOf(program: Program, operators: OperatorTable): ReadonlyMap<string, Range> {
  const ranges = new Map<string, Range>()
  const sources = sourcesOf(program.items)
  const tensor = (id: string) => lookup(program.tensors, id)
  const origin = (id: string): string => {
    const source = sources.get(id)
    const from = source?.kind === 'carry-inner' ? source.port.initial : tensor(id).versionOf
    return from === undefined ? id : origin(from)
  }
  walk(program.items, (node) => {
    const { domains = {} } = definitionOf(node, operators)
    for (const [index, domain] of Object.entries<Domain>(domains)) {
      const read = node.inputs[Number(index)]
      if (read === undefined) continue
      if (domain === 'positive') {
        ranges.set(origin(read), domain)
        continue
      }
      const { space } = parseRule(node.rule)
      const dim = domain.below.find((each) => space.includes(each)) ?? ''
      ranges.set(origin(read), { below: dimSizes(node, tensor).get(dim) ?? 1 })
    }
  })
  return ranges
}

/**
 * Pseudo-random elements of a tensor from outside: a function of its id, its iterations and the index alone, so that every
 * rank makes the same whole tensor's shard. Matrices are scaled so that products keep their size.
 */
export function usualValues(
  tensor: Tensor,
  iterations: readonly number[],
  range: Range | undefined,
): (index: number) => number {
  const seed = hashText(`${tensor.id}@${iterations.join()}`)
  if (range === 'positive') return (index) => 0.1 + uniform(seed, index)
  if (range) return (index) => Math.floor(uniform(seed, index) * range.below)
  const scale = tensor.role === 'parameter' && tensor.shape.length > 1 ? 2 / Math.sqrt(Math.max(...tensor.shape, 4)) : 1
  return (index) => scale * (2 * uniform(seed, index) - 1)
}

/** FNV-1a over the text's code units. */
function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return hash
}

/** A number in [0, 1) for an index: the finaliser of MurmurHash3 over both. */
function uniform(seed: number, index: number): number {
  let hash = seed ^ Math.imul(index + 1, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

/** The tensor of the model that one from outside is made from, and where its elements along a position stand there. */
export function modelTensor(tensor: Tensor) {
  const { copies, ...rest } = tensor
  if (!copies) return { model: tensor, taken: (positions: Int32Array) => positions }
  const shape = tensor.shape.map((size, at) => (at === copies.position ? Math.max(...copies.of) + 1 : size))
  const taken = (positions: Int32Array, at: number) =>
    at === copies.position ? positions.map((position) => copies.of[position] ?? 0) : positions
  return { model: { ...rest, shape }, taken }
}
