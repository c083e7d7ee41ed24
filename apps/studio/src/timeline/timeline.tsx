import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { fitCanvas } from '../canvas.js'
import { subjectOf } from '../graph/selected.js'
import type { MemoryData } from '../memory/data.js'
import { isTyping } from '../shell/keys.jsx'
import { PictureFoot } from '../shell/picture-foot.jsx'
import { useTouch } from '../shell/use-media.js'
import { useSize } from '../use-size.js'
import { AliveStrip } from './alive-strip.jsx'
import type { TimelineData } from './data.js'
import { rowText, sliceText, sumSpan, sumText } from './describe.js'
import { acrossOf, type CriticalPath, draw, type Place, roomOf, type Scene } from './draw.js'
import { flowsFor } from './draw-lines.js'
import { grainOf, grainOn } from './draw-row.js'
import { listen } from './gestures.js'
import { scrollAfterKey, viewAfterKey } from './keys.js'
import { foldedLinks, layoutOf, linksOf, nameAt, rowAt } from './layout.js'
import { Legend } from './legend.jsx'
import { Overview } from './overview.jsx'
import { fonts, measurer, paintsOf, type Theme } from './paint.js'
import { RowTree } from './row-tree.jsx'
import { hasPart, idOfPlace, placeOfId } from './selection.js'
import { sliceAt } from './slices.js'
import { fitted, inside, moved, type View, zoomed } from './view.js'

/** What timelines are told and tell. */
export interface TimelineProps {
  /** Above each other on one axis of time; all of one unit. */
  readonly panels: readonly TimelineData[]
  readonly theme: Theme
  /** What is selected in any view. */
  readonly node: string | undefined
  readonly onSelectNode: (node: string | undefined) => void
  /** What is in memory over the first of them, where that is known. */
  readonly memory?: MemoryData | undefined
  /** What stands beside the tools. */
  readonly children?: ReactNode
}

/** From this many pixels on the tree stands beside the canvas. */
const besides = 960

/** What does something of its own at Enter and arrows. */
const ownKeys = 'button, input, summary, a, [role=tab], [role=treeitem]'

const sameView = (a: View, b: View) => a.from === b.from && a.to === b.to && a.scroll === b.scroll

