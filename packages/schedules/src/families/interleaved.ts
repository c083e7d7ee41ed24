import { B, F, I, W } from '../action.js'
import { loopedRanks, OrderWriter, type Schedule } from '../schedule.js'

/**
 * The order in which a rank with v chunks visits (chunk, microbatch): groups of g microbatches, each group through all
 * chunks before the next (Narayanan et al. 2021, section 2.2; Megatron's schedule table). Backwards take the chunks in
 * reverse. The last group may be shorter.
 */
function visits(m: number, v: number, g: number): { chunk: Int32Array; microbatch: Int32Array } {
  const chunk = new Int32Array(m * v)
  const microbatch = new Int32Array(m * v)
  let k = 0
  for (let first = 0; first < m; first += g) {
    for (let c = 0; c < v; c++) {
      for (let i = first; i < Math.min(first + g, m); i++) {
        chunk[k] = c
        microbatch[k++] = i
      }
    }
  }
  return { chunk, microbatch }
}

/**
 * Interleaved 1F1B (Narayanan et al. 2021): rank r warms up with (v − 1)g + 2(p − 1 − r) forwards, then alternates.
 */
export function interleaved(p: number, m: number, v: number, g: number): Schedule {
  const { chunk, microbatch } = visits(m, v, g)
  const total = m * v
  const orders = Array.from({ length: p }, (_, rank) => {
    const writer = new OrderWriter(2 * total, m)
    const forward = (k: number) => writer.add(F, (chunk[k] ?? 0) * p + rank, microbatch[k] ?? 0)
    const backward = (k: number) => writer.add(B, (v - 1 - (chunk[k] ?? 0)) * p + rank, microbatch[k] ?? 0)
    const warmup = Math.min(total, (v - 1) * g + 2 * (p - 1 - rank))
    for (let k = 0; k < warmup; k++) forward(k)
    for (let k = warmup; k < total; k++) {
      forward(k)
      backward(k - warmup)
    }
    for (let k = total - warmup; k < total; k++) backward(k)
    return writer.order()
  })
  const stageRanks = loopedRanks(p, v)
  return { name: 'interleaved1f1b', ranks: p, microbatches: m, virtual: v, directions: 1, stageRanks, orders }
}

/**
 * Interleaved zero bubble; with one chunk it is ZB-H1 (Qi et al. 2023, section 2.1). The warm-up is that of the
 * interleaved order with one forward less per rank of distance, backwards are input gradients, and from the (r + 1)-th on
 * each is followed by the oldest weight gradient that is due, so that every rank holds what rank 0 of 1F1B holds.
 */
export function interleavedZeroBubble(name: string, p: number, m: number, v: number, g: number): Schedule {
  const { chunk, microbatch } = visits(m, v, g)
  const total = m * v
  const orders = Array.from({ length: p }, (_, rank) => {
    const writer = new OrderWriter(3 * total, m)
    const stageBack = (k: number) => (v - 1 - (chunk[k] ?? 0)) * p + rank
    const warmup = Math.min(total, (v - 1) * g + (p - 1 - rank))
    for (let k = 0; k < warmup; k++) writer.add(F, (chunk[k] ?? 0) * p + rank, microbatch[k] ?? 0)
    let weights = 0
    for (let k = 0; k < total; k++) {
      const ahead = warmup + k
      if (ahead < total) writer.add(F, (chunk[ahead] ?? 0) * p + rank, microbatch[ahead] ?? 0)
      writer.add(I, stageBack(k), microbatch[k] ?? 0)
      if (k < rank) continue
      writer.add(W, stageBack(weights), microbatch[weights] ?? 0)
      weights++
    }
    for (; weights < total; weights++) writer.add(W, stageBack(weights), microbatch[weights] ?? 0)
    return writer.order()
  })
  return { name, ranks: p, microbatches: m, virtual: v, directions: 1, stageRanks: loopedRanks(p, v), orders }
}
