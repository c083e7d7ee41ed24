import { nodesOf, type OperatorTable, type Program } from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { meterOf } from '@shardloom/simulator'
import { captionOf, legendOf } from './caption.js'
import { type CardStyle, type Level, outerAxes } from './card.js'
import { rolesOf } from './chain.js'
import { chipText, factsOf, partialText } from './facts.js'
import { type Card, type CardEdge, depthOf, type Folded, fold } from './fold.js'
import { cutMiddle, formatBytes, formatCount, formatFlops } from './format.js'
import { laneRanks, lanes } from './lanes.js'
import { type Expansion, expand, type Unrolling } from './occurrence.js'
import { inScheduledOrder } from './scheduled.js'
import { selectionOf } from './selection.js'
import { stages } from './stages.js'
import type { View, ViewCluster, ViewEdge, ViewNode, ViewOptions } from './view.js'

/** What exactly to draw, after the choice of level and iterations. */
export interface Settings {
  readonly level: Level
  readonly unrolling: Unrolling
  readonly options: ViewOptions
}

/** The parts of a view that come from one rank, or from several side by side. */
export interface Parts {
  readonly clusters: readonly ViewCluster[]
  readonly nodes: readonly ViewNode[]
  readonly edges: readonly ViewEdge[]
}

const deepest = 3

/** Draws a program at one level, whatever its size. */
export function paint(whole: Program, operators: OperatorTable, settings: Settings): View {
  const { level, options } = settings
  const { axes } = settings.unrolling
  const { pipeline } = whole
  const ranks = options.unroll?.includes('rank') ? laneRanks(whole.mesh, options.ranks) : undefined
  const staged = level === 'stage' && pipeline !== undefined && !ranks
  const first = ranks?.shown[0] ?? options.rank ?? 0
  const ofRank = ranks !== undefined || staged || options.rank !== undefined
  const partOf = (rank: number) => (ofRank ? programOf(whole, rank) : whole)
  const expansions = new Map<Program, Expansion>()
  const expansionOf = (part: Program, rank: number) => {
    const made = () => {
      const expansion = expand(part, settings.unrolling)
      return ofRank ? inScheduledOrder(expansion, whole, rank) : expansion
    }
    const expansion = expansions.get(part) ?? made()
    expansions.set(part, expansion)
    return expansion
  }
  const frames = ranks || staged ? deepest - 1 : deepest
  const segments = new Set(nodesOf(whole.items).map(({ segment }) => segment)).size > 1
  const styles: CardStyle[] = [
    { level, mesh: whole.mesh, segments, outerFrames: true, moduleFrames: true },
    { level, mesh: whole.mesh, segments, outerFrames: false, moduleFrames: true },
    { level, mesh: whole.mesh, segments, outerFrames: false, moduleFrames: false },
  ]
  const transfersAside = ranks !== undefined || staged
  const foldFor = (rank: number, style: CardStyle) => {
    const part = partOf(rank)
    const selection = selectionOf(options.where, part)
    return fold(part, meterOf(part, operators, rank), expansionOf(part, rank), {
      whole,
      style,
      transfersAside,
      selection,
    })
  }
  let style = styles[0]
  let folded: Folded | undefined
  for (const each of styles) {
    style = each
    folded = foldFor(first, each)
    if (depthOf(folded.cards.values()) <= frames) break
  }
  if (!style || !folded) throw new Error('internal error: there is no style')
  const laneOf = (rank: number) => {
    const own = rank === first ? folded : foldFor(rank, style)
    return { folded: own, parts: partsOf(own, partOf(rank), level) }
  }
  const alone = () => (staged ? stages(whole, pipeline, operators, first, { axes, laneOf }) : laneOf(first).parts)
  const parts = ranks ? lanes(ranks, whole, operators, { level, axes, laneOf }) : alone()
  const unframed = style.outerFrames ? [] : outerRepeats(whole)
  return {
    ...captionOf(whole, {
      level,
      ranks,
      rank: first,
      where: options.where,
      unframed,
      summed: pipeline !== undefined && !ofRank,
    }),
    level,
    direction: level === 'operator' ? 'down' : 'right',
    ...parts,
    legend: legendOf(parts),
  }
}

/** The repeats whose border is left out, such as `microbatch ×8`. */
function outerRepeats({ items }: Program): string[] {
  const regions = items.flatMap((item) =>
    item.type === 'region' && outerAxes.includes(item.axis) && item.extent > 1 ? [item] : [],
  )
  return regions.map((region) => `${region.axis.replaceAll('_', ' ')} ×${formatCount(region.extent)}`)
}

