import { ShardloomError } from './error.js'

/** A named dimension of the device mesh; `degree` is its size. */
export interface Axis {
  readonly name: string
  readonly degree: number
  /**
   * Degrees, major first, into which this axis is divided so that its parts can split different dims; their product is
   * `degree`. Default: undivided.
   */
  readonly factors?: readonly number[]
}

/** A factor of the mesh. All atoms together, major first, count the ranks: the last one varies fastest. */
export interface Atom {
  readonly name: string
  readonly degree: number
}

/**
 * The device mesh: every rank is a coordinate on every atom, and every axis an ordered list of atoms, so that two
 * factorisations of the same ranks meet in one set of groups.
 */
export interface Mesh {
  /** Number of ranks. */
  readonly world: number
  /** Major first; degree-1 atoms do not exist. */
  readonly atoms: readonly Atom[]
  /** Axis name → its degree and atoms (none when the degree is 1), in the order given. */
  readonly axes: readonly { readonly name: string; readonly degree: number; readonly atoms: readonly string[] }[]
}

/** The most ranks that a mesh may have. */
export const maximumWorld = 2 ** 31

/**
 * Makes a mesh. Each factorisation lists axes major first (the last varies fastest over ranks); further ones re-factor the
 * innermost ranks of the first, as many as their degrees multiply to. The cumulative products of all must form a
 * divisibility chain, else `MESH_FACTORS`.
 */
export function createMesh(...factorisations: readonly (readonly Axis[])[]): Mesh {
  const [first = [], ...others] = factorisations
  const names = new Set<string>()
  const pieces = factorisations.map((axes) =>
    axes.flatMap((axis) => {
      checkAxis(axis, names)
      return (axis.factors ?? [axis.degree]).filter((d) => d > 1).map((degree) => ({ axis: axis.name, degree }))
    }),
  )
  const product = (axes: readonly Axis[]) => axes.reduce((total, axis) => total * axis.degree, 1)
  const world = product(first)
  if (world > maximumWorld) {
    const help = `A mesh has at most ${maximumWorld} ranks.`
    throw new ShardloomError('MESH_SIZE', `The degrees multiply to ${world} ranks, which is too many.`, { help })
  }
  for (const axes of others) {
    if (world % product(axes) === 0) continue
    const text = axes.map((axis) => `${axis.name} ${axis.degree}`).join(' · ')
    throw new ShardloomError('MESH_FACTORS', `${text} is ${product(axes)} ranks, but the mesh has ${world}.`, {
      help: 'Choose degrees whose product is the same for both, or divides it.',
    })
  }
  // Cumulative products, counted from the fastest rank upwards: the atoms are their common refinement.
  const marks = new Set([1, world])
  for (const list of pieces) {
    let below = 1
    for (const piece of [...list].reverse()) marks.add((below *= piece.degree))
  }
  const chain = [...marks].sort((a, b) => a - b)
  chain.forEach((mark, index) => {
    const next = chain[index + 1]
    if (next === undefined || next % mark === 0) return
    const help = `Choose degrees such that ${mark} divides ${next}, or place the axes in another order.`
    throw new ShardloomError(
      'MESH_FACTORS',
      `The axes divide the ranks at ${mark} and at ${next}, which do not nest.`,
      { help },
    )
  })
  const owner = (low: number, list: readonly { axis: string; degree: number }[] = []) => {
    let below = 1
    for (const piece of [...list].reverse()) {
      if (low >= below && low < below * piece.degree) return piece.axis
      below *= piece.degree
    }
    return undefined
  }
  const spans = chain
    .slice(0, -1)
    .map((low, index) => ({ low, degree: (chain[index + 1] ?? low) / low }))
    .reverse()
  const counts = new Map<string, number>()
  const named = spans.map(({ low, degree }) => {
    const axis = owner(low, pieces[0]) ?? ''
    const total = spans.filter((span) => owner(span.low, pieces[0]) === axis).length
    const index = counts.get(axis) ?? 0
    counts.set(axis, index + 1)
    return { name: total > 1 ? `${axis}.${index}` : axis, degree, low }
  })
  const axes = factorisations.flatMap((list, which) =>
    list.map((axis) => ({
      name: axis.name,
      degree: axis.degree,
      atoms: named.filter((atom) => owner(atom.low, pieces[which]) === axis.name).map((atom) => atom.name),
    })),
  )
  return { world, atoms: named.map(({ name, degree }) => ({ name, degree })), axes }
}

function checkAxis(axis: Axis, names: Set<string>): void {
  if (names.has(axis.name)) {
    const help = 'Give each axis one name.'
    throw new ShardloomError('AXIS_TWICE', `The axis \`${axis.name}\` is given twice.`, { help, subject: axis.name })
  }
  names.add(axis.name)
  if (!/^[A-Za-z][\w-]*$/.test(axis.name) || axis.name in Object.prototype) {
    const help = 'Use letters, digits, `-` and `_`, a letter first.'
    throw new ShardloomError('AXIS_NAME', `\`${axis.name}\` is no name for an axis.`, { help, subject: axis.name })
  }
  const factors = axis.factors ?? [axis.degree]
  if (![axis.degree, ...factors].every((n) => Number.isSafeInteger(n) && n >= 1)) {
    throw new ShardloomError('DEGREE', `The degree of axis \`${axis.name}\` is ${axis.degree}.`, {
      help: 'A degree is a whole number of at least 1.',
      subject: axis.name,
    })
  }
  if (factors.reduce((a, b) => a * b, 1) !== axis.degree) {
    throw new ShardloomError(
      'MESH_FACTORS',
      `${factors} do not multiply to ${axis.degree}, the degree of \`${axis.name}\`.`,
    )
  }
}

