import type { Node, NodeProps } from '@xyflow/react'
import { createContext, memo, useContext } from 'react'
import { formatCount, type View } from 'shardloom'
import type { GraphView } from '../worker/protocol.js'
import { Bar } from './bar.jsx'
import { Card } from './card.jsx'
import type { Placed } from './placed.js'
import { selectedAmong } from './selected.js'

type ViewNode = View['nodes'][number]
type ViewCluster = View['clusters'][number]

/** How a node stands out: selected, of the selected one's group, or beside it all. */
export type Mark = 'selected' | 'lit' | 'dim' | ''

export type CardNode = Node<
  { readonly node: ViewNode; readonly opens: boolean; readonly mark: Mark; readonly dots?: readonly number[] },
  'card'
>
export type HeadNode = Node<
  { readonly cluster: ViewCluster; readonly closes?: string; readonly mark: Mark; readonly inner: boolean },
  'head' | 'title'
>
export type GraphNode = CardNode | HeadNode

/** What cards and frames can be told to do. */
export interface CardActions {
  /** Opens a card, or closes an opened one. */
  readonly toggle: (card: string) => void
  readonly select: (id: string) => void
}

export const ActionsContext = createContext<CardActions>({ toggle: () => {}, select: () => {} })

const CardBox = memo(function CardBox({
  data: { node, opens, mark, dots },
  width = 0,
  height = 0,
}: NodeProps<CardNode>) {
  const { toggle } = useContext(ActionsContext)
  return (
    <div className={['card-box', mark].filter(Boolean).join(' ')} title={node.tooltip}>
      {dots ? (
        <Bar node={node} width={width} height={height} dots={dots} />
      ) : (
        <Card node={node} width={width} height={height} />
      )}
      {opens && (
        <button
          type="button"
          className="opener nodrag"
          tabIndex={-1}
          aria-label={`Open ${node.title}`}
          title="Open (Enter)"
          onClick={(event) => {
            event.stopPropagation()
            toggle(node.id)
          }}
        >
          +
        </button>
      )}
    </div>
  )
})

const HeadBox = memo(function HeadBox({ data: { cluster, closes, mark, inner } }: NodeProps<HeadNode>) {
  const { toggle, select } = useContext(ActionsContext)
  const { title, repeat, fact } = cluster
  return (
    <div className={['head-box', inner ? 'inner' : '', mark].filter(Boolean).join(' ')}>
      {closes !== undefined && (
        <button
          type="button"
          className="closer nodrag"
          aria-label={`Close ${title}`}
          title="Close (Backspace)"
          onClick={() => toggle(closes)}
        >
          −
        </button>
      )}
      <button type="button" className="name nodrag" onClick={() => select(closes ?? cluster.id)}>
        {title}
      </button>
      {repeat > 1 && <span className="times">×{formatCount(repeat)}</span>}
      <span className="fact">{fact}</span>
    </div>
  )
})

/** `stage 3` and, in lines of their own, what it holds. */
const TitleBox = memo(function TitleBox({ data: { cluster, mark } }: NodeProps<HeadNode>) {
  const { select } = useContext(ActionsContext)
  const [first, ...rest] = cluster.title.split(' · ')
  return (
    <button
      type="button"
      className={['title-box nodrag', mark].filter(Boolean).join(' ')}
      onClick={() => select(cluster.id)}
    >
      <span className="name">
        {first}
        {cluster.repeat > 1 && <span className="times">×{formatCount(cluster.repeat)}</span>}
      </span>
      {rest.map((line) => (
        <span key={line} className="fact">
          {line}
        </span>
      ))}
    </button>
  )
})

/** How nodes of each type are drawn. */
export const nodeTypes = { card: CardBox, head: HeadBox, title: TitleBox }

/** What is selected, in the words of a picture. */
export interface Chosen {
  /** Ids, of which nodes that are one of them, hold one or are inside of one stand out. */
  readonly ids: readonly string[]
  /** The axes that the selected communication is over, and whether all that is over them is lit. */
  readonly axes: readonly string[]
  readonly lit: boolean
}

/** Cards, frames and titles where the layout has them. */
export function flowNodes(placed: Placed, view: GraphView, chosen: Chosen): GraphNode[] {
  const expandable = new Set(view.expandable)
  const markOf = marksOf(placed, chosen)
  const frames = [
    ...placed.clusters.map((each) => ({ ...each, type: 'head' as const })),
    ...placed.titles.map((each) => ({ ...each, depth: 0, type: 'title' as const })),
  ].flatMap(({ cluster, at, depth, type }): HeadNode[] => {
    // A frame around what is packed has no name.
    if (cluster.title === '') return []
    const closes = view.closes[cluster.id]
    const isChosen = chosen.ids.includes(closes ?? cluster.id)
    const head: HeadNode = {
      id: `frame ${cluster.id}`,
      type,
      position: { x: at.x, y: at.y },
      width: at.width,
      height: type === 'head' ? 30 : at.height,
      selectable: false,
      focusable: false,
      data: {
        cluster,
        inner: depth % 2 === 1,
        mark: isChosen ? 'selected' : '',
        ...(closes !== undefined && { closes }),
      },
    }
    return [head]
  })
  const cards = placed.nodes.map(({ node, at, dots }): CardNode => {
    const mark = markOf(node)
    return {
      id: node.id,
      type: 'card',
      position: { x: at.x, y: at.y },
      width: at.width,
      height: at.height,
      selected: mark === 'selected',
      className: node.kind,
      ariaLabel: [
        node.title,
        node.kind,
        ...node.facts.filter((fact) => fact.trim() !== ''),
        ...node.chips,
        node.repeat > 1 ? `runs ${node.repeat} times` : '',
      ]
        .filter(Boolean)
        .join(', '),
      data: { node, opens: expandable.has(node.id), mark, ...(dots && { dots }) },
    }
  })
  return [...frames, ...cards]
}

/** How each node stands out: the selected ones, what they hand and are handed, and what is of the same group; the rest is faint. */
export function marksOf(placed: Placed, { ids, axes, lit }: Chosen): (node: ViewNode) => Mark {
  const chosen = selectedAmong(
    placed.nodes.map(({ node }) => node.id),
    ids,
  )
  if (chosen.size === 0) return () => ''
  const near = new Set<string>()
  for (const { edge } of placed.edges) {
    if (chosen.has(edge.from)) near.add(edge.to)
    if (chosen.has(edge.to)) near.add(edge.from)
  }
  return (node) => {
    if (chosen.has(node.id)) return 'selected'
    if (axes.length > 0 && axesOf(node).some((axis) => axes.includes(axis))) return lit ? 'lit' : ''
    return !lit && near.has(node.id) ? '' : 'dim'
  }
}

/** `all-reduce · tp` is over `tp`. */
const axisOf = (title: string) => title.split(' · ')[1] ?? title

/** The axes that a node communicates over: its own, or those of what is folded into it. */
export function axesOf({ kind, title, chips }: ViewNode): string[] {
  return kind === 'communication' ? [axisOf(title)] : chips.map((chip) => chip.split(' · ')[0] ?? '')
}
