import { nearestNumbers, ShardloomError } from './error.js'
import { atomsOf, type FlowContext, inTurn, placementsOf } from './flow.js'
import { atomDegree, divisors, groupSize } from './mesh.js'
import {
  definitionOf,
  dimSizes,
  linearSets,
  type OperatorDefinition,
  type OperatorTable,
  splittable,
} from './operator.js'
import { along, isSlice } from './placement.js'
import { anyDim, type Preference, partialDim, preferenceClasses } from './preference.js'
import {
  type OperatorNode,
  type Partition,
  type Place,
  type Program,
  type Region,
  type Tensor,
  walk,
} from './program.js'
import { operandText, parseRule } from './rule.js'
import { compileSelector, type Matcher } from './selector.js'

interface Wish {
  readonly preference: Preference
  readonly matches: Matcher
}

/**
 * Decides for every (operator, atom) the dim that is split. In this order: a backward operator follows its forward one,
 * an optimizer operator the tensor that it updates; a sum of contributions keeps what all of them have in common; a
 * partial sum passes a linear operator when every reader lets it pass and it gets smaller; the strategies' preferences;
 * none.
 */
export function partitioner(
  program: Program,
  operators: OperatorTable,
): (node: OperatorNode, context: FlowContext) => readonly OperatorNode[] {
  const tensorOf = (id: string) => program.tensors.get(id)
  const wishes = new Map<string, Wish[]>()
  for (const preference of program.preferences) {
    const matches = compileSelector(preference.where, tensorOf)
    for (const atom of atomsOf(preference, program.mesh))
      wishes.set(atom, [...(wishes.get(atom) ?? []), { preference, matches }])
  }
  for (const list of wishes.values()) {
    list.sort((a, b) => preferenceClasses.indexOf(a.preference.class) - preferenceClasses.indexOf(b.preference.class))
  }
  const readers = readersOf(program)
  const decide = (node: OperatorNode, context: FlowContext): readonly OperatorNode[] => {
    if (node.kind === 'communication') return [node]
    const definition = definitionOf(node, operators)
    const grouped = definition.joins && groupPartials(node, context)
    if (!grouped) return [decideNode(node, definition, context, wishes, readers)]
    const operands = grouped.group.inputs.map(context.placement)
    const first = decideNode(grouped.group, definition, { ...context, operands }, wishes, readers)
    const placed = placementsOf(first, operators).results[0]
    const placement = (id: string) => (id === first.outputs[0] ? placed : context.placement(id))
    return [first, ...decide(grouped.rest, { ...context, placement, operands: grouped.rest.inputs.map(placement) })]
  }
  return decide
}

type Readers = ReadonlyMap<string, readonly (Reader | null)[]>

interface Reader {
  readonly node: OperatorNode
  readonly place: Place
}

/** The nodes that read each tensor; null stands for a carry port, which wants the whole value. */
function readersOf(program: Program): Readers {
  const readers = new Map<string, (Reader | null)[]>()
  const add = (id: string, reader: Reader | null) => {
    const list = readers.get(id)
    if (list) list.push(reader)
    else readers.set(id, [reader])
  }
  const seen = new Set<Region>()
  walk(program.items, (node, place) => {
    const reader = { node, place }
    for (const id of node.inputs) add(id, reader)
    for (const { region } of place.path) {
      if (seen.has(region)) continue
      seen.add(region)
      for (const port of region.ports)
        if (port.kind === 'carry') for (const id of [port.initial, ...port.next]) add(id, null)
    }
  })
  return readers
}

/** The atoms along which a node passes sums for being smaller that move between ranks along other atoms on their way to it. */
function exchangedSums(node: OperatorNode, definition: OperatorDefinition, context: FlowContext): string[] {
  if (definition.joins || node.outputs.some((id) => context.tensor(id).role === 'gradient')) return []
  const wanted = placementsOf(node, context.operators).operands
  const moves = (index: number) => {
    const [from, to] = [context.operands[index], wanted[index]]
    return from && to && !isSlice({ ...from, partial: to.partial }, to)
  }
  return Object.entries(node.partition?.partial ?? {}).flatMap(([atom, operands]) =>
    operands.some(moves) ? [atom] : [],
  )
}

