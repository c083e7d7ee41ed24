import {
  atomDegree,
  dimSizesOf,
  findAxis,
  type Pass,
  type Preference,
  partialDim,
  type Selector,
  withPreferences,
} from '@shardloom/core'

/** How the key and value projections behave where there are fewer KV heads than ranks. */
export type KeyValueGradients = 'reduce' | 'defer' | 'gather'

/**
 * `tp/split-heads`: heads, feed-forward width and vocabulary are split over `tp`. Atoms that divide the KV heads split
 * them; the others split the group of query heads that shares a KV head, and replicate keys and values.
 */
export function splitHeads(where: Selector | undefined, keyValue: KeyValueGradients): Pass {
  return {
    name: 'tp/split-heads',
    phase: 'partition',
    run(program) {
      const atoms = findAxis(program.mesh, 'tp')?.atoms ?? []
      let left = kvHeads((dim) => dimSizesOf(program, dim))
      const preferences = atoms.flatMap((atom): Preference[] => {
        const degree = atomDegree(program.mesh, atom)
        const splits = program.uneven === 'ragged' || left % degree === 0
        if (splits) left /= degree
        const base = { strategy: 'tp', axis: 'tp', atoms: [atom], class: 'feature' } as const
        const heads = splits ? ['kv_heads'] : keyValue === 'gather' ? ['group', 'head_dim'] : ['group']
        const plain: Preference = { ...base, dims: [...heads, 'ffn', 'vocab'], ...(where && { where }) }
        if (splits || keyValue !== 'defer') return [plain]
        const projections: Selector = { ...where, segment: 'backward', module: 'attention', name: ['k*', 'v*'] }
        return [{ ...base, dims: [partialDim], where: projections }, plain]
      })
      return withPreferences(program, preferences)
    },
  }
}

/** The greatest number of KV heads that every attention of the model can be divided by. */
export function kvHeads(sizes: (dim: string) => readonly number[]): number {
  return sizes('kv_heads').reduce((common, size) => greatestCommonDivisor(common, size), 0) || 1
}

/** Euclid's algorithm. */
export function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
