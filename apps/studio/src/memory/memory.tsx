import { type KeyboardEvent, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { formatBytes, formatSeconds } from 'shardloom'
import { bandNames, type MemoryBand } from 'shardloom/charts'
import { fitCanvas } from '../canvas.js'
import { listen } from '../timeline/gestures.js'
import { viewAfterKey } from '../timeline/keys.js'
import { fonts, measurer, paintsOf, type Theme } from '../timeline/paint.js'
import { fitted, inside, moved, type View, zoomed } from '../timeline/view.js'
import { useSize } from '../use-size.js'
import { type MemoryData, type MemoryRank, momentAt } from './data.js'
import { drawMemory, type MemoryPlace, type MemoryScene, placeHeight, plotOf, roomText, sizes, topOf } from './draw.js'

/** What memory is told. */
export interface MemoryProps {
  /** Steps to compare, or one; of each the ranks that hold most come first. */
  readonly steps: readonly MemoryData[]
  readonly theme: Theme
  /** How many ranks of each step are drawn. Default 8. */
  readonly most?: number
}

/** What is in memory over time, a plot for each rank, all on one scale; and the same at the peak as a table. */
export function Memory({ steps, theme, most = 8 }: MemoryProps) {
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const { width, height, density } = useSize(frame)
  const places = useMemo(() => placesOf(steps, most), [steps, most])
  const end = steps.reduce((longest, data) => Math.max(longest, data.end), 0)
  const tools = useMemo(() => {
    const context = document.createElement('canvas').getContext('2d')
    return context && { widthOf: measurer(context, fonts.fact), paints: paintsOf(context, theme, density) }
  }, [theme, density])
  const [view, setView] = useState(() => fitted(end))
  const [shown, setShown] = useState(steps)
  if (shown !== steps) {
    setShown(steps)
    setView(fitted(end))
  }
  const [at, setAt] = useState<number>()
  const scene: MemoryScene = { places, view, width, height, top: topOf(places), at }
  const latest = useRef({ scene, end })
  latest.current = { scene, end }
  const change = useCallback((next: (view: View) => View) => {
    setView((known) => {
      const { scene: of, end: last } = latest.current
      const whole = 6 + of.places.length * placeHeight(of.height, of.places.length)
      return inside(next(known), last, whole - (of.height - sizes.axis))
    })
  }, [])
  useEffect(() => {
    if (!canvas.current || !tools || width === 0) return
    const context = fitCanvas(canvas.current, width, height)
    if (context) drawMemory(context, scene, tools.paints, tools.widthOf)
  })
  useEffect(() => {
    const element = canvas.current
    if (!element) return
    const timeAt = (x: number) => {
      const { view: now, width: across } = latest.current.scene
      const { left, right } = plotOf(across)
      return now.from + ((x - left) / (right - left)) * (now.to - now.from)
    }
    const look = (place: { readonly x: number } | undefined) => {
      const time = place && timeAt(place.x)
      const { view: now } = latest.current.scene
      setAt(time !== undefined && time >= now.from && time <= now.to ? time : undefined)
    }
    return listen(element, {
      scrolls: () => false,
      zoom: (factor, x) => change((known) => zoomed(known, factor, timeAt(x), latest.current.end)),
      pan: (across, down) =>
        change((known) => {
          const { left, right } = plotOf(latest.current.scene.width)
          return { ...moved(known, across / (right - left)), scroll: known.scroll + down }
        }),
      span: (_, to) => look({ x: to }),
      hover: look,
      press: (x) => look({ x }),
      open: () => change(() => fitted(latest.current.end)),
    })
  }, [change])
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const next = viewAfterKey(event.code, view, end)
    if (!next) return
    change(() => next)
    event.preventDefault()
    event.stopPropagation()
  }
  const left = steps.reduce((sum, data) => sum + data.ranks.length, 0) - places.length
  return (
    <section className="memory-panel" aria-label="Memory" onKeyDown={onKeyDown}>
      <div className="memory-frame" ref={frame}>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="img"
          aria-label={`${places.map(({ data, rank }) => `${data.name} ${rank.name}: ${roomText(data, rank)}`).join('; ')}. W and S zoom, A and D pan, 0 shows all.`}
        />
      </div>
      <p className="memory-told" aria-live="polite">
        {at === undefined
          ? left > 0
            ? `${places.length} of ${places.length + left} ranks shown, those that hold most`
            : 'Point at a moment to read what is held.'
          : `${formatSeconds(at)}: ${places.map(({ data, rank }) => `${steps.length > 1 ? `${data.name} ` : ''}${rank.name} ${heldText(rank, at)}`).join(' · ')}`}
      </p>
      <Bands places={places} theme={theme} />
      <details className="memory-table">
        <summary>At the peak, as a table</summary>
        {/* Tables that are wider than the view scroll, also by keys. */}
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls is reached by keys */}
        <section className="scrolls" tabIndex={0} aria-label="Memory at the peak">
          <table>
            <thead>
              <tr>
                <th scope="col">rank</th>
                <th scope="col">peak</th>
                <th scope="col">of the device</th>
                <th scope="col">what is alive</th>
              </tr>
            </thead>
            <tbody>
              {places.map(({ data, rank }) => (
                <tr key={`${data.name} ${rank.rank}`}>
                  <th scope="row">{`${data.name} ${rank.name}`}</th>
                  <td>{formatBytes(rank.peak.bytes)}</td>
                  <td>{`${Math.round((100 * rank.peak.bytes) / data.limit)}\u00a0%`}</td>
                  <td>{rank.flag.join(', ').replace(':, ', ': ')}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      </details>
    </section>
  )
}

/** The parts that there are, bottom up. */
function Bands({ places, theme }: { readonly places: readonly MemoryPlace[]; readonly theme: Theme }) {
  const held = new Set(places.flatMap(({ rank }) => rank.bands.map(({ band }) => band)))
  return (
    <ul className="legend" aria-label="Legend">
      {(Object.keys(bandNames) as MemoryBand[])
        .filter((band) => held.has(band))
        .map((band) => (
          <li key={band}>
            <svg width="16" height="12" aria-hidden="true">
              <rect width="16" height="12" fill={theme.bands[band]} />
            </svg>
            {bandNames[band]}
          </li>
        ))}
    </ul>
  )
}

/** Of each step the ranks that hold most, in the order of ranks. */
function placesOf(steps: readonly MemoryData[], most: number): MemoryPlace[] {
  return steps.flatMap((data) =>
    [...data.ranks]
      .sort((a, b) => b.peak.bytes - a.peak.bytes || a.rank - b.rank)
      .slice(0, most)
      .sort((a, b) => a.rank - b.rank)
      .map((rank) => ({ data, rank })),
  )
}

/** What a rank holds at a time, the largest part first. */
function heldText({ seconds, bands, total }: MemoryRank, time: number): string {
  const at = Math.max(0, momentAt(seconds, time))
  const parts = bands
    .map(({ band, bytes }) => ({ band, bytes: bytes[at] ?? 0 }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes)
  return `${formatBytes(total[at] ?? 0)} (${parts.map(({ band, bytes }) => `${bandNames[band]} ${formatBytes(bytes)}`).join(', ')})`
}
