import { lookup } from './draft.js'
import { ShardloomError } from './error.js'
import { findAxis, type Mesh } from './mesh.js'
import { definitionOf, type OperatorTable, reductionOf } from './operator.js'
import { along, type Placement, placementText, replicated, samePlacement, withoutPartial } from './placement.js'
import type { Preference } from './preference.js'
import {
  bodyCounts,
  type Item,
  type OperatorNode,
  outsideRoles,
  type Partition,
  type Place,
  type Program,
  type Region,
  type Tensor,
} from './program.js'
import { parseRule } from './rule.js'

/** What a decision about one operator may look at. */
export interface FlowContext {
  readonly program: Program
  readonly operators: OperatorTable
  /** Placement of each operand so far; undefined for a parameter, input or state that takes what its readers ask for. */
  readonly operands: readonly (Placement | undefined)[]
  readonly placement: (tensor: string) => Placement | undefined
  readonly tensor: (id: string) => Tensor
  readonly addTensor: (tensor: Tensor) => void
  /** The strategy that made readers split a tensor from outside along an atom. */
  readonly askedBy: (tensor: string, atom: string) => string | undefined
  /** The node, as decided, that produces a tensor. */
  readonly producer: (tensor: string) => OperatorNode | undefined
  /** The node as decided, by id: where backward operators find their forward one. */
  readonly decided: (id: string) => OperatorNode | undefined
  readonly place: Place
}

/** Gives a node its partition. It may put further nodes before it. */
export type Decide = (node: OperatorNode, context: FlowContext) => readonly OperatorNode[]

/** The program's items with every node decided, and the placement of every tensor. */
export interface Flow {
  readonly items: readonly Item[]
  readonly placements: ReadonlyMap<string, Placement>
  readonly added: readonly Tensor[]
}

/**
 * Walks a program in order and carries placements along: each node is decided, its operands' nesting order is taken from
 * the producers, and the placements of its results follow from its rule. A carry port gets one placement for all bodies,
 * that of the most frequent one, found from the border's value by walking the bodies at most three times. Tensors from outside take the placement that
 * their readers (outside backward and optimizer, for parameters and inputs) ask for; the most sharded wins.
 */
export function flow(program: Program, operators: OperatorTable, decide: Decide): Flow {
  const placements = new Map<string, Placement>()
  for (const { id, storage, placement } of program.tensors.values())
    if (storage && placement) placements.set(id, placement)
  const added: Tensor[] = []
  const extra = new Map<string, Tensor>()
  const decided = new Map<string, OperatorNode>()
  const producers = new Map<string, OperatorNode>()
  const asked = new Map<string, Record<string, string>>()
  const claimed = claimedDims(program.preferences, program.mesh)
  const tensor = (id: string) => extra.get(id) ?? lookup(program.tensors, id)
  const addTensor = (each: Tensor) => {
    if (!extra.has(each.id)) added.push(each)
    extra.set(each.id, each)
  }

  const placement = (id: string) => placements.get(id)
  const visitNode = (node: OperatorNode, place: Place): OperatorNode[] => {
    const operands = node.inputs.map(placement)
    const context: FlowContext = {
      program,
      operators,
      operands,
      placement,
      tensor,
      addTensor,
      askedBy: (id, atom) => asked.get(id)?.[atom],
      producer: (id) => producers.get(id),
      decided: (id) => decided.get(id),
      place,
    }
    return decide(node, context).map((each) => {
      const ordered = nest(each, placement, decided, program, claimed)
      const { operands: wanted, results } = placementsOf(ordered, operators)
      ordered.outputs.forEach((id, index) => {
        placements.set(id, results[index] ?? replicated(0))
        producers.set(id, ordered)
      })
      ordered.inputs.forEach((id, index) => demand(tensor(id), wanted[index], ordered))
      decided.set(ordered.id, ordered)
      return ordered
    })
  }
  const demand = (each: Tensor, wanted: Placement | undefined, reader: OperatorNode) => {
    if (!wanted || each.storage || !outsideRoles.includes(each.role)) return
    const late = reader.segment === 'backward' || reader.segment === 'optimizer'
    const known = placements.get(each.id)
    if (known && late && each.role !== 'optimizer') return
    if (known && each.role === 'cache') return
    asked.set(each.id, { ...reader.partition?.by, ...asked.get(each.id) })
    placements.set(each.id, known ? mostSharded(known, wanted) : withoutPartial(wanted))
  }
  const visitRegion = (region: Region, place: Place): Region => {
    const counts = bodyCounts(region)
    const carries = region.ports.flatMap((port) => (port.kind === 'carry' ? [port] : []))
    const start = (id: string) => withoutPartial(placements.get(id) ?? replicated(tensor(id).shape.length))
    for (const port of carries) placements.set(port.inner, start(port.initial))
    const leading = counts.indexOf(Math.max(...counts))
    let bodies = region.bodies
    for (let round = 0; round < 3; round++) {
      bodies = region.bodies.map((body, index) => {
        const executions = place.executions * (counts[index] ?? 0)
        return { ...body, items: visit(body.items, { path: [...place.path, { region, body: index }], executions }) }
      })
      if (round === 2) break
      const moved = carries.filter((port) => {
        const next = placements.get(port.next[leading] ?? '')
        if (!next || samePlacement(withoutPartial(next), placements.get(port.inner) ?? next)) return false
        placements.set(port.inner, withoutPartial(next))
        return true
      })
      if (moved.length === 0) break
    }
    for (const port of region.ports) {
      if (port.kind === 'carry') {
        const inner = placements.get(port.inner) ?? start(port.initial)
        placements.set(port.result, inner)
        if (outsideRoles.includes(tensor(port.initial).role)) placements.set(port.initial, inner)
      }
      if (port.kind === 'reduce' && !tensor(port.result).storage) {
        const inner = port.inner.find((id) => id !== null)
        placements.set(port.result, (inner && placements.get(inner)) || replicated(tensor(port.result).shape.length))
      }
    }
    return { ...region, bodies }
  }
  const visit = (items: readonly Item[], place: Place): Item[] =>
    items.flatMap((item): Item[] => (item.type === 'node' ? visitNode(item, place) : [visitRegion(item, place)]))

  const items = visit(program.items, { path: [], executions: 1 })
  for (const { id, shape } of program.tensors.values())
    if (!placements.has(id)) placements.set(id, replicated(shape.length))
  return { items, placements, added }
}

