import {
  atomDegree,
  dimSizesOf,
  divisors,
  findAxis,
  greatestCommonDivisor,
  intersect,
  orList,
  type Pass,
  type PluginAxis,
  type Preference,
  type Program,
  type Selector,
  ShardloomError,
  withPreferences,
} from '@shardloom/core'
import { positionsOf, requirePositions } from './split-sequence.js'

/** The operators that see a whole sequence: each head needs all positions there. */
const core: Selector = { module: 'attention', name: ['score', 'softmax', 'dropout', 'context'] }

/** A cache has heads of whole sequences too, where it has heads; else it has the positions of its rank. */
const cache: Selector = { module: 'attention', role: 'cache' }

/** The sizes that a dim of that name has in the model. */
type Sizes = (dim: string) => readonly number[]

/** Divides the degree into ranks that split the KV heads which `tp` leaves, and ranks that split the heads of a group. */
export const headFactors: NonNullable<PluginAxis['factors']> = (degree, sizes, degreeOf) => {
  const shared = greatestCommonDivisor(degree, headsLeft(sizes, degreeOf('tp')).kv)
  return [shared, degree / shared]
}

/**
 * `sp/exchange-heads`: over `ulysses`, attention splits heads and everything else the sequence, so that an all-to-all
 * stands on each side. Ranks beyond the KV heads split the query heads of a group, and gather keys and values.
 */
export function exchangeHeads(where: Selector | undefined): Pass {
  return {
    name: 'sp/exchange-heads',
    phase: 'partition',
    run(program) {
      const { mesh, uneven } = program
      const axis = findAxis(mesh, 'ulysses')
      if (!axis?.atoms.length) return program
      requirePositions(program, 'axis `ulysses`')
      const ragged = uneven === 'ragged'
      if (!ragged && !where) refuseIndivisible(program, axis.degree)
      let left = commonSize((dim) => dimSizesOf(program, dim), 'kv_heads')
      /** Whether an atom splits the KV heads that the atoms before it left. */
      const takes = (atom: string) => {
        const degree = atomDegree(mesh, atom)
        const splits = left > 1 && (left % degree === 0 || (ragged && left >= degree))
        if (splits) left = Math.floor(left / degree)
        return splits
      }
      for (const atom of findAxis(mesh, 'tp')?.atoms ?? []) takes(atom)
      const base = { strategy: 'sp', axis: 'ulysses' } as const
      const heads = axis.atoms.flatMap((atom): Preference[] => {
        const wish = { ...base, atoms: [atom], class: 'feature', dims: [takes(atom) ? 'kv_heads' : 'group'] } as const
        return [core, cache].map((own) => ({ ...wish, where: intersect(where, own) }))
      })
      const elsewhere = intersect(where, { except: core })
      return withPreferences(program, [
        ...heads,
        { ...base, class: 'token', dims: positionsOf(program), where: elsewhere, together: true },
      ])
    },
  }
}

/** Throws `INDIVISIBLE` with the degrees by which the heads that `tp` leaves can be divided. */
function refuseIndivisible(program: Program, degree: number): void {
  const tp = findAxis(program.mesh, 'tp')?.degree ?? 1
  const { kv, group } = headsLeft((dim) => dimSizesOf(program, dim), tp)
  const divides = (each: number) => group % (each / greatestCommonDivisor(each, kv)) === 0
  if (divides(degree)) return
  const working = divisors(kv * group).filter(divides)
  const [first = 1] = working.filter((each) => each > 1 && degree % each === 0).slice(-1)
  const rest = first > 1 ? `, for example \`ulysses\` ${first} and \`cp\` ${degree / first}` : ''
  const of = group > 1 ? `${kv * group} query heads (${kv} KV heads)` : `${kv} heads`
  throw new ShardloomError(
    'INDIVISIBLE',
    `Cannot split ${of}${tp > 1 ? `, what \`tp\` ${tp} leaves,` : ''} over axis \`ulysses\` (degree ${degree}): ${degree} does not divide them.`,
    { subject: 'ulysses', help: `Use ${orList(working)}, and \`cp\` for the rest${rest}.` },
  )
}

/** The KV heads of a rank of `tp`, and the query heads there that share one. */
function headsLeft(sizes: Sizes, tp: number): { readonly kv: number; readonly group: number } {
  const kv = commonSize(sizes, 'kv_heads')
  const shared = greatestCommonDivisor(tp, kv)
  return { kv: kv / shared, group: Math.max(1, commonSize(sizes, 'group') / (tp / shared)) }
}

/** The greatest number that divides every size of a dim in the model; 1 where there is none. */
function commonSize(sizes: Sizes, dim: string): number {
  return sizes(dim).reduce((common, size) => greatestCommonDivisor(common, size), 0) || 1
}
