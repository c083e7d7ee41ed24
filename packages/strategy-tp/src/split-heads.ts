import {
  atomDegree,
  dimSizesOf,
  findAxis,
  greatestCommonDivisor,
  intersect,
  orList,
  type Pass,
  type Preference,
  partialDim,
  type Selector,
  ShardloomError,
  withPreferences,
} from '@shardloom/core'

/** How the key and value projections behave where there are fewer KV heads than ranks. */
export type KeyValueGradients = 'reduce' | 'defer' | 'gather'

/** The sizes that a dim of that name has in the model. */
type Sizes = (dim: string) => readonly number[]

/**
 * `tp/split-heads`: heads, feed-forward width and vocabulary are split over `tp`. Atoms that divide the KV heads split
 * them; the others split the group of query heads that shares a KV head, and replicate keys and values.
 */
export function splitHeads(where: Selector | undefined, asked: KeyValueGradients | undefined): Pass {
  const keyValue = asked ?? 'reduce'
  return {
    name: 'tp/split-heads',
    phase: 'partition',
    run(program, { warn }) {
      const idle = (why: string) => asked && warn(`\`keyValueGradients: ${asked}\` has nothing to do: ${why}.`)
      const axis = findAxis(program.mesh, 'tp')
      if (!axis?.atoms.length) {
        idle('`tp` is 1')
        return program
      }
      const sizes: Sizes = (dim) => dimSizesOf(program, dim)
      const ragged = program.uneven === 'ragged'
      if (!ragged && !where) refuseIndivisible(axis.degree, sizes)
      let left = kvHeads(sizes)
      let shared = false
      const preferences = axis.atoms.flatMap((atom): Preference[] => {
        const degree = atomDegree(program.mesh, atom)
        const splits = left > 1 && (left % degree === 0 || (ragged && left >= degree))
        if (splits) left = Math.floor(left / degree)
        else shared = true
        const base = { strategy: 'tp', axis: 'tp', atoms: [atom], class: 'feature' } as const
        const heads = splits ? ['kv_heads'] : keyValue === 'gather' ? ['group', 'head_dim'] : ['group']
        const plain: Preference = { ...base, dims: [...heads, 'ffn', 'vocab'], ...(where && { where }) }
        if (splits || keyValue !== 'defer') return [plain]
        const projections = intersect(where, { segment: 'backward', module: 'attention', name: ['k*', 'v*'] })
        return [{ ...base, dims: [partialDim], where: projections }, plain]
      })
      if (!shared) idle('no ranks of `tp` share a KV head')
      return withPreferences(program, preferences)
    },
  }
}

/** Throws `INDIVISIBLE` with the degrees that divide all of heads, feed-forward widths and vocabulary. */
function refuseIndivisible(degree: number, sizes: Sizes): void {
  const stops = (candidate: number): string | undefined => {
    const common = kvHeads(sizes)
    const group = Math.min(...sizes('group'), Number.POSITIVE_INFINITY)
    const shared = greatestCommonDivisor(candidate, common)
    if (Number.isFinite(group) ? group % (candidate / shared) !== 0 : candidate > shared) {
      return Number.isFinite(group) ? `${common * group} query heads (${common} KV heads)` : `${common} heads`
    }
    for (const dim of ['ffn', 'vocab']) {
      const size = sizes(dim).find((each) => each % candidate !== 0)
      if (size !== undefined) return `dim \`${dim}\` (${size})`
    }
    return undefined
  }
  const stop = stops(degree)
  if (stop === undefined) return
  const candidates = Array.from({ length: Math.max(64, Math.min(2 * degree, 4096)) }, (_, index) => index + 1)
  const working = candidates.filter((candidate) => stops(candidate) === undefined)
  throw new ShardloomError(
    'INDIVISIBLE',
    `Cannot split ${stop} over axis \`tp\` (degree ${degree}): ${degree} does not divide it.`,
    {
      subject: 'tp',
      help: `${working.length > 1 ? `Use ${orList(working)}` : 'No degree above 1 divides heads, ffn and vocab'}, or set \`uneven: ragged\` to let shares differ by one.`,
    },
  )
}

/** The greatest number of KV heads that every attention of the model can be divided by. */
export function kvHeads(sizes: Sizes): number {
  return sizes('kv_heads').reduce((common, size) => greatestCommonDivisor(common, size), 0) || 1
}
