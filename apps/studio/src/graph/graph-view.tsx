import { ReactFlow, ReactFlowProvider, useReactFlow, useStore } from '@xyflow/react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import type { Level } from 'shardloom'
import { FailureText } from '../shell/failure.jsx'
import { isTyping } from '../shell/keys.jsx'
import { PictureFoot } from '../shell/picture-foot.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { useNarrow } from '../shell/use-narrow.js'
import { useSize } from '../use-size.js'
import { desks } from '../worker/desk.js'
import type { GraphView as View } from '../worker/protocol.js'
import { ActionsContext, axesOf, flowNodes, type GraphNode, marksOf, nodeTypes } from './flow-nodes.jsx'
import { graphKey } from './keys.js'
import { Legend } from './legend.jsx'
import { Lines } from './lines.jsx'
import { Small } from './minimap.jsx'
import { type DrawnGraph, fitZoom, margins, type PlacedNode, type Room, readableZoom } from './placed.js'
import { SearchBox } from './search-box.jsx'
import { subjectOf } from './selected.js'

const levels = [
  ['phase', 'Phases'],
  ['stage', 'Stages'],
  ['layer', 'Layers'],
  ['module', 'Modules'],
  ['operator', 'Operators'],
] as const satisfies readonly (readonly [Level, string])[]

/**
 * Below this zoom names are specks: the outlines of all nodes are one drawing, and their boxes, now empty, all stay where they are, so that
 * moving two thousand of them moves one thing.
 */
const unreadable = 0.3

/** The graph of the plan: cards that open and close, laid out like exported pictures. */
export function GraphView() {
  return (
    <ReactFlowProvider>
      <Graph />
    </ReactFlowProvider>
  )
}

