import type { Spec } from './spec-schema.js'

/** What a step of speculative decoding verifies and keeps. */
export interface Draft {
  readonly draft: number
  /** Tokens by which the graph's steps move on. */
  readonly keep: number
  /** Tokens that a step yields on average, where the acceptance rate is known. */
  readonly expected?: number
}

/** Fills in what each step keeps; empty without a draft. */
export function draftOf({ draft, keep, acceptance }: Spec['options']['decode']): Draft | Record<string, never> {
  if (draft === undefined) return {}
  if (acceptance === undefined) return { draft, keep: keep ?? draft + 1 }
  const expected = expectedTokens(acceptance, draft)
  return { draft, keep: keep ?? Math.round(expected), expected }
}

/**
 * Tokens that one run of the target yields on average when it accepts each of `draft` tokens with probability `acceptance`:
 * (1 − α^(γ+1)) / (1 − α) (Leviathan, Kalman and Matias 2023, equation 1).
 */
function expectedTokens(acceptance: number, draft: number): number {
  return acceptance === 1 ? draft + 1 : (1 - acceptance ** (draft + 1)) / (1 - acceptance)
}
