import {
  type Communication,
  closePorts,
  groupSize,
  type Item,
  isShardloomError,
  lookup,
  nodesOf,
  type OperatorNode,
  type OperatorTable,
  type Placement,
  type Program,
  type Reduction,
  rewriteItems,
  samePlacement,
  type Tensor,
} from '@shardloom/core'
import { firstViolation } from '@shardloom/core/verify'
import { compareRuns, type Reference } from './equivalence.js'
import type { InterpretOptions } from './interpret.js'
import { Recording } from './recording.js'

/** How a communication node is spoiled. */
export type MutationKind = 'dropped' | 'duplicated' | 'misgrouped' | 'retargeted'

/** A program with one communication node spoiled. */
export interface Mutation {
  readonly kind: MutationKind
  /** What was done, such as `over tp.0 instead of dp`. */
  readonly change: string
  /** The id of the node. */
  readonly node: string
  readonly program: Program
}

/**
 * Every way to spoil one communication node of a program, one after the other: left out, so that its readers get what it
 * read; run a second time on its own result, where that has the elements; over other ranks, fewer or more; towards another
 * dim or by another reduction. A program without communication has none.
 */
export function* mutations(program: Program): Generator<Mutation, void> {
  for (const node of nodesOf(program.items)) {
    const { communication } = node
    if (!communication) continue
    const spoiled = (kind: MutationKind, change: string, mutant: Program): Mutation => {
      return { kind, change, node: node.id, program: mutant }
    }
    yield spoiled('dropped', 'left out', without(program, node))
    if (fitsAgain(communication)) yield spoiled('duplicated', 'run twice', twice(program, node))
    for (const atoms of otherGroups(communication.atoms, program)) {
      const change = `over ${atoms.join('.') || 'nobody'} instead of ${communication.atoms.join('.')}`
      yield spoiled('misgrouped', change, withCommunication(program, node, { ...communication, atoms }))
    }
    for (const [change, other] of otherTargets(communication, lookup(program.tensors, node.outputs[0] ?? ''), program))
      yield spoiled('retargeted', change, withCommunication(program, node, other))
  }
}

/** Whether a node can run on its own result: its members hold all that it takes, perhaps with more terms than there are. */
function fitsAgain({ from, to }: Communication): boolean {
  return to.shards.every((atoms, position) => atoms.every((atom, index) => from.shards[position]?.[index] === atom))
}

/** Groups over each single atom, with one atom more and with one fewer, without the right one. */
function otherGroups(own: readonly string[], { mesh }: Program): string[][] {
  const names = mesh.atoms.map(({ name }) => name)
  const candidates = [
    ...names.map((name) => [name]),
    ...names.flatMap((name) => (own.includes(name) ? [] : [[...own, name]])),
    ...own.map((atom) => own.filter((each) => each !== atom)),
  ]
  const known = new Set([own.join()])
  return candidates.filter((atoms) => {
    const isNew = !known.has(atoms.join())
    known.add(atoms.join())
    return isNew
  })
}

/** The same node towards or from another dim, or with another reduction. */
function* otherTargets(
  communication: Communication,
  tensor: Tensor,
  { mesh }: Program,
): Generator<readonly [change: string, Communication]> {
  const { from, to, atoms, reduction, shift } = communication
  if (shift !== undefined)
    for (const other of [-shift, 2 * shift])
      yield [`shifted by ${other} instead of ${shift}`, { ...communication, shift: other }]
  const reductions: readonly Reduction[] = ['sum', 'max']
  if (reduction)
    for (const other of reductions)
      if (other !== reduction) yield [`by ${other} instead of ${reduction}`, { ...communication, reduction: other }]
  for (const side of ['from', 'to'] as const) {
    const placement = side === 'from' ? from : to
    const opposite = side === 'from' ? to : from
    const at = placement.shards.findIndex((list) => atoms.every((atom) => list.includes(atom)))
    if (at < 0 || groupSize(mesh, atoms) === 1) continue
    for (const [position, dim] of tensor.dims.entries()) {
      const moved = movedTo(placement, atoms, position)
      if (position === at || (tensor.shape[position] ?? 1) < 2 || samePlacement(moved, opposite)) continue
      yield [`${side} \`${dim}\` instead of \`${tensor.dims[at]}\``, { ...communication, [side]: moved }]
    }
  }
}