function Graph() {
  const { state, dispatch, graph, inspected, onScreen } = useStudio()
  const { level, toggled, unroll, rank } = state.graph
  const { selection } = state
  const pane = useRef<HTMLDivElement>(null)
  const { width, height } = useSize(pane)
  const room = useMemo(() => ({ width, height }), [width, height])
  const drawn = useDrawn(graph.answer, room)
  useEffect(() => {
    onScreen.current = drawn
    return () => {
      onScreen.current = undefined
    }
  }, [onScreen, drawn])
  const [group, setGroup] = useState(false)
  const flow = useReactFlow<GraphNode>()
  const held = useRef<{ readonly card: string; readonly x: number; readonly y: number }>(undefined)
  const sought = useRef<string>(undefined)
  const latestRoom = useRef(room)
  latestRoom.current = room

  const select = useCallback(
    (id: string | undefined) => {
      setGroup(false)
      dispatch({ type: 'look', change: { selection: id as string } })
    },
    [dispatch],
  )
  const show = useCallback(
    ({ node, at }: PlacedNode) => {
      void flow.setCenter(at.x + at.width / 2, at.y + at.height / 2, { zoom: 1 })
      focusNode(pane.current, node.id)
    },
    [flow],
  )
  const toggle = useCallback(
    (card: string) => {
      const at = drawn && placeOf(drawn, card)
      if (at) held.current = { card, ...flow.flowToScreenPosition(at) }
      const next = toggled.includes(card) ? toggled.filter((each) => each !== card) : [...toggled, card]
      dispatch({ type: 'look', change: { graph: { ...state.graph, toggled: next } } })
    },
    [drawn, flow, toggled, dispatch, state.graph],
  )

  // What was opened or closed stays where it was on the screen; another picture is shown as a whole.
  useEffect(() => {
    if (!drawn) return
    const at = held.current && placeOf(drawn, held.current.card)
    const found = sought.current !== undefined && drawn.placed.nodes.find(({ node }) => node.id === sought.current)
    if (found) {
      sought.current = undefined
      show(found)
    } else if (held.current && at) {
      const now = flow.flowToScreenPosition(at)
      const { x, y, zoom } = flow.getViewport()
      void flow.setViewport({ x: x + held.current.x - now.x, y: y + held.current.y - now.y, zoom })
    } else {
      fit(flow, drawn, latestRoom.current)
    }
    held.current = undefined
  }, [drawn, flow, show])

  const chosen = useMemo(() => {
    const ids = selection === undefined ? [] : inspected.answer && !inspected.stale ? inspected.answer.ids : [selection]
    const own = drawn?.view.nodes.find(({ id }) => id === selection)
    return { ids, axes: own?.kind === 'communication' ? axesOf(own) : [], lit: group }
  }, [drawn, selection, group, inspected])
  const nodes = useMemo(() => (drawn ? flowNodes(drawn.placed, drawn.view, chosen) : []), [drawn, chosen])
  const [markOf, touched] = useMemo(() => {
    if (!drawn) return [undefined, new Set<string>()]
    const marks = marksOf(drawn.placed, chosen)
    return [marks, new Set(drawn.view.nodes.flatMap((node) => (marks(node) === 'selected' ? [node.id] : [])))]
  }, [drawn, chosen])
  const far = useStore(({ transform: [, , zoom] }) => zoom < unreadable)
  const actions = useMemo(() => ({ toggle, select }), [toggle, select])

  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey || !drawn) return
      const done = graphKey(event, {
        move: (x, y) => {
          const now = flow.getViewport()
          void flow.setViewport({ ...now, x: now.x + x, y: now.y + y })
        },
        zoom: (closer) => void (closer ? flow.zoomIn() : flow.zoomOut()),
        fit: () => fit(flow, drawn, latestRoom.current),
        open: () => {
          const id =
            (event.target as Element | null)?.closest?.('.react-flow__node')?.getAttribute('data-id') ?? selection
          if (id === undefined) return false
          if (id !== selection) select(id)
          else if (drawn.view.expandable.includes(id)) toggle(id)
          return true
        },
        close: () => {
          const card = selection === undefined ? undefined : cardAround(drawn.view, selection)
          if (card === undefined) return false
          toggle(card)
          select(card)
          return true
        },
        group: () => setGroup((now) => !now),
        nothing: () => select(undefined),
      })
      if (done) event.preventDefault()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [drawn, flow, selection, select, toggle])

  const look = (change: Partial<typeof state.graph>) =>
    dispatch({ type: 'look', change: { graph: { ...state.graph, ...change } } })
  return (
    <ActionsContext value={actions}>
      <div className="graph-tools">
        <fieldset className="segments">
          <legend className="hidden">Level</legend>
          {levels.map(([name, title]) => (
            <label key={name}>
              <input
                type="radio"
                name="level"
                checked={level === name}
                onChange={() => look({ level: name, toggled: [] })}
              />
              {title}
            </label>
          ))}
        </fieldset>
        <label className="check">
          <input
            type="checkbox"
            checked={unroll.includes('rank')}
            onChange={({ target }) => look({ unroll: target.checked ? ['rank'] : [], toggled: [] })}
          />
          Ranks side by side
        </label>
        <button
          type="button"
          title="Shows all of it (0)"
          disabled={!drawn}
          onClick={() => drawn && fit(flow, drawn, room)}
        >
          Fit
        </button>
        {rank !== undefined && (
          <button
            type="button"
            title="The numbers are of one rank"
            onClick={() => dispatch({ type: 'look', change: { graph: { level, toggled, unroll } } })}
          >
            Whole mesh
          </button>
        )}
        <SearchBox
          onFound={({ id, toggled: opened }) => {
            pane.current?.focus()
            const there = drawn?.placed.nodes.find(
              ({ node }) => node.id === id || subjectOf(node.id).path === subjectOf(id).path,
            )
            if (there) show(there)
            // Ranks stay side by side where what was found stands in one of them.
            if (there && there.node.id !== id) return select(there.node.id)
            if (!there) sought.current = id
            look({ toggled: opened, unroll: [] })
            select(id)
          }}
        />
        {graph.failure && graph.stale && <FailureText failure={graph.failure} />}
      </div>
      <div className={far ? 'graph-pane far' : 'graph-pane'} ref={pane} tabIndex={-1}>
        <ReactFlow<GraphNode>
          nodes={nodes}
          edges={[]}
          nodeTypes={nodeTypes}
          nodesDraggable={false}
          nodesConnectable={false}
          edgesFocusable={false}
          elementsSelectable={false}
          nodesFocusable
          onlyRenderVisibleElements={!far}
          minZoom={drawn ? Math.min(0.1, 0.9 * fitZoom(drawn.placed.bounds, room)) : 0.1}
          maxZoom={2.5}
          zoomOnDoubleClick={false}
          deleteKeyCode={null}
          selectionKeyCode={null}
          multiSelectionKeyCode={null}
          proOptions={{ hideAttribution: true }}
          onNodeClick={(_, { id, type }) => type === 'card' && select(id)}
          onNodeDoubleClick={(_, { id }) => drawn?.view.expandable.includes(id) && toggle(id)}
          onPaneClick={() => select(undefined)}
          aria-label="The graph of the plan"
        >
          {drawn && <Lines placed={drawn.placed} chosen={touched} {...(far && markOf && { far: markOf })} />}
          {drawn && <Small placed={drawn.placed} room={room} />}
        </ReactFlow>
      </div>
      {drawn && <Foot drawn={drawn} chosen={touched} />}
    </ActionsContext>
  )
}

