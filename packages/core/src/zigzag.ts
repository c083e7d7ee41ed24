import { shareOf } from './mesh.js'
import type { Run } from './operator.js'
import type { DimLayout } from './program.js'

/**
 * The `index`-th of `degree` zigzag shares of some positions: one run counted from the front, one as far from the back,
 * the first of them longer by one where the share is odd. A share of a share is that of the product of the degrees.
 */
export function zigzagShare(positions: Int32Array, degree: number, index: number): Int32Array {
  const ends = zigzagRuns(positions.length, degree, index).map(([start, end]) => positions.subarray(start, end))
  return Int32Array.from(ends.flatMap((end) => [...end]))
}

/** The same as two runs of the places from 0 up to `length`. */
export function zigzagRuns(length: number, degree: number, index: number): readonly [front: Run, back: Run] {
  let [front, back] = [0, length]
  for (let each = 0; each < index; each++) {
    const count = shareOf(length, degree, each)
    front += Math.ceil(count / 2)
    back -= Math.floor(count / 2)
  }
  const count = shareOf(length, degree, index)
  return [
    [front, front + Math.ceil(count / 2)],
    [back - Math.floor(count / 2), back],
  ]
}

/** The `index`-th of `degree` shares of some positions, in the order of a layout. */
export function layoutShare(
  order: DimLayout['order'],
  positions: Int32Array,
  degree: number,
  index: number,
): Int32Array {
  if (order === 'zigzag') return zigzagShare(positions, degree, index)
  return positions.filter((_, place) => place % degree === index)
}
