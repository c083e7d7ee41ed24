import { checkProgram } from './argument.js'
import { lookup } from './draft.js'
import { attempt, type Check, unless, type Violation } from './finding.js'
import { inTurn, placementsOf } from './flow.js'
import { atomDegree, groupSize, shareOf } from './mesh.js'
import { definitionOf, dimSizes, linearSets, type OperatorTable, splittable } from './operator.js'
import { pipelineAtoms } from './pipeline.js'
import { isSlice, type Placement, placementText, transition } from './placement.js'
import type { PluginRule } from './plugin.js'
import { nodesOf, type OperatorNode, type Place, type Program, regionsOf, walk } from './program.js'
import { parseRule } from './rule.js'
import { checkHops, checkLayouts, checkRotations, coversOnce } from './verify-ring.js'
import { checkCaches, checkOrder, checkPhases } from './verify-structure.js'
import { checkTransfers } from './verify-transfers.js'

export type { Violation } from './finding.js'

/** What the verifier found for one rule. */
export interface RuleReport {
  /** The number on the architecture page, or the name of a plugin's rule. */
  readonly rule: number | string
  readonly name: string
  /** How many things were checked. */
  readonly checked: number
  readonly violations: readonly Violation[]
}

const rules: readonly (readonly [number, string, Check])[] = [
  [1, 'acyclic once unrolled', checkOrder],
  [2, 'data crosses ranks only through communication', checkCommunication],
  [3, 'operators read only placements that their rules allow', checkPlacements],
  [4, 'groups agree, and every send meets its recv', checkTransfers],
  [5, 'FLOPs and parameters are conserved', checkConservation],
  [6, 'phases stay apart', checkPhases],
  [7, 'a cache is written before it is read', checkCaches],
  [8, 'uneven splits are refused or counted', checkUneven],
]

/** Checks a placed program against the rules of the architecture page and those of plugins. Never throws on a bad program; `ARGUMENT` for what is none. */
export function verifyProgram(
  program: Program,
  operators: OperatorTable,
  pluginRules: readonly PluginRule[] = [],
): RuleReport[] {
  checkProgram(program, operators)
  const own = rules.map(([rule, name, check]): RuleReport => {
    const found: (Violation | undefined)[] = []
    const thrown = attempt(program.name, () => {
      for (const each of check(program, operators)) found.push(each)
    })
    const violations = [...found, thrown].filter((each) => each !== undefined)
    return { rule, name, checked: found.length, violations }
  })
  const others = pluginRules.map(({ name, check, rule = name }): RuleReport => {
    let result: ReturnType<PluginRule['check']> = { checked: 0, violations: [] }
    const thrown = attempt(name, () => {
      result = check(program, operators)
    })
    return { rule, name, ...(thrown ? { checked: 0, violations: [thrown] } : result) }
  })
  const joined = own.map((report) => {
    const more = others.filter(({ rule }) => rule === report.rule)
    const checked = more.reduce((sum, each) => sum + each.checked, report.checked)
    return { ...report, checked, violations: [...report.violations, ...more.flatMap(({ violations }) => violations)] }
  })
  return [...joined, ...others.filter(({ rule }) => !own.some((report) => report.rule === rule))]
}

/** The first breach of a rule of the architecture page, or undefined; looks no further, and so costs less than a report. */
export function firstViolation(program: Program, operators: OperatorTable): Violation | undefined {
  for (const [, , check] of rules) {
    let first: Violation | undefined
    const thrown = attempt(program.name, () => {
      for (const each of check(program, operators)) {
        first = each
        if (first) return
      }
    })
    if (first ?? thrown) return first ?? thrown
  }
  return undefined
}

const heldAs = (program: Program, id: string): Placement => {
  const { placement, shape } = lookup(program.tensors, id)
  return placement ?? { shards: shape.map(() => []), partial: {} }
}

interface Reading {
  readonly reader: string
  readonly id: string
  readonly held: Placement
  readonly wanted: Placement
}

