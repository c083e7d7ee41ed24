import type { Cluster, Group, Level } from '@shardloom/cluster'

/**
 * Groups of ranks of which each pair has the links of all levels of a cluster together, and the least latency: whatever is communicated takes no
 * less wherever as many ranks lie, though it may go over several levels at once. A torus has links in both directions of each of its axes.
 */
export function fastestLinks({ levels }: Cluster): (like: Group) => Group {
  const inner = levels[0]
  const directions = levels.some(({ link }) => link.torus) ? 2 : 1
  const rate = ({ link, sharedBy }: Level) => (link.bandwidth / sharedBy) * link.efficiency * (link.torus ? 2 : 1)
  const bandwidth = levels.reduce((sum, level) => sum + rate(level), 0)
  const latency = Math.min(...levels.map(({ link }) => link.latency)) / directions
  const reduction = inner?.link.reduction
  const known = new Map<number, Group>()
  return (like) => {
    const { size } = like
    const found = known.get(size) ?? {
      ...like,
      levels:
        size === 1
          ? []
          : [
              {
                name: 'fastest',
                members: size,
                bandwidth,
                latency,
                network: true,
                ...(inner &&
                  reduction && {
                    reduction: {
                      bandwidth: (inner.link.bandwidth / inner.sharedBy) * reduction.efficiency,
                      latency: reduction.latency,
                    },
                  }),
              },
            ],
    }
    known.set(size, found)
    return found
  }
}
