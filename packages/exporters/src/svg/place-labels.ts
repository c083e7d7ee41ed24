import type { Point, Rect } from './pen.js'

/** Something that wants to stand near a point. */
export interface Label {
  readonly anchor: Point
  readonly width: number
  readonly height: number
}

/** What is drawn already. */
export interface Occupied {
  /** What no label may leave. */
  readonly frame: Rect
  /** Points that no label may cover, with their anchors among them, and their radius. */
  readonly points: readonly Point[]
  readonly radius: number
  /** Level and upright lines, which are better left free. */
  readonly lines: readonly Rect[]
  /** Points that matter less than lines. */
  readonly lesser: readonly Point[]
}

/** How far from its point a label may be: near first, then further out. */
const distances = [4, 8, 14, 26, 42, 62, 88]
const directions = Array.from({ length: 16 }, (_, index) => (index * Math.PI) / 8)

/**
 * Finds each label a place inside of a frame in which it covers no other label and no point; of such places one near its own anchor, and
 * nearer to it than to others, which covers few lines and few points that matter less. Undefined for a label that has none. Labels
 * are placed in their order, `most` pixels from their points at most.
 */
export function placeLabels(labels: readonly Label[], occupied: Occupied, most = Infinity): (Rect | undefined)[] {
  const { frame, points, radius, lines, lesser } = occupied
  const around = ({ x, y }: Point, half: number): Rect => ({
    x: x - half,
    y: y - half,
    width: 2 * half,
    height: 2 * half,
  })
  const dots = points.map((point) => around(point, radius))
  const small = lesser.map((point) => around(point, 3))
  const placed: Rect[] = []
  return labels.map(({ anchor, width, height }) => {
    const reach = {
      x: anchor.x - width - 100,
      y: anchor.y - height - 100,
      width: 2 * width + 200,
      height: 2 * height + 200,
    }
    const near = small.filter((box) => overlap(box, reach))
    let [best, least]: [Rect | undefined, number] = [undefined, Infinity]
    for (const distance of distances.filter((each) => each <= most))
      for (const angle of directions) {
        const box = boxAt(anchor, angle, radius + distance, width, height)
        if (!inside(box, frame) || placed.some((other) => overlap(box, other)) || dots.some((dot) => overlap(box, dot)))
          continue
        const covered = near.filter((each) => overlap(box, each)).length
        const crossed = lines.filter((line) => overlap(box, line)).length
        const own = gap(anchor, box)
        const strangers = points.filter((point) => gap(point, box) < own).length
        const weight = distance / 12 + covered + 4 * crossed + 2 * strangers
        if (weight < least) [best, least] = [box, weight]
      }
    if (best !== undefined) placed.push(best)
    return best
  })
}

/** A box that lies in a direction from a point, its nearest side or corner so far away. */
function boxAt({ x, y }: Point, angle: number, distance: number, width: number, height: number): Rect {
  const side = (share: number) => (Math.abs(share) < 0.1 ? 0 : Math.sign(share))
  const [right, down] = [Math.cos(angle), Math.sin(angle)]
  return {
    x: x + right * distance + ((side(right) - 1) * width) / 2,
    y: y + down * distance + ((side(down) - 1) * height) / 2,
    width,
    height,
  }
}

/** How far a point is from a box. */
function gap({ x, y }: Point, box: Rect): number {
  const beyond = (value: number, from: number, size: number) => Math.max(from - value, value - from - size, 0)
  return Math.hypot(beyond(x, box.x, box.width), beyond(y, box.y, box.height))
}

/** Whether two boxes have more than an edge in common. */
const overlap = (a: Rect, b: Rect) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

const inside = (box: Rect, frame: Rect) =>
  box.x >= frame.x &&
  box.y >= frame.y &&
  box.x + box.width <= frame.x + frame.width &&
  box.y + box.height <= frame.y + frame.height
