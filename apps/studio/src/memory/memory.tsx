import { type KeyboardEvent, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { formatBytes, formatSeconds } from 'shardloom'
import { bandNames } from 'shardloom/charts'
import { fitCanvas } from '../canvas.js'
import { subjectOf } from '../graph/selected.js'
import { isTyping } from '../shell/keys.jsx'
import { PictureFoot } from '../shell/picture-foot.jsx'
import { useTouch } from '../shell/use-media.js'
import type { TimelineData } from '../timeline/data.js'
import { listen } from '../timeline/gestures.js'
import { viewAfterKey } from '../timeline/keys.js'
import { fonts, measurer, paintsOf, type Theme } from '../timeline/paint.js'
import { idOfPlace } from '../timeline/selection.js'
import { fitted, inside, moved, type View, zoomed } from '../timeline/view.js'
import { useSize } from '../use-size.js'
import { Bands } from './bands.jsx'
import { type MemoryData, type MemoryRank, momentAt } from './data.js'
import {
  drawMemory,
  type MemoryPlace,
  type MemoryScene,
  placeAtHeight,
  placeHeight,
  plotOf,
  roomText,
  sizes,
  topOf,
  wholeHeight,
} from './draw.js'
import { type Moment, runningAt, spanOf, startBeside } from './moment.js'
import { PeakTable } from './peak-table.jsx'

/** What memory is told and tells. */
export interface MemoryProps {
  /** Steps to compare, or one; of each the ranks that hold most come first. */
  readonly steps: readonly MemoryData[]
  /** The first step in time: what runs at a moment can be selected once it is there. */
  readonly timeline: TimelineData | undefined
  readonly theme: Theme
  /** What is selected in any view. */
  readonly node: string | undefined
  readonly onSelectNode: (node: string | undefined) => void
  /** How many ranks of each step are drawn. Default 8. */
  readonly most?: number
  /** Whether its keys work wherever the focus is, or inside of it alone. */
  readonly everywhere?: boolean
}

/** What does something of its own at Enter and arrows. */
const ownKeys = 'button, input, summary, a, [role=tab], [tabindex="0"]:not(canvas)'

/** What is in memory over time, a plot for each rank, all on one scale; and the same at the peak as a table. */
export function Memory({ steps, timeline, theme, node, onSelectNode, most = 8, everywhere = false }: MemoryProps) {
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const { width, height, density } = useSize(frame)
  const touch = useTouch()
  const places = useMemo(() => placesOf(steps, most), [steps, most])
  const end = steps.reduce((longest, data) => Math.max(longest, data.end), 0)
  const tools = useMemo(() => {
    const context = document.createElement('canvas').getContext('2d')
    return context && { widthOf: measurer(context, fonts.fact), paints: paintsOf(context, theme, density) }
  }, [theme, density])
  const [view, setView] = useState(() => fitted(end))
  const [hovered, setHovered] = useState<Moment>()
  const [kept, setKept] = useState<Moment>()
  const [shown, setShown] = useState(steps)
  if (shown !== steps) {
    setShown(steps)
    setView(fitted(end))
    setHovered(undefined)
    setKept(undefined)
  }
  const moment = hovered ?? kept
  const scene: MemoryScene = {
    places,
    view,
    width,
    height,
    top: topOf(places),
    at: moment?.at,
    ...useMemo(() => markedOf(places, timeline, node), [places, timeline, node]),
  }
  const latest = useRef({ scene, end })
  latest.current = { scene, end }
  const change = useCallback((next: (view: View) => View) => {
    setView((known) => {
      const { scene: of, end: last } = latest.current
      return inside(next(known), last, wholeHeight(of.height, of.places.length) - (of.height - sizes.axis))
    })
  }, [])
  useEffect(() => {
    if (!canvas.current || !tools || width === 0) return
    const context = fitCanvas(canvas.current, width, height)
    if (context) drawMemory(context, scene, tools.paints, tools.widthOf)
  })
  const running = ({ place, at }: Moment) => {
    const { left, right } = plotOf(width)
    const found = places[place]
    // Of other steps nothing is part of this plan.
    if (!timeline || !found || found.data !== steps[0]) return undefined
    return runningAt(timeline, found.rank.rank, at, view, right - left)
  }
  const select = (chosen: Moment | undefined) => {
    setKept(chosen)
    const place = chosen && running(chosen)
    if (!chosen || (timeline && place)) onSelectNode(place && timeline && idOfPlace(timeline, place))
  }
  const chosen = useRef(select)
  chosen.current = select
  useEffect(() => {
    const element = canvas.current
    if (!element) return
    const timeAt = (x: number) => {
      const { view: now, width: across } = latest.current.scene
      const { left, right } = plotOf(across)
      return now.from + ((x - left) / (right - left)) * (now.to - now.from)
    }
    const momentOf = (x: number, y: number): Moment | undefined => {
      const { view: now, height: down, places: all } = latest.current.scene
      const at = timeAt(x)
      if (at < now.from || at > now.to || y > down - sizes.axis) return undefined
      return { place: placeAtHeight(y + now.scroll, down, all.length), at }
    }
    return listen(element, {
      scrolls: () => false,
      zoom: (factor, x) => change((known) => zoomed(known, factor, timeAt(x), latest.current.end)),
      pan: (across, down) =>
        change((known) => {
          const { left, right } = plotOf(latest.current.scene.width)
          return { ...moved(known, across / (right - left)), scroll: known.scroll + down }
        }),
      span: () => {},
      hover: (at) => setHovered(at && momentOf(at.x, at.y)),
      press: (x, y) => chosen.current(momentOf(x, y)),
      open: () => change(() => fitted(latest.current.end)),
    })
  }, [change])

  /** Looks at another moment by the keys, where it can be seen. */
  const goTo = (next: Moment) => {
    setHovered(undefined)
    setKept(next)
    change((known) => {
      const step = placeHeight(height, places.length)
      const room = height - sizes.axis
      const scroll = Math.min(next.place * step, Math.max(known.scroll, (next.place + 1) * step + 6 - room))
      if (next.at >= known.from && next.at <= known.to) return { ...known, scroll }
      const half = (known.to - known.from) / 2
      return { from: next.at - half, to: next.at + half, scroll }
    })
  }
  const beside = (from: Moment, by: 1 | -1): number | undefined => {
    const place = running(from)
    if (timeline && place) return startBeside(timeline, place, by)
    const seconds = places[from.place]?.rank.seconds
    return seconds?.[momentAt(seconds, from.at) + by]
  }
  const movedBy = (key: string): Moment | undefined => {
    const from = moment ?? { place: 0, at: places[0]?.rank.peak.seconds ?? 0 }
    if (key === 'ArrowDown' || key === 'ArrowUp') {
      const place = from.place + (key === 'ArrowDown' ? 1 : -1)
      return places[place] && { place, at: from.at }
    }
    if (key !== 'ArrowRight' && key !== 'ArrowLeft') return undefined
    const at = moment ? beside(from, key === 'ArrowRight' ? 1 : -1) : from.at
    return at === undefined ? undefined : { place: from.place, at }
  }
  const press = (event: KeyboardEvent | globalThis.KeyboardEvent) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return
    const taken = event.target instanceof Element && event.target.closest(ownKeys) !== null
    const next = viewAfterKey(event.code, view, end)
    const to = taken ? undefined : movedBy(event.key)
    if (next) change(() => next)
    else if (to) goTo(to)
    else if (event.key === 'Enter' && moment && !taken) select(moment)
    else if (event.key === 'Escape') select(undefined)
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  const pressed = useRef(press)
  pressed.current = press
  useEffect(() => {
    if (!everywhere) return
    const onPress = (event: globalThis.KeyboardEvent) => pressed.current(event)
    addEventListener('keydown', onPress)
    return () => removeEventListener('keydown', onPress)
  }, [everywhere])
  const left = steps.reduce((sum, data) => sum + data.ranks.length, 0) - places.length
  const looked = moment && places[moment.place]
  return (
    <section className="memory-panel" aria-label="Memory" onKeyDown={press}>
      <div className="memory-frame" ref={frame}>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="img"
          aria-label={`${places.map(({ data, rank }) => `${data.name} ${rank.name}: ${roomText(data, rank)}`).join('; ')}. W and S zoom, A and D pan, 0 shows all, arrows go from moment to moment and from rank to rank, Enter selects what runs then.`}
        />
      </div>
      <p className="memory-told" aria-live="polite">
        {moment && looked
          ? `${formatSeconds(moment.at)} · ${steps.length > 1 ? `${looked.data.name} ` : ''}${looked.rank.name} holds ${heldText(looked.rank, moment.at)}`
          : `${left > 0 ? `${places.length} of ${places.length + left} ranks shown, those that hold most. ` : ''}${touch ? 'Tap a moment to select what runs then.' : 'Point at a moment to read what is held; press to select what runs then.'}`}
      </p>
      <PictureFoot>
        <Bands places={places} theme={theme} />
      </PictureFoot>
      <PeakTable places={places} />
    </section>
  )
}

/** Where what is selected runs, and which places are none of it. */
function markedOf(
  places: readonly MemoryPlace[],
  timeline: TimelineData | undefined,
  node: string | undefined,
): Pick<MemoryScene, 'selected' | 'faint'> {
  const span = spanOf(timeline, node)
  const [first] = places
  const isOf = ({ data, rank }: MemoryPlace) =>
    span ? data === first?.data && rank.rank === span.rank : rank.name === subjectOf(node ?? '').place
  const place = places.findIndex(isOf)
  const others = place < 0 ? [] : places.flatMap((each, index) => (isOf(each) ? [] : [index]))
  return { selected: span && place >= 0 ? { place, ...span } : undefined, faint: new Set(others) }
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
  return `${formatBytes(total[at] ?? 0)}: ${parts.map(({ band, bytes }) => `${bandNames[band]} ${formatBytes(bytes)}`).join(', ')}`
}
