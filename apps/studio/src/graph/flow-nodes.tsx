import { Handle, type Node, type NodeProps, Position } from '@xyflow/react'
import { createContext, memo, useContext } from 'react'
import { formatCount, type View } from 'shardloom'
import type { PlacedView } from 'shardloom/svg'
import type { GraphView } from '../worker/protocol.js'
import { Card } from './card.jsx'

export type CardNode = Node<
  { readonly node: View['nodes'][number]; readonly opens: boolean; readonly mark: 'lit' | 'dim' | '' },
  'card'
>
export type HeadNode = Node<{ readonly cluster: View['clusters'][number]; readonly closes?: string }, 'head'>
export type GraphNode = CardNode | HeadNode

/** Opens a card, or closes an opened one. */
export const ToggleContext = createContext<(card: string) => void>(() => {})

const CardBox = memo(function CardBox({
  data: { node, opens, mark },
  width = 0,
  height = 0,
  selected,
}: NodeProps<CardNode>) {
  const toggle = useContext(ToggleContext)
  return (
    <div className={['card-box', selected ? 'selected' : '', mark].filter(Boolean).join(' ')} title={node.tooltip}>
      <Card node={node} width={width} height={height} />
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
      <Handle type="target" position={Position.Top} isConnectable={false} />
    </div>
  )
})

const HeadBox = memo(function HeadBox({ data: { cluster, closes } }: NodeProps<HeadNode>) {
  const toggle = useContext(ToggleContext)
  const { title, repeat, fact } = cluster
  return (
    <div className="head-box">
      {closes !== undefined && (
        <button
          type="button"
          className="closer"
          aria-label={`Close ${title}`}
          title="Close (Backspace)"
          onClick={() => toggle(closes)}
        >
          −
        </button>
      )}
      <span className="name">{title}</span>
      {repeat > 1 && <span className="times">×{formatCount(repeat)}</span>}
      <span className="fact">{fact}</span>
    </div>
  )
})

/** How nodes of each type are drawn. */
export const nodeTypes = { card: CardBox, head: HeadBox }

/** Cards and the heads of frames, where the layout has them. `lit` tells which communication belongs to the selected one. */
export function flowNodes(
  placed: PlacedView,
  view: GraphView,
  selection: string | undefined,
  lit: ((node: View['nodes'][number]) => boolean) | undefined,
): GraphNode[] {
  const expandable = new Set(view.expandable)
  const near = new Set(
    placed.edges.flatMap(({ edge: { from, to } }) => (from === selection ? [to] : to === selection ? [from] : [])),
  )
  const chosen = placed.nodes.some(({ node }) => node.id === selection)
  const markOf = (node: View['nodes'][number]) => {
    if (lit) return lit(node) ? 'lit' : 'dim'
    return chosen && node.id !== selection && !near.has(node.id) ? 'dim' : ''
  }
  const heads = placed.clusters.map(({ cluster, at }): HeadNode => {
    const closes = view.closes[cluster.id]
    return {
      id: `frame ${cluster.id}`,
      type: 'head',
      position: { x: at.x, y: at.y },
      width: at.width,
      height: 30,
      selectable: false,
      focusable: false,
      data: { cluster, ...(closes !== undefined && { closes }) },
    }
  })
  const cards = placed.nodes.map(
    ({ node, at }): CardNode => ({
      id: node.id,
      type: 'card',
      position: { x: at.x, y: at.y },
      width: at.width,
      height: at.height,
      selected: node.id === selection,
      className: node.kind,
      ariaLabel: [
        node.title,
        node.kind,
        ...node.facts,
        ...node.chips,
        node.repeat > 1 ? `runs ${node.repeat} times` : '',
      ]
        .filter(Boolean)
        .join(', '),
      data: { node, opens: expandable.has(node.id), mark: markOf(node) },
    }),
  )
  return [...heads, ...cards]
}
