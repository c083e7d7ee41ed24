import type { View } from 'shardloom'
import { textWidth } from './placed.js'
import { Shape } from './shape.jsx'

interface BarProps {
  readonly node: View['nodes'][number]
  readonly width: number
  readonly height: number
  /** How far from the left each member of the group stands. */
  readonly dots: readonly number[]
}

/** What a group of ranks does together: one hexagon across their lanes, with a dot for each member. */
export function Bar({ node: { title, facts }, width, height, dots }: BarProps) {
  const middle = width / 2
  const fact = facts.join(' · ')
  const reach = Math.max(textWidth(title) * 1.2, textWidth(fact)) / 2 + 10
  const [first = middle, last = middle] = [dots[0], dots.at(-1)]
  const lines = (
    [
      [first, Math.min(last, middle - reach)],
      [Math.max(first, middle + reach), last],
    ] as const
  ).filter(([from, to]) => to - from > 8)
  return (
    <svg className="card" width={width} height={height} aria-hidden="true">
      <Shape kind="communication" width={width} height={height} />
      {lines.map(([from, to]) => (
        <path key={from} className="member" d={`M${from} ${height / 2}H${to}`} />
      ))}
      {dots
        .filter((x) => Math.abs(x - middle) > reach)
        .map((x) => (
          <circle key={x} className="dot" cx={x} cy={height / 2} r={4} />
        ))}
      <text className="name" x={middle} y={fact ? height / 2 - 3 : height / 2 + 4.5} textAnchor="middle">
        {title}
      </text>
      <text className="fact" x={middle} y={height / 2 + 12} textAnchor="middle">
        {fact}
      </text>
    </svg>
  )
}
