import { assert } from './error.js'
import type { Item, OperatorNode, Port, Program, Region, Tensor } from './program.js'

/**
 * A program being edited by one pass. Programs are immutable between passes: `edit` opens a draft, `commit` closes it and
 * returns the new program, or the very same object when nothing was changed. A draft is dead after its commit.
 */
export interface Draft {
  /** Adds a tensor, or replaces the one of the same id. */
  readonly setTensor: (tensor: Tensor) => void
  /** The tensor as the draft has it. Throws a plain error when there is none. */
  readonly tensor: (id: string) => Tensor
  readonly setItems: (items: readonly Item[]) => void
  /** Replaces whole fields that are neither tensors nor items. */
  readonly set: (fields: Partial<Omit<Program, 'schema' | 'tensors' | 'items'>>) => void
  readonly items: () => readonly Item[]
  readonly commit: () => Program
}

/** Opens a draft of `program`. */
export function edit(program: Program): Draft {
  let tensors = program.tensors
  let items = program.items
  let fields: Partial<Program> = {}
  let dead = false
  /** Whether ports may have to change, which follow from items and from the axes of tensors. */
  let open = false
  const alive = () => assert(!dead, 'a draft was used after its commit')
  return {
    setTensor(tensor) {
      alive()
      if (tensors === program.tensors) tensors = new Map(program.tensors)
      open ||= tensors.get(tensor.id)?.per !== tensor.per
      ;(tensors as Map<string, Tensor>).set(tensor.id, tensor) // the copy made above, never the program's own map
    },
    tensor: (id) => lookup(tensors, id),
    setItems(next) {
      alive()
      open ||= next !== items
      items = next
    },
    set(next) {
      alive()
      fields = { ...fields, ...next }
    },
    items: () => items,
    commit() {
      alive()
      dead = true
      const changed = tensors !== program.tensors || items !== program.items || Object.keys(fields).length > 0
      return changed ? { ...program, ...fields, tensors, items: open ? closePorts(items, tensors) : items } : program
    },
  }
}

/** The tensor of that id. Throws a plain error when there is none, since ids come from the program itself. */
export function lookup(tensors: ReadonlyMap<string, Tensor>, id: string): Tensor {
  const found = tensors.get(id)
  // Asked all the time: the message is made only where it is said.
  if (!found) assert(false, `there is no tensor \`${id}\``)
  return found
}

/** The border of a region, or of the whole program, and the tensors that pass it. */
interface Border {
  readonly around: Border | undefined
  readonly depth: number
  readonly into: Set<string>
  readonly outOf: Set<string>
}

/**
 * Gives every region the `each` and `const` ports that follow from what its bodies read from outside and what the outside
 * reads from them; `carry` and `reduce` ports are the author's and stay. Linear in the size of the program: what is read
 * where it is made passes no border.
 */
export function closePorts(items: readonly Item[], tensors: ReadonlyMap<string, Tensor>): readonly Item[] {
  const borders = new Map<Region, Border>()
  const makers = new Map<string, Border>()
  const reads: (readonly [id: string, here: Border])[] = []
  const index = (list: readonly Item[], here: Border) => {
    for (const item of list) {
      if (item.type === 'node') {
        for (const id of item.outputs) makers.set(id, here)
        for (const id of item.inputs) reads.push([id, here])
        continue
      }
      const border: Border = { around: here, depth: here.depth + 1, into: new Set(), outOf: new Set() }
      borders.set(item, border)
      for (const body of item.bodies) index(body.items, border)
      for (const port of item.ports) {
        if ('result' in port) makers.set(port.result, here)
        if (port.kind === 'carry') reads.push([port.initial, here])
        for (const id of handedOn(port)) if (id !== null) reads.push([id, border])
      }
    }
  }
  const whole: Border = { around: undefined, depth: 0, into: new Set(), outOf: new Set() }
  index(items, whole)
  for (const [id, here] of reads) {
    let [from, to] = [makers.get(id) ?? whole, here]
    while (from !== to) {
      if (to.depth < from.depth) {
        from.outOf.add(id)
        from = from.around ?? whole
      } else {
        to.into.add(id)
        to = to.around ?? whole
      }
    }
  }
  const closed = (list: readonly Item[]): Item[] =>
    list.map((item) => {
      const border = item.type === 'region' && borders.get(item)
      if (!border) return item
      const bodies = item.bodies.map((body) => ({ ...body, items: closed(body.items) }))
      return { ...item, bodies, ports: [...item.ports.filter(authored), ...derivedPorts(item, border, tensors)] }
    })
  return closed(items)
}

const authored = (port: Port) => port.kind === 'carry' || port.kind === 'reduce'

/** What each body gives a port. */
function handedOn(port: Port): readonly (string | null)[] {
  return port.kind === 'carry' ? port.next : port.kind === 'reduce' ? port.inner : []
}

function derivedPorts({ axis, ports }: Region, { into, outOf }: Border, tensors: ReadonlyMap<string, Tensor>): Port[] {
  const isEach = (id: string) => tensors.get(id)?.per.includes(axis) === true
  for (const port of ports) {
    const own = port.kind === 'carry' ? [port.inner, port.result, ...port.next] : handedOn(port)
    for (const id of own) {
      if (id === null) continue
      into.delete(id)
      if (!isEach(id)) outOf.delete(id)
    }
  }
  return [
    ...[...into].sort().map((tensor): Port => ({ kind: isEach(tensor) ? 'each' : 'const', tensor })),
    ...[...outOf].sort().map((tensor): Port => ({ kind: 'each', tensor })),
  ]
}

/** Rewrites the item lists of every body, innermost first, then the outermost list. */
export function rewriteItems(
  items: readonly Item[],
  rewrite: (items: readonly Item[], enclosing: Region | undefined) => readonly Item[],
  enclosing?: Region,
): readonly Item[] {
  const inner = items.map((item): OperatorNode | Region => {
    if (item.type === 'node') return item
    return { ...item, bodies: item.bodies.map((body) => ({ ...body, items: rewriteItems(body.items, rewrite, item) })) }
  })
  return rewrite(inner, enclosing)
}
