import { MiniMap, Panel, ReactFlow, ReactFlowProvider, useReactFlow } from '@xyflow/react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import type { Level } from 'shardloom'
import type { PlacedView } from 'shardloom/svg'
import { FailureText } from '../shell/failure.jsx'
import { isTyping } from '../shell/keys.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { desks } from '../worker/desk.js'
import type { GraphView as View } from '../worker/protocol.js'
import { flowNodes, type GraphNode, nodeTypes, ToggleContext } from './flow-nodes.jsx'
import { Legend } from './legend.jsx'
import { Lines } from './lines.jsx'
import { SearchBox } from './search-box.jsx'

const levels = [
  ['phase', 'Phases'],
  ['stage', 'Stages'],
  ['layer', 'Layers'],
  ['module', 'Modules'],
  ['operator', 'Operators'],
] as const satisfies readonly (readonly [Level, string])[]

/** The graph of the plan: cards that open and close, laid out like exported pictures. */
export function GraphView() {
  return (
    <ReactFlowProvider>
      <Graph />
    </ReactFlowProvider>
  )
}

/** A view with the places that were made for it: the two come together or not at all. */
interface Drawn {
  readonly view: View
  readonly placed: PlacedView
}

function Graph() {
  const { state, dispatch, graph } = useStudio()
  const { level, toggled, unroll } = state.graph
  const { selection } = state
  const drawn = useDrawn(graph.answer)
  const [group, setGroup] = useState(false)
  const flow = useReactFlow<GraphNode>()
  const held = useRef<{ readonly card: string; readonly x: number; readonly y: number }>(undefined)
  const sought = useRef<string>(undefined)

  const select = useCallback(
    (id: string | undefined) => {
      setGroup(false)
      dispatch({ type: 'look', change: { selection: id as string } })
    },
    [dispatch],
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
      void flow.setCenter(found.at.x + found.at.width / 2, found.at.y + found.at.height / 2, { zoom: 1 })
    } else if (held.current && at) {
      const now = flow.flowToScreenPosition(at)
      const { x, y, zoom } = flow.getViewport()
      void flow.setViewport({ x: x + held.current.x - now.x, y: y + held.current.y - now.y, zoom })
    } else {
      fit(flow, drawn)
    }
    held.current = undefined
  }, [drawn, flow])

  const selected = drawn?.view.nodes.find(({ id }) => id === selection)
  const axis = group && selected?.kind === 'communication' ? axisOf(selected.title) : undefined
  const nodes = useMemo(() => {
    if (!drawn) return []
    const lit = axis === undefined ? undefined : (node: View['nodes'][number]) => axesOf(node).includes(axis)
    return flowNodes(drawn.placed, drawn.view, selection, lit)
  }, [drawn, selection, axis])

  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey || !drawn) return
      const done = pressed(event, {
        move: (x, y) => {
          const now = flow.getViewport()
          void flow.setViewport({ ...now, x: now.x + x, y: now.y + y })
        },
        zoom: (closer) => void (closer ? flow.zoomIn() : flow.zoomOut()),
        fit: () => fit(flow, drawn),
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
    <ToggleContext value={toggle}>
      <ReactFlow<GraphNode>
        className={drawn && drawn.view.nodes.length > 300 ? 'many' : ''}
        nodes={nodes}
        edges={[]}
        nodeTypes={nodeTypes}
        nodesDraggable={false}
        nodesConnectable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        nodesFocusable
        onlyRenderVisibleElements
        minZoom={0.03}
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
        {drawn && <Lines placed={drawn.placed} selection={selected ? selection : undefined} />}
        <Panel position="top-left" className="graph-tools">
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
          <SearchBox
            onFound={({ id, toggled: opened }) => {
              sought.current = id
              look({ toggled: opened, level: level === 'stage' ? 'operator' : level, unroll: [] })
              select(id)
              const there = drawn?.placed.nodes.find(({ node }) => node.id === id)
              if (there)
                void flow.setCenter(there.at.x + there.at.width / 2, there.at.y + there.at.height / 2, { zoom: 1 })
            }}
          />
        </Panel>
        <MiniMap<GraphNode>
          pannable
          zoomable
          style={{ width: 132, height: 96 }}
          ariaLabel="Overview of the graph"
          nodeClassName={({ type, data }) =>
            type === 'card' && 'node' in data ? `mini ${data.node.kind}` : 'mini none'
          }
        />
        {!drawn && graph.failure && (
          <Panel position="top-center">
            <FailureText failure={graph.failure} />
          </Panel>
        )}
      </ReactFlow>
      {drawn && (
        <div className="graph-foot">
          <Legend view={drawn.view} />
          <p className="caption" title={drawn.view.subtitle}>
            {drawn.view.notice && <b>{drawn.view.notice} · </b>}
            {drawn.view.subtitle}
          </p>
        </div>
      )}
    </ToggleContext>
  )
}

