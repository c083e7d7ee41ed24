import { lookup } from './draft.js'
import { isShardloomError } from './error.js'
import { placementsOf } from './flow.js'
import { atomDegree, groupSize, shareOf } from './mesh.js'
import { definitionOf, dimSizes, linearSets, type OperatorTable, splittable } from './operator.js'
import { along, isSlice, type Placement, placementText, samePlacement, transition } from './placement.js'
import type { PluginRule } from './plugin.js'
import { type Item, nodesOf, type OperatorNode, type Program, type Region, type Tensor, walk } from './program.js'
import { parseRule } from './rule.js'

/** One breach of a rule: where, what is wrong, and what would mend it. */
export interface Violation {
  readonly node: string
  readonly message: string
  readonly help: string
}

/** What the verifier found for one rule. */
export interface RuleReport {
  /** The number on the architecture page, or the name of a plugin's rule. */
  readonly rule: number | string
  readonly name: string
  /** How many things were checked. */
  readonly checked: number
  readonly violations: readonly Violation[]
}

interface Tally {
  checked: number
  readonly violations: Violation[]
}

type Check = (program: Program, operators: OperatorTable, tally: Tally) => void

const rules: readonly { readonly rule: number; readonly name: string; readonly check: Check }[] = [
  { rule: 1, name: 'acyclic once unrolled', check: checkOrder },
  { rule: 2, name: 'data crosses ranks only through communication', check: checkCommunication },
  { rule: 3, name: 'operators read only placements that their rules allow', check: checkPlacements },
  { rule: 5, name: 'FLOPs and parameters are conserved', check: checkConservation },
  { rule: 8, name: 'uneven splits are refused or counted', check: checkUneven },
]

/** Checks a placed program against the rules of the architecture page and those of plugins. Never throws on a bad program. */
export function verifyProgram(
  program: Program,
  operators: OperatorTable,
  pluginRules: readonly PluginRule[] = [],
): RuleReport[] {
  const reports = rules.map(({ rule, name, check }): RuleReport => {
    const tally: Tally = { checked: 0, violations: [] }
    guarded(tally, program.name, () => check(program, operators, tally))
    return { rule, name, ...tally }
  })
  return [
    ...reports,
    ...pluginRules.map((rule) => ({ rule: rule.name, name: rule.name, ...rule.check(program, operators) })),
  ]
}

/** A program from elsewhere may break whatever a check relies on: that is a violation, not a crash. */
function guarded(tally: Tally, node: string, check: () => void): void {
  try {
    check()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const help = (isShardloomError(error) && error.help) || 'Plan the program again from its spec.'
    tally.violations.push({ node, message, help })
  }
}

/** Rule 1: in every body each value is made before it is read, and made once. */
function checkOrder(program: Program, _operators: OperatorTable, tally: Tally): void {
  const outside = (id: string) => {
    const role = program.tensors.get(id)?.role
    return role === 'parameter' || role === 'input' || role === 'cache' || role === 'optimizer'
  }
  const everMade = new Set<string>()
  const ids = new Set<string>()
  const fail = (node: string, message: string, help: string) => tally.violations.push({ node, message, help })
  const visit = (items: readonly Item[], known: Set<string>) => {
    const done = new Set<string>()
    for (const item of items) {
      if (ids.has(item.id))
        fail(item.id, `The id \`${item.id}\` stands twice.`, 'Give every node and region an id of its own.')
      ids.add(item.id)
      const read =
        item.type === 'node' ? item.inputs : item.ports.flatMap((port) => (port.kind === 'carry' ? [port.initial] : []))
      for (const id of read) {
        tally.checked++
        if (!program.tensors.has(id))
          fail(item.id, `\`${item.id}\` reads \`${id}\`, which does not exist.`, 'Name a tensor of the program.')
        else if (!known.has(id) && !outside(id))
          fail(
            item.id,
            `\`${item.id}\` reads \`${id}\` before it is made.`,
            'Move the producer before its reader, or break the cycle.',
          )
      }
      if (item.type === 'node') {
        for (const id of item.after ?? []) {
          tally.checked++
          if (!done.has(id))
            fail(
              item.id,
              `\`${item.id}\` waits for \`${id}\`, which does not come before it in its body.`,
              'Name an earlier item of the same body.',
            )
        }
        for (const id of item.outputs) make(id, item.id, known)
      } else visitRegion(item, known)
      done.add(item.id)
    }
  }
  const make = (id: string, by: string, known: Set<string>) => {
    if (everMade.has(id)) fail(by, `\`${id}\` is made twice.`, 'Give each result one producer.')
    everMade.add(id)
    known.add(id)
  }
  const visitRegion = (region: Region, known: Set<string>) => {
    const carries = region.ports.flatMap((port) => (port.kind === 'carry' ? [port] : []))
    const after = new Set(known)
    region.bodies.forEach((body, index) => {
      const inner = new Set(known)
      for (const port of carries) inner.add(port.inner)
      visit(body.items, inner)
      for (const port of region.ports) {
        const handed = port.kind === 'carry' ? port.next[index] : port.kind === 'reduce' ? port.inner[index] : undefined
        if (handed === undefined || handed === null) continue
        tally.checked++
        if (!inner.has(handed))
          fail(
            region.id,
            `The body \`${body.name}\` of \`${region.id}\` hands on \`${handed}\`, which it does not make.`,
            'Hand on a value of the body.',
          )
      }
      // A carry's inner value may be saved: a region over the same axis reads it iteration by iteration.
      for (const id of inner) after.add(id)
    })
    for (const id of after) known.add(id)
    for (const port of region.ports)
      if (port.kind === 'carry' || port.kind === 'reduce') make(port.result, region.id, known)
  }
  visit(program.items, new Set())
}

