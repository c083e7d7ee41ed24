import {
  lookup,
  type OperatorNode,
  type OperatorTable,
  type Place,
  type Program,
  regionsOf,
  type Tensor,
  walk,
} from '@shardloom/core'
import { type Iteration, programOf, type UnrolledGraph } from '@shardloom/core/unroll'
import { grownShape } from './changes.js'
import { madeOn } from './made.js'
import { type Meter, meterOf } from './meter.js'
import { savedTensors } from './saved.js'
import { scratchOf } from './scratch.js'
import type { Timeline } from './simulate.js'

/** The parts of a rank's memory that come and go within a step. */
export const passingParts = ['gradients', 'activations', 'buffers', 'working'] as const

/** One of {@link passingParts}. */
export type PassingPart = (typeof passingParts)[number]

/** Memory that a tensor of the rolled program takes, once for each iteration of `per`; whole bytes, so that sums are exact. */
export interface Buffer {
  readonly tensor: string
  readonly part: PassingPart
  readonly bytes: number
  readonly per: readonly string[]
  /** The tensor whose placement and sizes these are, or the node that holds them beside its tensors. */
  readonly of: Tensor | OperatorNode
}

/** The buffers of a rank, by index, and who touches them. */
export interface Buffers {
  readonly buffers: readonly Buffer[]
  /** Of each template of a graph the buffers that its nodes touch. */
  readonly touchedBy: (graph: UnrolledGraph) => readonly (readonly number[])[]
  /** Which of the buffers of an index a node touches: a number that is the same for those in the same iterations of `per`. */
  readonly instance: (index: number, iterations: readonly Iteration[]) => number
}

/** When the buffers of one rank are there: one entry for each, from the start of the first node that touches it to the end of the last. */
export interface Lifetimes {
  readonly buffers: readonly Buffer[]
  /** Of each entry its buffer; its first and last moment, in ticks. */
  readonly buffer: readonly number[]
  readonly from: readonly number[]
  readonly to: readonly number[]
}

/** The lifetimes of what a rank holds for a while, on a timeline that has run it. Linear in the rank's nodes. */
export function lifetimesOf(whole: Program, operators: OperatorTable, timeline: Timeline, rank: number): Lifetimes {
  const { graph, times } = timeline
  const { buffers, touchedBy, instance } = buffersOf(whole, operators, rank)
  const byTemplate = touchedBy(graph)
  const entries = buffers.map(() => new Map<number, number>())
  const lives = { buffer: [] as number[], from: [] as number[], to: [] as number[] }
  // Nodes of one rank follow each other.
  let node = 0
  while (node < graph.nodeCount && graph.rankOf(node) !== rank) node++
  for (; node < graph.nodeCount && graph.rankOf(node) === rank; node++) {
    const indices = byTemplate[graph.template[node] ?? 0] ?? []
    if (indices.length === 0) continue
    const iterations = graph.iterationsOf(node)
    const [from, to] = [times.start[node] ?? 0, times.end[node] ?? 0]
    for (const index of indices) {
      const key = instance(index, iterations)
      const known = entries[index]?.get(key)
      if (known === undefined) {
        entries[index]?.set(key, lives.buffer.length)
        lives.buffer.push(index)
        lives.from.push(from)
        lives.to.push(to)
        continue
      }
      if (from < (lives.from[known] ?? 0)) lives.from[known] = from
      if (to > (lives.to[known] ?? 0)) lives.to[known] = to
    }
  }
  return { buffers, ...lives }
}

/** What halves of a batch become together, of those who read one: each is written in its place. */
const joinOf = (readers: readonly { readonly node: OperatorNode }[] = []): string | undefined =>
  readers.find(({ node }) => node.op === 'join_halves')?.node.outputs[0]

