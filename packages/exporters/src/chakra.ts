import {
  coordinateOf,
  coordinates,
  groupOf,
  lookup,
  neighbour,
  type OperatorNode,
  type OperatorTable,
  type Program,
  pipelineAtoms,
  ShardloomError,
} from '@shardloom/core'
import { type UnrolledGraph, unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import {
  changeAxis,
  communicationBytes,
  grownShape,
  type Machine,
  type Meter,
  meterOf,
  type NodeMeasure,
  nodeTimes,
  representatives,
  unevenAtoms,
} from '@shardloom/simulator'
import { type Groups, groupsOf } from './chakra-groups.js'
import {
  type Attribute,
  attribute,
  chakraCollectives,
  chakraTypes,
  encodeKind,
  encodeLength,
  encodeMetadata,
} from './chakra-schema.js'
import { type Script, scriptsOf } from './chakra-script.js'

/** What traces say beside what is computed and communicated. */
export interface ChakraOptions {
  /** Whether memory nodes are written, as MEM_LOAD and MEM_STORE; default: they become dependencies. */
  readonly memory?: boolean
  /** Whether the order of the schedule stands among data dependencies too; default: among control dependencies alone. */
  readonly scheduleAsData?: boolean
  /** Gives each compute node the time that it takes there, in whole microseconds; default: none, for readers with a roofline. */
  readonly machine?: Machine
}

/** The execution traces of a program, one for each rank, written rank by rank. */
export interface ChakraTraces {
  readonly world: number
  /** The trace of a rank as the bytes of an `.et` file, in parts. Throws `RANK`. */
  readonly trace: (rank: number) => Generator<Uint8Array, void, undefined>
  /** The communicators, as the text of the JSON that belongs to the traces: number → ranks. */
  readonly groups: () => Generator<string, void, undefined>
}

/** Bytes that are handed on at a time. */
const chunkSize = 65_536

/**
 * A program as execution traces of MLCommons Chakra (Sridharan et al. 2023), which ASTRA-sim and others replay. Node ids
 * follow the schedule; sizes are bytes, work is FLOPs; sends and recvs carry tags on which they meet; groups have the same numbers
 * whichever ranks are written. Planning and unrolling are done once for each place of the pipeline, so that a further rank
 * costs no more than its bytes. Throws `CHAKRA` for a program that breaks a rule of the verifier, since readers of
 * traces would wait for ever without a word, and for transfers to another pool.
 */
export function chakraTraces(program: Program, operators: OperatorTable, options: ChakraOptions = {}): ChakraTraces {
  const { memory = false, scheduleAsData = false, machine } = options
  for (const { rule, violations } of verifyProgram(program, operators)) {
    const [first] = violations
    if (!first) continue
    throw new ShardloomError('CHAKRA', `The program breaks rule ${rule} of the verifier: ${first.message}`, {
      subject: first.node,
      help: 'Traces of it would hang a reader. See `shardloom verify`.',
    })
  }
  const graph = unroll(program, { ranks: representatives(program) })
  const scripts = scriptsOf(program, graph, { memory, scheduleAsData })
  const groups = groupsOf(program)
  const metadata = withLength([encodeMetadata()])
  const uneven = unevenAtoms(program, operators)
  const known = new Map<string, readonly Piece[]>()
  /** The trace of a rank but for what it communicates; ranks that differ in nothing else share it. */
  const piecesOf = (rank: number, script: Script) => {
    const at = coordinates(program.mesh, rank)
    const key = [coordinateOf(program, rank), ...uneven.map((atom) => at.get(atom))].join(' ')
    const pieces =
      known.get(key) ?? piecesWith(script, workOf({ program, operators, graph, rank, machine }, script), graph)
    known.set(key, pieces)
    return pieces
  }
  return {
    world: program.mesh.world,
    *trace(rank) {
      const script = scripts.get(coordinateOf(program, rank))
      if (!script) return
      const kindOf = communicationOf({ program, operators, graph, rank, machine }, script, groups)
      let parts = [...metadata]
      let size = 0
      for (const piece of piecesOf(rank, script)) {
        if (typeof piece === 'number') parts.push(...withLength([script.executions[piece] ?? nothing, kindOf(piece)]))
        else parts.push(piece)
        size += parts.at(-1)?.length ?? 0
        if (size < chunkSize) continue
        yield joined(parts)
        parts = []
        size = 0
      }
      yield joined(parts)
    },
    *groups() {
      let text = '{'
      let isFirst = true
      for (const [id, ranks] of groups.all()) {
        text += `${isFirst ? '' : ','}\n"${id}":[${ranks}]`
        isFirst = false
        if (text.length < chunkSize) continue
        yield text
        text = ''
      }
      yield `${text}\n}\n`
    },
  }
}

/** Bytes that alike ranks have in common, or an entry that communicates. */
type Piece = Uint8Array | number

const nothing = new Uint8Array()

function piecesWith(script: Script, workOf: (entry: number) => Uint8Array, graph: UnrolledGraph): Piece[] {
  const pieces: Piece[] = []
  let run: Uint8Array[] = []
  const close = () => {
    if (run.length > 0) pieces.push(joined(run))
    run = []
  }
  for (const [entry, execution] of script.executions.entries()) {
    if (graph.templates[graph.template[script.nodes[entry] ?? 0] ?? 0]?.communication) {
      close()
      pieces.push(entry)
    } else run.push(...withLength([execution, workOf(entry)]))
  }
  close()
  return pieces
}

/** A rank of a program, and what it is written from. */
interface Rank {
  readonly program: Program
  readonly operators: OperatorTable
  readonly graph: UnrolledGraph
  readonly rank: number
  readonly machine: Machine | undefined
}

/** Finds what of an entry that computes, or moves memory, is the same in each of its executions; each kind is encoded once. */
function workOf({ program, operators, graph, rank, machine }: Rank, script: Script) {
  const meter = meterOf(program, operators, rank)
  const times = machine && nodeTimes(program, operators, machine, rank).times
  const known = new Map<string, Uint8Array>()
  return (entry: number): Uint8Array => {
    const place = script.nodes[entry] ?? 0
    const node = graph.templates[graph.template[place] ?? 0] as OperatorNode // of its own graph
    const axis = changeAxis(node, program)
    const step = iterationOf(graph, place, axis) ?? 0
    const key = `${node.id} ${step}`
    const made = known.get(key) ?? encodeWork(node, program, meter.node(node, step), times?.get(node.id)?.seconds(step))
    known.set(key, made)
    return made
  }
}

const iterationOf = (graph: UnrolledGraph, place: number, axis: string | undefined) =>
  axis === undefined ? undefined : graph.iterationsOf(place).find((each) => each.axis === axis)?.iteration

function encodeWork(
  node: OperatorNode,
  program: Program,
  { flops, read, written }: NodeMeasure,
  seconds: number | undefined,
): Uint8Array {
  const attributes = [attribute.onHost(false), attribute.bytesMoved(read + written)]
  if (node.kind === 'memory') {
    const isCache = (id: string) => lookup(program.tensors, id).role === 'cache'
    // Away from the cores goes what is written to a cache, and what leaves the device's memory.
    const isStore = node.outputs.some(isCache) || (written === 0n && !node.inputs.some(isCache))
    return encodeKind(isStore ? chakraTypes.memoryStore : chakraTypes.memoryLoad, attributes)
  }
  const micros = seconds === undefined ? undefined : Math.round(seconds * 1e6)
  return encodeKind(chakraTypes.compute, [...attributes, attribute.flops(flops)], micros)
}

/** Finds what of an entry that communicates is the same in each of its executions. */
function communicationOf({ program, operators, graph, rank }: Rank, script: Script, groups: Groups) {
  const meter = meterOf(program, operators, rank)
  const peers = new Map(
    groupOf(program.mesh, rank, pipelineAtoms(program)).map((each) => [coordinateOf(program, each), each] as const),
  )
  const over = program.pipeline?.over
  const known = new Map<string, Uint8Array>()
  return (entry: number): Uint8Array => {
    const place = script.nodes[entry] ?? 0
    const node = graph.templates[graph.template[place] ?? 0] as OperatorNode // of its own graph
    const step = iterationOf(graph, place, changeAxis(node, program)) ?? 0
    const encoded = (attributes: readonly Attribute[]) =>
      encodeKind(communicationType(node.op), [attribute.onHost(false), ...attributes])
    const partner = script.partners.get(entry)
    if (partner) {
      const peer = peerOf(node, program, rank, partner.coordinate, peers)
      return encoded([
        attribute.bytesSent(BigInt(Math.round(communicationBytes(node, program, meter, 2, [step]).payload))),
        node.op === 'send' ? attribute.destination(peer) : attribute.source(peer),
        attribute.tag(partner.tag),
      ])
    }
    const group = groups.idOf(node, rank, iterationOf(graph, place, over))
    const key = `${node.id} ${step} ${group}`
    const made =
      known.get(key) ??
      encoded([
        attribute.collective(collectiveOf(node)),
        attribute.bytesSent(inputBytes(node, program, meter, step)),
        attribute.group(group),
      ])
    known.set(key, made)
    return made
  }
}

function communicationType(op: string): number {
  if (op === 'send') return chakraTypes.send
  return op === 'recv' ? chakraTypes.receive : chakraTypes.collective
}

function collectiveOf({ op, id }: OperatorNode): number {
  const found = chakraCollectives[op]
  if (found !== undefined) return found
  throw new ShardloomError('CHAKRA', `\`${id}\` is ${op}, which Chakra traces do not know.`, {
    subject: id,
    help: `They know ${Object.keys(chakraCollectives).join(', ')}, sends and recvs.`,
  })
}

/** Bytes that a rank brings to a collective; of an all-gather its shard. */
function inputBytes(node: OperatorNode, program: Program, meter: Meter, step: number): bigint {
  const tensor = lookup(program.tensors, node.outputs[0] ?? '')
  const grown = { ...tensor, shape: grownShape(tensor, step) }
  return BigInt(Math.round(meter.bytes(grown, node.communication?.from)))
}

function peerOf(
  { communication }: OperatorNode,
  { mesh }: Program,
  rank: number,
  coordinate: number,
  peers: ReadonlyMap<number, number>,
): number {
  const { atoms = [], shift } = communication ?? {}
  return shift === undefined ? (peers.get(coordinate) ?? rank) : neighbour(mesh, rank, atoms, shift)
}

/** A message with its length before it. */
function withLength(parts: readonly Uint8Array[]): Uint8Array[] {
  return [encodeLength(parts.reduce((sum, { length }) => sum + length, 0)), ...parts]
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