const placementIn = (tensor: Tensor): Placement =>
  tensor.placement ?? { shards: tensor.shape.map(() => []), partial: {} }

/** Every reading of a tensor under a placement: by nodes, and by ports that hand on. */
function* readings(
  program: Program,
  operators: OperatorTable,
): Generator<{ reader: string; tensor: Tensor; wanted: Placement }> {
  for (const node of nodesOf(program.items)) {
    const { operands } = placementsOf(node, operators)
    for (const [index, id] of node.inputs.entries()) {
      const tensor = lookup(program.tensors, id)
      yield { reader: node.id, tensor, wanted: operands[index] ?? placementIn(tensor) }
    }
  }
  const regions = new Set<Region>()
  walk(program.items, (_, place) => {
    for (const { region } of place.path) regions.add(region)
  })
  for (const region of regions) {
    for (const port of region.ports) {
      if (port.kind === 'carry') {
        const wanted = placementIn(lookup(program.tensors, port.inner))
        for (const id of [port.initial, ...port.next])
          yield { reader: region.id, tensor: lookup(program.tensors, id), wanted }
      }
      if (port.kind === 'reduce') {
        const wanted = placementIn(lookup(program.tensors, port.result))
        for (const id of port.inner) if (id) yield { reader: region.id, tensor: lookup(program.tensors, id), wanted }
      }
    }
  }
}

/** Rule 2: what a reader wants, it can take from its own rank; communication nodes do what they say over real groups. */
function checkCommunication(program: Program, operators: OperatorTable, tally: Tally): void {
  for (const { reader, tensor, wanted } of readings(program, operators)) {
    tally.checked++
    const held = placementIn(tensor)
    if (isSlice(held, wanted) || partialMismatch(held, wanted)) continue
    const from = placementText(held, tensor.dims)
    const to = placementText(wanted, tensor.dims)
    tally.violations.push({
      node: reader,
      message: `\`${reader}\` reads \`${tensor.id}\` as ${to}, but its rank holds ${from}.`,
      help: 'Put a communication node between them: run the pass `core/communicate`.',
    })
  }
  const before = new Map<string, string>()
  for (const node of nodesOf(program.items)) {
    const { communication } = node
    if (!communication) continue
    tally.checked++
    const fail = (message: string, help: string) => tally.violations.push({ node: node.id, message, help })
    if (groupSize(program.mesh, communication.atoms) < 2)
      fail(`\`${node.id}\` communicates in a group of one.`, 'Remove it.')
    const steps = transition(communication.from, communication.to, program.mesh)
    const [step] = steps
    if (
      steps.length !== 1 ||
      step?.op !== node.op ||
      step.atoms.join() !== communication.atoms.join() ||
      step.reduction !== communication.reduction
    ) {
      fail(
        `\`${node.id}\` is an ${node.op} over ${communication.atoms.join('.')}, which does not turn ${placementText(communication.from)} into ${placementText(communication.to)}.`,
        `That conversion is ${steps.map((each) => `${each.op} over ${each.atoms.join('.')}`).join(', then ') || 'a slice'}.`,
      )
    }
    const output = lookup(program.tensors, node.outputs[0] ?? '')
    if (!samePlacement(placementIn(output), communication.to))
      fail(
        `\`${node.id}\` says that it makes ${placementText(communication.to)}, but \`${output.id}\` is ${placementText(placementIn(output))}.`,
        'Make both the same.',
      )
    const input = lookup(program.tensors, node.inputs[0] ?? '')
    if ((input.versionOf ?? input.id) !== output.versionOf)
      fail(
        `\`${node.id}\` makes \`${output.id}\`, a version of \`${output.versionOf}\`, from \`${input.id}\`.`,
        'Let it read a version of the same tensor.',
      )
    if (isSlice(placementIn(input), communication.to))
      fail(
        `\`${node.id}\` makes ${placementText(communication.to)}, which every rank can take from its \`${input.id}\`.`,
        'Remove it.',
      )
    const where = `${node.segment} ${output.per} ${output.body ?? ''}`
    const key = `${where} ${node.inputs[0]} ${placementText(communication.from)} ${placementText(communication.to)}`
    const twin = before.get(key)
    if (twin)
      fail(`\`${node.id}\` does again what \`${twin}\` has done.`, 'Let the second reader take the first result.')
    before.set(key, node.id)
  }
}

