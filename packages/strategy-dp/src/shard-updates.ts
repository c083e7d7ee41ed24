import { anyDim, type Pass, type Selector, withPreferences } from '@shardloom/core'
import { type Storage, trainingOnly } from './options.js'
import { storageAtoms } from './storage-atoms.js'

/**
 * `dp/shard-updates`: every optimizer operator works on a shard of its parameter, so that each rank holds that part of the
 * optimizer's state alone (ZeRO-1; Rajbhandari et al. 2020, section 5.1). Throws `OPTION` for a phase without an optimizer.
 */
export function shardUpdates({ zero, dpReplicate, where }: Storage): Pass {
  return {
    name: 'dp/shard-updates',
    phase: 'partition',
    run(program, { warn }) {
      trainingOnly('zero', zero, program.phase)
      const { shard, expertShard } = storageAtoms(program.mesh, dpReplicate)
      if (shard.length === 0) {
        const group = dpReplicate > 1 ? `each of the ${dpReplicate} replicas is one rank` : '`dp` is 1'
        warn(`\`zero: ${zero}\` changes nothing: ${group}, so that there is nobody to divide training state with`)
        return program
      }
      const wish = { strategy: 'dp', axis: 'dp', class: 'storage', dims: [anyDim] } as const
      const own: Selector = { ...where, segment: 'optimizer' }
      return withPreferences(program, [
        ...(expertShard.length > shard.length && where?.module === undefined
          ? [{ ...wish, atoms: expertShard, where: { ...own, module: 'moe/experts' } }]
          : []),
        { ...wish, atoms: shard, where: own },
      ])
    },
  }
}
