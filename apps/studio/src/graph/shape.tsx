import type { View } from 'shardloom'

export type Kind = View['nodes'][number]['kind']

interface ShapeProps {
  readonly kind: Kind
  readonly width: number
  readonly height: number
  /** How far from the top left it stands. */
  readonly x?: number
  readonly y?: number
}

/** How far the sides of a hexagon lean, the height of a cylinder's cap, and the radius of a rectangle: those of exported pictures. */
const slope = 12
const cap = 6
const radius = 6

/** The outline of a kind of node: a rectangle, hexagon, diamond or cylinder. */
export function Shape({ kind, width, height, x = 0, y = 0 }: ShapeProps) {
  const names = `shape ${kind}`
  const [right, low, middle] = [x + width, y + height, y + height / 2]
  switch (kind) {
    case 'compute':
      return <rect className={names} x={x} y={y} width={width} height={height} rx={radius} />
    case 'communication': {
      const lean = Math.min(slope, height / 2)
      return (
        <path
          className={names}
          d={`M${x + lean} ${y}H${right - lean}L${right} ${middle}L${right - lean} ${low}H${x + lean}L${x} ${middle}Z`}
        />
      )
    }
    case 'control':
      return (
        <path
          className={names}
          d={`M${x + width / 2} ${y}L${right} ${middle}L${x + width / 2} ${low}L${x} ${middle}Z`}
        />
      )
    case 'memory': {
      const arc = (toX: number, toY: number, sweep: 0 | 1) => `A${width / 2} ${cap} 0 0 ${sweep} ${toX} ${toY}`
      const body = `M${x} ${y + cap}${arc(right, y + cap, 1)}V${low - cap}${arc(x, low - cap, 1)}Z`
      return <path className={names} d={`${body}M${x} ${y + cap}${arc(right, y + cap, 0)}`} />
    }
  }
}
