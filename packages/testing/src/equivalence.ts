import {
  along,
  coordinates,
  describePlacement,
  isShardloomError,
  lookup,
  type Mesh,
  nodesOf,
  type OperatorNode,
  type OperatorTable,
  type Program,
  pipelineAtoms,
  regionsOf,
  type Tensor,
} from '@shardloom/core'
import { type Block, offsetsIn, shardPositions, take } from './block.js'
import { type Interpretation, type InterpretOptions, interpret } from './interpret.js'
import type { Team } from './interpret-pipeline.js'
import type { Iterations } from './iterations.js'
import { wholeOf } from './whole.js'

/** The largest relative error that two runs of one computation in float64 may have. */
export const tolerance = 1e-9

/**
 * Tensors below this share of the largest of their kind are measured by that share: gradients that cancel to nothing, such
 * as that of a key bias, are rounding errors alone.
 */
const negligible = 1e-4

/** The first place where a partitioned run leaves the reference. */
export interface Difference {
  readonly node: string
  readonly operator: string
  readonly tensor: string
  /** Where in the loops: `microbatch 0, layer 1`; empty outside. */
  readonly iterations: string
  /** The rank whose elements are wrong; undefined where the terms of several ranks add up to a wrong whole. */
  readonly rank?: number
  /** How the node's result is placed, such as `seq/tp · partial(sum)/dp`. */
  readonly placement: string
  /** max|a − b| / max|b|, infinite where a value is missing. */
  readonly error: number
  readonly message: string
}

/** What comparing two runs came to. */
export interface Equivalence {
  readonly equal: boolean
  /** How many tensors, counted once per iteration, were compared. */
  readonly compared: number
  /** How many have no counterpart in the reference, such as sums that only a partitioned run makes: their readers are compared. */
  readonly uncompared: number
  /** The largest relative error of all tensors compared, and the tensor that has it. */
  readonly worst: { readonly error: number; readonly tensor: string }
  readonly difference?: Difference
  /** How often each operator and collective ran in the partitioned program, all ranks together. */
  readonly executed: ReadonlyMap<string, number>
}

/** A reference program that has been run, against which partitioned programs are held. */
export interface Reference {
  readonly run: Interpretation
  readonly tensors: Program['tensors']
  /** What the program is run for: tensors that no node and no sum over iterations reads, with the iterations that make them. */
  readonly results: readonly { readonly tensor: string; readonly iterations: Iterations }[]
  /** The largest magnitude among the tensors of a kind. */
  readonly magnitudes: ReadonlyMap<string, number>
}

/** Runs the program of one device. */
export function runReference(program: Program, operators: OperatorTable, options: InterpretOptions = {}): Reference {
  const magnitudes = new Map<string, number>()
  const summed = regionsOf(program.items).flatMap(({ ports }) =>
    ports.flatMap((port) => (port.kind === 'reduce' ? port.inner : [])),
  )
  const read = new Set([...nodesOf(program.items).flatMap(({ inputs }) => inputs), ...summed])
  const results: { tensor: string; iterations: Iterations }[] = []
  const observe = (node: OperatorNode, iterations: Iterations, made: readonly (readonly Block[])[]) => {
    for (const [index, id] of node.outputs.entries()) {
      if (!read.has(id)) results.push({ tensor: id, iterations })
      const kind = kindOf(node, lookup(program.tensors, id))
      magnitudes.set(kind, Math.max(magnitudes.get(kind) ?? 0, magnitude(made[index]?.[0]?.values ?? [])))
    }
  }
  return { run: interpret(program, operators, { ...options, observe }), tensors: program.tensors, results, magnitudes }
}

/**
 * Runs a partitioned program and compares every tensor that it makes with the same tensor of the reference: on each rank
 * the elements that it holds, for partial sums the sum. Stops at the first that differs by more than {@link tolerance}
 * relative to the largest element of the whole tensor. What the reference makes for nobody else to read must be there too,
 * and the next values of parameters and states on each rank that holds them in the next step.
 */
