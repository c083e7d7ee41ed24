import { shareOf } from './mesh.js'
import type { DimLayout } from './program.js'

/**
 * The `index`-th of `degree` zigzag shares of some positions: one run counted from the front, one as far from the back,
 * the first of them longer by one where the share is odd. A share of a share is that of the product of the degrees.
 */
export function zigzagShare(positions: Int32Array, degree: number, index: number): Int32Array {
  let [front, back] = [0, positions.length]
  for (let each = 0; each < index; each++) {
    const count = shareOf(positions.length, degree, each)
    front += Math.ceil(count / 2)
    back -= Math.floor(count / 2)
  }
  const count = shareOf(positions.length, degree, index)
  const ends = [positions.subarray(front, front + Math.ceil(count / 2)), positions.subarray(back - (count >> 1), back)]
  return Int32Array.from(ends.flatMap((end) => [...end]))
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