/** The axis of that name, or undefined. */
export function findAxis(mesh: Mesh, name: string): Mesh['axes'][number] | undefined {
  return mesh.axes.find((axis) => axis.name === name)
}

/** The degree of an atom. Throws when the mesh has none of that name. */
export function atomDegree(mesh: Mesh, atom: string): number {
  for (const each of mesh.atoms) if (each.name === atom) return each.degree
  throw new ShardloomError('UNKNOWN_ATOM', `The mesh has no atom \`${atom}\`.`, { subject: atom })
}

/** The product of the degrees of `atoms`: the size of a group over them. */
export function groupSize(mesh: Mesh, atoms: readonly string[]): number {
  return atoms.reduce((size, atom) => size * atomDegree(mesh, atom), 1)
}

/** The coordinate of `rank` on each atom, in mesh order. */
export function coordinates(mesh: Mesh, rank: number): ReadonlyMap<string, number> {
  if (!Number.isSafeInteger(rank) || rank < 0 || rank >= mesh.world) {
    throw new ShardloomError('RANK', `There is no rank ${rank}: the mesh has ${mesh.world}.`, {
      help: `Use 0 to ${mesh.world - 1}.`,
    })
  }
  let rest = rank
  const found = [...mesh.atoms].reverse().map((atom): [string, number] => {
    const coordinate = rest % atom.degree
    rest = Math.floor(rest / atom.degree)
    return [atom.name, coordinate]
  })
  return new Map(found.reverse())
}

/** The rank at the given coordinates; an atom that is left out counts as 0. */
export function rankAt(mesh: Mesh, at: ReadonlyMap<string, number>): number {
  return mesh.atoms.reduce((rank, atom) => rank * atom.degree + (at.get(atom.name) ?? 0), 0)
}

/** The ranks, ascending, that differ from `rank` only on `atoms`: the group that it communicates with over them. */
export function groupOf(mesh: Mesh, rank: number, atoms: readonly string[]): number[] {
  let members = [coordinates(mesh, rank)]
  for (const atom of atoms) {
    const degree = atomDegree(mesh, atom)
    members = members.flatMap((at) => Array.from({ length: degree }, (_, index) => new Map(at).set(atom, index)))
  }
  return members.map((at) => rankAt(mesh, at)).sort((a, b) => a - b)
}

/** The rank that stands `shift` further along `atoms`, counted around; the atoms count major first. */
export function neighbour(mesh: Mesh, rank: number, atoms: readonly string[], shift: number): number {
  const at = new Map(coordinates(mesh, rank))
  const size = groupSize(mesh, atoms)
  const place = atoms.reduce((sum, atom) => sum * atomDegree(mesh, atom) + (at.get(atom) ?? 0), 0)
  let rest = (((place + shift) % size) + size) % size
  for (const atom of [...atoms].reverse()) {
    at.set(atom, rest % atomDegree(mesh, atom))
    rest = Math.floor(rest / atomDegree(mesh, atom))
  }
  return rankAt(mesh, at)
}

/**
 * The axes, by name, whose atoms make up `atoms`; an atom of a divided axis stands under its own name. Of axes over the same
 * ranks the first is named, or the one among `asked`, the strategies behind a split, that stands last in the mesh.
 */
export function axesOf(mesh: Mesh, atoms: readonly string[], asked: readonly string[] = []): string[] {
  const exact = mesh.axes.findLast(
    (axis) =>
      asked.includes(axis.name) &&
      axis.atoms.length === atoms.length &&
      axis.atoms.every((atom) => atoms.includes(atom)),
  )
  if (exact) return [exact.name]
  const rest = new Set(atoms)
  const names: string[] = []
  for (const axis of mesh.axes) {
    if (!axis.atoms.length || !axis.atoms.every((atom) => rest.has(atom))) continue
    for (const atom of axis.atoms) rest.delete(atom)
    names.push(axis.name)
  }
  return [...names, ...atoms.filter((atom) => rest.has(atom))]
}

/** How many elements of `size` each of `degree` shares gets: the first `size mod degree` shares get one more. */
export function shareOf(size: number, degree: number, index: number): number {
  return Math.floor(size / degree) + (index < size % degree ? 1 : 0)
}

/** Euclid's algorithm. */
export const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b))

/** The whole numbers up to `size` that divide it, ascending. O(√size). */
export function divisors(size: number): number[] {
  const low: number[] = []
  const high: number[] = []
  for (let n = 1; n * n <= size; n++) {
    if (size % n) continue
    low.push(n)
    if (n * n < size) high.unshift(size / n)
  }
  return [...low, ...high]
}