export function compareRuns(
  reference: Reference,
  program: Program,
  operators: OperatorTable,
  options: InterpretOptions = {},
): Equivalence {
  const executed = new Map<string, number>()
  const made = new Map<string, Made[]>()
  const atoms = program.pipeline ? pipelineAtoms(program) : []
  let worst = { error: 0, tensor: '' }
  let [compared, uncompared] = [0, 0]
  let difference: Difference | undefined
  const stop = new Error('a difference was found')
  const fail = (found: Difference): never => {
    difference = found
    throw stop
  }
  const check = (node: OperatorNode, id: string, iterations: Iterations, blocks: readonly Block[], team: Team) => {
    const tensor = lookup(program.tensors, id)
    const origin = reference.tensors.get(tensor.versionOf ?? id)
    if (!origin || blocks.length === 0) {
      uncompared++
      return
    }
    const key = keyOf(origin.id, iterations, reference)
    made.set(key, [...(made.get(key) ?? []), { tensor, blocks, team }])
    // Terms that stages of a pipeline make one after the other: the sum that reads them is compared.
    const elsewhere = atoms.some((atom) => tensor.placement?.partial[atom]) && (node.stages?.length ?? 1) > 1
    if (elsewhere && team.mesh.world < program.mesh.world) {
      uncompared++
      return
    }
    compared++
    if (options.recording?.isEqual(blocks)) return
    const expected = reference.run.blocks(origin.id, iterations)[0]
    const scale = Math.max(
      magnitude(expected?.values ?? []),
      negligible * (reference.magnitudes.get(kindOf(node, origin)) ?? 0),
      Number.MIN_VALUE,
    )
    const held = heldBlocks(blocks, tensor, team.mesh)
    for (const [index, block] of held.entries()) {
      const error = expected ? distance(block, expected) / scale : Number.POSITIVE_INFINITY
      if (error > worst.error) worst = { error, tensor: id }
      if (error <= tolerance) continue
      fail(differenceOf(node, tensor, iterations, held === blocks ? team.ranks[index] : undefined, error))
    }
    options.recording?.addEqual(blocks)
  }
  const observe: NonNullable<InterpretOptions['observe']> = (node, iterations, results, team) => {
    executed.set(node.op, (executed.get(node.op) ?? 0) + (results[0]?.length ?? 0))
    for (const [index, id] of node.outputs.entries()) check(node, id, iterations, results[index] ?? [], team)
  }
  try {
    interpret(program, operators, { ...options, observe })
    for (const result of reference.results) {
      const versions = made.get(keyOf(result.tensor, result.iterations, reference)) ?? []
      if (versions.some((version) => isFinal(version, program))) continue
      fail(unfinished(result, versions.at(-1)?.tensor))
    }
  } catch (error) {
    if (error !== stop) difference = brokenRun(error)
  }
  return { equal: difference === undefined, compared, uncompared, worst, ...(difference && { difference }), executed }
}

/** A tensor that was made, and on which ranks. */
interface Made {
  readonly tensor: Tensor
  readonly blocks: readonly Block[]
  readonly team: Team
}

/** Whether a result needs nothing more: the next step, where it reads it, finds it whole on every rank that goes on with it. */
function isFinal({ tensor, blocks, team }: Made, { mesh, tensors, layouts }: Program): boolean {
  const { nextOf } = lookup(tensors, tensor.versionOf ?? tensor.id)
  if (nextOf === undefined) return true
  if (Object.keys(tensor.placement?.partial ?? {}).length > 0) return false
  const { shape, placement, dims } = lookup(tensors, nextOf)
  return blocks.every((block, index) => {
    const at = coordinates(mesh, team.ranks[index] ?? 0)
    return (
      'values' in
      take(
        block,
        shape.map((size, index) => {
          return shardPositions(size, placement?.shards[index] ?? [], mesh, at, { layouts, dim: dims[index] })
        }),
      )
    )
  })
}

