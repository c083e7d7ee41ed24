/**
 * What a rank computes for one stage and one microbatch: F forward, I input gradient, W weight gradient, B both
 * gradients at once (B = I + W).
 */
export type ComputeKind = 'F' | 'I' | 'W' | 'B'

/** A point-to-point transfer of an activation (`_F`) or of a gradient (`_B`), named by the stage of the rank that runs it. */
export type TransferKind = 'SEND_F' | 'RECV_F' | 'SEND_B' | 'RECV_B'

/** One action of one stage on one microbatch. Stages and microbatches count from 0. */
export interface Action<Kind extends ComputeKind | TransferKind = ComputeKind | TransferKind> {
  readonly kind: Kind
  readonly stage: number
  readonly microbatch: number
}

/** A forward and a backward that run as one, so that the communication of each hides behind the computation of the other. */
export interface OverlappedPair {
  readonly kind: 'OVERLAP_F_B'
  readonly forward: Action<'F'>
  readonly backward: Action<'B' | 'I'>
}

/** One entry of a rank's order. */
export type Step = Action | OverlappedPair

/** The kinds in the order of their numbers in a packed action. */
export const kinds = ['F', 'I', 'W', 'B', 'SEND_F', 'RECV_F', 'SEND_B', 'RECV_B'] as const

/** Numbers of the kinds in a packed action. */
export const F = 0
export const I = 1
export const W = 2
export const B = 3
export const SEND_F = 4
export const RECV_F = 5
export const SEND_B = 6
export const RECV_B = 7
/** Added to the kind of the first of two packed actions that overlap. */
export const OVERLAP = 8
/** Bits of a packed action that hold kind and overlap; the rest is `stage · microbatches + microbatch`. */
export const KIND_BITS = 4
/** The largest number of (stage, microbatch) pairs that a schedule may have. */
export const MOST_CELLS = 2 ** 22
/** The largest number of ranks that a schedule may have. */
export const MOST_RANKS = 1024

/** Packs an action into 32 bits: `(stage · microbatches + microbatch) · 16 + kind`. */
export function pack(kind: number, stage: number, microbatch: number, microbatches: number): number {
  return ((stage * microbatches + microbatch) << KIND_BITS) | kind
}

/** The action that a packed one stands for, in a schedule of that many microbatches. */
export function unpackAction(code: number, microbatches: number): Action {
  const cell = code >> KIND_BITS
  const stage = Math.floor(cell / microbatches)
  // `kinds` has eight entries and the index has three bits.
  return { kind: kinds[code & 7] as (typeof kinds)[number], stage, microbatch: cell - stage * microbatches }
}

/** The text of an action or an overlapped pair in PyTorch's grammar: `3F0`, `(0F7;7B3)OVERLAP_F_B`, `2SEND_F1`. */
export function formatStep(step: Step): string {
  return step.kind === 'OVERLAP_F_B'
    ? `(${formatStep(step.forward)};${formatStep(step.backward)})OVERLAP_F_B`
    : `${step.stage}${step.kind}${step.microbatch}`
}

/** The text of a packed action, without its partner when it overlaps. */
export function formatPacked(code: number, microbatches: number): string {
  return formatStep(unpackAction(code, microbatches))
}
