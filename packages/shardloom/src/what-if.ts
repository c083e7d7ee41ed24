import { unitSizes } from '@shardloom/cluster'
import { isShardloomError, type Work } from '@shardloom/core'
import type { Machine } from '@shardloom/simulator'
import type { LoadedSpec } from './plan.js'
import { type PlanChange, planChanges } from './plan-changes.js'
import { type SimulateOptions, type Simulation, simulateLoaded } from './simulate-plan.js'
import { memoryOf } from './step-figures.js'

/** One change, and what a step then takes. */
export interface WhatIf {
  readonly change: string
  /** Whether the spec can state it, or it is a machine that is not there. */
  readonly of: 'plan' | 'machine'
  readonly stepSeconds: number
  /** Of the step as it is: −0.18 is a step that takes 18 % less. */
  readonly difference: number
  /** Of the fullest stage. */
  readonly peakBytes: number
  /** With what is kept free. */
  readonly fits: boolean
}

interface Change extends PlanChange {
  readonly of: WhatIf['of']
  readonly options: SimulateOptions
}

/**
 * Simulates again with one change at a time: another plan, no communication over an axis, faster hardware. Where the step does
 * not fit, the plans are those that save memory. What cannot be planned is left out.
 */
export function* whatIf(simulation: Simulation, axes: readonly string[]): Work<WhatIf[]> {
  const { loaded, machine, step } = simulation
  const { engine } = machine
  const plans = [...planChanges(loaded, memoryOf(simulation).fits), ...otherSchedules(simulation)]
  const changes: Change[] = [
    ...plans.map((each) => ({ ...each, of: 'plan' as const, options: { engine } })),
    ...axes.map((axis) => ({
      change: `without communication over ${axis}`,
      of: 'machine' as const,
      loaded,
      options: { engine: { ...engine, free: [...engine.free, axis] } },
    })),
    ...fasterMachines(machine, loaded.spec.options.dtype, axes.length > 0).map(({ change, cluster }) => ({
      change,
      of: 'machine' as const,
      loaded: { ...loaded, cluster },
      options: { engine },
    })),
  ]
  const results: WhatIf[] = []
  for (const [index, { change, of, loaded, options }] of changes.entries()) {
    yield { work: `simulating ${change}`, done: index, of: changes.length }
    const changed = simulated(loaded, options)
    if (!changed) continue
    const stepSeconds = changed.step.seconds
    const { peakBytes, fits } = memoryOf(changed)
    results.push({ change, of, stepSeconds, difference: stepSeconds / step.seconds - 1, peakBytes, fits })
  }
  return results
}

/** Another plan may be one that cannot be: layers that do not divide, too few microbatches, nothing to compute again. */
function simulated(loaded: LoadedSpec, options: SimulateOptions): Simulation | undefined {
  try {
    return simulateLoaded(loaded, options)
  } catch (error) {
    if (isShardloomError(error)) return undefined
    throw error
  }
}

function fasterMachines({ cluster, mesh }: Machine, dtype: string, communicates: boolean) {
  const { accelerator, levels } = cluster
  // Ranks fill a unit of a level before they cross to the next; links that join no two of them carry nothing.
  const sizes = unitSizes(cluster)
  const crossed = levels.map((_, index) => index).filter((index) => (sizes[index - 1] ?? 1) < mesh.world)
  const links = crossed.map((index) => ({
    change: `links of level \`${levels[index]?.name}\` twice as fast`,
    cluster: {
      ...cluster,
      levels: levels.map((level, at) =>
        at === index ? { ...level, link: { ...level.link, bandwidth: 2 * level.link.bandwidth } } : level,
      ),
    },
  }))
  const peak = Object.fromEntries(Object.entries(accelerator.peak).map(([type, rate]) => [type, 2 * rate]))
  return [
    ...(communicates ? links : []),
    {
      change: 'device memory twice as fast',
      cluster: { ...cluster, accelerator: { ...accelerator, memoryBandwidth: 2 * accelerator.memoryBandwidth } },
    },
    {
      change: `matrix units twice as fast in ${dtype}`,
      cluster: { ...cluster, accelerator: { ...accelerator, peak } },
    },
  ]
}

/** Schedules that a pipeline may change to, with the chunks per rank that they need; GPipe and the like are never faster. */
const schedules: readonly { readonly name: string; readonly schedule: string; readonly virtual?: number }[] = [
  { name: '1F1B', schedule: '1f1b' },
  { name: 'interleaved 1F1B, 2 chunks', schedule: 'interleaved1f1b', virtual: 2 },
  { name: 'ZB-H1', schedule: 'zbh1' },
  { name: 'ZB-V', schedule: 'zbv' },
  { name: 'DualPipe-V', schedule: 'dualpipev' },
]

function otherSchedules({ loaded, timed }: Simulation): PlanChange[] {
  const { pipeline, phase } = timed.program
  if (!pipeline || phase !== 'training') return []
  const { schedule: _, virtual: __, pp, ...options } = loaded.spec.options
  const { layers: ___, group: ____, ...rest } = pp
  const chunks = pipeline.chunks.length / new Set(pipeline.chunks.map(({ rank }) => rank)).size
  return schedules
    .filter(({ schedule, virtual = chunks }) => schedule !== pipeline.schedule || virtual !== chunks)
    .map(({ name, schedule, virtual }) => ({
      change: `with ${name}`,
      loaded: {
        ...loaded,
        spec: {
          ...loaded.spec,
          options: { ...options, pp: rest, schedule, ...(virtual !== undefined && { virtual }) },
        },
      },
    }))
}
