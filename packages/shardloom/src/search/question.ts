import type { Keeping } from '@shardloom/search'
import type { SpecInput } from '../spec-schema.js'

/** A bound on a metric: no more than `most`, no less than `least`. */
export interface Limit {
  readonly metric: string
  readonly most?: number
  readonly least?: number
}

/**
 * All that a part of a search needs to know, as JSON: it can be asked in another thread or on another machine, and gives the same
 * answer there.
 */
export interface Question extends Keeping {
  readonly schema: 'shardloom.question/1'
  /** What is the same in all candidates; its model and cluster are objects, not names. */
  readonly spec: SpecInput
  /** How many ranks a candidate has, at most where their number is a choice. */
  readonly ranks: number
  /** The metric that is to be best. */
  readonly objective: string
  readonly limits: readonly Limit[]
  /** The values of each choice that are tried. */
  readonly choices: Readonly<Record<string, readonly (string | number | boolean)[]>>
  /** Into how many parts the space is divided, whoever works on them: of the answer it decides only what is evaluated on the way, and may be kept beyond `top`. */
  readonly parts: number
  /** A digest of what the files held that the spec names, when it was asked: with other contents it is another question. */
  readonly read?: string
}
