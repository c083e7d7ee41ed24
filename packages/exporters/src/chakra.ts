import {
  coordinateOf,
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
  nodeTimes,
  representatives,
} from '@shardloom/simulator'
import { groupsOf } from './chakra-groups.js'
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
  const stages = pipelineAtoms(program)
  const metadata = withLength([encodeMetadata()])
  return {
    world: program.mesh.world,
    *trace(rank) {
      const script = scripts.get(coordinateOf(program, rank))
      if (!script) return
      const kindOf = kindsOf({ program, operators, graph, script, rank, groups, machine })
      const peers = new Map(
        groupOf(program.mesh, rank, stages).map((each) => [coordinateOf(program, each), each] as const),
      )
      let parts = [...metadata]
      let size = 0
      for (const [entry, execution] of script.executions.entries()) {
        const kind = kindOf(entry, peers)
        parts.push(...withLength([execution, kind]))
        size += execution.length + kind.length
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

interface Kinds {
  readonly program: Program
  readonly operators: OperatorTable
  readonly graph: UnrolledGraph
  readonly script: Script
  readonly rank: number
  readonly groups: ReturnType<typeof groupsOf>
  readonly machine: Machine | undefined
}

/** Finds what of an entry is the same in each of its executions; each kind is encoded once. */
function kindsOf({ program, operators, graph, script, rank, groups, machine }: Kinds) {
  const meter = meterOf(program, operators, rank)
  const times = machine && nodeTimes(program, operators, machine, rank).times
  const known = new Map<string | number, Uint8Array>()
  const axes = graph.templates.map((node) => changeAxis(node, program))
  const over = program.pipeline?.over
  return (entry: number, peers: ReadonlyMap<number, number>): Uint8Array => {
    const place = script.nodes[entry] ?? 0
    const template = graph.template[place] ?? 0
    const node = graph.templates[template] as OperatorNode // of its own graph
    const axis = axes[template]
    const varies = axis !== undefined || node.communication !== undefined
    const iterations = varies ? graph.iterationsOf(place) : []
    const step = iterations.find((each) => each.axis === axis)?.iteration ?? 0
    if (node.communication) {
      const type = communicationType(node.op)
      const size = (each: Attribute[]) => encodeKind(type, [attribute.onHost(false), ...each])
      const partner = script.partners.get(entry)
      const iteration = iterations.find((each) => each.axis === over)?.iteration
      if (!partner) {
        const group = groups.idOf(node, rank, iteration)
        const key = `${template} ${step} ${group}`
        const made =
          known.get(key) ??
          size([
            attribute.collective(collectiveOf(node)),
            attribute.bytesSent(inputBytes(node, program, meter, step)),
            attribute.group(group),
          ])
        known.set(key, made)
        return made
      }
      const peer = peerOf(node, program, rank, partner.coordinate, peers)
      const end = node.op === 'send' ? attribute.destination(peer) : attribute.source(peer)
      return size([
        attribute.bytesSent(BigInt(Math.round(communicationBytes(node, program, meter, 2, [step]).payload))),
        end,
        attribute.tag(partner.tag),
      ])
    }
    const key = axis === undefined ? template : `${template} ${step}`
    const made = known.get(key) ?? workOf(node, program, meter, step, times && (times.get(node.id)?.seconds(step) ?? 0))
    known.set(key, made)
    return made
  }
}

function workOf(
  node: OperatorNode,
  program: Program,
  meter: Meter,
  step: number,
  seconds: number | undefined,
): Uint8Array {
  const { flops, read, written } = meter.node(node, step)
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