/** Timelines on a canvas: zoom, pan, hover, selections, sums of a span, a critical path, and a tree of the same for the keyboard. */
export function Timeline({ panels, theme, node, onSelectNode, memory, children }: TimelineProps) {
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const section = useRef<HTMLElement>(null)
  const { width, height, density } = useSize(frame)
  const narrow = useSize(section).width < besides
  const [selected, setSelected] = useState<Place>()
  const [hovered, setHovered] = useState<Place>()
  const [span, setSpan] = useState<readonly [number, number]>()
  const [path, setPath] = useState<CriticalPath>('line')
  const tools = useMemo(() => {
    const context = document.createElement('canvas').getContext('2d')
    return context && { widthOf: measurer(context, fonts.plain), paints: paintsOf(context, theme, density) }
  }, [theme, density])
  const [folded, setFolded] = useState(() => foldedLinks(panels))
  const layout = useMemo(
    () => layoutOf(panels, tools?.widthOf ?? ((label) => label.length * 7), folded),
    [panels, tools, folded],
  )
  const [view, setView] = useState(() => fitted(layout.end))
  // Other timelines: all of their time; what was selected is not there any more.
  const [shown, setShown] = useState(panels)
  if (shown !== panels) {
    setShown(panels)
    const whole = fitted(panels.reduce((most, { end, perUnit }) => Math.max(most, end / perUnit), 0))
    // One that comes or goes below the same does not move what is read.
    setView(shown[0] === panels[0] ? { ...whole, scroll: view.scroll } : whole)
    setFolded(foldedLinks(panels))
    setSelected(undefined)
    setHovered(undefined)
    setSpan(undefined)
  }
  // A slice that is selected is the same one in all views and links; another selection ends that of a slice.
  const [told, setTold] = useState<string>()
  const [followed, setFollowed] = useState<string | undefined>()
  if (followed !== node) {
    setFollowed(node)
    if (node !== told) setSelected(placeOfId(panels[0], node))
  }
  const chosen = selected && panels[selected.panel]
  const flows = useMemo(
    () => (chosen && selected ? flowsFor(chosen, selected.row, selected.grain, selected.slice) : []),
    [chosen, selected],
  )
  // What is selected elsewhere may be nothing that takes time.
  const ids = useMemo(
    () => (node !== undefined && panels.some((each) => hasPart(each, node)) ? [node] : []),
    [panels, node],
  )
  const scene: Scene = { panels, layout, view, width, height, path, selected, ids, hovered, flows, span }
  const latest = useRef(scene)
  latest.current = scene
  // The same function always: whoever listens keeps what a person is in the middle of.
  const change = useCallback((next: (view: View) => View) => {
    setView((known) => {
      const { layout: of } = latest.current
      const kept = inside(next(known), of.end, of.height - roomOf(latest.current))
      return sameView(kept, known) ? known : kept
    })
  }, [])

  // biome-ignore lint/correctness/useExhaustiveDependencies: what is seen stays inside as the rows and their room change
  useEffect(() => change((known) => known), [layout, height, change])

  useEffect(() => {
    if (!canvas.current || !tools || width === 0) return
    const context = fitCanvas(canvas.current, width, height)
    if (context) draw(context, scene, tools.paints, tools.widthOf)
  })

  const fold = useCallback((panel: number, row: number) => {
    const rank = latest.current.panels[panel]?.rows[row]?.rank
    if (rank === undefined) return
    const name = linksOf(panel, rank)
    setFolded((known) => {
      const next = new Set(known)
      if (!next.delete(name)) next.add(name)
      return next
    })
  }, [])
  const grainFor = useCallback((panel: number, row: number) => {
    const data = latest.current.panels[panel]
    return data ? grainOn(data, row, grainOf(data, acrossOf(latest.current, data))) : 0
  }, [])
  const timeAt = useCallback((x: number) => {
    const { layout: of, view: at, width: across } = latest.current
    return at.from + ((x - of.left) / Math.max(1, across - of.left - of.right)) * (at.to - at.from)
  }, [])
  const placeAt = useCallback(
    (x: number, y: number): Place | undefined => {
      const { layout: of, view: at, panels: all } = latest.current
      const placed = rowAt(of, y + at.scroll)
      const data = placed && all[placed.panel]
      if (!placed || !data || x < of.left) return undefined
      const time = timeAt(x) * data.perUnit
      const { panel, row } = placed
      const grain = grainFor(panel, row)
      const slices = data.grains[grain]
      const slice = slices ? sliceAt(slices, row, time) : -1
      if (slice >= 0) return { panel, row, grain, slice }
      return undefined
    },
    [timeAt, grainFor],
  )
  const tell = useRef(onSelectNode)
  tell.current = onSelectNode
  const select = useCallback((place: Place | undefined) => {
    setSelected(place)
    const own = place && latest.current.panels[place.panel]
    // Slices of other schedules are none of this plan.
    const id = own && (place.panel === 0 || place.grain === 0) ? idOfPlace(own, place) : undefined
    setTold(id)
    tell.current(id)
  }, [])
  const show = useCallback(
    ({ panel, grain, slice }: Place) => {
      const data = latest.current.panels[panel]
      const slices = data?.grains[grain]
      if (!data || !slices) return
      const [from, to] = [(slices.start[slice] ?? 0) / data.perUnit, (slices.end[slice] ?? 0) / data.perUnit]
      change((known) => ({ ...known, from: from - (to - from), to: to + (to - from) }))
    },
    [change],
  )

  useEffect(() => {
    const element = canvas.current
    if (!element) return
    return listen(element, {
      scrolls: () => latest.current.layout.height > roomOf(latest.current),
      zoom: (factor, x) => change((known) => zoomed(known, factor, timeAt(x), latest.current.layout.end)),
      pan: (across, down) =>
        change((known) => {
          const { layout: of, width: whole } = latest.current
          const next = moved(known, across / Math.max(1, whole - of.left - of.right))
          return { ...next, scroll: known.scroll + down }
        }),
      span: (from, to) => setSpan([Math.min(timeAt(from), timeAt(to)), Math.max(timeAt(from), timeAt(to))]),
      hover: (place) => setHovered(place && placeAt(place.x, place.y)),
      press: (x, y) => {
        const { layout: of, view: now } = latest.current
        const name = x < of.left ? nameAt(of, y + now.scroll) : undefined
        if (name?.folded !== undefined) return fold(name.panel, name.row)
        setSpan(undefined)
        select(placeAt(x, y))
      },
      open: (x, y) => {
        const place = placeAt(x, y)
        if (place) show(place)
      },
    })
  }, [change, timeAt, placeAt, select, show, fold])

  const touch = useTouch()
  const overflows = height > 0 && layout.height > roomOf(scene)
  const press = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return
    // Buttons, fields and the tree have keys of their own; who has none of them is in the timeline.
    const taken = event.target instanceof Element && event.target.closest(ownKeys) !== null
    const next = viewAfterKey(event.code, view, layout.end)
    const by = overflows && !taken ? scrollAfterKey(event.key, roomOf(scene)) : undefined
    if (next) change(() => next)
    else if (by !== undefined) change((known) => ({ ...known, scroll: known.scroll + by }))
    else if (event.code === 'KeyC') setPath(path === 'lit' ? 'line' : 'lit')
    else if (event.key === 'Escape') {
      setSpan(undefined)
      select(undefined)
    } else if (event.key === 'Enter' && selected && !taken) show(selected)
    else return
    event.preventDefault()
  }
  const pressed = useRef(press)
  pressed.current = press
  useEffect(() => {
    const onPress = (event: KeyboardEvent) => pressed.current(event)
    addEventListener('keydown', onPress)
    return () => removeEventListener('keydown', onPress)
  }, [])
  const linked = useMemo(
    () =>
      new Set(
        panels.flatMap(({ rows }, panel) =>
          rows.flatMap(({ stream, rank }) => (stream === 'compute' ? [] : [linksOf(panel, rank)])),
        ),
      ),
    [panels],
  )
  // The rank of what is selected, or the first.
  const place = subjectOf(node ?? '').place
  const ofChosen = chosen?.rows[selected?.row ?? -1]?.rank
  const alive =
    memory?.ranks.find(({ rank, name }) => (ofChosen === undefined ? name === place : rank === ofChosen)) ??
    memory?.ranks[0]
  const shownPlace = hovered ?? selected
  const data = shownPlace && panels[shownPlace.panel]
  return (
    <section ref={section} className={narrow ? 'narrow timeline-panel' : 'timeline-panel'} aria-label="Timeline">
      <div className="timeline-tools">
        {linked.size > 0 && (
          <label className="check">
            <input
              type="checkbox"
              checked={folded.size < linked.size}
              onChange={({ target }) => setFolded(target.checked ? new Set() : linked)}
            />
            Every link
          </label>
        )}
        <label className="check">
          <input
            type="checkbox"
            checked={path !== 'hidden'}
            onChange={({ target }) => setPath(target.checked ? 'line' : 'hidden')}
          />
          Critical path
        </label>
        <label className="check" title="Everything else is faint (C)">
          <input
            type="checkbox"
            checked={path === 'lit'}
            onChange={({ target }) => setPath(target.checked ? 'lit' : 'line')}
          />
          Light it up
        </label>
        {children}
      </div>
      <Overview panels={panels} layout={layout} view={view} width={width} tools={tools} onChange={change} />
      <div className="timeline-frame" ref={frame}>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="img"
          aria-label={`${panels.map(({ name, fact }) => `${name}: ${fact}`).join('; ')}. W and S zoom, A and D pan, 0 shows all, arrows up and down scroll, C lights a critical path; the tree beside has the same in words.`}
        />
      </div>
      {alive && memory && (
        <AliveStrip rank={alive} end={memory.end} layout={layout} view={view} width={width} theme={theme} />
      )}
      <p className="timeline-told" aria-live="polite">
        {shownPlace && data
          ? sliceText(data, shownPlace)
          : touch
            ? 'Tap a slice; drag to move, spread two fingers to see more.'
            : `Point at a slice; drag with Shift to add a span up.${overflows ? ' Scroll for the rest; Ctrl and wheel zoom.' : ''}`}
      </p>
      {span && (
        <dl className="timeline-sums">
          {panels.map((each, panel) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: timelines stay in their order
            <div key={panel}>
              <dt>{each.name}</dt>
              <dd>
                {sumSpan(each, span[0] * each.perUnit, span[1] * each.perUnit)
                  .map((sum) => sumText(each, sum))
                  .join(' · ') || 'nothing'}
              </dd>
            </div>
          ))}
        </dl>
      )}
      {flows.length > 0 && data && selected && chosen && (
        <p className="timeline-flows">
          {[
            ...new Set(
              flows.map(({ fromRow, toRow, together }) => {
                const other = fromRow === selected.row ? toRow : fromRow
                const way = together ? 'together with' : fromRow === selected.row ? 'to' : 'from'
                return `${way} ${rowText(chosen, other)}`
              }),
            ),
          ].join(' · ')}
        </p>
      )}
      <PictureFoot>
        <Legend panels={panels} theme={theme} critical={path !== 'hidden'} />
      </PictureFoot>
      <RowTree
        panels={panels}
        folded={folded}
        onFold={fold}
        grainOf={grainFor}
        from={view.from}
        selected={selected}
        onSelect={select}
      />
    </section>
  )
}
