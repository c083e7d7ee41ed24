import type { Cut, Group, Stored } from './place.js'
import type { Slot } from './slots.js'
import type { Staging } from './staging.js'

/** How far a candidate is decided. */
export type Node =
  | { readonly level: 'root'; readonly groups: readonly Group[] }
  | { readonly level: 'group'; readonly group: Group }
  | Sizes
  /** `least`: what it takes at least, where nothing of it was measured. */
  | ({ readonly level: 'slot'; readonly group: Group; readonly least?: number } & Slot)
  | { readonly level: 'staged'; readonly staging: Staging }
  | { readonly level: 'cut'; readonly staging: Staging; readonly cut: Cut }
  /** The same, its layers divided. */
  | { readonly level: 'divided'; readonly staging: Staging; readonly cut: Cut }
  | { readonly level: 'zero'; readonly staging: Staging; readonly cut: Cut; readonly sharing: readonly Stored[] }
  | { readonly level: 'stored'; readonly staging: Staging; readonly cut: Cut; readonly stored: Stored }
  /** The same of a schedule that divides backward, measured so: before it stands for itself with backward whole. */
  | { readonly level: 'apart'; readonly staging: Staging; readonly cut: Cut; readonly stored: Stored }
  | Leaf

/**
 * The sizes of microbatches that are left, the largest first. What that one takes is known to be no less than what others of its kind do, or is
 * its own.
 */
export interface Sizes {
  readonly level: 'slots'
  readonly group: Group
  readonly slots: readonly Slot[]
  readonly known: 'least' | 'own'
}

/** A candidate. */
export interface Leaf {
  readonly level: 'leaf'
  readonly staging: Staging
  readonly cut: Cut
  readonly stored: Stored
}
