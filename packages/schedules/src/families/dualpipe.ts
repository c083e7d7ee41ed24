import { B, F, I, OVERLAP, W } from '../action.js'
import { foldedRanks, OrderWriter, type Schedule } from '../schedule.js'

/** What one rank of DualPipe or DualPipeV runs: two phases, its own direction (0) and the other (1). */
interface Lanes {
  /** The stage of each phase. */
  readonly stages: readonly [number, number]
  /** The first microbatch of each phase. */
  readonly first: readonly [number, number]
  /** How many microbatches each phase has. */
  readonly perPhase: number
  /** How far the ranks go from the outermost (0) to the innermost: p, or p/2 where both directions meet. */
  readonly depth: number
  /** The distance of this rank from the outermost one. */
  readonly distance: number
  readonly microbatches: number
}

/** The eight steps of DualPipe (DeepSeek-V3 report 2024, section 3.2.1; its published code names them as below). */
function eightSteps({ stages, first, perPhase, depth, distance, microbatches }: Lanes): Int32Array {
  const writer = new OrderWriter(6 * perPhase, microbatches)
  const forwards: [number, number] = [...first]
  const backwards: [number, number] = [...first]
  const due: { stage: number; microbatch: number }[] = []
  let freed = 0
  const forward = (phase: 0 | 1) => writer.add(F, stages[phase], forwards[phase]++)
  const weight = () => {
    const gradient = due[freed++]
    if (gradient) writer.add(W, gradient.stage, gradient.microbatch)
  }
  const backward = (phase: 0 | 1, split = false) => {
    const microbatch = backwards[phase]++
    writer.add(split ? I : B, stages[phase], microbatch)
    if (split) due.push({ stage: stages[phase], microbatch })
  }
  const both = (forwardPhase: 0 | 1, backwardPhase: 0 | 1) => {
    writer.add(F | OVERLAP, stages[forwardPhase], forwards[forwardPhase]++)
    backward(backwardPhase)
  }
  const outside = depth - distance - 1
  // 1: nF0
  for (let i = 0; i < 2 * outside; i++) forward(0)
  // 2: nF0F1
  for (let i = 0; i <= distance; i++) {
    forward(0)
    forward(1)
  }
  // 3: nB1W1F1
  for (let i = 0; i < outside; i++) {
    backward(1, true)
    weight()
    forward(1)
  }
  // 4: nF0B1F1B0; the innermost ranks do not overlap the first pair, which shortens their wait
  for (let i = 0; i < perPhase - 2 * depth + distance + 1; i++) {
    if (i === 0 && outside === 0) {
      forward(0)
      backward(1)
    } else {
      both(0, 1)
    }
    both(1, 0)
  }
  // 5: nB1F1B0
  for (let i = 0; i < outside; i++) {
    backward(1)
    both(1, 0)
  }
  // 6: nB1B0, from its middle on with the weight gradients put off
  const middle = Math.floor((distance + 1) / 2)
  const odd = distance % 2 === 1
  for (let i = 0; i <= distance; i++) {
    backward(1, odd ? i >= middle : i > middle)
    backward(0, i >= middle)
  }
  // 7: nWB0
  for (let i = 0; i < outside; i++) {
    weight()
    backward(0, true)
  }
  // 8: nW
  for (let i = 0; i <= distance; i++) weight()
  return writer.order()
}

/**
 * DualPipe (DeepSeek-V3 report 2024): microbatches enter at both ends, the first half flows from rank 0 to rank p − 1
 * through the stages 0 … p − 1, the second half back through the stages p … 2p − 1, which hold the same positions of the
 * model: weights are held twice. p and m are even and m ≥ 2p.
 */
export function dualPipe(p: number, m: number): Schedule {
  const half = m / 2
  const orders = Array.from({ length: p }, (_, rank) => {
    const near = rank < p / 2
    return eightSteps({
      stages: near ? [rank, 2 * p - 1 - rank] : [2 * p - 1 - rank, rank],
      first: near ? [0, half] : [half, 0],
      perPhase: half,
      depth: p / 2,
      distance: Math.min(rank, p - 1 - rank),
      microbatches: m,
    })
  })
  const stageRanks = foldedRanks(p)
  return { name: 'dualpipe', ranks: p, microbatches: m, virtual: 2, directions: 2, stageRanks, orders }
}

/** DualPipeV: one half of DualPipe on a V of 2p stages, so that weights are held once. m ≥ 2p. */
export function dualPipeV(p: number, m: number): Schedule {
  const orders = Array.from({ length: p }, (_, rank) =>
    eightSteps({
      stages: [rank, 2 * p - 1 - rank],
      first: [0, 0],
      perPhase: m,
      depth: p,
      distance: rank,
      microbatches: m,
    }),
  )
  const stageRanks = foldedRanks(p)
  return { name: 'dualpipev', ranks: p, microbatches: m, virtual: 2, directions: 1, stageRanks, orders }
}