/**
 * A partial sum that ranks would have to exchange before this operator passes it on is reduced first where the operator can
 * be split along its atoms: then each rank exchanges a share of the sum in the place of all its terms. `reduced` names such atoms.
 */
function decideNode(
  node: OperatorNode,
  definition: OperatorDefinition,
  context: FlowContext,
  wishes: ReadonlyMap<string, readonly Wish[]>,
  readers: Readers,
  reduced: readonly string[] = [],
): OperatorNode {
  const { mesh, uneven } = context.program
  const rule = parseRule(node.rule)
  const sizes = dimSizes(node, context.tensor)
  const taken = new Map<string, number>()
  const splits: Record<string, string[]> = {}
  const terms = Object.entries(node.partition?.partial ?? {}).filter(([, operands]) => operands.length === 0)
  const partial: Record<string, readonly number[]> = Object.fromEntries(terms)
  const by: Record<string, string> = {}
  const forward = node.differentiates ? context.decided(node.differentiates)?.partition : undefined

  const take = (dim: string, atom: string, strategy: string | undefined) => {
    splits[dim] = [...(splits[dim] ?? []), atom]
    taken.set(dim, (taken.get(dim) ?? 1) * atomDegree(mesh, atom))
    if (strategy) by[atom] = strategy
  }
  const divides = (dim: string, atom: string) => {
    // The largest share that is left: where shares may differ, some rank can still give half of it away.
    const left = Math.ceil((sizes.get(dim) ?? 1) / (taken.get(dim) ?? 1))
    return (
      left > 1 && (uneven === 'ragged' || left % atomDegree(mesh, atom) === 0 || inTurn(context.program, dim, atom))
    )
  }

  /** One dim for all atoms of the preference: a dim of its own for each would take as many collectives. */
  const chosen = new Map<Preference, string | undefined>()
  const anyOf = (preference: Preference, atom: string) => {
    if (!chosen.has(preference)) {
      const left = (dim: string) => Math.ceil((sizes.get(dim) ?? 1) / (taken.get(dim) ?? 1))
      const dims = rule.space.filter((dim) => splittable(rule, definition, dim) && left(dim) > 1)
      const free = (preference.atoms ?? [atom]).filter(
        (each) => !Object.values(splits).some((list) => list.includes(each)),
      )
      const whole = dims.find((dim) => left(dim) % groupSize(mesh, free) === 0)
      chosen.set(preference, whole ?? dims.toSorted((a, b) => left(b) - left(a))[0])
    }
    return chosen.get(preference)
  }

  /** Whether an atom of the preference's axis does something else here. */
  const splitsOther = (preference: Preference) => {
    const others = Object.entries(splits).flatMap(([dim, atoms]) => (preference.dims.includes(dim) ? [] : atoms))
    return atomsOf(preference, mesh).some((atom) => atom in partial || others.includes(atom))
  }

  const open: string[] = []
  for (const { name: atom } of mesh.atoms) {
    const followed = followedDim(node, atom, context, forward)
    if (followed && splittable(rule, definition, followed.dim)) take(followed.dim, atom, followed.by)
    else open.push(atom)
  }
  for (const atom of open) {
    const claims = (wishes.get(atom) ?? []).filter(
      ({ preference, matches }) => matches(node, context.place) && !(preference.together && splitsOther(preference)),
    )
    const passing = reduced.includes(atom) ? undefined : passes(node, definition, atom, context, readers, wishes)
    if (passing) {
      partial[atom] = passing
      const read = node.inputs[passing[0] ?? 0] ?? ''
      const maker = context.producer(context.tensor(read).versionOf ?? read)?.partition?.by[atom]
      if (maker) by[atom] = maker
      continue
    }
    if (definition.joins) {
      const common = commonPosition(atom, context)
      const dim = common === undefined ? undefined : rule.operands[0]?.[common]
      if (dim && splittable(rule, definition, dim)) {
        take(dim, atom, claims[0]?.preference.strategy)
        continue
      }
    }
    const choices = claims.flatMap(({ preference }) => {
      const dim = preference.dims.includes(anyDim)
        ? anyOf(preference, atom)
        : preference.dims.find((each) => splittable(rule, definition, each) && divides(each, atom))
      return dim ? [{ preference, dim }] : []
    })
    const [best, next] = choices
    if (
      best &&
      next &&
      next.preference.class === best.preference.class &&
      next.preference.strategy !== best.preference.strategy
    ) {
      throw new ShardloomError(
        'CONFLICT',
        `The strategies \`${best.preference.strategy}\` and \`${next.preference.strategy}\` both claim \`${node.id}\` on axis \`${best.preference.axis}\`: dims \`${best.dim}\` and \`${next.dim}\`.`,
        {
          subject: node.id,
          help: 'Restrict one of them with `where`, or give them different axes.',
        },
      )
    }
    if (best) take(best.dim, atom, best.preference.strategy)
    else refuseIndivisible(node, definition, claims, sizes, splits, context.program)
  }
  const partition: Partition = { splits, partial, by }
  const decided = { ...node, partition }
  const sums = reduced.length > 0 ? [] : exchangedSums(decided, definition, context)
  if (sums.length === 0) return decided
  const other = decideNode(node, definition, context, wishes, readers, sums)
  const split = Object.values(other.partition?.splits ?? {}).flat()
  const able = sums.filter((atom) => split.includes(atom))
  if (able.length === sums.length) return other
  return able.length ? decideNode(node, definition, context, wishes, readers, able) : decided
}

