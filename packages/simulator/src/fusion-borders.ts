import { type OperatorNode, type Place, type Program, walk } from '@shardloom/core'

/** By node that is fused with others. */
export type FusionBorders = ReadonlyMap<
  string,
  { readonly inputs: readonly boolean[]; readonly outputs: readonly boolean[] }
>

/** Per fused node, which operands come from outside its kernel and which results leave it. */
export function fusionBorders({ items }: Program): FusionBorders {
  const known = bordersOf.get(items) ?? findBorders(items)
  bordersOf.set(items, known)
  return known
}

/** By items: programs that differ in sizes share them. */
const bordersOf = new WeakMap<Program['items'], FusionBorders>()

function findBorders(items: Program['items']): FusionBorders {
  const groups = new Map<Place, Map<string, OperatorNode[]>>()
  /** Of each tensor the kernels that read it; undefined: a node by itself. */
  const readers = new Map<string, (readonly OperatorNode[] | undefined)[]>()
  walk(items, (node, place) => {
    const { fusion } = node
    // Nodes of one body share the object that says where they stand.
    const body = groups.get(place) ?? new Map<string, OperatorNode[]>()
    groups.set(place, body)
    const group = fusion === undefined ? undefined : (body.get(fusion) ?? [])
    for (const id of node.inputs) {
      const known = readers.get(id)
      if (known) known.push(group)
      else readers.set(id, [group])
    }
    if (!group || fusion === undefined) return
    group.push(node)
    body.set(fusion, group)
  })
  const borders = new Map<string, { inputs: boolean[]; outputs: boolean[] }>()
  for (const nodes of Array.from(groups.values(), (body) => [...body.values()]).flat()) {
    const made = new Set(nodes.flatMap((node) => node.outputs))
    const read = new Set<string>()
    for (const node of nodes) {
      const inputs = node.inputs.map((id) => {
        const counts = !made.has(id) && !read.has(id)
        read.add(id)
        return counts
      })
      const outputs = node.outputs.map((id) => {
        const all = readers.get(id) ?? []
        return all.length === 0 || all.some((reader) => reader !== nodes)
      })
      borders.set(node.id, { inputs, outputs })
    }
  }
  return borders
}
