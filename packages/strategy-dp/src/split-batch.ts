import { findAxis, type Pass, type Selector, withPreferences } from '@shardloom/core'

/** `dp/split-batch`: every operator that has a batch splits it over `dp`, and over the engines of `replicas`. */
export function splitBatch(where: Selector | undefined): Pass {
  return {
    name: 'dp/split-batch',
    phase: 'partition',
    run(program) {
      const wish = { strategy: 'dp', class: 'token', dims: ['batch'] } as const
      const divided = (axis: string) => (findAxis(program.mesh, axis)?.atoms.length ?? 0) > 0
      return withPreferences(program, [
        // An engine has no part of another one's batch, whatever `where` says of the ranks inside of it.
        ...(divided('replicas') ? [{ ...wish, axis: 'replicas' }] : []),
        ...(divided('dp') ? [{ ...wish, axis: 'dp', ...(where && { where }) }] : []),
      ])
    },
  }
}
