import { F, I, W } from '../action.js'
import { loopedRanks, OrderWriter, type Schedule } from '../schedule.js'

/**
 * ZB-H2 (Qi et al. 2023, section 2.2): rank r runs 2(p − r) − 1 forwards before its first backward, so that no rank waits
 * inside its own span when F = I = W and m ≥ 2p − 1. Weight gradients wait until forwards are used up, or until the rank
 * would hold more than 2p activations, an input gradient counting as half of one freed (the authors' memory limit).
 */
export function zeroBubbleH2(p: number, m: number): Schedule {
  const orders = Array.from({ length: p }, (_, rank) => {
    const writer = new OrderWriter(3 * m, m)
    const warmup = Math.min(m, 2 * (p - rank) - 1)
    for (let i = 0; i < warmup; i++) writer.add(F, rank, i)
    let forwards = warmup
    let weights = 0
    // Nobody waits for the input gradients of rank 0, so it frees memory first once no forward is left.
    for (let i = 0; i < m; i++) {
      if (rank === 0 && forwards === m && weights < i) writer.add(W, rank, weights++)
      writer.add(I, rank, i)
      if (forwards < m) {
        // Twice the activations held: 2 from F until I, 1 from I until W.
        while (2 * forwards - (i + 1) - weights + 2 > 4 * p && weights <= i) writer.add(W, rank, weights++)
        writer.add(F, rank, forwards++)
      } else if (rank > 0) {
        writer.add(W, rank, weights++)
      }
    }
    while (weights < m) writer.add(W, rank, weights++)
    return writer.order()
  })
  return { name: 'zbh2', ranks: p, microbatches: m, virtual: 1, directions: 1, stageRanks: loopedRanks(p, 1), orders }
}
