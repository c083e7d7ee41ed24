import { createMesh, type Placement, type PluginAxis, replicated, transition } from '@shardloom/core'
import { checkSpec } from './parse-spec.js'
import { builtInStrategies } from './strategies.js'

/** One of the strategies that are always there. */
export interface StrategySummary {
  readonly name: string
  /** The mesh axes that it brings, and what each splits. */
  readonly axes: readonly Pick<PluginAxis, 'name' | 'description'>[]
  /** Its passes in the order in which they are listed, by the phase of the pipeline that they run in. */
  readonly passes: readonly { readonly name: string; readonly phase: string }[]
  /** What it adds to the verifier. */
  readonly rules: readonly string[]
}

/** The strategies that every spec can use, with the axes that they bring. */
export function strategies(): StrategySummary[] {
  return builtInStrategies(checkSpec({ model: 'tiny' })).map(({ name, axes = [], passes = [], verify = [] }) => ({
    name,
    axes: axes.map(({ name, description }) => ({ name, description })),
    passes: passes.map(({ name, phase }) => ({ name, phase })),
    rules: verify.map(({ name }) => name),
  }))
}

/** What stands between a producer and a reader of a tensor, along one axis of the mesh. */
export interface CommunicationRule {
  /** How the producer leaves the tensor. */
  readonly from: string
  /** How the reader wants it. */
  readonly to: string
  /** Collectives that take it from one to the other, in order; `slice` costs nothing, as each rank keeps its part. */
  readonly steps: readonly string[]
}

const states: readonly (readonly [name: string, placement: Placement])[] = [
  ['replicate', replicated(2)],
  ['shard(a)', { shards: [['axis'], []], partial: {} }],
  ['shard(b)', { shards: [[], ['axis']], partial: {} }],
  ['partial(sum)', { shards: [[], []], partial: { axis: 'sum' } }],
]

/** Which communication every mismatch of placements becomes: the whole of how communication is generated. */
export function communicationRules(): CommunicationRule[] {
  const mesh = createMesh([{ name: 'axis', degree: 2 }])
  // Nothing makes a partial sum of a tensor that is none.
  const targets = states.filter(([name]) => name !== 'partial(sum)')
  return states.flatMap(([from, before]) =>
    targets.flatMap(([to, after]) =>
      from === to ? [] : [{ from, to, steps: transition(before, after, mesh).map(({ op }) => op) }],
    ),
  )
}
