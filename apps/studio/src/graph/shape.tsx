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
export function Shape({ kind, ...at }: ShapeProps) {
  return <path className={`shape ${kind}`} d={outline(kind, at)} />
}

/** The path of an outline, to be drawn by itself or together with others. */
export function outline(kind: Kind, { width, height, x = 0, y = 0 }: Omit<ShapeProps, 'kind'>): string {
  const [right, low, middle] = [x + width, y + height, y + height / 2]
  switch (kind) {
    case 'compute': {
      const r = Math.min(radius, width / 2, height / 2)
      const corner = (toX: number, toY: number) => `A${r} ${r} 0 0 1 ${toX} ${toY}`
      const [top, bottom] = [`H${right - r}${corner(right, y + r)}`, `H${x + r}${corner(x, low - r)}`]
      return `M${x + r} ${y}${top}V${low - r}${corner(right - r, low)}${bottom}V${y + r}${corner(x + r, y)}Z`
    }
    case 'communication': {
      const lean = Math.min(slope, height / 2)
      return `M${x + lean} ${y}H${right - lean}L${right} ${middle}L${right - lean} ${low}H${x + lean}L${x} ${middle}Z`
    }
    case 'control':
      return `M${x + width / 2} ${y}L${right} ${middle}L${x + width / 2} ${low}L${x} ${middle}Z`
    case 'memory': {
      const arc = (toX: number, toY: number, sweep: 0 | 1) => `A${width / 2} ${cap} 0 0 ${sweep} ${toX} ${toY}`
      const body = `M${x} ${y + cap}${arc(right, y + cap, 1)}V${low - cap}${arc(x, low - cap, 1)}Z`
      return `${body}M${x} ${y + cap}${arc(right, y + cap, 0)}`
    }
  }
}
