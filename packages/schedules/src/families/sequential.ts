import { B, F } from '../action.js'
import { loopedRanks, OrderWriter, type Schedule } from '../schedule.js'

/**
 * GPipe (Huang et al. 2019): all forwards, then all backwards, both from microbatch 0 on. The paper draws the backwards
 * in reverse; the order here is PyTorch's, and the time is the same.
 */
export function gpipe(p: number, m: number): Schedule {
  const orders = Array.from({ length: p }, (_, rank) => {
    const writer = new OrderWriter(2 * m, m)
    for (let i = 0; i < m; i++) writer.add(F, rank, i)
    for (let i = 0; i < m; i++) writer.add(B, rank, i)
    return writer.order()
  })
  return { name: 'gpipe', ranks: p, microbatches: m, virtual: 1, directions: 1, stageRanks: loopedRanks(p, 1), orders }
}

/**
 * 1F1B (Narayanan et al. 2019, PipeDream-Flush): min(p − 1 − r, m) forwards, then pairs of one forward and one backward,
 * then the remaining backwards.
 */
export function oneForwardOneBackward(p: number, m: number): Schedule {
  const orders = Array.from({ length: p }, (_, rank) => {
    const writer = new OrderWriter(2 * m, m)
    const warmup = Math.min(p - 1 - rank, m)
    for (let i = 0; i < warmup; i++) writer.add(F, rank, i)
    for (let i = warmup; i < m; i++) {
      writer.add(F, rank, i)
      writer.add(B, rank, i - warmup)
    }
    for (let i = m - warmup; i < m; i++) writer.add(B, rank, i)
    return writer.order()
  })
  return { name: '1f1b', ranks: p, microbatches: m, virtual: 1, directions: 1, stageRanks: loopedRanks(p, 1), orders }
}
