import { axesOf, type EdgeKind, groupSizeOf, type NodeKind, type OperatorNode, type Program } from '@shardloom/core'
import {
  type CommunicationSize,
  changeAxis,
  communicationBytes,
  type Meter,
  type NodeMeasure,
} from '@shardloom/simulator'
import { type CardPlace, type CardStyle, placeOf } from './card.js'
import type { Crossing, Expansion, Occurrence } from './occurrence.js'
import type { Selection } from './selection.js'

/** Communication that a card stands for: executions and bytes that one rank sends over the same axes. */
export interface Chip {
  readonly axes: string
  readonly atoms: readonly string[]
  readonly count: number
  readonly bytes: number
}

/** The operators that one node of a picture stands for, summed. */
export interface Card extends CardPlace {
  readonly kind: NodeKind
  /** The distinct nodes of the program behind it. */
  readonly nodes: readonly OperatorNode[]
  readonly flops: bigint
  /** Bytes read and written. */
  readonly moved: bigint
  readonly chips: readonly Chip[]
  /** What one execution of its communication moves, where it is one node. */
  readonly size?: CommunicationSize
  /** It stands for what the picture leaves out. */
  readonly outside: boolean
}

/** A card that shows a node, and the iterations for which it does. */
export interface Standing {
  readonly key: string
  readonly path: readonly Crossing[]
}

/** That some operator of one card needs some operator of another. */
export interface CardEdge {
  readonly from: string
  readonly to: string
  readonly kind: EdgeKind
  /** The tensors that pass. */
  readonly tensors: readonly string[]
  readonly returns: boolean
  /** Forward results that backward keeps. */
  readonly saved: boolean
}

/** Cards in program order, and the union of the dependencies between them. */
export interface Folded {
  readonly cards: ReadonlyMap<string, Card>
  readonly edges: readonly CardEdge[]
  /** By the ids of sends and receives between stages: where they are drawn; receives for a next iteration with that. */
  readonly standing: ReadonlyMap<string, readonly Standing[]>
}

/** How many borders stand around the card with the most; unrolled pictures have more cards than a call takes arguments. */
export function depthOf(cards: Iterable<Pick<Card, 'frames'>>): number {
  let most = 0
  for (const { frames } of cards) most = Math.max(most, frames.length)
  return most
}

interface Draft {
  readonly place: CardPlace
  readonly nodes: Set<OperatorNode>
  readonly chips: Map<string, Chip>
  readonly outside: boolean
  flops: bigint
  moved: bigint
}

/** What is folded, and how. */
export interface FoldOptions {
  /** The program that knows the pipeline, of which the one that is folded may be a rank's part. */
  readonly whole: Program
  readonly style: CardStyle
  /** Whether sends and receives between stages are left to edges between ranks. */
  readonly transfersAside: boolean
  /** What is drawn; of the rest, the modules next to it, without numbers. */
  readonly selection: Selection
}

