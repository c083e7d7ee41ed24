import { type Cluster, type Group, type Level, unitSizes } from '@shardloom/cluster'

/** The links among any ranks that lie so far apart. */
export interface FastestLinks {
  /** The innermost level that joins them. */
  readonly level: number
  /** As many ranks as in another group, which communicate no slower than those, wherever they lie. */
  among(like: Group): Group
}

/**
 * What joins ranks that are at least `apart` from each other in order: each pair has the links of all levels that reach so far together, and the
 * least latency of these. Whatever is communicated takes no less, though it may go over several levels at once. A torus has links in both
 * directions of each of its axes.
 */
export function fastestLinks(cluster: Cluster, apart: number): FastestLinks {
  const units = unitSizes(cluster)
  const reaches = units.findIndex((unit) => unit > apart)
  const level = reaches < 0 ? units.length - 1 : reaches
  const levels = cluster.levels.slice(level)
  const [inner] = levels
  const directions = levels.some(({ link }) => link.torus) ? 2 : 1
  const perRank = ({ link, sharedBy }: Level) => link.bandwidth / sharedBy
  const rate = (level: Level) => perRank(level) * level.link.efficiency * (level.link.torus ? 2 : 1)
  const reduction = inner?.link.reduction
  const fastest = {
    name: 'fastest',
    bandwidth: levels.reduce((sum, level) => sum + rate(level), 0),
    latency: Math.min(...levels.map(({ link }) => link.latency)) / directions,
    network: true,
    ...(inner &&
      reduction && {
        reduction: { bandwidth: perRank(inner) * reduction.efficiency, latency: reduction.latency },
      }),
  }
  const known = new Map<number, Group>()
  return {
    level,
    among(like) {
      const { size } = like
      const found = known.get(size) ?? { ...like, levels: size === 1 ? [] : [{ ...fastest, members: size }] }
      known.set(size, found)
      return found
    },
  }
}
