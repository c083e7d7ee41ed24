import {
  axesOf,
  type Communication,
  type CommunicationReason,
  dataTypes,
  groupSize,
  groupSizeOf,
  type OperatorNode,
  type OperatorTable,
  type Place,
  type Program,
  payloadOf,
  ringBytes,
  type Segment,
  type Tensor,
  walk,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { changeAxis, grownShape, iterationsOf } from './changes.js'
import { type Meter, meterOf } from './meter.js'

/** Like executions of communication on one rank: counts are per step, bytes per execution. */
export interface CommunicationRow {
  readonly op: string
  readonly axes: readonly string[]
  readonly groupSize: number
  readonly count: number
  /** Bytes of the tensor logical to the group; where it grows from execution to execution, the mean. */
  readonly payloadBytes: number
  /** Bytes that this rank sends: by a ring, and in an all-to-all to each other rank directly; the mean, where they grow. */
  readonly bytesPerRank: number
  readonly segment: Segment
  /** The iteration axes around it, outermost first, such as `microbatch/layer`; empty at the top. */
  readonly region: string
  readonly nodes: readonly string[]
  /** Of the first node. */
  readonly reason: CommunicationReason
}

/** What one execution of a communication node moves, in bytes. */
export interface CommunicationSize {
  /** Logical to the group. */
  readonly payload: number
  /** What this rank sends. */
  readonly sent: number
}

/**
 * What an execution of a communication node moves: the mean over `steps`, the iterations of the axis along which its tensor
 * grows (default: the first). `members` is the size of its group, where a pipeline makes it smaller than its atoms say.
 */
export function communicationBytes(
  node: OperatorNode,
  program: Program,
  meter: Meter,
  members?: number,
  steps: readonly number[] = [0],
): CommunicationSize {
  const { communication } = node
  const tensor = program.tensors.get(node.outputs[0] ?? '')
  if (!communication || !tensor) return { payload: 0, sent: 0 }
  const all = (tensor.growth ? steps : [0]).map((step) =>
    sizeOf(node.op, communication, { ...tensor, shape: grownShape(tensor, step) }, program, meter, members),
  )
  const mean = (of: (size: CommunicationSize) => number) => all.reduce((sum, size) => sum + of(size), 0) / all.length
  return { payload: mean(({ payload }) => payload), sent: mean(({ sent }) => sent) }
}

function sizeOf(
  op: string,
  communication: Communication,
  tensor: Tensor,
  program: Program,
  meter: Meter,
  members?: number,
): CommunicationSize {
  const { atoms, from, to } = communication
  // A rank sends what it holds; a collective is about what its group holds together.
  const isHop = op === 'send' || op === 'recv'
  const [share, all] = communication.pool?.share ?? [1, 1]
  const payload = isHop
    ? (meter.bytes(tensor) * share) / all
    : payloadOf(communication, (placement) => meter.bytes(tensor, placement))
  const uneven = program.loads && tensor.density && tensor.dims.some((dim) => program.loads?.[dim])
  if (!uneven || op !== 'all-to-all') {
    const size = members ?? groupSize(program.mesh, atoms)
    return { payload, sent: ringBytes(op, payload, size) + weightBytes(communication, tensor, meter, size) }
  }
  // A rank sends what it has but that part which it goes on holding.
  const kept = from.shards.map((list, position) => [...new Set([...list, ...(to.shards[position] ?? [])])])
  return { payload, sent: meter.bytes(tensor, from) - meter.bytes(tensor, { ...from, shards: kept }) }
}

/**
 * Before a merge by log-sum-exps every rank gathers those of all others, one per row in fp32, to weigh its own term
 * (Dao et al. 2023, Flash-Decoding).
 */
function weightBytes({ reduction, from }: Communication, tensor: Tensor, meter: Meter, size: number): number {
  if (reduction !== 'lse') return 0
  const rows = meter.elements(tensor, from) / (tensor.shape.at(-1) ?? 1)
  return (size - 1) * rows * dataTypes.fp32
}

/** The communication of one rank in one step, like rows joined, in program order. */
export function communicationTable(
  whole: Program,
  operators: OperatorTable,
  options: { readonly rank?: number } = {},
): CommunicationRow[] {
  const program = programOf(whole, options.rank ?? 0)
  const meter = meterOf(program, operators, options.rank)
  const rows = new Map<string, CommunicationRow>()
  // Collectives of one bucket run as one.
  const runs = new Map<string, { nodes: OperatorNode[]; place: Place }>()
  walk(program.items, (node, place) => {
    if (!node.communication || place.executions === 0) return
    const run = runs.get(node.fusion ?? node.id)
    if (run) run.nodes.push(node)
    else runs.set(node.fusion ?? node.id, { nodes: [node], place })
  })
  for (const { nodes, place } of runs.values()) {
    const [node] = nodes
    if (!node?.communication) continue
    const members = groupSizeOf(whole, node, place)
    const bytes = nodes.map((each) => {
      const steps = iterationsOf(place.path, changeAxis(each, program))
      return communicationBytes(each, program, meter, members, steps)
    })
    const payload = bytes.reduce((sum, each) => sum + each.payload, 0)
    const sent = bytes.reduce((sum, each) => sum + each.sent, 0)
    const { atoms, from, to, reason } = node.communication
    const axes = axesOf(program.mesh, atoms, reason.strategies)
    const region = place.path.map((each) => each.region.axis).join('/')
    const dims = program.tensors.get(reason.tensor)?.dims ?? []
    const splitDims = [from, to].map((each) => dims.filter((_, at) => each.shards[at]?.includes(atoms[0] ?? '')))
    const key = JSON.stringify([node.op, axes, payload, sent, node.segment, region, splitDims])
    const known = rows.get(key)
    rows.set(key, {
      op: node.op,
      axes,
      groupSize: members,
      count: (known?.count ?? 0) + place.executions,
      payloadBytes: payload,
      bytesPerRank: sent,
      segment: node.segment,
      region,
      nodes: [...(known?.nodes ?? []), ...nodes.map(({ id }) => id)],
      reason: known?.reason ?? reason,
    })
  }
  return [...rows.values()]
}
