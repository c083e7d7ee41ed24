import type { View } from 'shardloom'
import { Pill } from './card.jsx'
import { nameWidth, textWidth } from './placed.js'
import { Shape } from './shape.jsx'

interface BarProps {
  readonly node: View['nodes'][number]
  readonly width: number
  readonly height: number
  /** How far from the left each member of the group stands. */
  readonly dots: readonly number[]
}

/** Pixels after which a bar says again what it is: of a wide one the middle may be out of sight. */
const apart = 600

/** What a group of ranks does together: one hexagon across their lanes, with a dot for each member. */
export function Bar({ node, width, height, dots }: BarProps) {
  const { title, repeat } = node
  const fact = node.facts.join(' · ')
  const reach = Math.max(nameWidth(node), textWidth(fact)) / 2 + 10
  const aside = (nameWidth(node) - nameWidth({ title, repeat: 1 })) / 2
  const labels = labelsOf(width, dots, reach)
  const [first = width / 2, last = width / 2] = [dots[0], dots.at(-1)]
  const lines = [-Infinity, ...labels]
    .map((label, at) => [Math.max(first, label + reach), Math.min(last, (labels[at] ?? Infinity) - reach)] as const)
    .filter(([from, to]) => to - from > 16)
  return (
    <svg className="card" width={width} height={height} aria-hidden="true">
      <Shape kind="communication" width={width} height={height} />
      {lines.map(([from, to]) => (
        <path key={from} className="member" d={`M${from} ${height / 2}H${to}`} />
      ))}
      {dots
        .filter((x) => labels.every((label) => Math.abs(x - label) > reach))
        .map((x) => (
          <circle key={x} className="dot" cx={x} cy={height / 2} r={4} />
        ))}
      {labels.map((x) => (
        <g key={x}>
          <text className="name" x={x - aside} y={fact ? height / 2 - 3 : height / 2 + 4.5} textAnchor="middle">
            {title}
          </text>
          {repeat > 1 && <Pill repeat={repeat} right={x + nameWidth(node) / 2} middle={height / 2 - 8} />}
          <text className="fact" x={x} y={height / 2 + 12} textAnchor="middle">
            {fact}
          </text>
        </g>
      ))}
    </svg>
  )
}

/** Where a bar says what it is: in its middle, or between members of a wide one, from the first ones on. */
function labelsOf(width: number, dots: readonly number[], reach: number): readonly number[] {
  if (width < 1.5 * apart) return [width / 2]
  const labels: number[] = []
  for (const [at, x] of dots.entries()) {
    const middle = (x + (dots[at + 1] ?? Infinity)) / 2
    if (middle < reach || middle > width - reach) continue
    if (middle - (labels.at(-1) ?? -Infinity) >= Math.max(apart, 2 * reach)) labels.push(middle)
  }
  return labels.length > 0 ? labels : [width / 2]
}
