import {
  dataTypes,
  type Item,
  localShape,
  lookup,
  nodesOf,
  type OperatorNode,
  type Pass,
  type Program,
  rewriteItems,
} from '@shardloom/core'
import { type Storage, trainingOnly } from './options.js'
import { reducesGradient } from './type-reductions.js'

/**
 * `dp/bucket-gradients`: reductions of gradients that are next to each other run as one, as soon as the last gradient of a
 * bucket is there (Li et al. 2020, section 3.2.3). A bucket is full when a rank has given it `bucket` bytes, and it ends with
 * its layer. Its reductions have one `fusion`, and wait for each other and for the bucket's last gradient.
 */
export function bucketGradients({ bucket = 0 }: Storage): Pass {
  return {
    name: 'dp/bucket-gradients',
    phase: 'schedule',
    run(program, { warn }) {
      trainingOnly('bucket', bucket, program.phase)
      if (nodesOf(program.items).some(({ fusion }) => fusion?.startsWith(prefix))) return program
      let changed = false
      const items = rewriteItems(program.items, (list) => {
        const next = bucketed(list, program, bucket)
        changed ||= next !== list
        return next
      })
      if (!changed) warn(`\`bucket: ${bucket}\` changes nothing: no two reductions of gradients meet in a bucket`)
      return changed ? { ...program, items } : program
    },
  }
}

const prefix = 'bucket of '

interface Member {
  readonly node: OperatorNode
  readonly at: number
  /** Where its gradient is made: −1 outside of the body. */
  readonly made: number
  /** Where it is read first. */
  readonly read: number
}

/** The items of one body with the reductions of each bucket side by side; the same list where no two can be. */
function bucketed(items: readonly Item[], program: Program, size: number): readonly Item[] {
  const made = new Map(items.flatMap((item, at) => (item.type === 'node' ? item.outputs : []).map((id) => [id, at])))
  const read = new Map<string, number>()
  items.forEach((item, at) => {
    for (const id of readsOf(item)) if (!read.has(id)) read.set(id, at)
  })
  const open = new Map<string, Member[]>()
  const buckets: Member[][] = []
  items.forEach((item, at) => {
    if (item.type !== 'node' || !reducesGradient(item, program) || item.fusion !== undefined) return
    const [input = '', output = ''] = [item.inputs[0], item.outputs[0]]
    const member = { node: item, at, made: made.get(input) ?? -1, read: read.get(output) ?? items.length }
    const { op, stages, gradient, communication } = item
    const key = JSON.stringify([op, communication?.atoms, lookup(program.tensors, output).dtype, stages, gradient])
    const list = open.get(key)
    const together = list && slotOf([...list, member]) < Math.min(...list.map((each) => each.read), member.read)
    if (together && bytesOf(list, program) < size) list.push(member)
    else {
      const fresh = [member]
      open.set(key, fresh)
      buckets.push(fresh)
    }
  })
  const merged = buckets.filter((members) => members.length > 1)
  if (merged.length === 0) return items
  const inserted = new Map<number, OperatorNode[]>()
  const moved = new Set<Item>()
  for (const members of merged) {
    const slot = slotOf(members)
    const [first] = members
    const last = members.reduce((a, b) => (b.made > a.made ? b : a))
    let before = items[last.made]?.id
    const nodes = members.map(({ node, made }) => {
      const after = before === undefined || before === items[made]?.id ? [] : [before]
      before = node.id
      return { ...node, fusion: `${prefix}${first?.node.id}`, ...(after.length && { after }) }
    })
    for (const { node } of members) moved.add(node)
    inserted.set(slot, [...(inserted.get(slot) ?? []), ...nodes])
  }
  const slots = [-1, ...items.keys()]
  return slots.flatMap((at): readonly Item[] => {
    const item = items[at]
    return [...(item && !moved.has(item) ? [item] : []), ...(inserted.get(at) ?? [])]
  })
}

/** The item behind which all members can stand: the last of their gradients, and no sooner than the first of them. */
function slotOf(members: readonly Member[]): number {
  return Math.max((members[0]?.at ?? 0) - 1, ...members.map(({ made }) => made))
}

function readsOf(item: Item): readonly string[] {
  if (item.type === 'node') return item.inputs
  return [
    ...item.ports.flatMap((port) => (port.kind === 'carry' ? port.initial : [])),
    ...nodesOf([item]).flatMap(({ inputs }) => inputs),
  ]
}

/** Bytes that the rank at the origin gives to the reductions. */
function bytesOf(members: readonly Member[], { mesh, tensors }: Program): number {
  return members.reduce((sum, { node }) => {
    const { shape, dtype } = lookup(tensors, node.outputs[0] ?? '')
    const from = node.communication?.from ?? { shards: [], partial: {} }
    return sum + localShape(shape, from, mesh, new Map()).reduce((product, each) => product * each, dataTypes[dtype])
  }, 0)
}
