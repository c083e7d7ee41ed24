import { type Item, lookup, nodesOf, type OperatorTable, type Placement, type Program, walk } from '@shardloom/core'
import { meterOf } from './measure.js'

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

/** The activations that one rank keeps from forward to backward, in the order in which backward first reads them. */
export function savedTensors(
  program: Program,
  operators: OperatorTable,
  options: { readonly rank?: number } = {},
): SavedTensor[] {
  const meter = meterOf(program, operators, options.rank)
  const forward = forwardValues(program.items)
  const readers = new Map<string, string[]>()
  const offloaded = new Set<string>()
  walk(program.items, (node) => {
    if (node.op === 'offload') for (const id of node.outputs) offloaded.add(id)
    if (node.segment !== 'backward') return
    for (const id of node.inputs) if (forward.has(id)) readers.set(id, [...(readers.get(id) ?? []), node.id])
  })
  return [...readers].map(([version, list]) => {
    const tensor = lookup(program.tensors, version)
    const { placement, per, body, versionOf } = tensor
    const bytes = meter.bytes(tensor)
    const [host, own] = [offloaded.has(version), [...new Set(list)]]
    return { tensor: versionOf ?? version, version, placement, bytes, per, body, host, readers: own }
  })
}

/** Everything that nodes and loops of forward make. */
function forwardValues(items: readonly Item[]): Set<string> {
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
