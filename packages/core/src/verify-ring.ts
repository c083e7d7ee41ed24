import { lookup } from './draft.js'
import { type Check, unless, type Violation } from './finding.js'
import { inTurn, placementsOf } from './flow.js'
import { groupSize } from './mesh.js'
import type { OperatorTable } from './operator.js'
import {
  bodyAt,
  nodesOf,
  type OperatorNode,
  type Place,
  type Program,
  type Region,
  type Rotation,
  regionsOf,
  type Tensor,
} from './program.js'
import { parseRule } from './rule.js'

const turns = (rotation: Rotation | undefined) =>
  rotation ? `${rotation.atoms} by ${rotation.offset}${rotation.axis ? ` + ${rotation.axis}` : ''}` : 'not at all'

/** What a hop makes of the rotation of a tensor that its atoms split; a tensor that they do not split stays as it is. */
function hopped({ rotation, placement }: Tensor, atoms: readonly string[], shift: number): Rotation | undefined {
  const position = placement?.shards.findIndex((each) => each.some((atom) => atoms.includes(atom))) ?? -1
  if (position < 0) return rotation
  return { ...(rotation ?? { position, atoms }), offset: (rotation?.offset ?? 0) - shift }
}

/** Rule 2, of hops: they lead to another rank, and what arrives is recorded as having moved by as much. */
export function* checkHops({ items, tensors, mesh }: Program): ReturnType<Check> {
  for (const { id, op, communication, inputs, outputs } of nodesOf(items)) {
    if (communication?.shift === undefined) continue
    const { atoms, shift } = communication
    yield unless(shift % groupSize(mesh, atoms) !== 0, id, `\`${id}\` hops from a rank to itself.`, 'Remove it.')
    const [before, after] = [lookup(tensors, inputs[0] ?? ''), lookup(tensors, outputs[0] ?? '')]
    const wanted = op === 'send' ? before.rotation : hopped(before, atoms, shift)
    yield unless(
      turns(wanted) === turns(after.rotation),
      id,
      `\`${after.id}\` is recorded as turned along ${turns(after.rotation)}, but \`${id}\` makes ${turns(wanted)}.`,
      'Record how far the shards have moved.',
    )
  }
}

/** Rule 2, of shards that go round: what meets in an operator has moved alike, and what a carry hands on has moved by one. */
export function* checkRotations(program: Program, operators: OperatorTable): ReturnType<Check> {
  const rotationOf = (id: string) => lookup(program.tensors, id).rotation
  for (const node of nodesOf(program.items)) {
    const ids = [...node.inputs, ...node.outputs]
    if (node.communication || !ids.some(rotationOf)) continue
    const rule = parseRule(node.rule)
    const { operands, results } = placementsOf(node, operators)
    const placements = [...operands, ...results]
    const moved = new Map<string, string>()
    for (const [index, dims] of [...rule.operands, ...rule.results].entries()) {
      const id = ids[index] ?? ''
      for (const [position, dim] of dims.entries()) {
        if (!placements[index]?.shards[position]?.length) continue
        const rotation = rotationOf(id)
        const own = turns(rotation?.position === position ? rotation : undefined)
        const known = moved.get(dim) ?? own
        moved.set(dim, known)
        yield unless(
          known === own,
          node.id,
          `\`${node.id}\` meets \`${id}\`, whose \`${dim}\` has turned along ${own}, with shards turned along ${known}.`,
          'Let shards meet that have moved alike.',
        )
      }
    }
  }
  for (const region of regionsOf(program.items)) yield* checkCarries(region, program)
}

