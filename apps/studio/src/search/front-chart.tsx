import { useRef, useState } from 'react'
import { useSize } from '../use-size.js'
import type { Found, FoundPoint, FrontAxis, FrontPoint } from './jobs.js'
import { metricWords } from './metric-words.js'

interface FrontChartProps {
  readonly front: NonNullable<Found['front']>
  readonly open: (point: FoundPoint) => void
  readonly isOpen: (point: FoundPoint) => boolean
}

/** The height of the drawing, its greatest width, and the room around the axes, in pixels. */
const size = { height: 320, most: 760 }
const room = { left: 64, right: 16, top: 12, bottom: 44 }
const up = (at: number) => size.height - room.bottom - at * (size.height - room.top - room.bottom)

/** The candidates that nothing beats in both metrics: each can be opened from the picture, and from the table below it. */
export function FrontChart({ front, open, isOpen }: FrontChartProps) {
  const [near, setNear] = useState<FrontPoint>()
  const section = useRef<HTMLElement>(null)
  // As many pixels as it is wide, so that what is written stays as large as it is.
  const width = Math.min(size.most, Math.max(240, useSize(section).width))
  const across = (at: number) => room.left + at * (width - room.left - room.right)
  const { axes, points, others } = front
  const [x, y] = axes
  const said = (axis: FrontAxis) =>
    `${metricWords(axis.name)}${axis.unit ? `, ${axis.unit}` : ''}${axis.logarithmic ? ', logarithmic' : ''}`
  const point = (each: FrontPoint, on: boolean) => (
    // biome-ignore lint/a11y/useSemanticElements: a button of HTML cannot stand in a drawing
    <g
      key={each.name}
      role="button"
      tabIndex={0}
      className={`point${on ? ' on' : ''}${isOpen(each) ? ' open' : ''}`}
      aria-label={`Open ${each.name}: ${metricWords(x.name)} ${each.values[0]}, ${metricWords(y.name)} ${each.values[1]}${on ? '' : ', not on the front'}`}
      onClick={() => open(each)}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return
        event.preventDefault()
        open(each)
      }}
      onMouseEnter={() => setNear(each)}
      onFocus={() => setNear(each)}
    >
      <circle cx={across(each.x)} cy={up(each.y)} r={14} className="reach" />
      {on ? (
        <circle cx={across(each.x)} cy={up(each.y)} r={5} />
      ) : (
        <rect x={across(each.x) - 4} y={up(each.y) - 4} width={8} height={8} />
      )}
    </g>
  )
  return (
    <section className="front" ref={section}>
      <h2>
        The front of {most(x)} and {most(y)}, as estimated
      </h2>
      <svg width={width} height={size.height} aria-label={`${points.length} points of a front`}>
        {x.ticks.map(({ at, text }) => (
          <g key={text}>
            <line x1={across(at)} x2={across(at)} y1={up(0)} y2={up(1)} />
            <text x={across(at)} y={up(0) + 16} textAnchor="middle">
              {text}
            </text>
          </g>
        ))}
        {y.ticks.map(({ at, text }) => (
          <g key={text}>
            <line x1={across(0)} x2={across(1)} y1={up(at)} y2={up(at)} />
            <text x={across(0) - 8} y={up(at) + 4} textAnchor="end">
              {text}
            </text>
          </g>
        ))}
        <text x={across(1)} y={size.height - 8} textAnchor="end">
          {said(x)} {x.better === 'more' ? '→ better' : '← better'}
        </text>
        <text x={-up(1)} y={14} textAnchor="end" transform="rotate(-90)">
          {said(y)} {y.better === 'more' ? '→ better' : '← better'}
        </text>
        <path className="stairs" d={stairs(points, x.better, y.better, across)} />
        {others.map((each) => point(each, false))}
        {points.map((each) => point(each, true))}
      </svg>
      <p className="near note" role="status">
        {near
          ? `${near.name} · ${metricWords(x.name)} ${near.values[0]}, ${metricWords(y.name)} ${near.values[1]}`
          : `● on the front${others.length > 0 ? '   ■ the best of the objective' : ''}: choose one to open it`}
      </p>
      <div className="table-frame">
        <table className="best">
          <thead>
            <tr>
              <th scope="col" className="number">
                {metricWords(x.name)}
              </th>
              <th scope="col" className="number">
                {metricWords(y.name)}
              </th>
              <th scope="col">choices</th>
              <th scope="col">
                <span className="hidden">open</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {points.map((each) => (
              <tr key={each.name} className={isOpen(each) ? 'open' : ''}>
                <td className="number">{each.values[0]}</td>
                <td className="number">{each.values[1]}</td>
                <th scope="row">{each.name}</th>
                <td>
                  <button type="button" onClick={() => open(each)} aria-label={`Open from the front: ${each.name}`}>
                    {isOpen(each) ? 'Opened' : 'Open'}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}

const most = ({ name, better }: FrontAxis) => `${better === 'more' ? 'most' : 'least'} ${metricWords(name)}`

/** The border of what the front is at least as good as: it steps where the next point is, on the side that is worse. */
function stairs(
  points: readonly FrontPoint[],
  x: FrontAxis['better'],
  y: FrontAxis['better'],
  across: (at: number) => number,
): string {
  const sorted = [...points].sort((a, b) => (x === 'less' ? a.x - b.x : b.x - a.x))
  const [first] = sorted
  if (!first) return ''
  const worstY = y === 'less' ? 1 : 0
  const worstX = x === 'less' ? 1 : 0
  const steps = sorted.map(({ x: at, y: high }) => `H${across(at)}V${up(high)}`)
  return `M${across(first.x)} ${up(worstY)}${steps.join('')}H${across(worstX)}`
}
