import { ShardloomError } from '@shardloom/core'
import { checkSpec } from '../parse-spec.js'
import type { LoadedSpec } from '../plan.js'
import type { SpecInput } from '../spec-schema.js'
import { type EngineDegrees, type EngineTypes, engineAxes } from './serving-space.js'

/** Choices of a candidate by name, such as `{tp: 4, replicas: 2, clients: 64}`. */
export type ServingChoices = Readonly<Record<string, string | number | boolean>>

/** A point of the space of serving. */
export interface ServingPoint {
  readonly pools: 1 | 2
  readonly types: EngineTypes
  /** Of the engines, of two pools those of decode. */
  readonly engine: EngineDegrees
  readonly engines: number
  readonly prefill?: { readonly engine: EngineDegrees; readonly engines: number }
  /** Over all engines; none: requests come at a rate. */
  readonly clients?: number
}

/** The choices of a point, those alone that differ from an engine of one rank, and `tp`. */
export function choicesOf({ pools, types, engine, engines, prefill, clients }: ServingPoint): ServingChoices {
  const own = (degrees: EngineDegrees, count: number, prefix: string) =>
    [...engineAxes.map((axis) => [axis, degrees[axis]] as const), ['replicas', count] as const]
      .filter(([axis, degree]) => axis === 'tp' || degree > 1)
      .map(([axis, degree]) => [`${prefix}${axis}`, degree] as const)
  return Object.fromEntries([
    ...(prefill
      ? [['pools', pools], ...own(prefill.engine, prefill.engines, 'prefill.'), ...own(engine, engines, 'decode.')]
      : own(engine, engines, '')),
    ...(clients === undefined ? [] : [['clients', clients]]),
    ...Object.entries(types),
  ])
}

/** The point that choices name. Throws `CHOICE` for what is no degree or count. */
export function pointOf(choices: ServingChoices): ServingPoint {
  const whole = (name: string, usual: number) => {
    const value = choices[name] ?? usual
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value
    throw new ShardloomError(
      'CHOICE',
      `\`${name}\` is ${String(value).slice(0, 40)}; expected a whole number from 1.`,
      {
        subject: name,
        help: `Give such as \`${name}=2\`.`,
      },
    )
  }
  const pools = choices['pools'] === 2 ? 2 : 1
  const own = (prefix: string) => {
    const degrees = Object.fromEntries(engineAxes.map((axis) => [axis, whole(`${prefix}${axis}`, whole(axis, 1))]))
    return {
      engine: degrees as EngineDegrees, // of all its axes
      engines: whole(`${prefix}replicas`, whole('replicas', 1)),
    }
  }
  const types = (['weightDtype', 'cacheDtype'] as const).flatMap((name) =>
    choices[name] === undefined ? [] : [[name, String(choices[name])]],
  )
  return {
    pools,
    types: Object.fromEntries(types),
    ...own(pools === 2 ? 'decode.' : ''),
    ...(pools === 2 && { prefill: own('prefill.') }),
    ...(choices['clients'] !== undefined && { clients: whole('clients', 1) }),
  }
}

/**
 * The spec of a point: what the question says, with its choices. A batch, which serving in time does not read, is as small as the degrees
 * let it be.
 */
export function specOfPoint(spec: SpecInput, point: ServingPoint): SpecInput {
  const { engine, engines, prefill, clients, types } = point
  const options = spec.options ?? {}
  const serving = options.serving ?? {}
  const load = { ...serving.load, ...(clients !== undefined && { clients }) }
  const sequences = (degrees: EngineDegrees, count: number) => degrees.dp * degrees.pp * count
  const decoded = sequences(engine, engines)
  const common = { ...options, ...(types as object) } // checked as the spec is
  const { parallel: _, batch: __, ...rest } = spec
  if (!prefill) {
    const alike = (pool: 'prefill' | 'decode') => {
      const { parallel: _, cluster: __, batch: ___, ...own } = serving[pool] ?? {}
      return own
    }
    return {
      ...rest,
      batch: decoded,
      parallel: { ...definedOf(spec.parallel), ...engine, replicas: engines },
      options: { ...common, serving: { ...serving, prefill: alike('prefill'), decode: alike('decode'), load } },
    }
  }
  const first = sequences(prefill.engine, prefill.engines)
  return {
    ...rest,
    options: {
      ...common,
      serving: {
        ...serving,
        prefill: { ...serving.prefill, batch: first, parallel: { ...prefill.engine, replicas: prefill.engines } },
        decode: { ...serving.decode, batch: first * decoded, parallel: { ...engine, replicas: engines } },
        load,
      },
    },
  }
}

function definedOf(degrees: SpecInput['parallel']): Record<string, number> {
  return Object.fromEntries(Object.entries(degrees ?? {}).flatMap(([axis, degree]) => (degree ? [[axis, degree]] : [])))
}

/** A spec with everything read that `loaded` has read for the question's. */
export function loadedOf(loaded: LoadedSpec, spec: SpecInput): LoadedSpec {
  return { ...loaded, spec: { ...checkSpec(spec), seq: loaded.spec.seq } }
}
