import type { Point, Rect } from './pen.js'

/** A piece of a curve between two pixels, and how high it stands: as in a picture, less is higher. */
export interface CurvePiece {
  readonly x: number
  readonly until: number
  readonly y: number
}

/** The room of a label, and where it may stand. */
export interface LevelLabel {
  /** The line that it is about. */
  readonly level: number
  readonly left: number
  readonly right: number
  readonly width: number
  readonly height: number
  /** What it must not cover either. */
  readonly taken: readonly Rect[]
}

/** Pixels between places that are tried. */
const step = 8

/**
 * The upper left corner of a label that says what a line at some height is: above the line where the curve stays below it, else below the
 * line where the curve is lower still, else inside of the curve, so that what rises over the line is seen. As far to the right as can be.
 */
export function levelLabelAt(curve: readonly CurvePiece[], label: LevelLabel): Point {
  const { level, left, right, width, height, taken } = label
  const above = level - height - 2
  const below = level + 3
  const last = right - width - 6
  const places: readonly (readonly [y: number, isFree: (piece: CurvePiece) => boolean])[] = [
    [above, (piece) => piece.y >= level],
    [below, (piece) => piece.y >= below + height],
    [below, (piece) => piece.y <= below],
  ]
  for (const [y, isFree] of places)
    for (let x = last; x >= left + 6; x -= step) {
      const covered = curve.filter((piece) => piece.until > x && piece.x < x + width)
      if (covered.every(isFree) && !taken.some((each) => overlap(each, { x, y, width, height }))) return { x, y }
    }
  return { x: last, y: below }
}

const overlap = (a: Rect, b: Rect) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
