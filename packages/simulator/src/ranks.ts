import {
  coordinateOf,
  coordinates,
  definitionOf,
  dimSizes,
  findAxis,
  groupSize,
  lookup,
  type Mesh,
  type OperatorTable,
  type Program,
  pipelineAtoms,
  rankAt,
  ShardloomError,
  walk,
} from '@shardloom/core'
import type { Machine } from './machine.js'
import { meterOf } from './meter.js'

/** The first rank of each coordinate of the pipeline. */
export function representatives(program: Program): number[] {
  const { mesh, pipeline } = program
  const axis = pipeline && findAxis(mesh, pipeline.axis)
  if (!axis) return [0]
  const found = new Map<number, number>()
  const coordinates = axis.atoms.reduce<ReadonlyMap<string, number>[]>(
    (list, atom) => {
      const degree = mesh.atoms.find(({ name }) => name === atom)?.degree ?? 1
      return list.flatMap((at) => Array.from({ length: degree }, (_, index) => new Map(at).set(atom, index)))
    },
    [new Map()],
  )
  for (const at of coordinates) {
    const rank = rankAt(mesh, at)
    found.set(coordinateOf(program, rank), rank)
  }
  return [...found].sort(([a], [b]) => a - b).map(([, rank]) => rank)
}

/**
 * The ranks whose work has to be run to know the step: the first rank of each stage; where work is uneven, the rank that has most of it,
 * or all ranks where each has other pairs; those that the machine slows down, and one of the others; and of these ranks all combinations
 * of coordinates, so that whoever waits for them is there. Throws `RANK` for a slowdown of a rank that the mesh lacks.
 */
export function ranksToRun(program: Program, operators: OperatorTable, machine: Machine): number[] {
  const { mesh } = program
  const usual = representatives(program)
  const slowed = slowRanks(machine)
  for (const rank of slowed) {
    if (Number.isInteger(rank) && rank >= 0 && rank < mesh.world) continue
    throw new ShardloomError('RANK', `A slowdown names rank ${rank}; the mesh has ranks 0 to ${mesh.world - 1}.`, {
      subject: `${rank}`,
      help: 'Give the number of a rank of the mesh.',
    })
  }
  const uneven = unevenWork(program, operators)
  if (slowed.length === 0 && uneven.size === 0) return usual
  const stages = pipelineAtoms(program)
  const wanted = new Map<string, Set<number>>(mesh.atoms.map(({ name }) => [name, new Set([0])]))
  const slow = slowCoordinates(mesh, slowed)
  for (const [atom, indices] of slow)
    wanted.set(
      atom,
      new Set([
        ...indices,
        ...all(mesh, atom)
          .filter((index) => !indices.has(index))
          .slice(0, 1),
      ]),
    )
  for (const [atom, isPaired] of uneven)
    for (const index of isPaired ? all(mesh, atom) : [busiest(program, operators, atom)]) wanted.get(atom)?.add(index)
  // A hop of a ring comes from the rank before, whatever that is like.
  walk(program.items, ({ communication }) => {
    if (communication?.shift === undefined) return
    for (const atom of communication.atoms) all(mesh, atom).forEach((index) => wanted.get(atom)?.add(index))
  })
  for (const atom of stages) wanted.set(atom, new Set(all(mesh, atom)))
  let ranks: ReadonlyMap<string, number>[] = [new Map()]
  for (const { name } of mesh.atoms)
    ranks = ranks.flatMap((at) => [...(wanted.get(name) ?? [0])].map((index) => new Map(at).set(name, index)))
  return ranks.map((at) => rankAt(mesh, at)).sort((a, b) => a - b)
}

/**
 * For how many ranks of the mesh each of the ranks that were run stands: along each atom the first whose coordinate no slow rank has
 * stands for all that were not run.
 */
