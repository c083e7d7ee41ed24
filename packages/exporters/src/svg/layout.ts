import type { Viz } from '@viz-js/viz'
import type { Point, Rect } from './pen.js'
import type { Size } from './shapes.js'

/** A graph of boxes, which are given places. */
export interface Boxes {
  readonly direction: 'down' | 'right'
  readonly nodes: readonly (Size & { readonly id: string; readonly cluster?: string; readonly diamond?: boolean })[]
  /** Outer ones before those inside of them; `head` is the size of what stands along their top. */
  readonly clusters: readonly { readonly id: string; readonly parent?: string; readonly head: Size }[]
  readonly edges: readonly {
    readonly from: string
    readonly to: string
    /** Of Graphviz, which decide about places: `weight=9`. */
    readonly attributes: readonly string[]
    readonly label?: Size
    /** It decides about nothing and has no curve: somebody else draws it. */
    readonly hidden?: boolean
  }[]
  /** Places within a second also of hundreds of boxes, less tidy; edges are straight, and meet what stands between their ends. */
  readonly rough?: boolean
  /** Pixels between neighbours of a row, and between rows. */
  readonly gaps?: readonly [number, number]
}

/** Where everything stands. */
export interface Places extends Size {
  readonly nodes: ReadonlyMap<string, Rect>
  readonly clusters: ReadonlyMap<string, Rect>
  /** In the order of the edges: a Bézier curve (a point, then three for each piece), none of hidden ones, and the middle of the label. */
  readonly edges: readonly { readonly curve: readonly Point[]; readonly label?: Point }[]
}

let loading: Promise<Viz> | undefined

/** Graphviz as WebAssembly, loaded when it is first needed. */
function graphviz(): Promise<Viz> {
  loading ??= import('@viz-js/viz').then(({ instance }) => instance())
  return loading
}

/** What of Graphviz's JSON is read. */
interface Json {
  readonly bb: string
  readonly objects?: readonly { readonly name: string; readonly pos?: string; readonly bb?: string }[]
  readonly edges?: readonly { readonly id: string; readonly pos?: string; readonly lp?: string }[]
}

/**
 * Gives the boxes of a graph places by Graphviz's dot, which gets sizes and numbers alone, no text from outside. Edges that run
 * against the direction keep out of the order of rows as their attributes say.
 */
export async function layOut(boxes: Boxes): Promise<Places> {
  const viz = await graphviz()
  const json = JSON.parse(viz.renderString(dotOf(boxes), { format: 'json', yInvert: true })) as Json // its own format
  const [, , width = 0, height = 0] = numbers(json.bb)
  const flip = Math.max(height, numbers(json.bb)[1] ?? 0)
  const nodes = new Map<string, Rect>()
  const clusters = new Map<string, Rect>()
  for (const { name, pos, bb } of json.objects ?? []) {
    const index = Number(name.replace(/^\D+/, ''))
    const [node, cluster] = [boxes.nodes[index], boxes.clusters[index]]
    if (pos !== undefined && node) {
      const [x = 0, y = 0] = numbers(pos)
      const { width: wide, height: high } = node
      nodes.set(node.id, { x: x - wide / 2, y: y - high / 2, width: wide, height: high })
    } else if (bb !== undefined && cluster && name.startsWith('cluster')) {
      const [left = 0, a = 0, right = 0, b = 0] = numbers(bb)
      clusters.set(cluster.id, { x: left, y: Math.min(a, b), width: right - left, height: Math.abs(b - a) })
    }
  }
  const found = new Map((json.edges ?? []).map((edge) => [edge.id, edge]))
  const edges = boxes.edges.map((_, index) => {
    const { pos = '', lp } = found.get(`e${index}`) ?? {}
    const points = pos
      .split(' ')
      .filter((part) => part !== '' && !/^[es],/.test(part))
      .map(pointOf)
    return { curve: points, ...(lp !== undefined && { label: pointOf(lp) }) }
  })
  return { width, height: flip, nodes, clusters, edges }
}

const numbers = (list: string) => list.split(',').map(Number)

function pointOf(part: string): Point {
  const [x = 0, y = 0] = numbers(part)
  return { x, y }
}

/** Pixels as inches of 72. */
const inches = (pixels: number) => (pixels / 72).toFixed(4)

/** A label that is nothing but its size. */
const blank = ({ width, height }: Size) =>
  `<<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="0" FIXEDSIZE="TRUE" WIDTH="${Math.ceil(width)}" HEIGHT="${Math.ceil(height)}"><TR><TD></TD></TR></TABLE>>`

/** Limits of Graphviz's dot, whose search and routes otherwise take longer than anybody waits. */
const hurry = ', splines=line, nslimit=1, nslimit1=1, mclimit=0.1'

function dotOf({ direction, nodes, clusters, edges, rough, gaps = [18, 28] }: Boxes): string {
  const numberOf = new Map(nodes.map(({ id }, index) => [id, index]))
  const lines = [
    'digraph {',
    `graph [rankdir=${direction === 'right' ? 'LR' : 'TB'}, newrank=true, nodesep=${inches(gaps[0])}, ranksep=${inches(gaps[1])}, labeljust=l, margin=0, pad=0${rough ? hurry : ''}];`,
    'node [shape=box, fixedsize=true, label=""]; edge [arrowhead=none];',
  ]
  const write = (parent: string | undefined) => {
    nodes.forEach(({ cluster, width, height, diamond }, index) => {
      if (cluster !== parent) return
      lines.push(`n${index} [width=${inches(width)}, height=${inches(height)}${diamond ? ', shape=diamond' : ''}];`)
    })
    clusters.forEach(({ id, parent: outer, head }, index) => {
      if (outer !== parent) return
      lines.push(`subgraph cluster${index} { graph [label=${blank(head)}, margin=14];`)
      write(id)
      lines.push('}')
    })
  }
  write(undefined)
  edges.forEach(({ from, to, attributes, label, hidden }, index) => {
    if (hidden) return
    const own = [...attributes, `id="e${index}"`, ...(label ? [`label=${blank(label)}`] : [])]
    lines.push(`n${numberOf.get(from)} -> n${numberOf.get(to)} [${own.join(', ')}];`)
  })
  return `${lines.join('\n')}\n}`
}