/** Folds occurrences into cards. Numbers are those of the meter's rank, once per pass through a card's frames. */
export function fold(
  program: Program,
  meter: Meter,
  expansion: Expansion,
  { whole, style, transfersAside, selection }: FoldOptions,
): Folded {
  const drafts = new Map<string, Draft>()
  const communicationSizes = new Map<string, CommunicationSize>()
  const costs = costsOf(program, whole, meter)
  const keys = expansion.occurrences.map((occurrence) => {
    const { node, path } = occurrence
    const outside = !selection(node, path)
    const place = outside ? outsidePlace(occurrence, style) : placeOf(occurrence, style)
    const draft = drafts.get(place.key) ?? { place, nodes: new Set(), chips: new Map(), outside, flops: 0n, moved: 0n }
    drafts.set(place.key, draft)
    draft.nodes.add(node)
    if (outside) return place.key
    if (node.communication)
      communicationSizes.set(place.key, costs.communication(occurrence, stepsOf(occurrence, place, program)))
    // The send counts what passes, unless an arrow says it; with modules and operators it has a card of its own.
    const own = style.level === 'module' || !transfersAside
    const counted = style.level === 'operator' || !isTransfer(node) || (own && node.op === 'send')
    if (counted) addCost(draft, occurrence, place, program, costs)
    return place.key
  })
  const standing = standingsOf(expansion, keys, (key) => drafts.get(key)?.outside ?? true, style.level)
  const edges = new Map<string, CardEdge & { readonly tensors: string[] }>()
  for (const { from, to, kind, tensor, returns } of expansion.dependencies) {
    const [source, target] = [keys[from] ?? '', keys[to] ?? '']
    if (source === target || !isDrawn(drafts.get(source), drafts.get(target))) continue
    const saved = isSaved(expansion.occurrences[from]?.node, expansion.occurrences[to]?.node)
    const key = JSON.stringify([source, target, kind, returns])
    const known = edges.get(key)
    if (!known) {
      edges.set(key, { from: source, to: target, kind, tensors: tensor === undefined ? [] : [tensor], returns, saved })
    } else if (tensor !== undefined && !known.tensors.includes(tensor)) known.tensors.push(tensor)
  }
  const neighbours = new Set([...edges.values()].flatMap(({ from, to }) => [from, to]))
  const drawn = [...drafts.values()].filter(({ outside, place }) => !outside || neighbours.has(place.key))
  const cards = drawn.map(({ place, nodes, chips, outside, flops, moved }): [string, Card] => {
    const kinds = new Set(outside ? [] : [...nodes].map((node) => node.kind))
    const [first = 'compute'] = kinds
    const kind = kinds.size === 1 ? first : 'compute'
    const size = nodes.size === 1 ? communicationSizes.get(place.key) : undefined
    return [
      place.key,
      {
        ...place,
        kind,
        nodes: [...nodes],
        flops,
        moved,
        chips: [...chips.values()],
        outside,
        ...(size && { size }),
      },
    ]
  })
  const numbers = new Map(cards.map(([key], number) => [key, number]))
  const shown = (edge: CardEdge) => !orderIsPlain(edge, edges) && !runsBack(edge, numbers)
  return { cards: new Map(cards), edges: [...edges.values()].filter(shown), standing }
}

/**
 * Where sends and receives between stages are drawn. What is received for the next iteration of a region, such as a token
 * for the next step, is drawn with what reads it there, and not at all behind the last one.
 */
function standingsOf(
  { occurrences, dependencies }: Expansion,
  keys: readonly string[],
  isOutside: (key: string) => boolean,
  level: CardStyle['level'],
): Map<string, Standing[]> {
  const standing = new Map<string, Standing[]>()
  const readers = new Map<number, number>()
  for (const { from, to } of dependencies) if (!readers.has(from)) readers.set(from, to)
  for (const [index, { node, path }] of occurrences.entries()) {
    if (!isTransfer(node)) continue
    const ports = path.at(-1)?.region.ports ?? []
    const handedOn = ports.some((port) => port.kind === 'carry' && node.outputs.some((id) => port.next.includes(id)))
    const drawn = level !== 'operator' && node.op === 'recv' && handedOn ? readers.get(index) : index
    const key = keys[drawn ?? -1]
    if (key !== undefined && !isOutside(key)) standing.set(node.id, [...(standing.get(node.id) ?? []), { key, path }])
  }
  return standing
}

/** Whether an edge has an end in the selection and leads to other than the rest of the same card. */
function isDrawn(source: Draft | undefined, target: Draft | undefined): boolean {
  if (!source?.outside && !target?.outside) return true
  if (source?.outside && target?.outside) return false
  const [inside, outside] = source?.outside ? [target, source] : [source, target]
  return outside?.place.key !== outsideKey(inside?.place.key ?? '')
}

const outsideKey = (key: string) => `outside ${key}`

/** Where what is left out stands: with its whole module. */
function outsidePlace(occurrence: Occurrence, style: CardStyle): CardPlace {
  const place = placeOf(occurrence, style.level === 'operator' ? { ...style, level: 'module' } : style)
  return { ...place, key: outsideKey(place.key), title: `… ${place.title}`, repeat: 1 }
}

