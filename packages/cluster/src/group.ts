import { atomDegree, findAxis, greatestCommonDivisor, groupSize, type Mesh } from '@shardloom/core'
import { type Cluster, fitWorld, unitSizes } from './cluster.js'

/** A level that a group spans. */
export interface GroupLevel {
  readonly name: string
  /** Units of the level below that the group touches in one unit of this level; a mean where groups are uneven. */
  readonly members: number
  /** B/s of one direction that one rank of the group sustains: shares of network cards and of peer links counted. */
  readonly bandwidth: number
  /** Seconds of one step. */
  readonly latency: number
  /** Whether the level joins nodes: it is above the one called `node`, or else above the innermost. */
  readonly network: boolean
  /**
   * Where the level is an axis of a torus: in how many directions blocks travel at once. Two round a whole axis, one
   * along a part of it, which has no link that closes the ring.
   */
  readonly torus?: 1 | 2
  /** Where switches reduce: B/s that one rank sustains, and seconds of a step. */
  readonly reduction?: { readonly bandwidth: number; readonly latency: number }
}

/** Ranks that communicate with each other, as the cost of their collectives sees them. Plain data; make it once. */
export interface Group {
  /** Number of ranks: the product of the members of its levels. */
  readonly size: number
  /** From the innermost outwards; levels with one member are left out. */
  readonly levels: readonly GroupLevel[]
  /** See {@link Link}; of the innermost link of the cluster, where collectives start. */
  readonly launch: number
  readonly fill: number
  readonly copyBandwidth: number
  readonly reduceBandwidth: number
}

/** Options of {@link groupOver}. */
export interface GroupOptions {
  /**
   * Who else communicates at the same time: `all` ranks, each in its group over the same atoms, so that those on one
   * network card share it (default), or nobody: `one` group has the cards of its nodes for itself.
   */
  readonly concurrent?: 'all' | 'one'
}

/** How many ranks a search for the worst group of a mesh that does not fit the levels looks at. */
const searched = 2 ** 20

/**
 * The group over some atoms of a mesh whose ranks fill the cluster in order, the last atom fastest. Where groups differ,
 * because degrees do not fit the levels, it is the one that spans most of the outer levels. Throws `CLUSTER_SIZE` where
 * the cluster is too small, and `UNKNOWN_ATOM`.
 */
export function groupOver(cluster: Cluster, mesh: Mesh, atoms: readonly string[], options: GroupOptions = {}): Group {
  fitWorld(cluster, mesh.world)
  const sizes = unitSizes(cluster)
  const size = groupSize(mesh, atoms)
  const units = [size, ...unitsTouched(sizes, mesh, atoms)]
  const node = cluster.levels.findIndex((level) => level.name === 'node')
  const inner = cluster.levels[0]?.link
  const port = inner ? inner.bandwidth * inner.efficiency : Infinity
  let below = 1
  const levels = cluster.levels.flatMap((level, index): GroupLevel[] => {
    const members = (units[index] ?? 1) / (units[index + 1] ?? 1)
    const ranks = below
    below *= members
    if (members === 1) return []
    const { link } = level
    // Ranks of the group in one unit below use as many cards as they can; alone, no one else is on these.
    const cards = (sizes[index - 1] ?? 1) / level.sharedBy
    const users = options.concurrent === 'one' ? Math.max(1, ranks / cards) : level.sharedBy
    const peers = link.perPeer === undefined ? Infinity : (members - 1) * link.perPeer
    const nominal = Math.min(link.bandwidth / users, peers)
    // What leaves a device passes its own link first: a card behind PCIe is no faster than PCIe.
    const bandwidth = Math.min(nominal * link.efficiency, port)
    return [
      {
        name: level.name,
        members,
        bandwidth,
        latency: link.latency,
        network: index > Math.max(node, 0) && !link.torus,
        ...(link.torus && { torus: members < level.fanOut ? 1 : 2 }),
        ...(link.reduction && {
          reduction: { bandwidth: nominal * link.reduction.efficiency, latency: link.reduction.latency },
        }),
      },
    ]
  })
  const { launch = 0, fill = 0, copyBandwidth = Infinity, reduceBandwidth = Infinity } = inner ?? {}
  return { size, levels, launch, fill, copyBandwidth, reduceBandwidth }
}

