import { formatCount, type View } from 'shardloom'
import { Shape } from './shape.jsx'

interface CardProps {
  readonly node: View['nodes'][number]
  readonly width: number
  readonly height: number
}

/** How far each of the two sheets behind a repeated card is moved, the height of a line, and of a chip with its gap. */
const sheet = 3.5
const line = 15
const chip = 26

/** A node as exported pictures have it, in the size that the layout gave it. */
export function Card({ node, width, height }: CardProps) {
  const { kind, title, chips, repeat, outside } = node
  const facts = kind === 'control' ? [] : node.facts
  const behind = repeat > 1 ? 2 * sheet : 0
  const [wide, high] = [width - behind, height - behind]
  const centre = wide / 2
  const cards = chips.length > 0
  const first =
    kind === 'memory' ? 6 + (high - 6 - 13 - line * facts.length) / 2 + 11 : (high - 13 - line * facts.length) / 2 + 11
  return (
    <svg className="card" width={width} height={height} aria-hidden="true">
      <g transform={`translate(0 ${behind})`}>
        {behind > 0 &&
          [2, 1].map((at) => <Shape key={at} kind={kind} width={wide} height={high} x={at * sheet} y={-at * sheet} />)}
        {outside ? (
          <rect className="shape outside" width={wide} height={high} rx={6} />
        ) : (
          <Shape kind={kind} width={wide} height={high} />
        )}
        {cards ? (
          <>
            <text className="name" x={12} y={21}>
              {title}
            </text>
            {repeat > 1 && <Pill repeat={repeat} right={wide - 8} middle={17} />}
            {facts.map((fact, at) => (
              <text key={fact} className="fact" x={12} y={38 + line * at}>
                {fact}
              </text>
            ))}
            {chips.map((text, at) => {
              const top = 30 + line * facts.length + chip * at
              return (
                <g key={text}>
                  <Shape kind="communication" x={6} y={top} width={wide - 12} height={22} />
                  <text className="fact" x={centre} y={top + 15} textAnchor="middle">
                    {text}
                  </text>
                </g>
              )
            })}
          </>
        ) : (
          <>
            <text
              className={outside ? 'fact' : 'name'}
              x={repeat > 1 ? centre - 16 : centre}
              y={first}
              textAnchor="middle"
            >
              {title}
            </text>
            {repeat > 1 && <Pill repeat={repeat} right={wide - 6} middle={first - 4.5} />}
            {facts.map((fact, at) => (
              <text key={fact} className="fact" x={centre} y={first + line * (at + 1)} textAnchor="middle">
                {fact}
              </text>
            ))}
          </>
        )}
      </g>
    </svg>
  )
}

/** How often something runs. */
export function Pill({
  repeat,
  right,
  middle,
}: {
  readonly repeat: number
  readonly right: number
  readonly middle: number
}) {
  const text = `×${formatCount(repeat)}`
  const width = text.length * 7.5 + 12
  return (
    <g className="pill">
      <rect x={right - width} y={middle - 9} width={width} height={18} rx={9} />
      <text x={right - width / 2} y={middle + 4} textAnchor="middle">
        {text}
      </text>
    </g>
  )
}
