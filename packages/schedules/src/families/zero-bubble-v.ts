import { F, I, W } from '../action.js'
import { foldedRanks, OrderWriter, type Schedule } from '../schedule.js'

/**
 * ZB-V (Qi et al. 2023, section 6) in PyTorch's order, which has no idle time inside a rank's own span when F = I = W.
 * The order is laid out for at least 2p − 1 microbatches; those that do not exist are left out.
 */
export function zeroBubbleV(p: number, m: number): Schedule {
  const total = Math.max(2 * p - 1, m)
  const orders = Array.from({ length: p }, (_, rank) => {
    const writer = new OrderWriter(6 * m, m)
    const next = new Int32Array(6)
    const add = (kind: number, chunk: 0 | 1) => {
      const microbatch = next[kind * 2 + chunk] ?? 0
      next[kind * 2 + chunk] = microbatch + 1
      if (microbatch < m) writer.add(kind, chunk === 0 ? rank : 2 * p - 1 - rank, microbatch)
    }
    const count = (kind: number, chunk: 0 | 1) => next[kind * 2 + chunk] ?? 0
    for (let i = 0; i < 2 * (p - rank) - 1; i++) add(F, 0)
    for (let i = 0; i < rank; i++) {
      add(F, 1)
      add(F, 0)
    }
    for (let i = 0; i < p - rank; i++) {
      add(F, 1)
      add(I, 1)
      add(W, 1)
    }
    while (count(F, 1) < count(F, 0) || count(F, 0) < total) {
      if (count(F, 0) < total) add(F, 0)
      add(I, 0)
      add(W, 0)
      add(F, 1)
      add(I, 1)
      add(W, 1)
    }
    for (let i = 0; i < rank; i++) {
      add(I, 0)
      add(I, 1)
    }
    for (let i = 0; i < p - rank; i++) {
      add(I, 0)
      add(W, 0)
    }
    while (count(W, 1) < count(I, 1)) add(W, 1)
    while (count(W, 0) < count(I, 0)) add(W, 0)
    return writer.order()
  })
  return { name: 'zbv', ranks: p, microbatches: m, virtual: 2, directions: 1, stageRanks: foldedRanks(p), orders }
}
