import { findAxis, greatestCommonDivisor, type Mesh, type Placement, type Program } from '@shardloom/core'
import type { PlannedSpec } from '../sequence.js'

/** What planning has asked of sizes: specs of one structure are planned alike where the answers are the same. */
export interface Asked {
  /** Dim → the atoms along which strategies want it split, somewhere. */
  readonly claims: ReadonlyMap<string, ReadonlySet<string>>
  /** Two ways to divide a tensor that is there in both: the smaller one is kept, and read. */
  readonly races: ReadonlyMap<string, Race>
}

type Race = readonly [readonly string[], readonly string[]]

/** What was asked to plan a program and, where there are, others. */
export function askedBy({ preferences, mesh, tensors }: Program, others?: Asked): Asked {
  const claims = new Map(others?.claims)
  for (const { dims, axis, atoms = findAxis(mesh, axis)?.atoms ?? [] } of preferences)
    for (const dim of dims) claims.set(dim, new Set([...(claims.get(dim) ?? []), ...atoms]))
  const versions = new Map<string, Set<string>>()
  for (const { versionOf, placement } of tensors.values()) {
    if (versionOf === undefined) continue
    const own = versions.get(versionOf) ?? new Set([waysText(tensors.get(versionOf)?.placement)])
    versions.set(versionOf, own.add(waysText(placement)))
  }
  const races = new Map(others?.races)
  for (const ways of versions.values())
    for (const one of ways)
      for (const other of ways) {
        const [a, b] = [one, other].map((each) => each.split(',')) as [string[], string[]]
        const [own, beside] = [a.filter((atom) => !b.includes(atom)), b.filter((atom) => !a.includes(atom))]
        // Where one is a part of the other that is the smaller one in any sizes.
        if (one < other && own.some(Boolean) && beside.some(Boolean)) races.set(`${own} ${beside}`, [own, beside])
      }
  return { claims, races }
}

const waysText = (placement: Placement | undefined) => (placement?.shards.flat() ?? []).sort().join()

/** What of a spec decides how it is planned, sizes aside. */
export function structureOf({ options, order, parallel }: PlannedSpec, mesh: Mesh): string {
  const names = mesh.axes.map(({ name, atoms }) => `${name}:${atoms}`)
  // Atoms of as many ranks that number copies are named as those that share.
  const sharing = options.zero > 0 && sharingAtoms(mesh, parallel.dpReplicate)
  const all = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([mesh.atoms.map(({ name }) => name), names, all, order, sharing])
}

/** What planning decides by sizes: specs of one structure are planned alike if it is the same. */
export class SizeDecisions {
  constructor(
    /** Dim → all sizes that it has in a model. */
    private readonly sizes: ReadonlyMap<string, readonly number[]>,
    /** Whether strategies may claim what they do not say, as those of plugins may. */
    private readonly isOpen: boolean,
  ) {}

  /** The answers to all that was asked; without that, whether any ranks can divide any dim, by which something is refused. */
  textOf(spec: PlannedSpec, mesh: Mesh, asked?: Asked): string {
    const isClaimed = (dim: string, atom: string) => !asked || this.isOpen || asked.claims.get(dim)?.has(atom) === true
    // Where shares may differ it also matters who divides what evenly.
    const isEven = asked && !this.isOpen && spec.options.uneven !== 'ragged'
    const heads = isEven ? headsTaken(this.sizes.get('kv_heads') ?? [], mesh) : undefined
    return `${this.divides(spec, mesh, isClaimed, heads)} ${racesText(mesh, asked)}`
  }

  /**
   * Which sizes ranks can divide that claim their dims, in the order in which they are asked: of each what is left by those before, as far as
   * they divide it.
   */
  private divides(
    { phase, batch, options }: PlannedSpec,
    mesh: Mesh,
    isClaimed: IsClaimed,
    heads: ReadonlySet<string> | undefined,
  ): string {
    const isRagged = options.uneven === 'ragged'
    // Data-parallel ranks divide the batch, and what is stored.
    const dividing = new Set(mesh.axes.flatMap(({ name, atoms }) => (name === 'dp' ? [] : atoms)))
    const divides = (sizes: readonly number[], isAsked: (atom: string) => boolean) => {
      const atoms = mesh.atoms.filter(({ name }) => dividing.has(name) && isAsked(name))
      return sizes.map((size) => {
        let text = ''
        const taken = [{ ranks: 1, by: 0 }]
        for (const { degree } of atoms)
          for (const { ranks, by } of [...taken]) {
            const left = Math.ceil(size / ranks)
            const isDivided = left > 1 && (isRagged || left % degree === 0)
            // What is one alone nobody splits further.
            text += left === 1 ? 1 : left % degree === 0 ? 2 : 0
            if (isDivided) taken.push({ ranks: ranks * degree, by: by + 1 })
          }
        // What forward has split comes first in backward, so that any but all of them may be before one that is asked for.
        const before = taken.filter(({ by }) => by < atoms.length || isRagged)
        return text + before.map(({ ranks }) => (size > ranks ? 2 : 1)).join('')
      })
    }
    const all = Array.from(this.sizes, ([dim, sizes]) => {
      if (heads && dim === 'kv_heads') return [...heads].join()
      const isLeft = (atom: string) => !(heads && inHeads.includes(dim) && heads.has(atom))
      return divides(sizes, (atom) => isClaimed(dim, atom) && isLeft(atom)).join()
    })
    // With one position of each sequence it is the sequences that ranks of experts have to divide.
    return [...all, phase === 'decode' ? divides([batch], () => true).join() : ''].join(' ')
  }
}

