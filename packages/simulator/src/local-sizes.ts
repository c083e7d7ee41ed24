import {
  coordinates,
  dimSizes,
  localSize,
  lookup,
  type Mesh,
  type OperatorNode,
  type Program,
  type Tensor,
} from '@shardloom/core'
import type { Kernel } from './kernels.js'

/** A size that ranks share: what it is on one of them in the sample, and by which kind of share it changes. */
interface LocalSize {
  readonly value: number
  readonly share: number
}

/**
 * The sizes of a sample's nodes and tensors on one rank, in such a form that they are known in other degrees and batches too: each is a
 * product of dims over a product of degrees.
 */
export class LocalSizes {
  /** Kinds of share: the atoms that divide, and whether it is of the batch. */
  private readonly kinds: { readonly atoms: readonly number[]; readonly ofBatch: boolean }[] = []
  /** By their atoms, a bit each, and whether they are of the batch. */
  private readonly known = new Map<number, number>()
  private readonly degrees: Float64Array
  private readonly names: readonly string[]
  private readonly at: ReadonlyMap<string, number>

  constructor(
    private readonly program: Program,
    rank: number,
  ) {
    const { atoms } = program.mesh
    this.names = atoms.map(({ name }) => name)
    this.degrees = Float64Array.from(atoms, ({ degree }) => degree)
    this.at = coordinates(program.mesh, rank)
  }

  /** By how much the sizes of each kind of share differ in a program of the same atoms, whose batch is so many times as large. */
  growths({ atoms }: Mesh, batch: number): Float64Array {
    const factors = Float64Array.from(atoms, ({ degree }, index) => (this.degrees[index] as number) / degree)
    return Float64Array.from(this.kinds, ({ atoms: own, ofBatch }) =>
      own.reduce((all, index) => all * (factors[index] as number), ofBatch ? batch : 1),
    )
  }

  /** The kind of share that a rank has of a tensor. */
  shareOf({ dims, placement }: Tensor): number {
    return this.kindOf(placement?.shards.flat() ?? [], dims.includes('batch'))
  }

  /**
   * All that the time of a kernel depends on: the dims of its nodes and of what they read and make, of which they may have a part alone, or of
   * what it communicates, in both placements.
   */
  sizesOf({ nodes }: Kernel): LocalSize[] {
    return nodes.flatMap((node) => (node.communication ? this.movedSizes(node) : this.nodeSizes(node)))
  }

  private nodeSizes(node: OperatorNode): LocalSize[] {
    const { tensors } = this.program
    const splits = node.partition?.splits ?? {}
    const sizes = Array.from(
      dimSizes(node, (id) => lookup(tensors, id)),
      ([dim, size]) => this.local(dim, size, splits[dim] ?? []),
    )
    for (const id of [...node.inputs, ...node.outputs]) {
      const { dims, shape, placement } = lookup(tensors, id)
      dims.forEach((dim, at) => void sizes.push(this.local(dim, shape[at] ?? 1, placement?.shards[at] ?? [])))
    }
    return sizes
  }

  private movedSizes({ outputs: [id = ''], communication }: OperatorNode): LocalSize[] {
    const { dims, shape } = lookup(this.program.tensors, id)
    return [communication?.from, communication?.to].flatMap((placement) =>
      dims.map((dim, position) => this.local(dim, shape[position] ?? 1, placement?.shards[position] ?? [])),
    )
  }

  private local(dim: string, size: number, atoms: readonly string[]): LocalSize {
    return {
      value: localSize(size, atoms, this.program.mesh, this.at),
      share: this.kindOf(atoms, dim === 'batch'),
    }
  }

  private kindOf(atoms: readonly string[], ofBatch: boolean): number {
    // A mesh has fewer atoms than 31, as it has no more than 2³¹ ranks.
    let atomSet = 0
    for (const name of atoms) atomSet |= 1 << this.names.indexOf(name)
    const key = 2 * atomSet + Number(ofBatch)
    const known = this.known.get(key)
    if (known !== undefined) return known
    const numbers = atoms.map((name) => this.names.indexOf(name)).sort((a, b) => a - b)
    const made = this.kinds.push({ atoms: numbers, ofBatch }) - 1
    this.known.set(key, made)
    return made
  }
}
