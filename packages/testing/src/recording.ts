import type { Block } from './block.js'

/** Per result, the blocks of the ranks that made it. */
export type Results = readonly (readonly Block[])[]

interface Entry {
  readonly of: object
  readonly read: readonly (Block | undefined)[]
  readonly made: Results
}

/**
 * What a run has computed, for runs of programs that differ from it in a few nodes: a node that is the same object and reads
 * the same blocks makes the same again, since kernels are pure. Mesh, layouts and the tensors of such nodes must be the
 * same, and so must the reference that results are compared with.
 */
export class Recording {
  private readonly entries = new Map<string, Entry>()
  private readonly equal = new WeakSet<readonly Block[]>()
  private closed = false

  /** From now on nothing is added. */
  close(): void {
    this.closed = true
  }

  /** What was made under `key` by the same object from the same blocks; otherwise what `make` makes now. */
  recall(key: string, of: object, read: Entry['read'], make: () => Results): Results {
    const known = this.entries.get(key)
    if (known?.of === of && known.read.length === read.length && known.read.every((block, at) => block === read[at]))
      return known.made
    const made = make()
    if (!this.closed) this.entries.set(key, { of, read, made })
    return made
  }

  /** Whether a list of blocks, that very object, has been found equal to the reference. */
  isEqual(blocks: readonly Block[]): boolean {
    return this.equal.has(blocks)
  }

  /** Notes that a list of blocks is equal to the reference. */
  addEqual(blocks: readonly Block[]): void {
    if (!this.closed) this.equal.add(blocks)
  }
}