/** Whether a node sends to another stage, or receives from one; the hops of a ring are collectives in pieces. */
export function isTransfer({ op, communication }: OperatorNode): boolean {
  return (op === 'send' || op === 'recv') && communication?.shift === undefined
}

/** A temporal edge beside a data edge says nothing new. */
function orderIsPlain(edge: CardEdge, edges: ReadonlyMap<string, CardEdge>): boolean {
  return edge.kind === 'temporal' && edges.has(JSON.stringify([edge.from, edge.to, 'data', edge.returns]))
}

/**
 * Cards that a schedule enters by turns, such as the backward of two microbatches whose weight gradients wait: only the way
 * from the one that begins first is drawn.
 */
function runsBack({ from, to, kind, returns }: CardEdge, numbers: ReadonlyMap<string, number>): boolean {
  return kind === 'temporal' && !returns && (numbers.get(from) ?? 0) > (numbers.get(to) ?? 0)
}

function isSaved(from: OperatorNode | undefined, to: OperatorNode | undefined): boolean {
  return from?.segment === 'forward' && to?.segment === 'backward'
}

/** The meter's answers, each asked for once: unrolled pictures show a node many times. */
interface Costs {
  readonly node: (node: OperatorNode, step: number) => NodeMeasure
  readonly communication: (occurrence: Occurrence, steps: Steps) => CommunicationSize
}

function costsOf(program: Program, whole: Program, meter: Meter): Costs {
  const nodes = new Map<OperatorNode, Map<number, NodeMeasure>>()
  const sizes = new Map<OperatorNode, Map<string, CommunicationSize>>()
  return {
    node(node, step) {
      const steps = nodes.get(node) ?? new Map<number, NodeMeasure>()
      nodes.set(node, steps)
      const cost = steps.get(step) ?? meter.node(node, step)
      steps.set(step, cost)
      return cost
    },
    communication({ node, path }, { first, last }) {
      const known = sizes.get(node) ?? new Map<string, CommunicationSize>()
      sizes.set(node, known)
      const steps = Array.from({ length: last - first + 1 }, (_, index) => first + index)
      const members = groupSizeOf(whole, node, { path })
      const key = `${first} ${last}`
      const size = known.get(key) ?? communicationBytes(node, program, meter, members, steps)
      known.set(key, size)
      return size
    },
  }
}

/** Iterations of the axis along which what a node moves changes. */
interface Steps {
  readonly first: number
  readonly last: number
}

/** Those that a card counts of an occurrence. */
function stepsOf({ node, path }: Occurrence, { covered }: CardPlace, program: Program): Steps {
  const axis = changeAxis(node, program)
  const steps = path.find((crossing) => crossing.region.axis === axis)
  const counts = steps && covered.includes(steps)
  const first = counts || steps?.form === 'single' ? steps.run.first : 0
  return { first, last: counts ? steps.run.last : first }
}

function addCost(draft: Draft, occurrence: Occurrence, place: CardPlace, program: Program, costs: Costs): void {
  const { node } = occurrence
  const { first, last } = stepsOf(occurrence, place, program)
  const times = place.covered.reduce((product, crossing) => product * crossing.count, 1)
  if (node.communication) {
    const { atoms, pool, reason } = node.communication
    const axes = pool?.phase ?? axesOf(program.mesh, atoms, reason.strategies).join('.')
    const known = draft.chips.get(axes) ?? { axes, atoms: node.communication.atoms, count: 0, bytes: 0 }
    const bytes = known.bytes + costs.communication(occurrence, { first, last }).sent * times
    draft.chips.set(axes, { ...known, count: known.count + times, bytes })
    return
  }
  for (let step = first; step <= last; step++) {
    const one = costs.node(node, step)
    const share = BigInt(Math.round(times / (last - first + 1)))
    draft.flops += one.flops * share
    draft.moved += (one.read + one.written) * share
  }
}
