import { axesOf, type EdgeKind, type NodeKind, type OperatorNode, type Program } from '@shardloom/core'
import { communicationBytes, growthAxis, type Meter, type NodeMeasure } from '@shardloom/simulator'
import { type CardPlace, type CardStyle, placeOf } from './card.js'
import type { Dependency, Occurrence } from './occurrence.js'

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
}

interface Draft {
  readonly place: CardPlace
  readonly nodes: Set<OperatorNode>
  readonly chips: Map<string, Chip>
  flops: bigint
  moved: bigint
}

/** Folds occurrences into cards. Numbers are those of the meter's rank, once per pass through a card's frames. */
export function fold(
  program: Program,
  meter: Meter,
  expansion: { readonly occurrences: readonly Occurrence[]; readonly dependencies: readonly Dependency[] },
  style: CardStyle,
): Folded {
  const drafts = new Map<string, Draft>()
  const costs = costsOf(program, meter)
  const keys = expansion.occurrences.map((occurrence) => {
    const place = placeOf(occurrence, style)
    const draft = drafts.get(place.key) ?? { place, nodes: new Set(), chips: new Map(), flops: 0n, moved: 0n }
    drafts.set(place.key, draft)
    draft.nodes.add(occurrence.node)
    addCost(draft, occurrence, place, program, costs)
    return place.key
  })
  const edges = new Map<string, CardEdge & { readonly tensors: string[] }>()
  for (const { from, to, kind, tensor, returns } of expansion.dependencies) {
    const [source, target] = [keys[from] ?? '', keys[to] ?? '']
    if (source === target) continue
    const saved = isSaved(expansion.occurrences[from]?.node, expansion.occurrences[to]?.node)
    const key = JSON.stringify([source, target, kind, returns])
    const known = edges.get(key)
    if (!known) {
      edges.set(key, { from: source, to: target, kind, tensors: tensor === undefined ? [] : [tensor], returns, saved })
    } else if (tensor !== undefined && !known.tensors.includes(tensor)) known.tensors.push(tensor)
  }
  const cards = [...drafts.values()].map(({ place, nodes, chips, flops, moved }): [string, Card] => {
    const kinds = new Set([...nodes].map((node) => node.kind))
    const [first = 'compute'] = kinds
    const kind = kinds.size === 1 ? first : 'compute'
    return [place.key, { ...place, kind, nodes: [...nodes], flops, moved, chips: [...chips.values()] }]
  })
  return { cards: new Map(cards), edges: [...edges.values()].filter((edge) => !orderIsPlain(edge, edges)) }
}

/** A temporal edge beside a data edge says nothing new. */
function orderIsPlain(edge: CardEdge, edges: ReadonlyMap<string, CardEdge>): boolean {
  return edge.kind === 'temporal' && edges.has(JSON.stringify([edge.from, edge.to, 'data', edge.returns]))
}

function isSaved(from: OperatorNode | undefined, to: OperatorNode | undefined): boolean {
  return from?.segment === 'forward' && to?.segment === 'backward'
}

/** The meter's answers, each asked for once: unrolled pictures show a node many times. */
interface Costs {
  readonly node: (node: OperatorNode, step: number) => NodeMeasure
  readonly sent: (node: OperatorNode) => number
}

function costsOf(program: Program, meter: Meter): Costs {
  const nodes = new Map<OperatorNode, Map<number, NodeMeasure>>()
  const sent = new Map<OperatorNode, number>()
  return {
    node(node, step) {
      const steps = nodes.get(node) ?? new Map<number, NodeMeasure>()
      nodes.set(node, steps)
      const cost = steps.get(step) ?? meter.node(node, step)
      steps.set(step, cost)
      return cost
    },
    sent(node) {
      const bytes = sent.get(node) ?? communicationBytes(node, program, meter).sent
      sent.set(node, bytes)
      return bytes
    },
  }
}

function addCost(draft: Draft, { node, path }: Occurrence, place: CardPlace, program: Program, costs: Costs): void {
  const times = place.covered.reduce((product, crossing) => product * crossing.count, 1)
  if (node.communication) {
    const axes = axesOf(program.mesh, node.communication.atoms).join('.')
    const known = draft.chips.get(axes) ?? { axes, atoms: node.communication.atoms, count: 0, bytes: 0 }
    const bytes = known.bytes + costs.sent(node) * times
    draft.chips.set(axes, { ...known, count: known.count + times, bytes })
    return
  }
  const axis = growthAxis(node, program)
  const steps = path.find((crossing) => crossing.region.axis === axis)
  const first = steps?.form === 'single' || (steps && place.covered.includes(steps)) ? steps.run.first : 0
  const last = steps && place.covered.includes(steps) ? steps.run.last : first
  for (let step = first; step <= last; step++) {
    const one = costs.node(node, step)
    const share = BigInt(Math.round(times / (last - first + 1)))
    draft.flops += one.flops * share
    draft.moved += (one.read + one.written) * share
  }
}
