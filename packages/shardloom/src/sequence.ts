import type { ModelArchitecture } from '@shardloom/models'
import { draftOf } from './draft.js'
import type { Spec } from './spec-schema.js'

/** The length of a sequence where the spec names none and the model has positions for it. */
const usualSequence = 8192

/** A spec whose sequence length is known: the one it names, or the one that suits its model. */
export type PlannedSpec = Spec & { readonly seq: number }

/** Fills in `seq`: 8192, or as many positions as the model has where it has fewer. */
export function withSequence(spec: Spec, { maxPositions = usualSequence }: ModelArchitecture): PlannedSpec {
  const later = positionsOf(spec, 0)
  return { ...spec, seq: spec.seq ?? Math.max(1, Math.min(usualSequence, maxPositions - later)) }
}

/** The positions of a sequence of `seq` tokens at the end of the last step. */
export function positionsOf({ phase, steps, options }: Spec, seq: number): number {
  if (phase !== 'decode' && phase !== 'serving') return seq
  const { draft = 0, keep = 1 } = draftOf(options.decode)
  return seq + (phase === 'serving' ? 1 : 0) + (steps - 1) * keep + draft
}
