import type { SpecInput } from 'shardloom'
import { type Run, run } from './run.js'

/** A spec that was run, and whether it fits in memory. */
export interface Ran {
  readonly spec: SpecInput
  readonly run: Run
  readonly fits: boolean
}

/**
 * Of the first group of specs of which one fits in memory the fastest that does. Where none does, which a run that was published did, the
 * fastest of the last resort with microbatches as small as can be.
 */
export async function fastest(groups: readonly (readonly SpecInput[])[]): Promise<Ran | undefined> {
  let last: Ran | undefined
  const only = groups.flat().length === 1
  for (const specs of groups) {
    let best: typeof last
    last = undefined
    const tooLarge = new Set<number>()
    for (const spec of specs) {
      const chunks = spec.options?.virtual ?? 1
      // A larger microbatch needs more.
      if (tooLarge.has(chunks)) continue
      const done = await run(spec)
      const fits = only || done.peakBytes + reserveBytes <= done.capacityBytes
      const one = { spec, run: done, fits }
      if (fits && (!best || speed(one) > speed(best))) best = one
      if (!last || speed(one) > speed(last)) last = one
      if (!fits) tooLarge.add(chunks)
    }
    if (best) return best
  }
  return last
}

const speed = ({ spec, run }: { readonly spec: SpecInput; readonly run: Run }) => (spec.batch ?? 1) / run.seconds

/** Bytes of a device that a plan does not get, as `simulate` keeps them free. */
export const reserveBytes = 3e9
