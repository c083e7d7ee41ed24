import {
  atomDegree,
  dimSizesOf,
  findAxis,
  greatestCommonDivisor,
  type Plugin,
  type Preference,
  type Selector,
  withPreferences,
} from '@shardloom/core'

const core: Selector = { module: 'attention', name: ['score', 'softmax', 'context'] }

/**
 * Sequences split over `cp`, over `ulysses` with heads exchanged in attention and, with `tensorRanks`, over the ranks of
 * `tp` wherever it names nothing but the loss: as preferences alone, for cases that mix them with other strategies.
 */
export function sequencePreferences({
  tensorRanks = false,
  where,
}: {
  tensorRanks?: boolean
  where?: Selector
}): Plugin {
  return {
    name: 'sequence-preferences',
    axes: [
      { name: 'cp', description: 'splits the sequence' },
      {
        name: 'ulysses',
        description: 'splits the sequence, and heads inside attention',
        factors(degree, sizes, degreeOf) {
          const kv = sizes('kv_heads').reduce(greatestCommonDivisor, 0) / degreeOf('tp')
          const shared = greatestCommonDivisor(degree, kv)
          return [shared, degree / shared]
        },
      },
    ],
    passes: [
      {
        name: 'sequence-preferences/split',
        phase: 'partition',
        run(program) {
          const atoms = (axis: string) => findAxis(program.mesh, axis)?.atoms ?? []
          const base = { strategy: 'sequence-preferences', class: 'token', dims: ['seq'] } as const
          let left = dimSizesOf(program, 'kv_heads').reduce(greatestCommonDivisor, 0)
          for (const atom of atoms('tp')) left = Math.max(1, Math.floor(left / atomDegree(program.mesh, atom)))
          const heads = atoms('ulysses').map((atom): Preference => {
            const splits = left > 1
            if (splits) left /= atomDegree(program.mesh, atom)
            const dims = [splits ? 'kv_heads' : 'group']
            return { ...base, axis: 'ulysses', atoms: [atom], class: 'feature', dims, where: core }
          })
          const outsideLoss: Selector = { ...where, except: { operator: 'cross_entropy' } }
          return withPreferences(program, [
            ...heads,
            ...(heads.length > 0 ? [{ ...base, axis: 'ulysses', where: { except: core } }] : []),
            ...(atoms('cp').length > 0 ? [{ ...base, axis: 'cp' }] : []),
            ...(tensorRanks ? [{ ...base, axis: 'tp', where: outsideLoss }] : []),
          ])
        },
      },
    ],
  }
}
