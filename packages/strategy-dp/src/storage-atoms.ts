import { atomDegree, divisors, findAxis, type Mesh, nearestNumbers, ShardloomError } from '@shardloom/core'

/** The axes whose ranks work on different tokens with the same parameters, so that each can store a part of these. */
const tokenAxes = ['dp', 'cp', 'ulysses'] as const

/** Ranks that hold the same experts: where experts are divided otherwise than the rest, they may differ in tokens. */
const expertAxis = 'expertDp'

/** Atoms in mesh order: those over whose ranks training state is divided, and those over which such groups repeat. */
export interface StorageAtoms {
  readonly shard: readonly string[]
  /** The same for experts: also ranks that share a token elsewhere, but not inside of experts. */
  readonly expertShard: readonly string[]
  readonly replicate: readonly string[]
}

/**
 * The storage group of a mesh: the inner atoms of `dp`, and all that further divide tokens. Throws `INDIVISIBLE` when
 * `dpReplicate` groups cannot be made.
 */
export function storageAtoms(mesh: Mesh, dpReplicate: number): StorageAtoms {
  const axis = findAxis(mesh, 'dp')
  const replicate: string[] = []
  let left = dpReplicate
  for (const atom of axis?.atoms ?? []) {
    if (left <= 1) break
    left /= atomDegree(mesh, atom)
    replicate.push(atom)
  }
  if (left !== 1) replicasOf(axis?.degree ?? 1, dpReplicate)
  const all = tokenAxes.flatMap((name) => findAxis(mesh, name)?.atoms ?? [])
  const inOrder = (atoms: readonly string[]) =>
    mesh.atoms.flatMap(({ name }) => (atoms.includes(name) && !replicate.includes(name) ? [name] : []))
  const experts = findAxis(mesh, expertAxis)?.atoms ?? []
  return { shard: inOrder(all), expertShard: inOrder([...all, ...experts]), replicate }
}

/** The degrees into which `dp` is divided for hybrid sharding, replicas outermost. Throws `INDIVISIBLE`. */
export function replicasOf(degree: number, dpReplicate: number): [number, number] {
  if (degree % dpReplicate === 0) return [dpReplicate, degree / dpReplicate]
  const message = `Cannot make ${dpReplicate} replicas (\`dpReplicate\`) of axis \`dp\` (degree ${degree}): ${dpReplicate} does not divide ${degree}.`
  throw new ShardloomError('INDIVISIBLE', message, {
    subject: 'dp',
    help: `Use dpReplicate ${nearestNumbers(divisors(degree), dpReplicate)}.`,
  })
}
