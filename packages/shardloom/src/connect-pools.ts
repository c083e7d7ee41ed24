import {
  edit,
  type Item,
  lookup,
  type OperatorNode,
  operandText,
  type Phase,
  type Program,
  type Region,
  regionsOf,
  replicated,
  rewriteItems,
  type Tensor,
} from '@shardloom/core'
import type { Handover, PoolCache } from './plan-caches.js'

/**
 * Prefill with a send behind each cache write, which waits for nothing but that write, so that it can overlap with the
 * layers after it. A prefix that was cached before is sent ahead.
 */
export function sendCaches(program: Program, { caches, prefill: shares }: Handover): Program {
  const sources = [...new Set(caches.map(({ from }) => from))]
  const behind = new Map<string, OperatorNode>()
  const made: Tensor[] = []
  const prefix = new Map<string, OperatorNode>()
  for (const cache of sources) {
    const { write, body, name, tensor } = cache
    const id = write ? `prefill/${body}/${name}_send` : `prefill/prefix/${body}/${name}_send`
    const share = shares.get(tensor) ?? [1, 1]
    const send = transferNode(program, cache, { op: 'send', id, partner: 'decode', share })
    made.push(send.tensor)
    if (!write) prefix.set(tensor, send.node)
    else behind.set(write.id, { ...send.node, ...(!write.outputs.includes(tensor) && { after: [write.id] }) })
  }
  const ahead = layerRegions(program, sources, prefix, 'prefill/prefix')
  return withItems(program, made, (items) =>
    items.flatMap((item): Item[] => {
      if (item.type === 'region') return [...ahead(item), item]
      const send = behind.get(item.id)
      return send ? [item, send] : [item]
    }),
  )
}

/** Decode with receives, layer by layer, that fill the cache before the first step. */
export function receiveCaches(program: Program, { caches, decode: shares }: Handover): Program {
  const targets = [...new Set(caches.map(({ to }) => to))]
  const made: Tensor[] = []
  const nodes = new Map<string, OperatorNode>()
  for (const cache of targets) {
    const share = shares.get(cache.tensor) ?? [1, 1]
    const id = `decode/${cache.body}/${cache.name}_recv`
    const recv = transferNode(program, cache, { op: 'recv', id, partner: 'prefill', share })
    made.push(recv.tensor)
    nodes.set(cache.tensor, recv.node)
  }
  const ahead = layerRegions(program, targets, nodes, 'decode/receive')
  return withItems(program, made, (items) =>
    items.flatMap((item): Item[] => {
      if (item.type === 'node') return [item]
      const ports = item.ports.map((port) =>
        port.kind === 'carry' ? { ...port, initial: nodes.get(port.initial)?.id ?? port.initial } : port,
      )
      return [...ahead(item), { ...item, ports }]
    }),
  )
}

function withItems(
  program: Program,
  tensors: readonly Tensor[],
  rewrite: (items: readonly Item[]) => readonly Item[],
): Program {
  const draft = edit(program)
  for (const tensor of tensors) draft.setTensor(tensor)
  draft.setItems(rewriteItems(program.items, rewrite))
  return draft.commit()
}

/** For the region that carries some caches, a region over the layers that passes them from or to the other pool before. */
function layerRegions(
  program: Program,
  caches: readonly PoolCache[],
  nodes: ReadonlyMap<string, OperatorNode>,
  id: string,
): (carrying: Region) => Region[] {
  const layers = regionsOf(program.items).find(({ axis }) => axis === 'layer')
  return ({ ports }) => {
    const carried = ports.flatMap((port) => (port.kind === 'carry' ? [port.initial] : []))
    const own = caches.filter(({ tensor }) => nodes.has(tensor) && carried.includes(tensor))
    if (!layers || own.length === 0) return []
    const { axis, extent, select } = layers
    const bodies = layers.bodies.map(({ name }) => ({
      name,
      items: own.flatMap((cache) => (cache.body === name ? (nodes.get(cache.tensor) ?? []) : [])),
    }))
    return [{ type: 'region', id, axis, extent, order: 'parallel', bodies, select, ports: [] }]
  }
}

function transferNode(
  program: Program,
  cache: PoolCache,
  of: { op: 'send' | 'recv'; id: string; partner: Phase; share: readonly [number, number] },
): { readonly node: OperatorNode; readonly tensor: Tensor } {
  const { op, id, partner, share } = of
  const source = lookup(program.tensors, cache.tensor)
  const placement = source.placement ?? replicated(source.shape.length)
  const dims = operandText(source.dims)
  const role = op === 'send' ? 'activation' : source.role
  const reason = { tensor: source.id, producer: cache.write?.id ?? null, consumer: partner, strategies: [] }
  return {
    tensor: { ...source, id, role, placement, versionOf: source.versionOf ?? source.id },
    node: {
      type: 'node',
      id,
      kind: 'communication',
      op,
      rule: `${dims} -> ${dims}`,
      inputs: [source.id],
      outputs: [id],
      segment: op === 'send' ? 'prefill' : 'decode',
      module: op === 'send' && cache.write ? cache.write.module : op === 'send' ? 'prefix' : 'receive',
      communication: { atoms: [], pool: { phase: partner, share }, from: placement, to: placement, reason },
    },
  }
}
