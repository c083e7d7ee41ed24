import {
  atomDegree,
  coordinateOf,
  coordinates,
  groupOf,
  groupSize,
  type OperatorNode,
  type Program,
  pipelineAtoms,
  runsAt,
  walk,
} from '@shardloom/core'

/** The communicators of a program: which ranks take part in a collective, and the number that all of them know it by. */
export interface Groups {
  /** The number of the group in which a rank runs a node, in an iteration of the axis that a pipeline divides. */
  readonly idOf: (node: OperatorNode, rank: number, iteration: number | undefined) => number
  /** Every group with its number, ascending from 1. */
  readonly all: () => Generator<readonly [id: number, ranks: readonly number[]], void, undefined>
}

/** Groups over the same atoms, with the same places of the pipeline. */
interface Family {
  readonly atoms: readonly string[]
  /** Places of the pipeline that take part; undefined: all along the atoms. */
  readonly places: readonly number[] | undefined
  readonly base: number
  readonly count: number
}

/** Numbers the groups of a program; the numbers do not depend on which ranks are written. Linear in the rolled program. */
export function groupsOf(program: Program): Groups {
  const { mesh, pipeline } = program
  const stages = pipelineAtoms(program)
  const families = new Map<string, Family>()
  let base = 1
  const familyOf = (node: OperatorNode, iteration: number | undefined): Family => {
    const { atoms = [] } = node.communication ?? {}
    const crosses = pipeline !== undefined && atoms.some((atom) => stages.includes(atom))
    const places = crosses ? runsAt(pipeline, node, iteration) : undefined
    const key = `${atoms.join(' ')}|${places?.join(' ') ?? ''}`
    const known = families.get(key)
    if (known) return known
    const count = mesh.world / groupSize(mesh, atoms)
    const family = { atoms, places, base, count }
    base += count
    families.set(key, family)
    return family
  }
  walk(program.items, (node, { path }) => {
    if (!node.communication || node.op === 'send' || node.op === 'recv') return
    const around = path.find(({ region }) => region.axis === pipeline?.over)
    const crosses = node.communication.atoms.some((atom) => stages.includes(atom))
    const iterations = around && crosses ? Array.from({ length: around.region.extent }, (_, i) => i) : [undefined]
    for (const iteration of iterations) familyOf(node, iteration)
  })
  /** The place of a rank's group among those of a family: its coordinates on all other atoms. */
  const placeOf = (atoms: readonly string[], rank: number) => {
    const at = coordinates(mesh, rank)
    return mesh.atoms.reduce(
      (place, { name, degree }) => (atoms.includes(name) ? place : place * degree + (at.get(name) ?? 0)),
      0,
    )
  }
  return {
    idOf(node, rank, iteration) {
      const family = familyOf(node, iteration)
      return family.base + placeOf(family.atoms, rank)
    },
    *all() {
      for (const { atoms, places, base, count } of families.values()) {
        for (let place = 0; place < count; place++) {
          let rest = place
          const others = [...mesh.atoms].reverse().filter(({ name }) => !atoms.includes(name))
          const at = new Map<string, number>()
          for (const { name } of others) {
            at.set(name, rest % atomDegree(mesh, name))
            rest = Math.floor(rest / atomDegree(mesh, name))
          }
          const first = mesh.atoms.reduce((rank, { name, degree }) => rank * degree + (at.get(name) ?? 0), 0)
          const ranks = groupOf(mesh, first, atoms)
          yield [base + place, places ? ranks.filter((rank) => places.includes(coordinateOf(program, rank))) : ranks]
        }
      }
    },
  }
}
