import { divisors, findAxis, groupSize, type Mesh } from '@shardloom/core'
import type { PlannedSpec } from './sequence.js'
import type { Degree } from './shrink-sizes.js'

/** The degrees of a small mesh. */
export interface SmallDegrees {
  readonly parallel: PlannedSpec['parallel']
  /** Each degree that became another: of axes, of their parts, and the number of ranks last. */
  readonly pairs: readonly Degree[]
}

/**
 * Shrinks a mesh to few ranks. Every atom keeps its place and has its degree divided by the smallest prime, so that axes
 * that divide the same ranks differently go on to nest as they did: those of the batch axis first and down to two or three
 * replicas, which are alike.
 */
export function shrinkDegrees({ parallel, options }: PlannedSpec, mesh: Mesh, ranks: number): SmallDegrees {
  const degrees = new Map(mesh.atoms.map(({ name, degree }) => [name, degree]))
  const product = (atoms: Iterable<string>) => [...atoms].reduce((all, atom) => all * (degrees.get(atom) ?? 1), 1)
  const batch = ['replicas', 'dp'].flatMap((name) => findAxis(mesh, name)?.atoms ?? [])
  const others = [...degrees.keys()].filter((atom) => !batch.includes(atom))
  for (const atom of [...batch, ...others]) {
    const limit = batch.includes(atom) ? Math.min(16, ranks) : ranks
    for (let degree = product([atom]); degree > 3 && product(degrees.keys()) > limit; degree = product([atom])) {
      const factor = divisors(degree)[1] ?? degree
      degrees.set(atom, factor === degree ? 3 : degree / factor)
    }
  }
  // What the ranks of a pipeline divide is layers, not dims: no size has to fit them.
  const splitting = [...degrees.keys()].filter((atom) => !findAxis(mesh, 'pp')?.atoms.includes(atom))
  // What some strategies split may be stored in shards of that.
  const both = options.zero ? subsets(splitting).filter((atoms) => atoms.length > 1) : []
  const all = [...mesh.axes.map(({ atoms }) => atoms), ...mesh.atoms.map(({ name }) => [name]), ...both]
  const groups = all.filter((atoms) => atoms.every((atom) => splitting.includes(atom)))
  const pairs = groups.map((atoms) => ({ from: groupSize(mesh, atoms), to: product(atoms) }))
  const known = mesh.axes.filter(({ name }) => Object.hasOwn(parallel, name))
  const replicas = (findAxis(mesh, 'dp')?.atoms ?? []).filter(
    (_, index, atoms) => groupSize(mesh, atoms.slice(0, index)) < parallel.dpReplicate,
  )
  return {
    parallel: {
      ...parallel,
      ...Object.fromEntries(known.map(({ name, atoms }) => [name, product(atoms)])),
      dpReplicate: product(replicas),
    },
    pairs: [...pairs.filter(({ from }) => from > 1), { from: groupSize(mesh, splitting), to: product(splitting) }],
  }
}

/** Every choice of some names, in their order. */
function subsets([first, ...rest]: readonly string[]): string[][] {
  if (first === undefined) return [[]]
  const without = subsets(rest)
  return [...without, ...without.map((some) => [first, ...some])]
}
