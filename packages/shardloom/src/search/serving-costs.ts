import { dataTypes, isShardloomError, type ShardloomError } from '@shardloom/core'
import { parameterTensors } from '@shardloom/models'
import type { EnginePreset } from '@shardloom/serving'
import { clusterOf } from '../cluster-of.js'
import type { LoadedSpec } from '../plan.js'
import { reserveOf } from '../reserve.js'
import { servingSpecs } from '../serving.js'
import { engineOf } from '../simulate-serving.js'
import { type Capacity, capacityOf, type DecodeCost, decodeCost, type PrefillCost, prefillCost } from '../step-cost.js'
import type { Question } from './question.js'
import { type EngineDegrees, type EngineTypes, ranksOf } from './serving-space.js'
import { loadedOf, specOfPoint } from './serving-spec.js'
import { type EngineSteps, type MeanLoad, meanLoadOf, stepsOf } from './serving-steps.js'

/** An engine of a pool, with what is asked of it as it is needed. */
export interface ServingEngine {
  readonly degrees: EngineDegrees
  /** The spec of its phase. */
  readonly loaded: LoadedSpec
  /** Planned when it is first asked for: throws what planning throws, and has no free bytes where weights fill the memory. */
  readonly capacity: Capacity
  readonly prefill: PrefillCost
  readonly decode: DecodeCost
  readonly steps: EngineSteps
}

/** What keeps an engine from being one: it is against a rule, or its weights lack that many bytes. */
export type EngineFault = { readonly error: ShardloomError } | { readonly missingBytes: number; readonly of: number }

/** The engines of a search, each made once: all counts of engines and clients, and all partners in other pools, share what its steps take. */
export class ServingCosts {
  readonly load: MeanLoad
  /** The engine that a spec names, alike in all candidates. */
  readonly preset: EnginePreset
  private readonly known = new Map<string, ServingEngine | EngineFault>()
  private readonly prefills = new Map<string, PrefillCost>()

  constructor(
    private readonly loaded: LoadedSpec,
    private readonly question: Question,
  ) {
    this.load = meanLoadOf(loaded)
    this.preset = engineOf(loaded)
  }

  /** The engine of a pool: `both` phases, or one of them. */
  engine(
    degrees: EngineDegrees,
    types: EngineTypes,
    phase: 'both' | 'prefill' | 'decode',
  ): ServingEngine | EngineFault {
    const key = JSON.stringify([degrees, types, phase])
    const known = this.known.get(key)
    if (known) return known
    const made = this.make(degrees, types, phase)
    this.known.set(key, made)
    return made
  }

  private make(
    degrees: EngineDegrees,
    types: EngineTypes,
    phase: 'both' | 'prefill' | 'decode',
  ): ServingEngine | EngineFault {
    const own = { engine: degrees, engines: 1 }
    const one = { engine: { ...degrees, dcp: 1 }, engines: 1 }
    const point =
      phase === 'both' ? ({ pools: 1, types, ...own } as const) : ({ pools: 2, types, ...own, prefill: one } as const)
    try {
      const whole = loadedOf(this.loaded, specOfPoint(this.question.spec, point))
      const specs = servingSpecs(whole)
      const loaded = phase === 'prefill' ? specs.prefill : specs.decode
      const { memoryFraction } = this.preset
      const lacking = weightBytes(loaded, degrees) - roomOf(loaded, degrees, memoryFraction)
      const of = clusterOf(loaded).accelerator.memoryBytes
      if (lacking >= 0) return { missingBytes: lacking, of }
      const decode = decodeCost(specs.decode, this.preset)
      const prefill = this.prefillOf(specs.prefill, types)
      const { input, output } = this.load
      const length = Math.max(1, Math.round(input + output / 2))
      const found: { capacity?: Capacity; steps?: EngineSteps } = {}
      const { load } = this
      return {
        degrees,
        loaded,
        prefill,
        decode,
        get capacity() {
          found.capacity ??= capacityOf(loaded, memoryFraction, length)
          return found.capacity
        },
        get steps() {
          found.steps ??= stepsOf(whole, degrees.dp, { prefill, decode }, load)
          return found.steps
        },
      }
    } catch (error) {
      if (isShardloomError(error)) return { error }
      throw error
    }
  }

  /** Engines that differ in how decode alone splits its cache prefill alike. */
  private prefillOf(loaded: LoadedSpec, types: EngineTypes): PrefillCost {
    const key = JSON.stringify([loaded.spec.parallel, loaded.cluster?.name, types])
    const known = this.prefills.get(key) ?? prefillCost(loaded, this.preset)
    this.prefills.set(key, known)
    return known
  }
}

/** Bytes of a rank that weights and KV cache may take. */
function roomOf({ spec, cluster }: LoadedSpec, degrees: EngineDegrees, fraction: number): number {
  const memory = cluster?.accelerator.memoryBytes ?? Number.POSITIVE_INFINITY
  return fraction * memory - reserveOf(spec.reserveBytes, ranksOf(degrees)).bytes
}

/**
 * The least that a rank of the fullest stage holds of weights, without a plan: each is divided over all ranks that could hold a share of it.
 * Matrices of layers alone are stored as `weightDtype`.
 */
export function weightBytes({ architecture, spec }: LoadedSpec, degrees: EngineDegrees): number {
  const { dtype, weightDtype = dtype, zero } = spec.options
  const { tp, pp, dp, ep, expertTp } = degrees
  const shares = zero === 3 ? dp : 1
  return parameterTensors(architecture)
    .filter(({ drawn }) => drawn)
    .reduce((sum, { name, dims, shape, layer, instances, routed }) => {
      const narrow = layer !== undefined && dims.length > 1 && !/router|bias/.test(name)
      const bytes = dataTypes[narrow ? weightDtype : dtype] * shape.reduce((all, size) => all * size, instances)
      return sum + bytes / (pp * shares * (routed ? ep * expertTp : tp))
    }, 0)
}
