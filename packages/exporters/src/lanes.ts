import {
  coordinates,
  groupOf,
  groupSize,
  type Mesh,
  type OperatorTable,
  type Program,
  rankAt,
  ShardloomError,
} from '@shardloom/core'
import type { Level } from './card.js'
import { chipText } from './facts.js'
import { type Card, type Chip, type Folded, isTransfer } from './fold.js'
import { formatCount } from './format.js'
import type { Parts } from './picture.js'
import { cardTransfers } from './transfers.js'
import type { ViewCluster, ViewEdge, ViewNode } from './view.js'

/** More ranks than this are drawn as one lane. */
const mostLanes = 8

/** The ranks of a picture with ranks side by side. */
export interface LaneRanks {
  readonly first: number
  readonly last: number
  /** The ranks that get a lane: all of them, or the first alone when they share one lane. */
  readonly shown: readonly number[]
  readonly world: number
}

/** Chooses the lanes. Throws `RANK` when the mesh lacks one of the ranks. */
export function laneRanks(
  mesh: Mesh,
  ranks: readonly [number, number] = [0, Math.min(mesh.world, mostLanes) - 1],
): LaneRanks {
  const [first, last] = ranks
  coordinates(mesh, first)
  coordinates(mesh, last)
  if (first > last) {
    throw new ShardloomError('RANK', `The ranks ${first} to ${last} run backwards.`, {
      help: `Use ${last} to ${first}.`,
    })
  }
  const count = last - first + 1
  const shown = count > mostLanes ? [first] : Array.from({ length: count }, (_, index) => first + index)
  return { first, last, shown, world: mesh.world }
}

interface Lane {
  readonly folded: Folded
  readonly parts: Parts
}

/** How ranks are drawn: the level, the axes that are unrolled, and each of them alone. */
interface LaneStyle {
  readonly level: Level
  readonly axes: ReadonlySet<string>
  readonly laneOf: (rank: number) => Lane
}

/**
 * Puts ranks side by side. Each rank is a cluster; what a group of ranks does together is one bar outside of them, with
 * an edge to and from each member that is shown, never an edge from member to member. Beside one rank alone there is nothing:
 * what it does with ranks that are not drawn stands inside of it.
 */