/** The dim along `atom` that a backward operator takes from its forward one, or an optimizer operator from its tensor. */
function followedDim(node: OperatorNode, atom: string, context: FlowContext, forward: Partition | undefined) {
  if (node.updates !== undefined) {
    const placement = context.placement(node.updates)
    const state = placement && along(placement, atom)
    if (state?.kind !== 'shard') return undefined
    const dims = parseRule(node.rule).operands.find((each) => each.length === placement?.shards.length)
    const dim = dims?.[state.position]
    return dim ? { dim, by: context.askedBy(node.updates, atom) } : undefined
  }
  for (const dim in forward?.splits) if (forward.splits[dim]?.includes(atom)) return { dim, by: forward.by[atom] }
  return undefined
}

/** The operands that `node` passes on as partial sums along `atom`, or undefined when they must be resolved before it. */
function passes(
  node: OperatorNode,
  definition: OperatorDefinition,
  atom: string,
  context: FlowContext,
  readers: Readers,
  wishes: ReadonlyMap<string, readonly Wish[]>,
): readonly number[] | undefined {
  const isSum = (index: number) => context.operands[index]?.partial[atom] === 'sum'
  if (!context.operands.some((_, index) => isSum(index))) return undefined
  const sums = [...context.operands.keys()].filter(isSum)
  const set = linearSets(definition, node.inputs.length).find(
    (each) => each.length === sums.length && each.every((index) => sums.includes(index)),
  )
  if (!set) return undefined
  const read = sums.map((index) => node.inputs[index] ?? '')
  const here: Reader = { node, place: context.place }
  const wished = (reader: Reader) =>
    (wishes.get(atom) ?? []).some(
      ({ preference, matches }) => preference.dims[0] === partialDim && matches(reader.node, reader.place),
    )
  // The gradient of a weight stays partial however large: it is summed over microbatches first and reduced once.
  const smaller = ({ outputs }: OperatorNode, operands: readonly string[]) =>
    outputs.every((id) => context.tensor(id).role === 'gradient') ||
    total(outputs, context.tensor) < total(operands, context.tensor)
  const ok = (reader: Reader | null, id: string): boolean => {
    if (reader === null) return false
    if (reader.node.id === node.id) return definition.joins === true || wished(here) || smaller(node, read)
    const other = definitionOf(reader.node, context.operators)
    if (other.joins) return true
    const { inputs } = reader.node
    const position = inputs.indexOf(id)
    const alone =
      position === inputs.lastIndexOf(id) &&
      linearSets(other, inputs.length).some((each) => each.length === 1 && each[0] === position)
    return alone && (wished(reader) || smaller(reader.node, [id]))
  }
  return read.every((id) => (readers.get(id) ?? [here]).every((reader) => ok(reader, id))) ? set : undefined
}