/** Whether strategies want a dim split along an atom. */
type IsClaimed = (dim: string, atom: string) => boolean

/** What is in a head is split by ranks that cannot split the heads themselves. */
const inHeads: readonly string[] = ['group', 'head_dim']

/** The atoms that split heads of keys and values: those of `tp` before those of `ulysses`, each as far as it divides what is left. */
function headsTaken(sizes: readonly number[], mesh: Mesh): ReadonlySet<string> {
  let left = sizes.reduce((common, size) => greatestCommonDivisor(common, size), 0) || 1
  const taken = new Set<string>()
  for (const name of ['tp', 'ulysses'].flatMap((axis) => findAxis(mesh, axis)?.atoms ?? [])) {
    const degree = mesh.atoms.find((atom) => atom.name === name)?.degree ?? 1
    if (left % degree > 0) continue
    left /= degree
    taken.add(name)
  }
  return taken
}

/** Which of two ways to divide a tensor divides it more. */
function racesText({ atoms }: Mesh, asked: Asked | undefined): string {
  if (!asked) return ''
  const degrees = new Map(atoms.map(({ name, degree }) => [name, degree]))
  const size = (own: readonly string[]) => own.reduce((all, name) => all * (degrees.get(name) ?? 1), 1)
  return Array.from(asked.races.values(), ([a, b]) => Math.sign(size(a) - size(b))).join()
}

/** A parameter as ranks that do not share it divide it: the atoms of each dim. */
export interface Divided {
  readonly shape: readonly number[]
  readonly atoms: readonly (readonly string[])[]
}

/** How the parameters of a program are divided by those that do not share them, each way once. */
export function dividedBy({ tensors, mesh }: Program, replicate: number): Divided[] {
  const { sharing, sharingExperts } = sharersOf(mesh, replicate)
  const found = new Map<string, Divided>()
  for (const { role, versionOf, dims, shape, placement } of tensors.values()) {
    if (role !== 'parameter' || versionOf !== undefined) continue
    // What ranks of experts divide of these they do not share.
    const sharers = dims.includes('experts') ? sharingExperts : sharing
    const atoms = shape.map((_, at) => (placement?.shards[at] ?? []).filter((atom) => !sharers.has(atom)))
    found.set(JSON.stringify([shape, atoms]), { shape, atoms })
  }
  return [...found.values()]
}

/**
 * How parameters are divided over the ranks that share them: along the first dim that all of them divide of what others have left, else
 * along the longest. Of each parameter the place of that dim, per number of ranks.
 */
export function sharesText(parameters: readonly Divided[], mesh: Mesh, replicate: number): string {
  const degrees = new Map(mesh.atoms.map(({ name, degree }) => [name, degree]))
  const ranksOf = (atoms: Iterable<string>) => [...atoms].reduce((all, name) => all * (degrees.get(name) ?? 1), 1)
  const { sharing, sharingExperts } = sharersOf(mesh, replicate)
  const places = [...new Set([ranksOf(sharing), ranksOf(sharingExperts)])].flatMap((ranks) =>
    parameters.map(({ shape, atoms }) => {
      const left = shape.map((size, at) => Math.ceil(size / ranksOf(atoms[at] ?? [])))
      const whole = left.findIndex((size) => size > 1 && size % ranks === 0)
      return whole >= 0 ? whole : `-${left.indexOf(Math.max(...left))}`
    }),
  )
  return places.join(' ')
}

/** The atoms over whose ranks parameters are shared, and those of experts. */
function sharersOf(mesh: Mesh, replicate: number): Readonly<Record<'sharing' | 'sharingExperts', ReadonlySet<string>>> {
  const atomsOf = (...names: string[]) => names.flatMap((name) => findAxis(mesh, name)?.atoms ?? [])
  const sharing = sharingAtoms(mesh, replicate)
  const ofExperts = atomsOf('ep', 'expertTp')
  const replicas = replicaAtoms(mesh, replicate)
  const all = [...sharing, ...atomsOf('expertDp')]
  const sharingExperts = all.filter((name) => !ofExperts.includes(name) && !replicas.has(name))
  return { sharing: new Set(sharing), sharingExperts: new Set(sharingExperts) }
}

/** The atoms over whose ranks parameters are shared that are not of experts. */
export function sharingAtoms(mesh: Mesh, replicate: number): string[] {
  const replicas = replicaAtoms(mesh, replicate)
  return ['dp', 'cp', 'ulysses']
    .flatMap((name) => findAxis(mesh, name)?.atoms ?? [])
    .filter((name) => !replicas.has(name))
}

/** The atoms that number the copies of what is shared, of experts too: the first ones of dp. */
function replicaAtoms(mesh: Mesh, replicate: number): ReadonlySet<string> {
  const replicas = new Set<string>()
  let left = replicate
  for (const name of findAxis(mesh, 'dp')?.atoms ?? []) {
    if (left <= 1) break
    left /= mesh.atoms.find((atom) => atom.name === name)?.degree ?? 1
    replicas.add(name)
  }
  return replicas
}
