import type { Choices } from './choices.js'

/** A choice of all that costs of layers depend on but the microbatch, and how many ranks are left for dp and pp. */
export interface Group {
  readonly choices: Choices
  /** The choices as text, by which costs are remembered. */
  readonly name: string
  /** Those that parameters and what belongs to them depend on. */
  readonly stored: string
  /** What of the choices decides which strategies are at work, and how: of degrees whether they are more than one. */
  readonly shape: string
  /** The degrees of the choices, and with `order` all that decides where ranks lie. */
  readonly degrees: string
  readonly ranks: number
  /** All ranks of a candidate. */
  readonly world: number
}

/** Degrees and microbatches: what candidates that share a staging have decided. */
export interface Place {
  readonly group: Group
  readonly microbatch: number
  readonly pp: number
  readonly dp: number
  readonly microbatches: number
}

/** Which schedule a pipeline has, how many chunks a rank, and how layers are divided among them. */
export interface Cut {
  readonly schedule: string
  readonly virtual: number
  readonly split: 'even' | 'balanced'
}

/** What ranks of dp divide, and how many groups of them hold all of it. */
export interface Stored {
  readonly zero: number
  readonly replicate: number
}

/** Every rank has all of it. */
export const whole: Stored = { zero: 0, replicate: 1 }
