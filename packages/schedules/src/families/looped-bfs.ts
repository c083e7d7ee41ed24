import { B, F } from '../action.js'
import { loopedRanks, OrderWriter, type Schedule } from '../schedule.js'

/**
 * Looped breadth first (Lamy-Poirier 2022): all microbatches through one chunk before the next chunk; backwards take
 * chunks and microbatches in reverse. Parameters are gathered once per chunk, activations of all microbatches are held.
 */
export function loopedBreadthFirst(p: number, m: number, v: number): Schedule {
  const orders = Array.from({ length: p }, (_, rank) => {
    const writer = new OrderWriter(2 * m * v, m)
    for (let c = 0; c < v; c++) for (let i = 0; i < m; i++) writer.add(F, c * p + rank, i)
    for (let c = v - 1; c >= 0; c--) for (let i = m - 1; i >= 0; i--) writer.add(B, c * p + rank, i)
    return writer.order()
  })
  const stageRanks = loopedRanks(p, v)
  return { name: 'loopedbfs', ranks: p, microbatches: m, virtual: v, directions: 1, stageRanks, orders }
}