/** Every reading of a tensor under a placement: by nodes, and by ports that hand on. */
function readings(program: Program, operators: OperatorTable): Reading[] {
  const list: Reading[] = []
  const add = (reader: string, id: string, wanted: Placement) =>
    list.push({ reader, id, held: heldAs(program, id), wanted })
  for (const node of nodesOf(program.items)) {
    const { operands } = placementsOf(node, operators)
    node.inputs.forEach((id, index) => add(node.id, id, operands[index] ?? heldAs(program, id)))
  }
  for (const { id: region, ports } of regionsOf(program.items)) {
    for (const port of ports) {
      if (port.kind === 'carry')
        for (const id of [port.initial, ...port.next]) add(region, id, heldAs(program, port.inner))
      if (port.kind === 'reduce') for (const id of port.inner) if (id) add(region, id, heldAs(program, port.result))
    }
  }
  return list
}

const sameEntries = (a: Placement['partial'], b: Placement['partial']) =>
  a === b || [...Object.keys(a), ...Object.keys(b)].every((atom) => a[atom] === b[atom])

/** Rule 2: what a reader wants, it can take from its own rank; communication nodes do what they say over real groups. */
function* checkCommunication(program: Program, operators: OperatorTable): ReturnType<Check> {
  for (const { reader, id, held, wanted } of readings(program, operators)) {
    // What differs in partial sums is rule 3's business.
    const ok = isSlice(held, wanted) || !sameEntries(held.partial, wanted.partial)
    yield unless(
      ok,
      reader,
      () => `\`${reader}\` reads \`${id}\` as ${placementText(wanted)}, but its rank holds ${placementText(held)}.`,
      'Put a communication node between them: run the pass `core/communicate`.',
    )
  }
  yield* checkNext(program)
  yield* checkHops(program)
  yield* checkRotations(program, operators)
  yield* checkLayouts(program)
  const before = new Map<string, string>()
  for (const { id, op, kind, segment, stages, inputs, outputs, attributes, communication } of nodesOf(program.items)) {
    if (!communication) {
      yield unless(
        kind !== 'communication',
        id,
        `\`${id}\` is a communication node that says nothing of its group.`,
        'Give it its attributes, or another kind.',
      )
      continue
    }
    const { atoms, from, to, reduction, pool } = communication
    const steps = transition(from, to, program.mesh)
    const says = (each: { op: string; atoms: readonly string[]; reduction?: string }) =>
      `${each.op} over ${each.atoms.join('.')} ${each.reduction ?? ''}`
    const should = steps.map(says).join(', then ') || 'a slice'
    const [input = '', output = ''] = [inputs[0], outputs[0]]
    const { versionOf, per, body } = lookup(program.tensors, output)
    const key = `${segment} ${per} ${body} ${stages} ${input} ${placementText(from)} ${placementText(to)} ${op}`
    const twin = before.get(key)
    before.set(key, id)
    const others = pool !== undefined || groupSize(program.mesh, atoms) > 1
    yield unless(others, id, `\`${id}\` communicates in a group of one.`, 'Remove it.')
    // A transfer moves what it finds, as it is placed: rule 4 looks at its partner.
    const moves = op === 'send' || op === 'recv'
    yield unless(
      moves ? steps.length === 0 : should === says({ op, atoms, ...(reduction && { reduction }) }),
      id,
      `\`${id}\` does not turn ${placementText(from)} into ${placementText(to)}.`,
      `That conversion is ${should}.`,
    )
    yield unless(
      placementText(heldAs(program, output)) === placementText(to),
      id,
      `\`${id}\` does not make what \`${output}\` is recorded as.`,
      'Make both the same.',
    )
    const [given, made] = [lookup(program.tensors, input).dtype, lookup(program.tensors, output).dtype]
    const said = reduction === undefined ? undefined : attributes?.['dtype']
    yield unless(
      made === (said ?? given),
      id,
      `\`${id}\` makes ${made} of ${given}: communication changes no element type.`,
      'Put a cast before it; a reduction that sums in a type of its own names it in its attribute `dtype`.',
    )
    yield unless(
      moves || (lookup(program.tensors, input).versionOf ?? input) === versionOf,
      id,
      `\`${id}\` makes a version of \`${versionOf}\` from \`${input}\`.`,
      'Let it read a version of the same tensor.',
    )
    yield unless(
      moves || !isSlice(heldAs(program, input), to),
      id,
      `\`${id}\` makes what every rank can take from its own \`${input}\`.`,
      'Remove it.',
    )
    yield unless(
      twin === undefined,
      id,
      `\`${id}\` does again what \`${twin}\` has done.`,
      'Let the second reader take the first result.',
    )
  }
}

