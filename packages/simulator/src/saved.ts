import { type Item, lookup, nodesOf, type OperatorTable, type Placement, type Program, walk } from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { meterOf } from './meter.js'

/** A tensor that forward made and backward reads, as it is kept between the two. */
export interface SavedTensor {
  /** As its producer made it. */
  readonly tensor: string
  /** The version that is kept: of those that forward has, the one that is smallest on a rank. */
  readonly version: string
  readonly placement: Placement | undefined
  /** Bytes on the rank, for one iteration of every axis in `per`. */
  readonly bytes: number
  /** The region axes over which there is one of it per iteration, outermost first. */
  readonly per: readonly string[]
  /** The body whose iterations have it, where a region has several. */
  readonly body: string | undefined
  /** Whether it waits in host memory: `version` is then what an offload made. */
  readonly host: boolean
  /** The nodes of backward that read it. */
  readonly readers: readonly string[]
}

/**
 * The activations that one rank keeps from forward to backward, in the order in which backward first reads them; what
 * several kinds of layer keep, such as their input, once for each. Of a pipeline, those of the rank's own stages.
 */
export function savedTensors(
  whole: Program,
  operators: OperatorTable,
  options: { readonly rank?: number } = {},
): SavedTensor[] {
  const meter = meterOf(whole, operators, options.rank)
  const program = programOf(whole, options.rank ?? 0)
  const forward = forwardValues(program.items)
  const kept = new Map<string, { readonly version: string; readonly body: string | undefined; readers: string[] }>()
  const offloaded = new Set<string>()
  walk(program.items, (node, { path }) => {
    if (node.op === 'offload') for (const id of node.outputs) offloaded.add(id)
    if (node.segment !== 'backward') return
    const at = path.at(-1)
    const body = at && at.region.bodies.length > 1 ? at.region.bodies[at.body]?.name : undefined
    for (const version of new Set(node.inputs)) {
      if (!forward.has(version)) continue
      const key = `${body} ${version}`
      const known = kept.get(key)
      if (known) known.readers.push(node.id)
      else kept.set(key, { version, body, readers: [node.id] })
    }
  })
  return [...kept.values()].map(({ version, body, readers }) => {
    const tensor = lookup(program.tensors, version)
    const { placement, per, versionOf } = tensor
    const bytes = meter.bytes(tensor)
    return { tensor: versionOf ?? version, version, placement, bytes, per, body, host: offloaded.has(version), readers }
  })
}

/** Everything that nodes and loops of forward make. */
export function forwardValues(items: readonly Item[]): Set<string> {
  const values = new Set<string>()
  const visit = (list: readonly Item[]) => {
    for (const item of list) {
      if (item.type === 'node') {
        if (item.segment === 'forward') for (const id of item.outputs) values.add(id)
        continue
      }
      const forward = nodesOf([item])[0]?.segment === 'forward'
      for (const port of item.ports) if (forward && port.kind === 'carry') values.add(port.inner).add(port.result)
      for (const body of item.bodies) visit(body.items)
    }
  }
  visit(items)
  return values
}
