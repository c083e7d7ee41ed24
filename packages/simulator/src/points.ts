import { atomDegree, findAxis, type Mesh, type Program, type Run, shareOf, zigzagRuns } from '@shardloom/core'

/** The sizes of dims on one rank. */
export interface LocalDims {
  /** Points of a dim on this rank. */
  own(dim: string): number
  /** The atoms that split a dim. */
  atoms(dim: string): readonly string[]
}

/** The first of `size` positions that a rank has where `atoms` split them, and the first after its own. */
export function rangeOf(
  size: number,
  atoms: readonly string[],
  mesh: Mesh,
  at: ReadonlyMap<string, number>,
): readonly [start: number, end: number] {
  let [start, length] = [0, size]
  for (const atom of atoms) {
    const degree = atomDegree(mesh, atom)
    const own = at.get(atom) ?? 0
    for (let before = 0; before < own; before++) start += shareOf(length, degree, before)
    length = shareOf(length, degree, own)
  }
  return [start, start + length]
}

/**
 * The positions of a dim of `size` that a rank has where `atoms` split it, as runs in the order in which it holds them;
 * undefined where they are dealt out one by one. `layouts` are those of the program.
 */
export function runsOf(
  { mesh, layouts = [] }: Pick<Program, 'mesh' | 'layouts'>,
  dim: string,
  size: number,
  atoms: readonly string[],
  at: ReadonlyMap<string, number>,
): readonly Run[] | undefined {
  let runs: readonly Run[] = [[0, size]]
  for (const atom of atoms) {
    const [degree, index] = [atomDegree(mesh, atom), at.get(atom) ?? 0]
    const isLaidOut = ({ axis, dims }: NonNullable<Program['layouts']>[number]) =>
      dims.includes(dim) && findAxis(mesh, axis)?.atoms.includes(atom)
    const order = layouts.find(isLaidOut)?.order
    if (order === 'round-robin') return undefined
    const length = lengthOf(runs)
    const places = order === 'zigzag' ? zigzagRuns(length, degree, index) : [rangeOf(length, [atom], mesh, at)]
    const before = runs
    runs = places.flatMap((place) => cut(before, place))
  }
  return runs
}

/** How many positions there are in runs. */
export function lengthOf(runs: readonly Run[]): number {
  return runs.reduce((sum, [start, end]) => sum + end - start, 0)
}

/** The positions at some places of runs that follow each other. */
function cut(runs: readonly Run[], [first, last]: Run): Run[] {
  let passed = 0
  return runs.flatMap(([start, end]): Run[] => {
    const from = start + Math.max(0, first - passed)
    const to = start + Math.min(end - start, last - passed)
    passed += end - start
    return from < to ? [[from, to]] : []
  })
}

/** Counts points of boxes on one rank. */
export class Counter {
  private readonly sums: ReadonlyMap<string, readonly bigint[]>

  constructor(
    private readonly program: Pick<Program, 'mesh' | 'loads'>,
    private readonly at: ReadonlyMap<string, number>,
  ) {
    this.sums = new Map(Object.entries(program.loads ?? {}).map(([dim, list]) => [dim, cumulative(list)]))
  }

  /**
   * The points that exist, as a fraction `[points, of]`, `each` of them counted so often. Without loads they are `density` of all (default: all
   * exist). With loads along one of the dims, each position gets its share of them by cumulative rounding, so that the ranks along it hold
   * together what there is, to the unit.
   */
  count(
    dims: readonly string[],
    sizes: LocalDims,
    density: readonly [number, number] | undefined,
    each = 1,
  ): readonly [points: bigint, of: bigint] {
    if (!density) return [productOf(each, dims, sizes), 1n]
    const [share, whole] = density
    const loaded = dims.find((dim) => this.sums.has(dim))
    const sum = loaded === undefined ? undefined : this.sums.get(loaded)
    if (loaded === undefined || !sum) return [productOf(each * share, dims, sizes), BigInt(whole)]
    const others = dims.filter((dim) => dim !== loaded)
    const positions = sum.length - 1
    const all = productOf(share, others, sizes) * BigInt(positions)
    const until = (position: number) => (all * (sum[position] ?? 0n)) / (BigInt(whole) * (sum[positions] ?? 1n))
    const [start, end] = rangeOf(positions, sizes.atoms(loaded), this.program.mesh, this.at)
    return [(until(end) - until(start)) * BigInt(each), 1n]
  }
}

/** A whole number times the sizes of dims, exact however large. */
function productOf(times: number, dims: readonly string[], sizes: LocalDims): bigint {
  let product = times
  for (const dim of dims) product *= sizes.own(dim)
  // Whole numbers that a number holds exactly are multiplied a good deal faster.
  return Number.isSafeInteger(product)
    ? BigInt(product)
    : dims.reduce((all, dim) => all * BigInt(sizes.own(dim)), BigInt(times))
}

/**
 * How uneven loads are among the ranks that split a dim over `atoms`: the greatest load of one over the mean of all, so
 * that 1 is even. Undefined where the dim is filled evenly.
 */
export function imbalance({ mesh, loads }: Program, dim: string, atoms: readonly string[]): number | undefined {
  const list = loads?.[dim]
  if (!list) return undefined
  let shards = [list]
  for (const atom of atoms) {
    const degree = atomDegree(mesh, atom)
    shards = shards.flatMap((shard) => {
      const own = (index: number) => rangeOf(shard.length, [atom], mesh, new Map([[atom, index]]))
      return Array.from({ length: degree }, (_, index) => shard.slice(...own(index)))
    })
  }
  const sums = shards.map((shard) => shard.reduce((sum, load) => sum + load, 0))
  return (sums.reduce((most, sum) => Math.max(most, sum), 0) * sums.length) / sums.reduce((sum, load) => sum + load, 0)
}

function cumulative(list: readonly number[]): bigint[] {
  let sum = 0n
  return [0n, ...list.map((each) => (sum += BigInt(each)))]
}
