import type { Efficiency } from './efficiency.js'

/** A matrix product on one rank: `batch` products of m × k by k × n. Sizes may be fractions, where a mean is meant. */
export interface MatmulShape {
  readonly batch: number
  readonly m: number
  readonly n: number
  readonly k: number
}

/** What an accelerator does in a second, with what kernels reach of it. */
export interface Rates {
  /** FLOP/s at peak, of the matmul's element type. */
  readonly peak: number
  /** Share of it that long products sustain. */
  readonly sustained: number
  /** B/s that memory sustains. */
  readonly memory: number
  /** The same of kernels that do little but read. */
  readonly reading: number
  readonly cores: number
  readonly efficiency: Efficiency
}

/** Tiles that libraries choose from, and the share of the rate of the largest that each sustains (NVIDIA 2023, guide to matmuls). */
const tiles = [
  [256, 128, 1],
  [128, 256, 1],
  [128, 128, 0.95],
  [64, 128, 0.85],
  [64, 64, 0.7],
] as const

/** A piece of the contracted dim below which splitting it does not pay. */
const smallestPiece = 512

/**
 * Seconds of a matrix product, without its kernel's fixed cost. Tiles fill the cores in waves, of which the last may be partly
 * empty (wave quantisation); with fewer tiles than cores the contracted dim is split among them. What is written
 * is hidden in part; what is moved bounds all of it from below. Never less for a larger product: each factor grows with
 * its sizes, and the fastest tile is a minimum of such.
 */
export function matmulSeconds(
  { batch, m, n, k }: MatmulShape,
  bytes: { readonly all: number; readonly written: number },
  { peak, sustained, memory, reading, cores, efficiency }: Rates,
): number {
  let least = Number.POSITIVE_INFINITY
  for (const [rows, columns, share] of tiles) {
    const count = batch * Math.ceil(m / rows) * Math.ceil(n / columns)
    const pieces = Math.max(1, Math.floor(cores / count))
    const depth = Math.max(k / pieces, Math.min(k, smallestPiece)) + efficiency.prologue
    const waves = pieces > 1 ? 1 : Math.ceil(count / cores)
    const seconds = (waves * 2 * rows * columns * depth * cores) / (share * sustained * peak)
    if (seconds < least) least = seconds
  }
  return Math.max(least + (efficiency.write * bytes.written) / memory, bytes.all / reading)
}

/** Head size that the shares of the peak of fused attention are of. */
const usualHead = 128

/**
 * Seconds of fused attention that computes, without its kernel's fixed cost. Beside its products it takes an exponential of each score, in
 * units that no larger head keeps busy for longer: Shah et al. 2024, section 3. The share of the peak is that of heads of 128, whose
 * score stands beside 2 products of so many multiply-adds in forward and 5 in backward; what of their time is not the exponential's goes
 * with the FLOPs. Without a known rate of exponentials all of it does. Never less for more of either.
 */
export function attentionSeconds(
  work: { readonly flops: number; readonly exponentials: number; readonly isGradient: boolean },
  of: { readonly peak: number; readonly exponentialPeak: number | undefined; readonly share: number },
): number {
  const perFlop = 1 / (of.share * of.peak)
  if (of.exponentialPeak === undefined) return work.flops * perFlop
  const usualFlops = (work.isGradient ? 5 : 2) * 2 * usualHead
  const perExponential = Math.min(1 / of.exponentialPeak, usualFlops * perFlop)
  return work.flops * (perFlop - perExponential / usualFlops) + work.exponentials * perExponential
}
