import { slotsOf } from './mesh-of-spec.js'
import type { LoadedSpec } from './plan.js'
import type { PlannedSpec } from './sequence.js'

/** A change of a plan that its spec can state. */
export interface PlanChange {
  readonly change: string
  readonly loaded: LoadedSpec
}

/** From the least memory saved to the most. */
const recomputations = ['none', 'selective', 'full'] as const

/** A choice of layers saves more than `selective` and less than `full`. */
const someLayers = 1.5

/**
 * Changes of a training step that trade its memory for time: where it does not fit those that save memory, where it fits those
 * that give it back. What a change cannot be combined with is left for planning to refuse.
 */
export function planChanges(loaded: LoadedSpec, fits: boolean): PlanChange[] {
  const { spec } = loaded
  if (spec.phase !== 'training') return []
  const { parallel, options } = spec
  const { recompute, offload, sequenceParallel, zero } = options
  const place = typeof recompute === 'string' ? recomputations.indexOf(recompute) : someLayers
  const others = recomputations.filter((_, index) => (fits ? index < place : index > place))
  const changed = (change: string, part: Partial<PlannedSpec>): PlanChange => ({
    change: `with \`${change}\``,
    loaded: { ...loaded, spec: { ...spec, ...part } },
  })
  const optional = (change: string, part: Partial<PlannedSpec['options']>) =>
    changed(change, { options: { ...options, ...part } })
  const stages = parallel.dp > 1 ? ([1, 3] as const).filter((stage) => (fits ? stage !== zero : stage > zero)) : []
  return [
    ...others.map((each) => optional(`recompute: ${each}`, { recompute: each })),
    ...stages.map((stage) => optional(`zero: ${stage}`, { zero: stage })),
    ...(fits && offload !== 'none' ? [optional('offload: none', { offload: 'none' })] : []),
    ...(!fits && offload !== 'activations' ? [optional('offload: activations', { offload: 'activations' })] : []),
    ...(!fits && slotsOf(spec).microbatch > 1 ? [changed('microbatch: 1', { microbatch: 1 })] : []),
    ...(parallel.tp > 1 && !sequenceParallel ? [optional('sequenceParallel: true', { sequenceParallel: true })] : []),
  ]
}