/** Rule 3: splits and partial sums only where the operator's rule allows them, and nobody reads a partial sum as whole. */
function* checkPlacements(program: Program, operators: OperatorTable): ReturnType<Check> {
  for (const { reader, id, held, wanted } of readings(program, operators)) {
    const wrong = [...Object.keys(held.partial), ...Object.keys(wanted.partial)].find(
      (atom) => held.partial[atom] !== wanted.partial[atom],
    )
    const message = () =>
      wrong && held.partial[wrong]
        ? `as if it were whole, but over \`${wrong}\` it is a partial ${held.partial[wrong]}`
        : `as partial over \`${wrong}\`, but it is whole: it would count several times`
    yield unless(
      wrong === undefined,
      reader,
      () => `\`${reader}\` reads \`${id}\` ${message()}.`,
      'Reduce a partial value exactly once.',
    )
  }
  for (const node of nodesOf(program.items)) {
    if (node.communication || !node.partition) continue
    const found: (Violation | undefined)[] = []
    const thrown = attempt(node.id, () => {
      found.push(...checkNode(node, program, operators))
    })
    yield* thrown ? [thrown] : found
  }
}

function* checkNode(node: OperatorNode, program: Program, operators: OperatorTable): ReturnType<Check> {
  const { id } = node
  const rule = parseRule(node.rule)
  const definition = definitionOf(node, operators)
  for (const [dim, atoms] of Object.entries(node.partition?.splits ?? {})) {
    yield unless(
      !atoms.length || splittable(rule, definition, dim),
      id,
      `\`${id}\` is split on \`${dim}\`, which its rule \`${node.rule}\` does not allow.`,
      'Split another dim, or none.',
    )
  }
  const stages = pipelineAtoms(program)
  const sets = linearSets(definition, node.inputs.length).map((set) => [...set].sort().join())
  for (const [atom, operands] of Object.entries(node.partition?.partial ?? {})) {
    yield unless(
      (operands.length === 0 && stages.includes(atom)) || sets.includes([...operands].sort().join()),
      id,
      `\`${id}\` passes partial operands ${operands} on over \`${atom}\`, but it is not linear in them.`,
      'Reduce them first.',
    )
  }
  for (const [index, placement] of placementsOf(node, operators).results.entries()) {
    const output = node.outputs[index] ?? ''
    const [recorded, made] = [placementText(heldAs(program, output)), placementText(placement)]
    yield unless(
      recorded === made,
      id,
      `\`${output}\` is recorded as ${recorded}, but \`${id}\` makes ${made}.`,
      'Run the pass `core/place` again.',
    )
  }
}

/** What the next step reads in the place of a tensor from outside must stand where that one does, in some version. */
function* checkNext(program: Program): ReturnType<Check> {
  const versions = new Map<string, Placement[]>()
  for (const output of nodesOf(program.items).flatMap(({ outputs }) => outputs)) {
    const of = lookup(program.tensors, output).versionOf ?? output
    versions.set(of, [...(versions.get(of) ?? []), heldAs(program, output)])
  }
  for (const { id, nextOf } of program.tensors.values()) {
    if (nextOf === undefined) continue
    const wanted = heldAs(program, nextOf)
    yield unless(
      (versions.get(id) ?? [heldAs(program, id)]).some((held) => isSlice(held, wanted)),
      id,
      `The next step reads \`${id}\` as \`${nextOf}\`, which is placed ${placementText(wanted)}; it ends as ${placementText(heldAs(program, id))}.`,
      'Put a communication node behind it: run the pass `core/communicate`.',
    )
  }
}

