import { type CollectiveOp, collectiveOps } from '@shardloom/cluster'
import { lookup, type OperatorNode, type OperatorTable, type Place, type Program, walk } from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { communicationBytes } from './communication-table.js'
import type { Machine } from './machine.js'
import { meterOf, storedAs } from './measure.js'
import { nodeTimes } from './node-time.js'
import { representatives } from './ranks.js'
import { isOfState, partsOf } from './sample.js'
import { layerOf } from './sample-memory.js'

/** A collective over parameters or gradients. */
export interface StateMove {
  readonly op: CollectiveOp
  readonly atoms: readonly string[]
  /** Logical to the group. */
  readonly bytes: number
  /** In forward or backward of each microbatch; once per step before the update, or behind it. */
  readonly when: 'F' | 'B' | 'before update' | 'behind update'
}

/** What a rank holds of a part of a model all through the step, and what the update of it takes. Bytes and seconds. */
export interface StateCost {
  parameterBytes: number
  gradientBytes: number
  optimizerBytes: number
  updateSeconds: number
  readonly moves: StateMove[]
}

/**
 * What each part of a model costs in parameters, gradients and optimizer state: of a layer of each kind, of what stands before (`first`)
 * and behind (`last`) the layers, and of what the end has beside that because the start of the model, which reads it too, is on another
 * stage (`tied`). Linear in the rolled program.
 */
export function stateCosts(whole: Program, operators: OperatorTable, machine: Machine): ReadonlyMap<string, StateCost> {
  const costs = new Map<string, StateCost>()
  const costOf = (part: string) => {
    const known = costs.get(part)
    if (known) return known
    const made: StateCost = { parameterBytes: 0, gradientBytes: 0, optimizerBytes: 0, updateSeconds: 0, moves: [] }
    costs.set(part, made)
    return made
  }
  const named = partsOf(whole)
  const standing = new Map<string, string>()
  const readBefore = new Set<string>()
  for (const rank of representatives(whole)) {
    const program = programOf(whole, rank)
    const meter = meterOf(whole, operators, rank)
    const { times } = nodeTimes(whole, operators, machine, rank)
    /** Parameters by the parts of this rank that read them. */
    const readBy = new Map<string, string>()
    walk(program.items, (node) => {
      const part = named.get(node.id)
      if (part === undefined) return
      for (const id of node.inputs)
        if (lookup(program.tensors, id).role === 'parameter') readBy.set(parameterOf(id, program), part)
    })
    const seen = new Set<string>()
    walk(program.items, (node, place) => {
      const own = partOf(node, place, named, readBy, program)
      if (own === undefined) return
      const isTied = [...node.inputs, node.updates ?? ''].some((id) => readBefore.has(parameterOf(id, program)))
      const part = isTied && bodyOf(place) === undefined ? 'tied' : own
      // Of a kind of layer one body of one rank stands for all; what is outside of layers, each rank has for itself.
      const body = bodyOf(place)
      if (body !== undefined) {
        const key = `${rank} ${body}`
        const known = standing.get(part)
        if (known === undefined) standing.set(part, key)
        else if (known !== key) return
      }
      const cost = costOf(part)
      for (const id of node.inputs) {
        const tensor = lookup(program.tensors, id)
        const stored = storedAs(tensor, node)
        if (!stored || seen.has(id)) continue
        seen.add(id)
        cost[stored] += meter.bytes(tensor)
      }
      if (isOfState(node, program))
        cost.moves.push(moveOf(node, program, communicationBytes(node, program, meter).payload))
      else if (node.segment === 'optimizer') cost.updateSeconds += times.get(node.id)?.seconds(0) ?? 0
    })
    for (const id of readBy.keys()) readBefore.add(id)
  }
  return costs
}

/** The body of a loop over layers that a place is in. */
function bodyOf({ path }: Place): string | undefined {
  const at = path.find(({ region }) => region.axis === 'layer')
  return at?.region.bodies[at.body]?.name
}

/** The part of the model that a node of a microbatch or of the update belongs to. */
function partOf(
  node: OperatorNode,
  place: Place,
  named: ReadonlyMap<string, string>,
  readBy: ReadonlyMap<string, string>,
  program: Program,
): string | undefined {
  const own = named.get(node.id) ?? layerOf(place)
  if (own !== undefined) return own
  for (const id of [node.updates ?? '', ...node.inputs, ...node.outputs]) {
    const found = readBy.get(parameterOf(id, program))
    if (found !== undefined) return found
  }
  return undefined
}

/** The parameter that a tensor is, or is the gradient of. */
function parameterOf(id: string, { tensors }: Program): string {
  return (tensors.get(id)?.versionOf ?? id).replace(/^(optimizer\/)?gradient\//, '')
}

function moveOf(
  { op, communication, segment, inputs: [id = ''] }: OperatorNode,
  { tensors }: Program,
  bytes: number,
): StateMove {
  const isParameter = lookup(tensors, id).role === 'parameter'
  return {
    op: collectiveOps.find((each) => each === op) ?? 'send',
    atoms: communication?.atoms ?? [],
    bytes,
    when: segment === 'forward' ? 'F' : segment === 'backward' ? 'B' : isParameter ? 'behind update' : 'before update',
  }
}