/** What the signs of the picture mean, and what it is of. */
function Foot({ drawn, chosen }: { readonly drawn: DrawnGraph; readonly chosen: ReadonlySet<string> }) {
  const { view, placed } = drawn
  const narrow = useNarrow()
  const notice = view.notice && <b>{view.notice}</b>
  return (
    <PictureFoot notice={notice}>
      <Legend legend={view.legend} edges={placed.edges} chosen={chosen} />
      <p className="caption" title={view.subtitle}>
        {!narrow && notice && <>{notice} · </>}
        {view.subtitle}
      </p>
    </PictureFoot>
  )
}

/** The newest view that has places, for the room that there was when it came. */
function useDrawn(view: View | undefined, room: Room): DrawnGraph | undefined {
  const [given, setGiven] = useState<{ readonly view: View; readonly room: Room }>()
  if (view && room.width > 0 && given?.view !== view) setGiven({ view, room })
  // Only what needs Graphviz waits for it to be loaded.
  const alone = useJob(desks.plan, 'arrange', given)
  const laidOut = useJob(desks.layout, 'place', !alone.stale && alone.answer === null ? given : undefined)
  const { answer, stale } = alone.answer === null ? laidOut : alone
  const last = useRef<DrawnGraph>(undefined)
  if (given && answer && !stale && last.current?.placed !== answer) last.current = { view: given.view, placed: answer }
  return last.current
}

/** Moves the focus to a node as soon as the picture has it, within some frames. */
function focusNode(pane: HTMLElement | null, id: string, frames = 60): void {
  const node = pane?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(id)}"]`)
  if (node) node.focus({ preventScroll: true })
  else if (frames > 0) requestAnimationFrame(() => focusNode(pane, id, frames - 1))
}

/** The top left of a card, or of the frame that it has become. */
function placeOf({ view, placed }: DrawnGraph, card: string) {
  const node = placed.nodes.find((each) => each.node.id === card)?.at
  return node ?? placed.clusters.find(({ cluster }) => view.closes[cluster.id] === card)?.at
}

/** Shows all of a picture, as long as names can be read; of a larger one the beginning. */
function fit(flow: ReturnType<typeof useReactFlow<GraphNode>>, { placed }: DrawnGraph, room: Room): void {
  const { bounds, start } = placed
  const zoom = Math.min(1.15, Math.max(fitZoom(bounds, room), readableZoom))
  const { side, top, bottom } = margins
  const [across, down] = [room.width - 2 * side, room.height - top - bottom]
  const fitsAcross = bounds.width * zoom <= across + 1
  // Of what is wider than the room the place where one begins is seen, with what is around it.
  const left = Math.min(start.x, Math.max(bounds.x, start.x - (across / zoom - start.width) / 2))
  const x = fitsAcross ? side + (across - bounds.width * zoom) / 2 - bounds.x * zoom : side - left * zoom
  const fitsDown = bounds.height * zoom <= down + 1
  const above = Math.max(bounds.y, start.y - 48)
  const y = fitsDown ? top + (down - bounds.height * zoom) / 2 - bounds.y * zoom : top - above * zoom
  void flow.setViewport({ x, y, zoom })
}

/** The innermost opened card around a node. */
function cardAround(view: View, id: string): string | undefined {
  const parents = new Map(view.clusters.map(({ id: cluster, parent }) => [cluster, parent]))
  for (let at = view.nodes.find((node) => node.id === id)?.cluster; at !== undefined; at = parents.get(at))
    if (view.closes[at] !== undefined) return view.closes[at]
  return undefined
}
