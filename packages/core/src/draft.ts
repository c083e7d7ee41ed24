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
  assert(found, `there is no tensor \`${id}\``)
  return found
}

/**
 * Gives every region the `each` and `const` ports that follow from what its bodies read from outside and what the outside
 * reads from them; `carry` and `reduce` ports are the author's and stay. Linear in the size of the program × its depth.
 */
export function closePorts(items: readonly Item[], tensors: ReadonlyMap<string, Tensor>): readonly Item[] {
  const total = new Map<string, number>()
  for (const item of items) countReads(item, total)
  const close = (list: readonly Item[]): Item[] =>
    list.map((item) => {
      if (item.type === 'node') return item
      const bodies = item.bodies.map((body) => ({ ...body, items: close(body.items) }))
      const region = { ...item, bodies }
      return { ...region, ports: [...item.ports.filter(authored), ...derivedPorts(region, tensors, total)] }
    })
  return close(items)
}

const authored = (port: Port) => port.kind === 'carry' || port.kind === 'reduce'

function derivedPorts(
  region: Region,
  tensors: ReadonlyMap<string, Tensor>,
  total: ReadonlyMap<string, number>,
): Port[] {
  const inside = new Map<string, number>()
  const made = new Set<string>()
  for (const body of region.bodies) {
    for (const item of body.items) {
      countReads(item, inside)
      collectMade(item, made)
    }
  }
  const own = new Set<string>()
  for (const port of region.ports) {
    if (port.kind === 'carry') for (const id of [port.inner, port.result, ...port.next]) own.add(id)
    if (port.kind === 'reduce') for (const id of port.inner) if (id) own.add(id)
  }
  const ports: Port[] = []
  const fromOutside = [...inside.keys()].filter((tensor) => !made.has(tensor) && !own.has(tensor))
  for (const tensor of fromOutside.sort())
    ports.push({ kind: tensors.get(tensor)?.per.includes(region.axis) ? 'each' : 'const', tensor })
  const reads = portReads(region)
  const toOutside = [...made].filter((tensor) => {
    const handedOn = own.has(tensor) && !tensors.get(tensor)?.per.includes(region.axis)
    const outside = (total.get(tensor) ?? 0) - (inside.get(tensor) ?? 0)
    return !handedOn && outside > (reads.get(tensor) ?? 0)
  })
  for (const tensor of toOutside.sort()) ports.push({ kind: 'each', tensor })
  return ports
}

/** How often the region's own ports read each tensor of its bodies. */
function portReads({ ports }: Region): ReadonlyMap<string, number> {
  const reads = new Map<string, number>()
  for (const port of ports) {
    const ids = port.kind === 'carry' ? port.next : port.kind === 'reduce' ? port.inner : []
    for (const id of ids) if (id !== null) reads.set(id, (reads.get(id) ?? 0) + 1)
  }
  return reads
}

function countReads(item: Item, counts: Map<string, number>): void {
  const add = (id: string) => counts.set(id, (counts.get(id) ?? 0) + 1)
  if (item.type === 'node') return item.inputs.forEach(add)
  for (const body of item.bodies) for (const inner of body.items) countReads(inner, counts)
  for (const port of item.ports) {
    if (port.kind === 'carry') [port.initial, ...port.next].forEach(add)
    if (port.kind === 'reduce') for (const id of port.inner) if (id) add(id)
  }
}

function collectMade(item: Item, made: Set<string>): void {
  if (item.type === 'node') {
    for (const id of item.outputs) made.add(id)
    return
  }
  for (const body of item.bodies) for (const inner of body.items) collectMade(inner, made)
  for (const port of item.ports) if (port.kind === 'carry' || port.kind === 'reduce') made.add(port.result)
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
