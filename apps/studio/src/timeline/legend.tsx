import { useId, useMemo } from 'react'
import { type SliceKind, sliceNames, slicePaint } from 'shardloom/charts'
import type { TimelineData } from './data.js'
import type { Theme } from './paint.js'
import { sliceKinds } from './slices.js'

/** What the timelines contain, and nothing else. */
function contentsOf(panels: readonly TimelineData[]) {
  const kinds = new Set<number>()
  let [again, pairs] = [false, false]
  for (const { grains } of panels)
    for (const slices of grains) {
      for (const kind of slices.kind) kinds.add(kind)
      again ||= slices.again.some((share) => share > 0)
      pairs ||= slices.partner !== undefined
    }
  return {
    kinds: sliceKinds.filter((_, kind) => kinds.has(kind)),
    again,
    pairs,
    idle: panels.some(({ rows }) => rows.some(({ idle = 0 }) => idle > 0.001)),
    critical: panels.some(({ critical }) => critical.row.length > 0),
  }
}

interface LegendProps {
  readonly panels: readonly TimelineData[]
  readonly theme: Theme
  /** Whether critical paths are drawn. */
  readonly critical: boolean
}

/** What colours and signs of timelines stand for. */
export function Legend({ panels, theme, critical: drawn }: LegendProps) {
  const { kinds, again, pairs, idle, critical } = useMemo(() => contentsOf(panels), [panels])
  const id = useId()
  const bar = (kind: Exclude<SliceKind, 'B'>, y: number, height: number) => {
    const { fill, stroke } = slicePaint(theme, kind)
    return <rect x="0.5" y={y + 0.5} width="15" height={height - 1} fill={fill} stroke={stroke} />
  }
  const hatch = (name: string, colour: string, distance: number) => (
    <pattern
      id={`${id}${name}`}
      width={distance}
      height={distance}
      patternUnits="userSpaceOnUse"
      patternTransform="rotate(45)"
    >
      <path d={`M0 0V${distance}`} stroke={colour} />
    </pattern>
  )
  return (
    <ul className="legend" aria-label="Legend">
      {kinds.map((kind) => (
        <li key={kind}>
          <svg width="16" height="12" aria-hidden="true">
            {kind === 'B' ? (
              <>
                {bar('I', 0, 8)}
                {bar('W', 8, 4)}
              </>
            ) : (
              bar(kind, 0, 12)
            )}
          </svg>
          {sliceNames[kind]}
        </li>
      ))}
      {again && (
        <li>
          <svg width="16" height="12" aria-hidden="true">
            {hatch('again', theme.sliceText.F, 5)}
            {bar('F', 0, 12)}
            <rect width="16" height="12" fill={`url(#${id}again)`} />
          </svg>
          forward again (recompute)
        </li>
      )}
      {pairs && (
        <li>
          <svg width="16" height="12" aria-hidden="true">
            {bar('F', 0, 6)}
            {bar('I', 6, 6)}
            <rect x="0.5" y="0.5" width="15" height="11" fill="none" stroke={theme.ink} />
          </svg>
          overlapped pair
        </li>
      )}
      {idle && (
        <li>
          <svg width="16" height="12" aria-hidden="true">
            {hatch('idle', theme.rule, 6)}
            <rect width="16" height="12" fill={theme.slices.idle} />
            <rect width="16" height="12" fill={`url(#${id}idle)`} />
          </svg>
          idle
        </li>
      )}
      {critical && drawn && (
        <li>
          <svg width="24" height="12" aria-hidden="true">
            <path d="M0 6H24" stroke={theme.ink} strokeWidth="3.5" />
          </svg>
          a critical path
        </li>
      )}
    </ul>
  )
}