const total = (ids: readonly string[], tensor: (id: string) => Tensor) =>
  ids.reduce((sum, id) => sum + elements(tensor(id)), 0)

function elements(tensor: Tensor): number {
  const count = tensor.shape.reduce((product, size) => product * size, 1)
  return tensor.density ? (count * tensor.density[0]) / tensor.density[1] : count
}

function commonPosition(atom: string, context: FlowContext): number | undefined {
  const states = context.operands.map((operand) => (operand ? along(operand, atom) : { kind: 'replicate' as const }))
  const positions = states.map((state) => (state.kind === 'shard' ? state.position : undefined))
  return positions.every((position) => position !== undefined && position === positions[0]) ? positions[0] : undefined
}

/** Splits a sum whose operands are partial along different atoms, so that each group is summed before it is resolved. */
function groupPartials(node: OperatorNode, context: FlowContext) {
  const groups = new Map<string, number[]>()
  context.operands.forEach((operand, index) => {
    const key = Object.keys(operand?.partial ?? {})
      .sort()
      .join('.')
    groups.set(key, [...(groups.get(key) ?? []), index])
  })
  const found = [...groups].find(([key, members]) => groups.size > 1 && key !== '' && members.length > 1)
  if (!found) return undefined
  const [key, members] = found
  const whole = context.tensor(node.outputs[0] ?? '')
  const output = `${whole.id}+${key}`
  context.addTensor({ ...whole, id: output })
  const dims = operandText(parseRule(node.rule).operands[0] ?? [])
  const rule = (count: number) => `${Array.from({ length: count }, () => dims).join(', ')} -> ${dims}`
  const rest = node.inputs.filter((_, index) => !members.includes(index))
  const group: OperatorNode = {
    ...node,
    id: `${node.id}+${key}`,
    inputs: members.map((index) => node.inputs[index] ?? ''),
    outputs: [output],
    rule: rule(members.length),
  }
  const remaining: OperatorNode = { ...node, inputs: [...rest, output], rule: rule(rest.length + 1) }
  return { group, rest: remaining }
}

function refuseIndivisible(
  node: OperatorNode,
  definition: OperatorDefinition,
  claims: readonly Wish[],
  sizes: ReadonlyMap<string, number>,
  splits: Readonly<Record<string, readonly string[]>>,
  { mesh }: Program,
): void {
  const rule = parseRule(node.rule)
  for (const { preference } of claims) {
    const size = (dim: string) => sizes.get(dim) ?? 1
    const dim = preference.dims.find(
      (each) => splittable(rule, definition, each) && size(each) > groupSize(mesh, splits[each] ?? []),
    )
    if (!dim) continue
    const axis = mesh.axes.find((each) => each.name === preference.axis)
    const degree = axis?.degree ?? 1
    const others = groupSize(mesh, splits[dim]?.filter((atom) => !axis?.atoms.includes(atom)) ?? [])
    const left = size(dim) / others
    const count = others === 1 ? `${left}` : `${left}, what the other axes leave,`
    throw new ShardloomError(
      'INDIVISIBLE',
      `Cannot split dim \`${dim}\` (${size(dim)}) of \`${node.id}\` over axis \`${preference.axis}\` (degree ${degree}): ${count} is not divisible by ${degree}.`,
      {
        subject: node.id,
        help: `Use ${nearestNumbers(divisors(left), degree)}, or set \`uneven: ragged\` to let shares differ by one.`,
      },
    )
  }
}