/** A group of `size` ranks on one level: the textbook's, without launch, fill and copies unless given. */
export function flatGroup(
  size: number,
  link: { readonly bandwidth: number; readonly latency: number },
  constants: Partial<Pick<Group, 'launch' | 'fill' | 'copyBandwidth' | 'reduceBandwidth'>> = {},
): Group {
  const level = { name: 'link', members: size, network: true, ...link }
  const none = { launch: 0, fill: 0, copyBandwidth: Infinity, reduceBandwidth: Infinity }
  return { size, levels: size > 1 ? [level] : [], ...none, ...constants }
}

/** Over which levels an axis of a mesh runs. */
export interface AxisMapping {
  readonly axis: string
  readonly degree: number
  readonly levels: readonly { readonly level: string; readonly link: string; readonly members: number }[]
  /** Such as `dp 4: 4 in network (InfiniBand NDR)`. */
  readonly text: string
}

/** Over which levels each axis of more than one rank runs, in the mesh's order. Throws `CLUSTER_SIZE`. */
export function mapAxes(cluster: Cluster, mesh: Mesh): AxisMapping[] {
  return mesh.axes
    .filter(({ degree }) => degree > 1)
    .map(({ name: axis, degree }) => {
      const group = groupOver(cluster, mesh, findAxis(mesh, axis)?.atoms ?? [])
      const levels = group.levels.map(({ name, members }) => ({
        level: name,
        link: cluster.levels.find((level) => level.name === name)?.link.kind ?? name,
        members,
      }))
      const parts = levels.map(({ level, link, members }) => `${Number(members.toFixed(2))} in ${level} (${link})`)
      return { axis, degree, levels, text: `${axis} ${degree}: ${parts.join(', ')}` }
    })
}

/** How many units of each level a group over `atoms` touches; of groups that differ the one with most, outermost first. */
function unitsTouched(sizes: readonly number[], mesh: Mesh, atoms: readonly string[]): number[] {
  let below = 1
  const spans = [...mesh.atoms].reverse().map(({ name, degree }) => {
    const low = below
    below *= degree
    return { name, low, high: below }
  })
  for (const atom of atoms) atomDegree(mesh, atom)
  const chosen = spans.filter(({ name }) => atoms.includes(name))
  const nests = (a: number, b: number) => a % b === 0 || b % a === 0
  const even = sizes.every(
    (size) => size >= mesh.world || spans.every(({ low, high }) => nests(size, low) && nests(size, high)),
  )
  // Units that a group touches at a level: its members among coordinates that change from unit to unit.
  if (even)
    return sizes.map((size) => chosen.reduce((n, { low, high }) => n * Math.max(1, high / Math.max(low, size)), 1))
  let offsets = [0]
  for (const { low, high } of [...chosen].reverse()) {
    const steps = Array.from({ length: high / low }, (_, index) => index * low)
    offsets = offsets.flatMap((offset) => steps.map((step) => offset + step))
  }
  offsets.sort((a, b) => a - b)
  // Groups repeat once both their own span and the units have come round.
  const lengths = [...chosen.map(({ high }) => high), ...sizes.filter((size) => size < mesh.world)]
  const period = lengths.reduce((common, length) => (common / greatestCommonDivisor(common, length)) * length, 1)
  let worst: number[] = []
  for (let base = 0; base < Math.min(mesh.world, period, searched); base++) {
    if (chosen.some(({ low, high }) => base % high >= low)) continue
    const units = sizes.map((size) => {
      let count = 0
      let last = -1
      for (const offset of offsets) {
        const unit = Math.floor((base + offset) / size)
        if (unit !== last) count++
        last = unit
      }
      return count
    })
    if (isWorse(units, worst)) worst = units
  }
  return worst
}

function isWorse(units: readonly number[], than: readonly number[]): boolean {
  for (let index = units.length - 1; index >= 0; index--) {
    const difference = (units[index] ?? 0) - (than[index] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return false
}