/** The placement of every tensor as it follows from the partitions of the operators. */
export function placementsOfTensors(program: Program, operators: OperatorTable): Flow['placements'] {
  return flow(program, operators, (node) => [node]).placements
}

/** The atoms that a preference speaks of. */
export function atomsOf({ atoms, axis }: Pick<Preference, 'atoms' | 'axis'>, mesh: Mesh): readonly string[] {
  return atoms ?? findAxis(mesh, axis)?.atoms ?? []
}

/** Whether ranks along an atom share a dim position by position in turn. */
export function inTurn({ layouts = [], mesh }: Program, dim: string, atom: string): boolean {
  const own = layouts.filter(({ order, dims }) => order === 'round-robin' && dims.includes(dim))
  return own.some((layout) => atomsOf(layout, mesh).includes(atom))
}

/** Per atom the dims that preferences want it to split, somewhere. */
function claimedDims(preferences: readonly Preference[], mesh: Mesh): ReadonlyMap<string, ReadonlySet<string>> {
  const claimed = new Map<string, ReadonlySet<string>>()
  for (const preference of preferences)
    for (const atom of atomsOf(preference, mesh))
      claimed.set(atom, new Set([...(claimed.get(atom) ?? []), ...preference.dims]))
  return claimed
}

function mostSharded(known: Placement, wanted: Placement): Placement {
  const missing = wanted.shards.map((atoms) => atoms.filter((atom) => along(known, atom).kind === 'replicate'))
  if (missing.every((atoms) => atoms.length === 0)) return known
  return { shards: known.shards.map((atoms, position) => [...atoms, ...(missing[position] ?? [])]), partial: {} }
}

/**
 * Orders the atoms of each split dim: the forward operator's or the longest producer's order first, then those that
 * split the fewest other dims, since these move least, of equal ones those that a strategy wants innermost last, then mesh
 * order. The same node where there is nothing to order.
 */
