import type { SpecInput } from 'shardloom'
import { type Run, run } from './run.js'

/** A spec that was run, and whether it fits in memory. */
export interface Ran {
  readonly spec: SpecInput
  readonly run: Run
  readonly fits: boolean
}

/** Of the first group of specs of which one fits in memory the fastest that does; else the one that comes nearest. */
export async function fastest(groups: readonly (readonly SpecInput[])[]): Promise<Ran | undefined> {
  let nearest: Ran | undefined
  const only = groups.flat().length === 1
  for (const specs of groups) {
    let best: typeof nearest
    for (const spec of specs) {
      const done = await run(spec)
      const fits = only || done.peakBytes + reserveBytes <= done.capacityBytes
      const one = { spec, run: done, fits }
      if (fits && (!best || speed(one) > speed(best))) best = one
      if (!nearest || done.peakBytes < nearest.run.peakBytes) nearest = one
      // A larger microbatch needs more.
      if (!fits) break
    }
    if (best) return best
  }
  return nearest
}

const speed = ({ spec, run }: { readonly spec: SpecInput; readonly run: Run }) => (spec.batch ?? 1) / run.seconds

/** Bytes of a device that a plan does not get, as `simulate` keeps them free. */
export const reserveBytes = 3e9
