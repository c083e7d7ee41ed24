import type { Selector } from './selector.js'

/**
 * The fixed priority in which several strategies' wishes for one atom join: experts, then positions of a KV cache, then
 * feature dims (heads, ffn, vocab), then token dims (batch, seq), then what is worth splitting only where nobody else
 * splits, then where training state is stored. Never the order of plugins.
 */
export const preferenceClasses = ['experts', 'cache', 'feature', 'token', 'rest', 'storage'] as const

export type PreferenceClass = (typeof preferenceClasses)[number]

/**
 * A strategy's wish: split these operators along these atoms by the first of `dims` that is in the operator's iteration
 * space, may be split there, and divides. The pseudo-dim `partial` asks a linear operator to pass a partial sum on.
 */
export interface Preference {
  /** The plugin that asks, for reasons and conflicts. */
  readonly strategy: string
  readonly axis: string
  /** Default: every atom of the axis. */
  readonly atoms?: readonly string[]
  readonly class: PreferenceClass
  /** Default: every operator. */
  readonly where?: Selector
  readonly dims: readonly string[]
  /** Only where all of the axis' atoms can split the same dim: not where a stronger wish takes one of them. */
  readonly together?: true
  /**
   * Its atoms stand inside of those that split as many dims, in whatever dim both split: they leave it for another one by an
   * all-to-all, which takes the innermost alone, and before the others are gathered.
   */
  readonly innermost?: true
}

/** The pseudo-dim of {@link Preference.dims} that passes a partial sum on. */
export const partialDim = 'partial'

/**
 * The pseudo-dim of {@link Preference.dims} that stands for whatever dim all atoms of the preference divide together after
 * other splits, the first such; where none does, for the longest, whose shares then differ by an element.
 */
export const anyDim = 'any'