/**
 * Rule 5: over all ranks, the points of each operator's iteration space equal those of one device times the ranks that
 * repeat it; the shards of each parameter add up to the parameter times its replicas.
 */
function* checkConservation(program: Program, operators: OperatorTable): ReturnType<Check> {
  const product = (sizes: Iterable<bigint>) => [...sizes].reduce((a, b) => a * b, 1n)
  const once = (atoms: readonly string[]) => new Set(atoms).size === atoms.length
  const places: [OperatorNode, Place][] = []
  walk(program.items, (node, place) => places.push([node, place]))
  for (const [node, place] of places) {
    if (node.communication) continue
    definitionOf(node, operators)
    const [share, whole] = node.density ?? [1, 1]
    yield unless(
      share > 0 && share <= whole,
      node.id,
      `\`${node.id}\` computes ${share}/${whole} of its points.`,
      'A density is more than 0 and at most 1.',
    )
    const sizes = [...dimSizes(node, (id) => lookup(program.tensors, id))]
    const splits = node.partition?.splits ?? {}
    const one = product(sizes.map(([, size]) => BigInt(size)))
    const all = product(sizes.map(([dim, size]) => sharesTotal(size, splits[dim] ?? [], program)))
    const help = 'Splits must cover every index once, each atom along one dim.'
    yield unless(
      all === one && coversOnce(splits, node, place, program),
      node.id,
      `The ranks that share \`${node.id}\` compute ${all} of its ${one} points, or some of them twice.`,
      help,
    )
  }
  for (const { id, role, shape, versionOf } of program.tensors.values()) {
    if (role !== 'parameter' || versionOf !== undefined) continue
    const { shards, partial } = heldAs(program, id)
    const whole = product(shape.map(BigInt))
    const held = product(shape.map((size, position) => sharesTotal(size, shards[position] ?? [], program)))
    const ok = held === whole && once(shards.flat()) && Object.keys(partial).length === 0
    yield unless(
      ok,
      id,
      `The shards of \`${id}\` add up to ${held} elements of ${whole}.`,
      'Every element has one home per replica.',
    )
  }
}

/** The sum of local sizes over the coordinates of `atoms`: shares of one size are counted, not visited. */
function sharesTotal(size: number, atoms: readonly string[], { mesh }: Program): bigint {
  let shares = new Map([[size, 1n]])
  for (const atom of atoms) {
    const degree = atomDegree(mesh, atom)
    const next = new Map<number, bigint>()
    const add = (share: number, ranks: bigint) => next.set(share, (next.get(share) ?? 0n) + ranks)
    for (const [share, count] of shares) {
      add(shareOf(share, degree, 0), count * BigInt(share % degree))
      add(shareOf(share, degree, degree - 1), count * BigInt(degree - (share % degree)))
    }
    shares = next
  }
  return [...shares].reduce((total, [share, count]) => total + BigInt(share) * count, 0n)
}

/** Rule 8: a dim whose shares differ is an error unless the program says `ragged`. */
function* checkUneven(program: Program): ReturnType<Check> {
  for (const node of nodesOf(program.items)) {
    const sizes = dimSizes(node, (id) => lookup(program.tensors, id))
    for (const [dim, atoms] of Object.entries(node.partition?.splits ?? {})) {
      const runs = atoms.filter((atom) => !inTurn(program, dim, atom))
      const [size, degree] = [sizes.get(dim) ?? 1, groupSize(program.mesh, runs)]
      // What is only stored in shards needs no equal ones: they are gathered before they are used.
      const ok = size % degree === 0 || program.uneven === 'ragged' || node.updates !== undefined
      yield unless(
        ok,
        node.id,
        `\`${dim}\` (${size}) of \`${node.id}\` is split into ${degree} shares that differ.`,
        'Choose a degree that divides it, or set `uneven: ragged`.',
      )
    }
  }
}