function* checkCarries(region: Region, { tensors, mesh }: Program): Generator<Violation | undefined, void> {
  for (const port of region.ports) {
    if (port.kind !== 'carry') continue
    const all = [port.initial, port.inner, port.result, ...port.next].map((id) => lookup(tensors, id).rotation)
    const atoms = all.find((rotation) => rotation)?.atoms
    if (!atoms) continue
    const size = groupSize(mesh, atoms)
    const standing = (id: string, iteration: number) => {
      const { offset = 0, axis } = lookup(tensors, id).rotation ?? {}
      return (((offset + (axis === region.axis ? iteration : 0)) % size) + size) % size
    }
    let wrong: string | undefined
    let current = standing(port.initial, 0)
    for (let place = 0; place < region.extent; place++) {
      const iteration = region.order === 'reverse' ? region.extent - 1 - place : place
      if (current !== standing(port.inner, iteration)) wrong ??= port.inner
      current = standing(port.next[bodyAt(region, iteration)] ?? '', iteration)
    }
    if (current !== standing(port.result, 0)) wrong ??= port.result
    yield unless(
      wrong === undefined,
      region.id,
      `\`${region.id}\` hands \`${wrong}\` shards that have moved otherwise than it says.`,
      'Let each iteration pass them on by as much as the next expects.',
    )
  }
}

/**
 * Whether every atom splits one dim of an operator, or two whose diagonal blocks alone are computed at once, in a loop
 * that brings each shard of one to each shard of the other.
 */
export function coversOnce(
  splits: Readonly<Record<string, readonly string[]>>,
  node: OperatorNode,
  place: Place,
  { tensors, mesh }: Program,
): boolean {
  const all = Object.values(splits).flat()
  const twice = all.filter((atom, index) => all.indexOf(atom) !== index)
  if (twice.length === 0) return true
  const rotation = [...node.inputs, ...node.outputs]
    .map((id) => lookup(tensors, id).rotation)
    .find((each) => each?.axis)
  const ring = place.path.find(({ region }) => region.axis === rotation?.axis)?.region
  return (
    ring?.extent === groupSize(mesh, twice) &&
    new Set(twice).size === twice.length &&
    twice.every((atom) => rotation?.atoms.includes(atom))
  )
}

/**
 * Rule 2, of layouts: a dim has one order of positions per axis, whatever name it goes by, and one that grows is shared in
 * turn, else its positions would belong to other ranks in each iteration.
 */
export function* checkLayouts(program: Program): ReturnType<Check> {
  const { layouts = [], items, tensors, mesh } = program
  for (const { id, dims, growth, placement } of tensors.values()) {
    const moving = placement?.shards[growth?.position ?? -1] ?? []
    const dim = dims[growth?.position ?? -1] ?? ''
    if (moving.length === 0) continue
    yield unless(
      moving.every((atom) => inTurn(program, dim, atom)),
      id,
      `\`${dim}\` of \`${id}\` grows, but its ranks hold consecutive runs of it.`,
      'Give it the layout `round-robin`.',
    )
  }
  if (layouts.length === 0) return
  const known = new Set<string>()
  const orderOf = new Map<string, string>()
  for (const { axis, dims, order } of layouts) {
    const atoms = mesh.axes.find(({ name }) => name === axis)?.atoms ?? []
    for (const dim of dims) {
      for (const atom of atoms) orderOf.set(`${dim} ${atom}`, order)
      const help = 'Give each axis and dim one layout for the whole program.'
      yield unless(!known.has(`${dim} ${axis}`), axis, `\`${dim}\` has two layouts over \`${axis}\`.`, help)
      known.add(`${dim} ${axis}`)
    }
  }
  for (const node of nodesOf(items)) {
    const rule = parseRule(node.rule)
    const ids = [...node.inputs, ...node.outputs]
    for (const [index, dims] of [...rule.operands, ...rule.results].entries()) {
      const { id, dims: own, placement } = lookup(tensors, ids[index] ?? '')
      const differs = dims.find((dim, position) =>
        placement?.shards[position]?.some(
          (atom) => orderOf.get(`${dim} ${atom}`) !== orderOf.get(`${own[position]} ${atom}`),
        ),
      )
      yield unless(
        differs === undefined,
        node.id,
        `\`${node.id}\` takes \`${differs}\` of \`${id}\` for another dim, whose positions are laid out otherwise.`,
        'Name both dims in the layout.',
      )
    }
  }
}