function movedTo(placement: Placement, atoms: readonly string[], position: number): Placement {
  const shards = placement.shards.map((list, index) => {
    const others = list.filter((atom) => !atoms.includes(atom))
    return index === position ? [...others, ...atoms] : others
  })
  return { ...placement, shards }
}

function withCommunication(program: Program, node: OperatorNode, communication: Communication): Program {
  return replaceNode(program, node, [{ ...node, communication }])
}

function without(program: Program, node: OperatorNode): Program {
  return replaceNode(program, node, [], new Map([[node.outputs[0] ?? '', node.inputs[0] ?? '']]))
}

function twice(program: Program, node: OperatorNode): Program {
  const [output = ''] = node.outputs
  const copy = `${output}#first`
  const tensors = new Map(program.tensors).set(copy, { ...lookup(program.tensors, output), id: copy })
  const first = { ...node, id: `${node.id}#first`, outputs: [copy] }
  return replaceNode({ ...program, tensors }, node, [first, { ...node, inputs: [copy] }])
}

/** A program with other items in the place of a node, and with tensors read under other names. */
export function replaceNode(
  program: Program,
  target: OperatorNode,
  by: readonly OperatorNode[],
  renamed: ReadonlyMap<string, string> = new Map(),
): Program {
  const name = (id: string) => renamed.get(id) ?? id
  const items = rewriteItems(program.items, (list) =>
    list.flatMap((item): readonly Item[] => {
      if (item.type === 'node') {
        if (item.id === target.id) return by
        return item.inputs.some((id) => renamed.has(id)) ? [{ ...item, inputs: item.inputs.map(name) }] : [item]
      }
      const ports = item.ports.map((port) => {
        if (port.kind === 'carry') return { ...port, initial: name(port.initial), next: port.next.map(name) }
        if (port.kind === 'reduce') return { ...port, inner: port.inner.map((id) => id && name(id)) }
        return port
      })
      return [{ ...item, ports }]
    }),
  )
  return { ...program, items: closePorts(items, program.tensors) }
}

/** How many mutations of one kind were made, and who saw them. */
export interface MutationCount {
  readonly made: number
  /** Those that, when run, left the reference or could not go on. */
  readonly interpreter: number
  /** Those that the verifier refused without running them. */
  readonly verifier: number
}

/** What became of the mutations of a program. */
export interface MutationReport extends MutationCount {
  readonly byKind: Readonly<Record<MutationKind, MutationCount>>
  /** Those that change no number, which only the verifier sees. */
  readonly harmless: readonly Omit<Mutation, 'program'>[]
  /** Those that nobody sees. */
  readonly missed: readonly Omit<Mutation, 'program'>[]
}

/**
 * Spoils a program in every way that {@link mutations} knows, runs each mutant against the reference and verifies it. The
 * program itself must be equal to the reference, else every count is meaningless: check that first.
 */
export function mutationReport(
  reference: Reference,
  program: Program,
  operators: OperatorTable,
  options: InterpretOptions = {},
): MutationReport {
  const none = () => ({ made: 0, interpreter: 0, verifier: 0 })
  const byKind = { dropped: none(), duplicated: none(), misgrouped: none(), retargeted: none() }
  const harmless: Omit<Mutation, 'program'>[] = []
  const missed: Omit<Mutation, 'program'>[] = []
  const recording = new Recording()
  fails(reference, program, operators, { ...options, recording })
  recording.close()
  for (const { program: mutant, ...mutation } of mutations(program)) {
    const counts = byKind[mutation.kind]
    const differs = fails(reference, mutant, operators, { ...options, recording })
    const refused = firstViolation(mutant, operators) !== undefined
    counts.made++
    if (differs) counts.interpreter++
    if (refused) counts.verifier++
    if (!differs && refused) harmless.push(mutation)
    if (!differs && !refused) missed.push(mutation)
  }
  const sum = (field: keyof MutationCount) => Object.values(byKind).reduce((total, each) => total + each[field], 0)
  const total = { made: sum('made'), interpreter: sum('interpreter'), verifier: sum('verifier') }
  return { ...total, byKind, harmless, missed }
}

/** Whether a mutant leaves the reference, or cannot be run at all. */
function fails(reference: Reference, mutant: Program, operators: OperatorTable, options: InterpretOptions): boolean {
  try {
    return !compareRuns(reference, mutant, operators, options).equal
  } catch (error) {
    if (isShardloomError(error)) return true
    throw error
  }
}
