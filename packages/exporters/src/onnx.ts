import {
  checkProgram,
  coordinateOf,
  coordinates,
  dataTypes,
  describePlacement,
  groupSizeOf,
  type OperatorTable,
  type Program,
  ShardloomError,
  walk,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { meterOf } from '@shardloom/simulator'
import { type InitialValue, outsideValues } from '@shardloom/testing'
import { formatBytes } from './format.js'
import { checkValue, GraphWriter } from './onnx-graph.js'
import { OperatorWriter } from './onnx-operator.js'
import { graphPart, modelParts, type Part, plainText } from './onnx-schema.js'
import type { Value } from './onnx-scope.js'
import { LocalShapes } from './onnx-shapes.js'

/** What of a program is written. */
export interface OnnxOptions {
  /** The rank whose part is written; default 0. */
  readonly rank?: number
  /** Write parameters with values, by default the ones that proofs run with; without, they are inputs of the graph. */
  readonly weights?: boolean | InitialValue
}

/** A rank's part of a program as a model of ONNX. */
export interface OnnxModel {
  /** The size of the file. */
  readonly bytes: number
  /** The functions of the model: bodies of regions, and operators for which the standard needs several nodes. */
  readonly functions: readonly string[]
  /** The file, piece by piece; weights are made when it is their turn. */
  readonly chunks: () => Generator<Uint8Array, void, undefined>
}

/** Larger files are refused: the graph of a file is made in memory, and protobuf ends at 2 GiB. */
const sizeLimit = 2 ** 28

/**
 * A rank's part of a program as ModelProto of ONNX: IR 8, operator set 17. Operators with a meaning in the standard are nodes of
 * it, or functions of such nodes where it needs several; communication, memory and control are nodes of the domain `shardloom`.
 * The bodies of regions are functions, called once for each iteration, so that equal layers are written once. Deterministic.
 * Throws `RANK` for a rank that there is not, `ONNX_TYPE` for 8-bit floats and `ONNX_SIZE` for files beyond 256 MiB.
 */
export function onnxModel(program: Program, operators: OperatorTable, options: OnnxOptions = {}): OnnxModel {
  checkProgram(program, operators)
  const { rank = 0, weights = false } = options
  checkRank(rank, program)
  const part = programOf(program, rank)
  const members = membersOf(program)
  const shapes = new LocalShapes(part, rank)
  const writer = new OperatorWriter({
    program: part,
    operators,
    shapes,
    meter: meterOf(part, operators, rank),
    members: ({ id }) => members.get(id.replace(/~$/, '')) ?? 1,
  })
  let names = 0
  const graph = new GraphWriter(part, shapes, writer, (further) => {
    names += further
    refuseLarge(names * bytesPerName, 'graph')
  })
  const { scope, results } = graph.main()
  const isWeight = ({ tensor }: Value) => weights !== false && tensor.role === 'parameter'
  const outside = [...scope.inputs]
  for (const [, value] of outside) checkValue(value)
  const held = outside.filter(([, value]) => isWeight(value))
  refuseLarge(
    held.reduce((sum, [, { tensor, iterations }]) => {
      const elements = shapes.sizes(tensor, iterations).reduce((product, size) => product * size, 1)
      return sum + elements * dataTypes[tensor.dtype]
    }, 0),
    'weights',
  )
  const initial = typeof weights === 'function' ? weights : undefined
  const valuesOf = held.length > 0 ? outsideValues(part, operators, { rank, initial }) : undefined
  const inner = new Set(results)
  const parts: Part[] = [
    graphPart.head(plainText(part.name), `${part.phase}, rank ${rank} of ${part.mesh.world}`),
    ...outside.flatMap(([name, value]) =>
      isWeight(value) ? [] : [graphPart.input(name, shapes.type(value.tensor, value.iterations))],
    ),
    ...scope.nodes.map(graphPart.node),
    ...[...scope.types].map(([name, type]) => (inner.has(name) ? graphPart.output : graphPart.value)(name, type)),
    ...held.flatMap(([name, { tensor, iterations }]) =>
      graphPart.weight(name, shapes.sizes(tensor, iterations), tensor.dtype, () =>
        valuesOf ? valuesOf(tensor.id, iterations) : [],
      ),
    ),
  ]
  const file = modelParts(
    writer.functions,
    parts,
    metadataOf(program, part, rank, shapes),
    `${part.name} ${part.phase}`,
  )
  const bytes = file.reduce((sum, { length }) => sum + length, 0)
  refuseLarge(bytes, held.length > 0 ? 'weights' : 'graph')
  return {
    bytes,
    functions: writer.functions.map(({ name }) => name),
    *chunks() {
      let pending: Uint8Array[] = []
      let size = 0
      for (const each of file) {
        pending.push(each.bytes())
        size += each.length
        if (size < chunkSize) continue
        yield joined(pending, size)
        pending = []
        size = 0
      }
      yield joined(pending, size)
    },
  }
}

const chunkSize = 65_536

/** A name in a call is about as long, with its key and length. */
const bytesPerName = 48

function refuseLarge(bytes: number, what: 'weights' | 'graph'): void {
  if (bytes <= sizeLimit) return
  const message = `The ${what} of the ONNX file would take ${formatBytes(bytes)}; a file may have ${formatBytes(sizeLimit)}.`
  throw new ShardloomError('ONNX_SIZE', message, {
    help:
      what === 'weights'
        ? 'Leave the weights out, or plan a smaller model.'
        : 'Plan fewer layers, microbatches or steps: they are alike.',
  })
}

function checkRank(rank: number, { mesh }: Program): void {
  if (Number.isInteger(rank) && rank >= 0 && rank < mesh.world) return
  throw new ShardloomError('RANK', `There is no rank ${rank}: the mesh has ${mesh.world}.`, {
    help: `Use a rank up to ${mesh.world - 1}.`,
  })
}

/** The sizes of the groups of communication nodes, by node. */
function membersOf(program: Program): ReadonlyMap<string, number> {
  const members = new Map<string, number>()
  walk(program.items, (node, place) => {
    if (node.communication) members.set(node.id, groupSizeOf(program, node, place))
  })
  return members
}

/** What of the plan is no graph: the mesh, placements, sizes of named dims and the schedule. */
function metadataOf(whole: Program, part: Program, rank: number, { planned }: LocalShapes): Record<string, string> {
  const { mesh, phase, notes } = part
  const at = coordinates(mesh, rank)
  const own = (atoms: readonly string[]) =>
    atoms.reduce(
      (sum, atom) => sum * (mesh.atoms.find(({ name }) => name === atom)?.degree ?? 1) + (at.get(atom) ?? 0),
      0,
    )
  const axes = mesh.axes.map(({ name, degree, atoms }) => [name, { degree, coordinate: own(atoms) }])
  const read = new Set<string>()
  walk(part.items, ({ inputs, outputs }) => {
    for (const id of [...inputs, ...outputs]) read.add(id)
  })
  const placed = [...part.tensors.values()].filter(({ id }) => read.has(id))
  const { pipeline } = whole
  const coordinate = pipeline && coordinateOf(whole, rank)
  return {
    'shardloom.schema': 'shardloom.onnx/1',
    'shardloom.phase': phase,
    'shardloom.mesh': JSON.stringify({ world: mesh.world, rank, axes: Object.fromEntries(axes) }),
    'shardloom.dims': JSON.stringify(Object.fromEntries([...planned].sort(([a], [b]) => (a < b ? -1 : 1)))),
    'shardloom.placements': JSON.stringify(
      Object.fromEntries(placed.map((tensor) => [plainText(tensor.id), describePlacement(tensor)])),
    ),
    'shardloom.notes': JSON.stringify(notes),
    ...(pipeline &&
      coordinate !== undefined && {
        'shardloom.pipeline': JSON.stringify({
          axis: pipeline.axis,
          schedule: pipeline.schedule,
          chunks: pipeline.chunks,
          actions: pipeline.actions[coordinate] ?? '',
        }),
      }),
  }
}

function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
