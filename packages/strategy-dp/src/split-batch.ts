import { findAxis, type Pass, type Selector, withPreferences } from '@shardloom/core'

/** `dp/split-batch`: every operator that has a batch splits it over `dp`. */
export function splitBatch(where: Selector | undefined): Pass {
  return {
    name: 'dp/split-batch',
    phase: 'partition',
    run(program) {
      if (!findAxis(program.mesh, 'dp')?.atoms.length) return program
      return withPreferences(program, [
        { strategy: 'dp', axis: 'dp', class: 'token', dims: ['batch'], ...(where && { where }) },
      ])
    },
  }
}
