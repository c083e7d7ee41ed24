import type { Cluster, Group } from '@shardloom/cluster'

/**
 * Groups of ranks that have all links of a cluster for themselves, each pair one of the best bandwidth and latency: whatever is communicated takes no
 * less wherever as many ranks lie. A torus has links in both directions of all its axes.
 */
export function fastestLinks({ levels }: Cluster): (like: Group) => Group {
  const inner = levels[0]
  const directions = levels.some(({ link }) => link.torus) ? 2 : 1
  const rates = levels.map(({ link, sharedBy }) => (link.bandwidth / sharedBy) * link.efficiency)
  const axes = levels.filter(({ link }) => link.torus).length
  const bandwidth = Math.max(...rates, 0) * directions * Math.max(1, axes)
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