/** The newest view that has places. */
function useDrawn(view: View | undefined): Drawn | undefined {
  const request = useMemo(() => view && { view }, [view])
  const { answer, stale } = useJob(desks.layout, 'place', request)
  const last = useRef<Drawn>(undefined)
  if (view && answer && !stale && last.current?.placed !== answer) last.current = { view, placed: answer }
  return last.current
}

/** The top left of a card, or of the frame that it has become. */
function placeOf({ view, placed }: Drawn, card: string) {
  const node = placed.nodes.find((each) => each.node.id === card)?.at
  return node ?? placed.clusters.find(({ cluster }) => view.closes[cluster.id] === card)?.at
}

/** Shows all of a picture, as long as names can be read; of a larger one the beginning. */
function fit(flow: ReturnType<typeof useReactFlow<GraphNode>>, { view, placed: { bounds } }: Drawn): void {
  const pane = document.querySelector('.react-flow')?.getBoundingClientRect()
  if (!pane) return
  const [left, top, below] = [24, 60, 24]
  const whole = Math.min((pane.width - 2 * left) / bounds.width, (pane.height - top - below) / bounds.height)
  const zoom = Math.min(1.25, Math.max(whole, view.direction === 'right' ? 0.4 : 0.6))
  const x = Math.max(left, (pane.width - bounds.width * zoom) / 2) - bounds.x * zoom
  const y = Math.max(top, top + (pane.height - top - below - bounds.height * zoom) / 2) - bounds.y * zoom
  void flow.setViewport({ x, y, zoom })
}

/** The innermost opened card around a node. */
function cardAround(view: View, id: string): string | undefined {
  const parents = new Map(view.clusters.map(({ id: cluster, parent }) => [cluster, parent]))
  for (let at = view.nodes.find((node) => node.id === id)?.cluster; at !== undefined; at = parents.get(at))
    if (view.closes[at] !== undefined) return view.closes[at]
  return undefined
}

/** `all-reduce · tp` is over `tp`. */
const axisOf = (title: string) => title.split(' · ')[1] ?? title

/** The axes that a node communicates over: its own, or those of what is folded into it. */
function axesOf({ kind, title, chips }: View['nodes'][number]): string[] {
  return kind === 'communication' ? [axisOf(title)] : chips.map((chip) => chip.split(' · ')[0] ?? '')
}

interface Moves {
  readonly move: (x: number, y: number) => void
  readonly zoom: (closer: boolean) => void
  readonly fit: () => void
  readonly open: () => boolean
  readonly close: () => boolean
  readonly group: () => void
  readonly nothing: () => void
}

/** Does what a key is for; letters by their place on the keyboard. Returns whether it was for the graph. */
function pressed({ code, key, target }: KeyboardEvent, moves: Moves): boolean {
  const far = 90
  const onButton = target instanceof Element && target.closest('button, summary, a') !== null
  switch (code) {
    case 'KeyW':
      moves.move(0, far)
      return true
    case 'KeyS':
      moves.move(0, -far)
      return true
    case 'KeyA':
      moves.move(far, 0)
      return true
    case 'KeyD':
      moves.move(-far, 0)
      return true
    case 'KeyG':
      moves.group()
      return true
  }
  if (key === '0') moves.fit()
  else if (key === '+' || key === '-') moves.zoom(key === '+')
  else if (key === 'Escape') moves.nothing()
  else if (key === 'Enter' && !onButton) return moves.open()
  else if (key === 'Backspace') return moves.close()
  else return false
  return true
}