function nest(
  node: OperatorNode,
  placement: (id: string) => Placement | undefined,
  decided: ReadonlyMap<string, OperatorNode>,
  program: Program,
  claimed: ReadonlyMap<string, ReadonlySet<string>>,
): OperatorNode {
  if (node.communication) return node
  const partition = node.partition ?? { splits: {}, partial: {}, by: {} }
  let { splits } = partition
  for (const [dim, atoms] of Object.entries(splits)) {
    if (atoms.length < 2) continue
    const known = (list: readonly string[] = []) => list.filter((atom) => atoms.includes(atom))
    const makers = parseRule(node.rule).operands.map((dims, index) =>
      known(placement(node.inputs[index] ?? '')?.shards[dims.indexOf(dim)]),
    )
    const followed = known(decided.get(node.differentiates ?? '')?.partition?.splits[dim])
    const base = followed.length
      ? followed
      : makers.reduce((best, list) => (list.length > best.length ? list : best), [])
    const rest = program.mesh.atoms.flatMap(({ name }) => (atoms.includes(name) && !base.includes(name) ? [name] : []))
    // Atoms of one axis that split features end in its order: partial sums over them are scattered one by one.
    const rank = (atom: string) => {
      const axis = program.mesh.axes.find((each) => each.atoms.includes(atom))?.atoms ?? [atom]
      const alike = rest.filter((each) => axis.includes(each) && isWished(each, program, isFeature))
      const own = alike.includes(atom) ? alike : [atom]
      return Math.max(...own.map((each) => (claimed.get(each)?.has(dim) ? (claimed.get(each)?.size ?? 0) : 0)))
    }
    let ordered = [...base, ...rest]
    if (rest[1]) {
      const byRank = (a: string, b: string) => rank(a) - rank(b)
      const leaves = (atom: string) => (isWished(atom, program, isInnermost) ? 1 : 0)
      const inside = [...base, ...rest.toSorted((a, b) => byRank(a, b) || leaves(a) - leaves(b))]
      // Where one of those that leave stays outside of one that does not, none inside of it could leave before it.
      ordered = /10+1/.test(inside.map(leaves).join('')) ? [...base, ...rest.toSorted(byRank)] : inside
    }
    if (ordered.some((atom, index) => atom !== atoms[index])) splits = { ...splits, [dim]: ordered }
  }
  return node.partition?.splits === splits ? node : { ...node, partition: { ...partition, splits } }
}

/** Whether some preference of this kind names the atom. */
function isWished(atom: string, { preferences, mesh }: Program, test: (each: Preference) => boolean | undefined) {
  return preferences.some((each) => test(each) && atomsOf(each, mesh).includes(atom))
}

const isFeature = (each: Preference) => each.class === 'feature'
const isInnermost = (each: Preference) => each.innermost

/** What a node asks of its operands and gives to its results. */
interface NodePlacements {
  readonly operands: readonly Placement[]
  readonly results: readonly Placement[]
}

const found = new WeakMap<OperatorTable, WeakMap<OperatorNode, NodePlacements>>()

/** The placements that a node's partition asks of its operands and gives to its results (ALGEBRA: the split table). */
export function placementsOf(node: OperatorNode, operators: OperatorTable): NodePlacements {
  let known = found.get(operators)
  if (!known) found.set(operators, (known = new WeakMap()))
  let placements = known.get(node)
  if (!placements) known.set(node, (placements = findPlacements(node, operators)))
  return placements
}

function findPlacements(node: OperatorNode, operators: OperatorTable): NodePlacements {
  if (node.communication) return { operands: [node.communication.from], results: [node.communication.to] }
  const rule = parseRule(node.rule)
  const { splits, partial }: Pick<Partition, 'splits' | 'partial'> = node.partition ?? { splits: {}, partial: {} }
  const shards = (dims: readonly string[]) => dims.map((dim) => splits[dim] ?? [])
  const operands = rule.operands.map((dims, index): Placement => {
    const terms: Record<string, Placement['partial'][string]> = {}
    for (const atom in partial) if (partial[atom]?.includes(index)) terms[atom] = 'sum'
    return { shards: shards(dims), partial: terms }
  })
  const results = rule.results.map((dims): Placement => {
    const terms: Record<string, Placement['partial'][string]> = {}
    for (const atom in partial) terms[atom] = 'sum'
    for (const dim in splits) {
      if (dims.includes(dim)) continue
      const reduction = reductionOf(definitionOf(node, operators), dim)
      for (const atom of splits[dim] ?? []) {
        // An atom that splits a dim of the result too makes a diagonal block: other iterations of a ring bring the rest.
        if (dims.some((each) => splits[each]?.includes(atom))) continue
        if (!reduction) throw irreducible(node, dim)
        terms[atom] = reduction
      }
    }
    return { shards: shards(dims), partial: terms }
  })
  return { operands, results }
}

function irreducible({ id }: OperatorNode, dim: string): ShardloomError {
  const message = `\`${id}\` cannot be split on \`${dim}\`: a result lacks it and it has no reduction.`
  return new ShardloomError('SPLIT', message, { subject: id })
}

/** A readable account of where a tensor stands: `seq/tp` with the tensor's own dim names. */
export function describePlacement(tensor: Tensor, placement: Placement | undefined = tensor.placement): string {
  return placement ? placementText(placement, tensor.dims) : 'not placed'
}
