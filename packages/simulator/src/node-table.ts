import {
  axesOf,
  coordinateOf,
  type FlopClass,
  groupSizeOf,
  type NodeKind,
  type OperatorNode,
  type OperatorTable,
  type Place,
  type Program,
  type Segment,
  walk,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { changeAxis, iterationsOf } from './changes.js'
import { communicationBytes } from './communication-table.js'
import { accumulation, accumulatorsOf, flopClassOf } from './measure.js'
import { meterOf } from './meter.js'

/** A node of the rolled program as one rank runs it: what all of its executions in one step do together. */
export interface NodeRow {
  /** Of the rolled program. */
  readonly id: string
  readonly kind: NodeKind
  /** The operator's name, or a kind of communication. */
  readonly op: string
  readonly segment: Segment
  /** Path of modules, such as `moe/experts`. */
  readonly module: string
  /** Layers by depth, such as `0-7,9`; empty outside of layers. */
  readonly layers: string
  /** The coordinate of the pipeline; absent without one. */
  readonly stage?: number
  /** The iteration axes around it, outermost first, such as `microbatch/layer`; empty at the top. */
  readonly region: string
  readonly executions: number
  readonly flops: bigint
  readonly flopClass: FlopClass
  /** Bytes that compute, control and memory nodes read and write; those of communication are below. */
  readonly bytesRead: bigint
  readonly bytesWritten: bigint
  /** Communication: over which axes, and among how many ranks. */
  readonly axes: readonly string[]
  readonly groupSize: number
  /** Communication, per execution: bytes of the tensor logical to the group; the mean, where it grows. */
  readonly payloadBytes: number
  /** Communication, per execution: bytes that this rank sends; the mean, where they grow. */
  readonly bytesPerRank: number
}

/**
 * The nodes that one rank runs in one step, in program order, without unrolling it. FLOPs and bytes add up to those of
 * `measure`, and what is sent to that of `communicationTable`. Throws `RANK` when the mesh has no such rank.
 */
export function* nodeTable(
  whole: Program,
  operators: OperatorTable,
  options: { readonly rank?: number } = {},
): Generator<NodeRow, void, undefined> {
  const { rank = 0 } = options
  const program = programOf(whole, rank)
  const meter = meterOf(program, operators, rank)
  const sums = accumulatorsOf(program)
  const visited: { node: OperatorNode; place: Place }[] = []
  walk(program.items, (node, place) => {
    if (place.executions > 0) visited.push({ node, place })
  })
  const stage = whole.pipeline && coordinateOf(whole, rank)
  for (const { node, place } of visited) {
    const cost = meter.total(node, place)
    const extra = accumulation(node, place.executions, sums, meter, program)
    const steps = iterationsOf(place.path, changeAxis(node, program))
    const members = node.communication ? groupSizeOf(whole, node, place) : 1
    const size = communicationBytes(node, program, meter, members, steps)
    yield {
      id: node.id,
      kind: node.kind,
      op: node.op,
      segment: node.segment,
      module: node.module,
      layers: layersOf(place),
      ...(stage !== undefined && { stage }),
      region: place.path.map(({ region }) => region.axis).join('/'),
      executions: place.executions,
      flops: cost.flops,
      flopClass: flopClassOf(node, operators),
      bytesRead: cost.read + extra.read,
      bytesWritten: cost.written + extra.written,
      axes: node.communication
        ? axesOf(program.mesh, node.communication.atoms, node.communication.reason.strategies)
        : [],
      groupSize: members,
      payloadBytes: size.payload,
      bytesPerRank: size.sent,
    }
  }
}

/** The depths at which a place runs, neighbours as one range. */
function layersOf({ path }: Place): string {
  if (!path.some(({ region }) => region.axis === 'layer')) return ''
  const runs: { first: number; last: number }[] = []
  for (const layer of iterationsOf(path, 'layer')) {
    const run = runs.at(-1)
    if (run && run.last === layer - 1) run.last = layer
    else runs.push({ first: layer, last: layer })
  }
  return runs.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',')
}