export function ranksStoodFor({ mesh, engine }: Machine, ranks: readonly number[]): number[] {
  const slow = slowCoordinates(mesh, slowRanks({ engine }))
  const counts = mesh.atoms.map(({ name }) => {
    const run = [...new Set(ranks.map((rank) => coordinates(mesh, rank).get(name) ?? 0))].sort((a, b) => a - b)
    const others = run.find((index) => !slow.get(name)?.has(index)) ?? run[0]
    return { name, others, count: groupSize(mesh, [name]) - run.length + 1 }
  })
  return ranks.map((rank) => {
    const at = coordinates(mesh, rank)
    return counts.reduce((all, { name, others, count }) => (at.get(name) === others ? all * count : all), 1)
  })
}

/** The ranks that a machine slows down. */
function slowRanks({ engine }: Pick<Machine, 'engine'>): number[] {
  return Object.entries(engine.slowdown).flatMap(([rank, factor]) => (factor === 1 ? [] : [Number(rank)]))
}

/** Along each atom the coordinates that some slow rank has. */
function slowCoordinates(mesh: Mesh, slowed: readonly number[]): ReadonlyMap<string, ReadonlySet<number>> {
  const found = new Map(mesh.atoms.map(({ name }) => [name, new Set<number>()]))
  for (const rank of slowed) for (const [atom, index] of coordinates(mesh, rank)) found.get(atom)?.add(index)
  return found
}

const all = (mesh: Mesh, atom: string) => Array.from({ length: groupSize(mesh, [atom]) }, (_, index) => index)

/**
 * The atoms along which ranks have different work: they split a dim that is filled unevenly or does not divide, or one of two of which
 * pairs count, unless the order of positions evens that out.
 */
export function unevenAtoms(program: Program, operators: OperatorTable): string[] {
  return [...unevenWork(program, operators).keys()]
}

/** The same, each with whether it splits one of two dims of which pairs count: then each of its ranks has another number of them. */
function unevenWork(program: Program, operators: OperatorTable): ReadonlyMap<string, boolean> {
  const { mesh, loads = {}, layouts = [], tensors } = program
  const found = new Map<string, boolean>()
  const evenedOut = (atom: string, dim: string) =>
    layouts.some(({ axis, dims }) => dims.includes(dim) && findAxis(mesh, axis)?.atoms.includes(atom))
  const stages = pipelineAtoms(program)
  walk(program.items, (node) => {
    if (node.kind === 'communication') return
    const splits = Object.entries(node.partition?.splits ?? {})
    if (splits.every(([, atoms]) => atoms.length === 0)) return
    const pairs = definitionOf(node, operators).pairs?.(node)
    let sizes: ReadonlyMap<string, number> | undefined
    for (const [dim, atoms] of splits) {
      if (atoms.length === 0) continue
      sizes ??= dimSizes(node, (id) => lookup(tensors, id))
      const isRagged = program.uneven === 'ragged' && (sizes.get(dim) ?? 1) % groupSize(mesh, atoms) !== 0
      for (const atom of atoms) {
        const isPaired = pairs?.dims.includes(dim) === true && !evenedOut(atom, dim)
        if ((isRagged || isPaired || dim in loads) && !stages.includes(atom))
          found.set(atom, isPaired || found.get(atom) === true)
      }
    }
  })
  return found
}

/** The coordinate along an atom whose rank computes most, of equal ones the first. */
function busiest(program: Program, operators: OperatorTable, atom: string): number {
  const { mesh } = program
  const work = all(mesh, atom).map((index) => {
    const rank = rankAt(mesh, new Map(mesh.atoms.map(({ name }) => [name, name === atom ? index : 0])))
    const meter = meterOf(program, operators, rank)
    let sum = 0n
    walk(program.items, (node, place) => {
      if (node.kind !== 'communication') sum += meter.total(node, place).flops
    })
    return sum
  })
  return work.reduce((most, each, index) => (each > (work[most] ?? 0n) ? index : most), 0)
}