export function lanes(
  ranks: LaneRanks,
  program: Program,
  operators: OperatorTable,
  { level, axes, laneOf }: LaneStyle,
): Parts {
  const drawn = new Map<number, Folded>()
  const clusters: ViewCluster[] = []
  const nodes = new Map<string, ViewNode>()
  const edges = new Map<string, ViewEdge>()
  const [only] = ranks.shown.length === 1 ? ranks.shown : []
  /** The border around what a group of ranks does together: none, but where one rank is all that is drawn. */
  const around = only === undefined ? {} : { cluster: `rank ${only}` }
  const addEdge = (edge: ViewEdge) => edges.set(JSON.stringify([edge.from, edge.to, edge.kind]), edge)
  for (const rank of ranks.shown) {
    const { folded, parts } = laneOf(rank)
    drawn.set(rank, folded)
    const lane = `rank ${rank}`
    const inLane = (id: string) => `${lane}/${id}`
    clusters.push(laneCluster(rank, ranks, program.mesh))
    for (const cluster of parts.clusters) {
      clusters.push({
        ...cluster,
        id: inLane(cluster.id),
        parent: cluster.parent === undefined ? lane : inLane(cluster.parent),
      })
    }
    const barOf = (card: Card | undefined, chip: Chip): string => {
      // A group of thousands is named by its lowest member.
      const listed = groupSize(program.mesh, chip.atoms) <= 64 ? groupOf(program.mesh, rank, chip.atoms) : undefined
      const members =
        listed?.join(' ') ?? `from ${lowestMember(program.mesh, rank, chip.atoms)} by ${chip.atoms.join('.')}`
      return `${card?.key} over ranks ${members}`
    }
    const collective = (id: string): string | undefined => {
      const card = folded.cards.get(id)
      const [chip] = card?.chips ?? []
      const op = card?.nodes[0]?.op
      return level === 'operator' && card?.kind === 'communication' && chip && op !== 'send' && op !== 'recv'
        ? barOf(card, chip)
        : undefined
    }
    const idOf = (id: string) => collective(id) ?? inLane(id)
    for (const node of parts.nodes) {
      const card = folded.cards.get(node.id)
      const bar = collective(node.id)
      if (bar !== undefined) {
        const { cluster: own, ...free } = node
        const members = memberText(program.mesh, rank, card?.chips[0]?.atoms ?? [], ranks)
        const inside = only !== undefined && own !== undefined ? { cluster: inLane(own) } : around
        nodes.set(bar, { ...free, ...inside, id: bar, facts: [...node.facts, ...members] })
        continue
      }
      const chips = level === 'operator' || card?.nodes.every(isTransfer) ? [] : (card?.chips ?? [])
      const cluster = node.cluster === undefined ? lane : inLane(node.cluster)
      nodes.set(inLane(node.id), { ...node, id: inLane(node.id), cluster, chips: chips.length > 0 ? [] : node.chips })
      for (const chip of chips) {
        const id = `${barOf(card, chip)} (${chip.axes})`
        const members = memberText(program.mesh, rank, chip.atoms, ranks)
        nodes.set(id, {
          id,
          kind: 'communication',
          title: chipText(chip),
          facts: members,
          chips: [],
          repeat: 1,
          tooltip: `${node.tooltip} over ${chip.axes}`,
          ...around,
        })
        addEdge({ from: inLane(node.id), to: id, kind: 'communication', role: 'plain', both: true })
      }
    }
    for (const edge of parts.edges) {
      const ends = [idOf(edge.from), idOf(edge.to)] as const
      const crosses = collective(edge.from) !== undefined || collective(edge.to) !== undefined
      addEdge({ ...edge, from: ends[0], to: ends[1], kind: crosses ? 'communication' : edge.kind })
    }
  }
  for (const transfer of cardTransfers(program, operators, axes, drawn)) {
    const { fromRank, toRank, from, to, label, backward } = transfer
    addEdge({
      from: `rank ${fromRank}/${from}`,
      to: `rank ${toRank}/${to}`,
      kind: 'communication',
      role: backward ? 'return' : fromRank < toRank ? 'plain' : 'back',
      // At operator level the send says what it sends.
      ...(level !== 'operator' && { label }),
    })
  }
  return { clusters, nodes: [...nodes.values()], edges: [...edges.values()] }
}

function laneCluster(rank: number, ranks: LaneRanks, mesh: Mesh): ViewCluster {
  const one = ranks.shown.length === ranks.last - ranks.first + 1
  const at = [...coordinates(mesh, rank)].map(([atom, coordinate]) => ` · ${atom} ${coordinate}`).join('')
  const title = one ? `rank ${rank}${at}` : `ranks ${ranks.first}–${ranks.last}`
  return { id: `rank ${rank}`, title, repeat: one ? 1 : ranks.last - ranks.first + 1, fact: '' }
}

/** The lowest rank of a group, which names it: groups may have more members than anybody wants to list. */
function lowestMember(mesh: Mesh, rank: number, atoms: readonly string[]): number {
  return rankAt(mesh, new Map([...coordinates(mesh, rank)].filter(([atom]) => !atoms.includes(atom))))
}

/** Says so when some members of a group are not in the picture. */
function memberText(mesh: Mesh, rank: number, atoms: readonly string[], ranks: LaneRanks): string[] {
  const size = groupSize(mesh, atoms)
  const lowest = lowestMember(mesh, rank, atoms)
  let shown = 0
  for (let each = ranks.first; each <= ranks.last; each++) if (lowestMember(mesh, each, atoms) === lowest) shown++
  return shown === size ? [] : [`${formatCount(shown)} of ${formatCount(size)} members shown`]
}
