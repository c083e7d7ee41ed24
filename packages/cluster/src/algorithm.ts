import type { Group, GroupLevel } from './group.js'

/** What a group does together; `send` is a send and its recv between neighbours of the group. */
export const collectiveOps = ['all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'broadcast', 'send'] as const

/** The kind of a communication node: see {@link collectiveOps}. */
export type CollectiveOp = (typeof collectiveOps)[number]

/** How an algorithm moves one byte of the payload. */
export interface Route {
  /** Steps at each level of the group. */
  readonly steps: readonly number[]
  /** Bytes that a rank sends over each level, of one byte of payload. */
  readonly bytes: readonly number[]
  /** Whether chunks keep all levels busy at once (the slowest counts), or phases follow each other (they add up). */
  readonly pipelined: boolean
  /** Of one byte of payload: what a rank copies for itself, and what it adds. Default 0. */
  readonly copied?: number
  readonly reduced?: number
  /** Whether switches add what they forward, at their own rate and latency. */
  readonly inSwitch?: boolean
}

const log2 = (n: number) => Math.ceil(Math.log2(n) - 1e-9)
const passes = (op: CollectiveOp) => (op === 'all-reduce' ? 2 : 1)
const reduced = (op: CollectiveOp, { size }: Group) =>
  op === 'all-reduce' || op === 'reduce-scatter' ? (size - 1) / size : 0
const outermost = (group: Group, value: number) =>
  group.levels.map((_, i) => (i === group.levels.length - 1 ? value : 0))

/** Ranks of the group in one unit below each level. */
function ranksBelow({ levels }: Group): number[] {
  let ranks = 1
  return levels.map(({ members }) => {
    const below = ranks
    ranks *= members
    return below
  })
}

/**
 * Rings in which units follow each other, one ring per rank of a unit, so that all network cards carry: p − m of the
 * p − 1 hops of a pass stay inside of m nodes. Patarasuk and Yuan 2009; a pass more for an all-reduce. An all-to-all
 * relays each block to its reader.
 */
function ring(op: CollectiveOp, group: Group): Route {
  const { size, levels } = group
  const below = ranksBelow(group)
  const relayed = op === 'all-to-all'
  const volume = relayed ? (size - 1) / 2 / size : op === 'broadcast' ? 1 : (passes(op) * (size - 1)) / size
  return {
    steps: levels.map(({ members }, index) => {
      const units = size / (below[index] ?? 1)
      const hops = Math.ceil(units) - Math.ceil(units / members)
      return relayed ? (hops * size) / 2 : passes(op) * hops
    }),
    bytes: below.map((ranks) => volume / ranks),
    pipelined: true,
    copied: op === 'broadcast' ? 0 : 1 / size / (relayed ? size : 1),
    reduced: reduced(op, group),
  }
}

/**
 * Two trees that complement each other between nodes, chains inside: up and down again. Sanders, Speck and Träff 2009,
 * as in NCCL. A broadcast goes down one binomial tree.
 */
function tree(op: CollectiveOp, group: Group): Route | undefined {
  const { levels } = group
  const below = ranksBelow(group)
  if (op === 'broadcast') {
    const steps = levels.map(({ members }) => log2(members))
    return { steps, bytes: steps, pipelined: false }
  }
  if (op !== 'all-reduce') return undefined
  const last = levels.length - 1
  return {
    steps: levels.map(
      ({ members, network }, i) => 2 * (network || i === last ? log2(members) : Math.ceil(members - 1)),
    ),
    bytes: below.map((ranks) => 2 / ranks),
    pipelined: true,
    reduced: 1,
  }
}

/**
 * Distances that double or halve from step to step: Thakur, Rabenseifner and Gropp 2005, nearest ranks first. Where sizes
 * are no powers of two, the last step is smaller (Bruck et al. 1997), as in NCCL's PAT.
 */
function halvingDoubling(op: CollectiveOp, group: Group): Route | undefined {
  if (op === 'broadcast' || op === 'send' || op === 'all-to-all') return undefined
  return { ...phases(op, group), steps: group.levels.map(({ members }) => passes(op) * log2(members)) }
}

/** A ring at each level, one after the other: inside, then with what is left between units. */
function hierarchical(op: CollectiveOp, group: Group): Route | undefined {
  return op === 'broadcast' || op === 'send' ? undefined : phases(op, group)
}

function phases(op: CollectiveOp, group: Group): Route {
  const below = ranksBelow(group)
  const exchange = op === 'all-to-all'
  return {
    steps: group.levels.map((level) => passes(op) * ringSteps(op, level)),
    bytes: group.levels.map((level, index) => {
      const { members, torus = 1 } = level
      if (exchange) return exchanged(level) / group.size
      return (passes(op) * (members - 1)) / members / (below[index] ?? 1) / torus
    }),
    pipelined: false,
    copied: 1 / group.size / (exchange ? group.size : 1),
    reduced: reduced(op, group),
  }
}

/** Steps of one pass; in a torus both directions of a closed ring run at once. */
function ringSteps(op: CollectiveOp, { members, torus }: GroupLevel): number {
  if (torus === 2 && op === 'all-to-all') return Math.floor(members / 2)
  return Math.ceil((members - 1) / (torus ?? 1))
}

/** Of a rank's buffer, what it sends over a link; in a torus it relays blocks, over a quarter of a ring on average. */
function exchanged({ members, torus }: GroupLevel): number {
  return torus ? members / 4 / torus : (members - 1) / members
}

/** All axes of a torus at once, each with its part of the payload: Austin et al., How to Scale Your Model, 2025. */
function torus(op: CollectiveOp, group: Group): Route | undefined {
  const { levels, size } = group
  if (op === 'broadcast' || op === 'send' || !levels.every((level) => level.torus)) return undefined
  const { steps, bytes } = phases(op, group)
  if (op === 'all-to-all') return { steps, bytes, pipelined: true }
  const total = levels.reduce((sum, { bandwidth, torus = 1 }) => sum + bandwidth * torus, 0)
  return {
    steps,
    bytes: levels.map(({ bandwidth }) => (passes(op) * (size - 1) * bandwidth) / size / total),
    pipelined: true,
  }
}

/**
 * Innermost switches add and multicast: a rank supplies S and takes S/p to reduce, and the other way round after it (Klenk
 * et al. 2020). Switches further out do so too where they can; else trees join the nodes, as in NCCL's NVLSTree.
 */
function inSwitch(op: CollectiveOp, group: Group): Route | undefined {
  const { levels } = group
  if (op !== 'all-reduce' || levels[0]?.reduction === undefined) return undefined
  const below = ranksBelow(group)
  return {
    steps: levels.map(({ members, reduction }) => (reduction ? 2 : 2 * log2(members))),
    bytes: levels.map(({ members, reduction }, i) => (reduction ? 1 + 1 / members : 2) / (below[i] ?? 1)),
    pipelined: true,
    inSwitch: true,
  }
}

/** Every pair on its own way, all at once. */
function direct(op: CollectiveOp, group: Group): Route | undefined {
  if (op === 'send') return { steps: outermost(group, 1), bytes: outermost(group, 1), pipelined: true }
  if (op !== 'all-to-all') return undefined
  const { bytes } = exchangeInPairs(group)
  return { steps: group.levels.map(() => 1), bytes, pipelined: true, copied: 1 / group.size ** 2 }
}

/** Every pair on its own way, one peer after the other. */
function exchangeInPairs(group: Group): Route {
  const below = ranksBelow(group)
  const peers = group.levels.map(({ members }, index) => (members - 1) * (below[index] ?? 1))
  return {
    steps: peers.map((count) => Math.ceil(count)),
    bytes: peers.map((count) => count / group.size ** 2),
    pipelined: false,
    copied: 1 / group.size ** 2,
  }
}

/** How each algorithm carries out an op over a group; undefined where it does not. */
export const routes = {
  ring: (op, group) => (op === 'send' ? undefined : ring(op, group)),
  tree,
  'halving-doubling': halvingDoubling,
  hierarchical,
  torus,
  'in-switch': inSwitch,
  direct,
  pairwise: (op, group) => (op === 'all-to-all' ? exchangeInPairs(group) : undefined),
} satisfies Record<string, (op: CollectiveOp, group: Group) => Route | undefined>

/** The name of an algorithm that collectives run by. */
export type Algorithm = keyof typeof routes

/**
 * The algorithms that a library chooses from, in NCCL's manner: rings always; trees where a group crosses nodes (inside of
 * one, NCCL's tree is a chain, which a ring beats); halving and doubling (PAT) where it has one rank per node; switches
 * that add, from three ranks on. In a torus all axes at once, and tori that a network joins one level after the other.
 */
export function candidates(op: CollectiveOp, group: Group): readonly Algorithm[] {
  const { levels } = group
  const axes = levels.filter((level) => level.torus).length
  const inTorus: Algorithm[] = axes === 0 ? [] : axes === levels.length ? ['torus'] : ['hierarchical']
  switch (op) {
    case 'send':
      return ['direct']
    case 'broadcast':
      return ['ring']
    case 'all-to-all':
      return axes === 0 ? ['direct'] : inTorus
    case 'all-reduce': {
      const switches = levels[0]?.reduction && levels[0].members > 2
      const crosses = levels.some((level) => level.network)
      return [
        'ring',
        ...(crosses ? (['tree'] as const) : []),
        ...(switches ? (['in-switch'] as const) : []),
        ...inTorus,
      ]
    }
    default:
      return ['ring', ...(levels.every((level) => level.network) ? (['halving-doubling'] as const) : []), ...inTorus]
  }
}
