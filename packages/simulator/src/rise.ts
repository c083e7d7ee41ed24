import { passingParts } from './lifetimes.js'

/** Bytes of a part that come at a moment, or go: by its place among the passing parts. */
export interface Change {
  readonly at: number
  readonly part: number
  readonly bytes: number
}

/** That a buffer comes (`sign` 1) or goes (−1). */
export function change(
  { part, bytes }: { readonly part: number; readonly bytes: number },
  at: number,
  sign: 1 | -1,
): Change {
  return { at, part, bytes: sign * bytes }
}

/** How memory goes up and down over a while, against what there is at its begin; lists are by passing part. */
export interface Rise {
  /** At its end. */
  readonly net: readonly number[]
  /** Where all parts together are most, and when first; −∞: the while has no moments. */
  readonly total: number
  readonly at: number
  readonly parts: readonly number[]
  /** The most of each part, whenever that is. */
  readonly most: readonly number[]
}

/**
 * Sums changes from a moment up to another, which belongs to what comes next: only then is known what else goes in it. What goes makes
 * room for what comes at the same moment.
 */
export function riseOf(changes: Change[], from: number, until: number): Rise {
  changes.sort((a, b) => a.at - b.at)
  const net = passingParts.map(() => 0)
  const most = passingParts.map(() => Number.NEGATIVE_INFINITY)
  let [sum, total, at, highest, moment, index] = [0, Number.NEGATIVE_INFINITY, from, 0, from, 0]
  while (moment < until) {
    for (let next = changes[index]; next && next.at <= moment; next = changes[++index]) {
      net[next.part] = (net[next.part] as number) + next.bytes
      sum += next.bytes
    }
    for (let part = 0; part < net.length; part++)
      if ((net[part] as number) > (most[part] as number)) most[part] = net[part] as number
    if (sum > total) [total, at, highest] = [sum, moment, index]
    moment = changes[index]?.at ?? until
  }
  const parts = most.map(() => 0)
  for (let place = 0; place < changes.length; place++) {
    const { part, bytes } = changes[place] as Change
    if (place < highest) parts[part] = (parts[part] as number) + bytes
    if (place >= index) net[part] = (net[part] as number) + bytes
  }
  return { net, total, at, parts, most }
}

/** How much of each part a rank holds, and has held at most. */
export class Level {
  private readonly now = passingParts.map(() => 0)
  private total = 0
  private highest = Number.NEGATIVE_INFINITY
  /** Where all parts together were most, in ticks, and the bytes of each then. */
  at = 0
  parts: readonly number[] = this.now.slice()
  readonly most = this.now.slice()

  /** Adds what comes and goes over a while whose highest moment is that one. */
  add({ net, total, parts, most }: Rise, at: number): void {
    if (this.total + total > this.highest) {
      this.highest = this.total + total
      this.at = at
      this.parts = parts.map((bytes, part) => bytes + (this.now[part] as number))
    }
    net.forEach((bytes, part) => {
      const now = this.now[part] as number
      this.most[part] = Math.max(this.most[part] as number, now + (most[part] as number))
      this.now[part] = now + bytes
      this.total += bytes
    })
  }
}