/** What ranks hold, to be compared one by one; for partial sums the sum, in every replica of it. */
function heldBlocks(blocks: readonly Block[], whole: Tensor, mesh: Mesh): readonly Block[] {
  const terms = Object.entries(whole.placement?.partial ?? {}).filter(([atom]) =>
    mesh.atoms.some(({ name }) => name === atom),
  )
  if (terms.length === 0) return blocks
  const partial = Object.fromEntries(terms)
  const tensor = { ...whole, ...(whole.placement && { placement: { ...whole.placement, partial } }) }
  const shape = tensor.shape.map((size, dim) => {
    const ends = blocks.map((block) => (block.positions[dim]?.at(-1) ?? -1) + 1)
    return tensor.growth?.position === dim ? Math.max(...ends) : size
  })
  const replicas = mesh.atoms.reduce<ReadonlyMap<string, number>[]>(
    (list, { name, degree }) => {
      if (tensor.placement && along(tensor.placement, name).kind !== 'replicate') return list
      return list.flatMap((at) => Array.from({ length: degree }, (_, index) => new Map(at).set(name, index)))
    },
    [new Map()],
  )
  return replicas.map((replica) => wholeOf(blocks, { ...tensor, shape }, mesh, replica))
}

/** The largest difference between a block and the same positions of a whole tensor. */
function distance(block: Block, whole: Block): number {
  const places = offsetsIn(whole.positions, block.positions)
  let largest = 0
  for (let index = 0; index < places.length; index++) {
    const difference = Math.abs((block.values[index] ?? 0) - (whole.values[places[index] ?? 0] ?? 0))
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference
  }
  return largest
}

function magnitude(values: ArrayLike<number>): number {
  let largest = 0
  for (let index = 0; index < values.length; index++) {
    const size = Math.abs(values[index] ?? 0)
    if (size > largest && Number.isFinite(size)) largest = size
  }
  return largest
}

/** Tensors whose sizes are comparable: gradients of parameters, or what one segment makes. */
const kindOf = (node: OperatorNode, { role, dtype }: Tensor) =>
  role === 'gradient' ? role : `${node.segment} ${role} ${dtype}`

function differenceOf(
  node: OperatorNode,
  tensor: Tensor,
  iterations: Iterations,
  rank: number | undefined,
  error: number,
): Difference {
  const where = placeIn(iterations)
  const placement = tensor.placement ? describePlacement(tensor) : 'nowhere'
  const who =
    rank === undefined ? 'the terms of the ranks add up to a wrong whole' : `rank ${rank} holds wrong elements`
  const size = Number.isFinite(error) ? `relative error ${error.toExponential(1)}` : 'a value that is no number'
  return {
    node: node.id,
    operator: node.op,
    tensor: tensor.id,
    iterations: where,
    ...(rank !== undefined && { rank }),
    placement,
    error,
    message: `\`${node.id}\` (${node.op}${where && `, ${where}`}) is the first to differ: ${who} of \`${tensor.id}\`, placed ${placement}, ${size}.`,
  }
}

/** Names a tensor of the reference in one of the iterations that it has a value for. */
function keyOf(id: string, iterations: Iterations, { tensors }: Reference): string {
  return `${id}@${lookup(tensors, id).per.map((axis) => iterations.get(axis))}`
}

/** Text such as `microbatch 0, layer 1`. */
function placeIn(iterations: Iterations): string {
  return [...iterations].map(([axis, iteration]) => `${axis} ${iteration}`).join(', ')
}

/** A program that does not make what the reference is run for, or does not finish it. */
function unfinished({ tensor, iterations }: Reference['results'][number], last: Tensor | undefined): Difference {
  const where = placeIn(iterations)
  const place = where && ` (${where})`
  const message = last
    ? `\`${tensor}\`${place} is left placed ${describePlacement(last)}, where the end of the step wants it on every rank that goes on with it.`
    : `\`${tensor}\`${place} is never made, though the reference makes it and nothing reads it there.`
  return { ...nowhere, tensor, iterations: where, message }
}

const nowhere = { node: '', operator: '', tensor: '', iterations: '', placement: '', error: Number.POSITIVE_INFINITY }

/** A run that could not go on: something was missing, or a group could not do what its node says. */
function brokenRun(error: unknown): Difference {
  if (!isShardloomError(error) || !['MISSING_VALUE', 'COLLECTIVE', 'NOT_COMPUTED', 'INCOMPLETE'].includes(error.code))
    throw error
  return { ...nowhere, node: error.subject ?? '', message: error.message }
}