/** Whether the two differ in what is partial: rule 3's business, not rule 2's. */
function partialMismatch(held: Placement, wanted: Placement): boolean {
  const atoms = new Set([...Object.keys(held.partial), ...Object.keys(wanted.partial)])
  return [...atoms].some((atom) => held.partial[atom] !== wanted.partial[atom])
}

/** Rule 3: splits and partial sums only where the operator's rule allows them, and nobody reads a partial sum as whole. */
function checkPlacements(program: Program, operators: OperatorTable, tally: Tally): void {
  const fail = (node: string, message: string, help: string) => tally.violations.push({ node, message, help })
  for (const { reader, tensor, wanted } of readings(program, operators)) {
    tally.checked++
    const held = placementIn(tensor)
    for (const atom of Object.keys(held.partial)) {
      if (wanted.partial[atom] !== held.partial[atom])
        fail(
          reader,
          `\`${reader}\` reads \`${tensor.id}\` as if it were whole, but over \`${atom}\` it is a partial ${held.partial[atom]}.`,
          'Reduce it first: all-reduce or reduce-scatter.',
        )
    }
    for (const atom of Object.keys(wanted.partial)) {
      if (!held.partial[atom])
        fail(
          reader,
          `\`${reader}\` reads \`${tensor.id}\` as a partial ${wanted.partial[atom]} over \`${atom}\`, but it is whole: it would count ${atomDegree(program.mesh, atom)} times.`,
          'Remove the second reduction.',
        )
    }
  }
  for (const node of nodesOf(program.items)) {
    if (node.communication || !node.partition) continue
    guarded(tally, node.id, () => checkNode(node, program, operators, tally, fail))
  }
}

function checkNode(
  node: OperatorNode,
  program: Program,
  operators: OperatorTable,
  tally: Tally,
  fail: (node: string, message: string, help: string) => void,
): void {
  const rule = parseRule(node.rule)
  const definition = definitionOf(node, operators)
  for (const [dim, atoms] of Object.entries(node.partition?.splits ?? {})) {
    tally.checked++
    if (atoms.length && !splittable(rule, definition, dim))
      fail(
        node.id,
        `\`${node.id}\` is split on \`${dim}\`, which its rule \`${node.rule}\` does not allow.`,
        'Split another dim, or none.',
      )
  }
  const sets = linearSets(definition, node.inputs.length).map((set) => [...set].sort().join())
  for (const [atom, operands] of Object.entries(node.partition?.partial ?? {})) {
    tally.checked++
    if (!sets.includes([...operands].sort().join()))
      fail(
        node.id,
        `\`${node.id}\` passes partial operands ${operands.join(', ')} on over \`${atom}\`, but it is not linear in them.`,
        'Reduce them first.',
      )
  }
  placementsOf(node, operators).results.forEach((placement, index) => {
    tally.checked++
    const output = lookup(program.tensors, node.outputs[index] ?? '')
    if (!samePlacement(placement, placementIn(output)))
      fail(
        node.id,
        `\`${output.id}\` is recorded as ${placementText(placementIn(output), output.dims)}, but \`${node.id}\` makes ${placementText(placement, output.dims)}.`,
        'Run the pass `core/place` again.',
      )
  })
}