/** The buffers of a rank. Linear in its rolled program. */
export function buffersOf(whole: Program, operators: OperatorTable, rank: number): Buffers {
  const program = programOf(whole, rank)
  const meter = meterOf(whole, operators, rank)
  const { makers, readers } = usesOf(program)
  const made = madeOn(whole, rank)
  const kept = new Map(savedTensors(whole, operators, { rank }).map(({ version, host }) => [version, host]))
  const sums = new Map(
    regionsOf(program.items).flatMap(({ ports }) =>
      ports.flatMap((port) =>
        port.kind === 'reduce' ? port.inner.flatMap((id) => (id ? [[id, port.result] as const] : [])) : [],
      ),
    ),
  )
  /**
   * The tensor in whose memory a tensor stands: terms in their sum, halves in the whole of which they are or which they become, what a
   * collective makes in place in what it is made from.
   */
  const standsIn = (id: string): string => {
    const whole = sums.get(id) ?? joinOf(readers.get(id))
    if (whole !== undefined) return standsIn(whole)
    const maker = makers.get(id)
    const [operand = ''] = maker?.node.inputs ?? []
    if (maker?.node.op === 'half') return standsIn(operand)
    const { role } = lookup(program.tensors, id)
    const inPlace = maker?.node.op === 'all-reduce' || (maker?.node.op === 'reduce-scatter' && role === 'gradient')
    return inPlace && readers.get(operand)?.length === 1 && !sums.has(operand) ? standsIn(operand) : id
  }
  const indices = new Map<string, number>()
  const buffers: { -readonly [Key in keyof Buffer]: Buffer[Key] }[] = []
  const touched = new Map<string, number>()
  for (const id of new Set([...makers.keys(), ...readers.keys(), ...sums.values()])) {
    const own = lookup(program.tensors, id)
    const root = standsIn(id)
    const tensor = lookup(program.tensors, root)
    if (isStored(tensor, program) || isStored(own, program) || kept.get(id) || isInside(id, makers, readers)) continue
    // Another stage makes it, whose term of a sum this one lacks.
    if (own.role === 'gradient' && !made.has(id)) continue
    const index = indices.get(root) ?? buffers.length
    if (index === buffers.length) {
      indices.set(root, index)
      const part = partOf(tensor, makers.get(root)?.node, readers.get(root) ?? [])
      buffers.push({
        tensor: tensor.versionOf ?? root,
        part,
        bytes: bytesOfBuffer(tensor, program, meter),
        per: tensor.per,
        of: tensor,
      })
    }
    const buffer = buffers[index]
    if (buffer && kept.has(id) && own.role !== 'parameter') buffer.part = 'activations'
    touched.set(id, index)
  }
  const scratch = new Map<string, number>()
  for (const { node } of new Set(makers.values())) {
    const bytes = bytesOfBuffer(node, program, meter)
    const [id = ''] = node.outputs
    if (bytes === 0) continue
    scratch.set(node.id, buffers.length)
    buffers.push({ tensor: id, part: 'working', bytes, per: lookup(program.tensors, id).per, of: node })
  }
  const extents = new Map<string, number>()
  for (const { axis, extent } of regionsOf(whole.items)) extents.set(axis, Math.max(extent, extents.get(axis) ?? 0))
  return {
    buffers,
    touchedBy: ({ templates }) =>
      templates.map(({ id, inputs, outputs }) => {
        const found: number[] = []
        const add = (index: number | undefined) => {
          if (index !== undefined && !found.includes(index)) found.push(index)
        }
        for (const each of inputs) add(touched.get(each))
        for (const each of outputs) add(touched.get(each))
        add(scratch.get(id))
        return found
      }),
    instance(index, iterations) {
      let key = 0
      for (const axis of buffers[index]?.per ?? []) {
        const at = iterations.find((one) => one.axis === axis)
        key = key * (extents.get(axis) ?? 1) + (at?.iteration ?? 0)
      }
      return key
    },
  }
}

interface Use {
  readonly node: OperatorNode
  /** Where it stands: the same object for all nodes of a body. */
  readonly place: Place
}

function usesOf(program: Program) {
  const makers = new Map<string, Use>()
  const readers = new Map<string, Use[]>()
  walk(program.items, (node, place) => {
    const use = { node, place }
    for (const id of node.outputs) makers.set(id, use)
    for (const id of node.inputs) {
      const known = readers.get(id)
      if (known) known.push(use)
      else readers.set(id, [use])
    }
  })
  return { makers, readers }
}

/** What is there before and after the step, or is written in the place of it. */
function isStored({ role, versionOf, nextOf }: Tensor, { tensors }: Program): boolean {
  if (nextOf !== undefined || role === 'cache') return true
  if (versionOf === undefined) return role === 'parameter' || role === 'optimizer'
  return lookup(tensors, versionOf).nextOf !== undefined
}

/** Whether a tensor is only ever inside of one kernel. */
function isInside(id: string, makers: ReadonlyMap<string, Use>, readers: ReadonlyMap<string, readonly Use[]>): boolean {
  const maker = makers.get(id)
  const all = readers.get(id) ?? []
  if (maker?.node.fusion === undefined || all.length === 0) return false
  return all.every(({ node, place }) => node.fusion === maker.node.fusion && place === maker.place)
}

function partOf({ role }: Tensor, maker: OperatorNode | undefined, readers: readonly Use[]): PassingPart {
  if (role === 'gradient' && readers.some(({ node }) => node.segment === 'optimizer')) return 'gradients'
  // What comes back from host memory has been saved for backward.
  if (maker?.op === 'reload') return 'activations'
  return maker?.communication ? 'buffers' : 'working'
}

function bytesOfBuffer(of: Buffer['of'], program: Program, meter: Meter): number {
  if ('op' in of) return Math.round(scratchOf(of, program, meter))
  return Math.round(bytesAtMost(lookup(program.tensors, of.id), program, meter))
}

/** Bytes of a tensor in the iteration in which it is largest. */
function bytesAtMost(tensor: Tensor, program: Program, meter: Meter): number {
  const { growth } = tensor
  if (!growth) return meter.bytes(tensor)
  const extent = regionsOf(program.items).find(({ axis }) => axis === growth.axis)?.extent ?? 1
  return meter.bytes({ ...tensor, shape: grownShape(tensor, extent - 1) })
}
