import type { Chain } from './outcome.js'

/** When what a block comes to happens: its times are from `base` on, those after `quiet` come `extra` later. */
export interface Placed {
  readonly base: number
  readonly quiet: number
  readonly extra: number
}

/** A time of a block in ticks of the step. */
export const timeIn = ({ base, quiet, extra }: Placed, time: number): number =>
  base + (time > quiet ? time + extra : time)

/** Communication that ends without a break when something starts, and what that follows on. */
export interface LiveChain {
  readonly chain: Chain
  readonly placed: Placed
  readonly tail: LiveChain | undefined
}

/** Adds the time between two moments that passes in a chain, as far as it goes back, to what is exposed, by axes. */
export function follow(chain: LiveChain | undefined, from: number, to: number, exposed: Map<string, number>): void {
  let at = to
  for (let each = chain; each && at > from; each = each.tail) {
    const { axes: all, starts } = each.chain
    for (let index = 0; index < all.length && at > from; index++) {
      const begun = Math.max(from, timeIn(each.placed, starts[index] as number))
      const axes = all[index] as string
      if (at > begun) exposed.set(axes, (exposed.get(axes) ?? 0) + at - begun)
      at = Math.min(at, begun)
    }
  }
}