/** The nodes, clusters and edges of one rank. */
function partsOf(folded: Folded, program: Program, level: Level): Parts {
  const clusters = new Map<string, { cluster: ViewCluster; flops: bigint; sent: number; cards: number }>()
  const grouped = withoutSingles(folded)
  const nodes = [...folded.cards.values()].map((card): ViewNode => {
    const frames = grouped(card)
    frames.forEach((frame, index) => {
      const parent = frames[index - 1]
      const cluster = {
        id: frame.key,
        title: cutMiddle(frame.title.replaceAll('_', ' '), 40),
        repeat: frame.repeat,
        fact: '',
        ...(parent && { parent: parent.key }),
      }
      const known = clusters.get(frame.key) ?? { cluster, flops: 0n, sent: 0, cards: 0 }
      const times = frames.slice(index + 1).reduce((product, inner) => product * inner.repeat, 1)
      known.flops += card.flops * BigInt(times)
      known.sent += card.chips.reduce((sum, chip) => sum + chip.bytes, 0) * times
      known.cards++
      clusters.set(frame.key, known)
    })
    const last = frames.at(-1)
    const alone = card.kind === 'communication' && card.nodes.length === 1
    return {
      id: card.key,
      kind: card.kind,
      title: cutMiddle(titleOf(card, frames.length < card.frames.length)),
      facts: card.outside ? [] : factsOf(card, program),
      chips: alone ? [] : card.chips.map(chipText),
      repeat: card.repeat,
      tooltip: tooltipOf(card),
      ...(last && { cluster: last.key }),
      ...(card.outside && { outside: true }),
    }
  })
  const roles = rolesOf(folded)
  const inBackward = (id: string) => folded.cards.get(id)?.nodes[0]?.segment === 'backward'
  const edges = folded.edges.map((edge, index): ViewEdge => {
    const returns = level !== 'operator' && roles[index] !== 'back' && inBackward(edge.from) && inBackward(edge.to)
    const role = returns ? 'return' : (roles[index] ?? 'plain')
    const label = labelOf(edge, role, level, program)
    return { from: edge.from, to: edge.to, kind: edge.kind, role, ...(label && { label }) }
  })
  const totals = (flops: bigint, sent: number) =>
    [...(flops > 0n ? [formatFlops(flops)] : []), ...(sent > 0 ? [`sends ${formatBytes(Math.round(sent))}`] : [])].join(
      ' · ',
    )
  return {
    clusters: [...clusters.values()].map(({ cluster, flops, sent, cards }) => ({
      ...cluster,
      fact: cards > 1 ? totals(flops, sent) : '',
    })),
    nodes,
    edges,
  }
}

/** A module border around a single card says nothing: the card takes its name. */
function withoutSingles({ cards }: Folded): (card: Card) => Card['frames'] {
  const counts = new Map<string, number>()
  for (const card of cards.values())
    for (const frame of card.frames) counts.set(frame.key, (counts.get(frame.key) ?? 0) + 1)
  return (card) => card.frames.filter((frame) => !frame.key.startsWith('module ') || (counts.get(frame.key) ?? 0) > 1)
}

/** A card whose module has no border is named with it: `embedding · tokens`. */
function titleOf(card: Card, unframed: boolean): string {
  const group = card.nodes[0]?.module.split('/')[0]
  return unframed && group && card.kind !== 'communication' ? `${group} · ${card.title}` : card.title
}

function tooltipOf(card: Card): string {
  const [first] = card.nodes
  if (card.nodes.length === 1) return card.key
  const kinds = new Map<string, number>()
  for (const node of card.nodes) kinds.set(node.kind, (kinds.get(node.kind) ?? 0) + 1)
  const counts = [...kinds].map(([kind, count]) => `${formatCount(count)} ${kind}`).join(', ')
  return `${card.key}: ${counts}${first ? `, from ${first.id}` : ''}`
}

function labelOf(edge: CardEdge, role: string, level: Level, program: Program): string {
  if (role === 'back' && edge.returns) return 'next iteration'
  // What is saved has a line of its own, and Graphviz loses labelled edges within a column.
  if (edge.saved || level !== 'operator') return ''
  return edge.tensors.map((tensor) => partialText(tensor, program)).find(Boolean) ?? ''
}