/**
 * Rule 5: over all ranks, the points of each operator's iteration space equal those of one device times the ranks that
 * repeat it; the shards of each parameter add up to the parameter times its replicas.
 */
function checkConservation(program: Program, operators: OperatorTable, tally: Tally): void {
  const { mesh } = program
  for (const node of nodesOf(program.items)) {
    if (node.communication) continue
    tally.checked++
    const sizes = dimSizes(node, (id) => lookup(program.tensors, id))
    const splits = node.partition?.splits ?? {}
    const atoms = Object.values(splits).flat()
    const split = new Set(atoms)
    const repeated = mesh.atoms
      .filter((atom) => !split.has(atom.name))
      .reduce((product, atom) => product * BigInt(atom.degree), 1n)
    const one = [...sizes.values()].reduce((product, size) => product * BigInt(size), 1n)
    const all = [...sizes].reduce(
      (product, [dim, size]) => product * sharesTotal(size, splits[dim] ?? [], program),
      repeated,
    )
    if (atoms.length > split.size)
      tally.violations.push({
        node: node.id,
        message: `\`${node.id}\` is split twice along one atom of ${[...split]}: the ranks compute only a part of it.`,
        help: 'Split each atom along one dim.',
      })
    else if (all !== one * repeated)
      tally.violations.push({
        node: node.id,
        message: `The ranks together compute ${all} points of \`${node.id}\`, but one device ${one}, repeated ${repeated} times.`,
        help: 'Splits must cover every index once.',
      })
    definitionOf(node, operators)
  }
  for (const tensor of program.tensors.values()) {
    if (tensor.role !== 'parameter' || tensor.versionOf !== undefined) continue
    tally.checked++
    const placement = placementIn(tensor)
    const whole = tensor.shape.reduce((product, size) => product * BigInt(size), 1n)
    const shards = tensor.shape.reduce(
      (product, size, position) => product * sharesTotal(size, placement.shards[position] ?? [], program),
      1n,
    )
    const atoms = placement.shards.flat()
    if (shards !== whole || new Set(atoms).size < atoms.length || Object.keys(placement.partial).length)
      tally.violations.push({
        node: tensor.id,
        message: `The shards of \`${tensor.id}\` add up to ${shards} elements of ${whole}.`,
        help: 'Every element has one home per replica.',
      })
  }
}

/** The sum of local sizes over the coordinates of `atoms`: shares of one size are counted, not visited. */
function sharesTotal(size: number, atoms: readonly string[], { mesh }: Program): bigint {
  let shares = new Map([[size, 1n]])
  for (const atom of atoms) {
    const degree = atomDegree(mesh, atom)
    const next = new Map<number, bigint>()
    for (const [share, count] of shares) {
      const more = share % degree
      for (const [part, ranks] of [
        [shareOf(share, degree, 0), more || degree],
        [shareOf(share, degree, degree - 1), more && degree - more],
      ] as const)
        next.set(part, (next.get(part) ?? 0n) + count * BigInt(ranks))
    }
    shares = next
  }
  return [...shares].reduce((total, [share, count]) => total + BigInt(share) * count, 0n)
}

/** Rule 8: a dim whose shares differ is an error unless the program says `ragged`; then ranks with nothing are named. */
function checkUneven(program: Program, _operators: OperatorTable, tally: Tally): void {
  for (const node of nodesOf(program.items)) {
    const splits = Object.entries(node.partition?.splits ?? {})
    if (splits.length === 0) continue
    const sizes = dimSizes(node, (id) => lookup(program.tensors, id))
    for (const [dim, atoms] of splits) {
      tally.checked++
      const size = sizes.get(dim) ?? 1
      const degree = groupSize(program.mesh, atoms)
      if (size % degree === 0 || program.uneven === 'ragged') continue
      tally.violations.push({
        node: node.id,
        message: `\`${dim}\` (${size}) of \`${node.id}\` is split into ${degree} shares that differ.`,
        help: 'Choose a degree that divides it, or set `uneven: ragged`.',
      })
    }
  }
  for (const tensor of program.tensors.values()) {
    for (const { name } of program.mesh.atoms) if (along(placementIn(tensor), name).kind === 'shard') tally.checked++
  }
}
