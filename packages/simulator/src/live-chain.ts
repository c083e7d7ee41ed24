/** Communication that ends without a break when something starts, the last of it first, in ticks of the step. */
export interface LiveChain {
  readonly axes: readonly string[]
  readonly starts: readonly number[]
  readonly tail: LiveChain | undefined
}

/** Adds the time between two moments that passes in a chain, as far as it goes back, to what is exposed, by axes. */
export function follow(chain: LiveChain | undefined, from: number, to: number, exposed: Map<string, number>): void {
  let at = to
  for (let each = chain; each && at > from; each = each.tail) {
    for (let index = 0; index < each.axes.length && at > from; index++) {
      const begun = Math.max(from, each.starts[index] ?? from)
      const axes = each.axes[index] ?? ''
      if (at > begun) exposed.set(axes, (exposed.get(axes) ?? 0) + at - begun)
      at = Math.min(at, begun)
    }
  }
}
