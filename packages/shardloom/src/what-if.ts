import { type Cluster, unitSizes } from '@shardloom/cluster'
import { isShardloomError, type Work } from '@shardloom/core'
import type { Engine, Machine } from '@shardloom/simulator'
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

/** Two changes at once. */
export interface WhatIfPair extends Omit<WhatIf, 'change'> {
  readonly changes: readonly [string, string]
  /** What the two by themselves add up to. */
  readonly sum: number
}

/** What came of changes: each by itself, and the best two of some at once, which fit and are no slower than the better of them that fits. */
export interface WhatIfs {
  readonly whatIf: readonly WhatIf[]
  readonly whatIfPair?: WhatIfPair
}

/** What a step is simulated with. */
interface Setting {
  readonly loaded: LoadedSpec
  readonly engine: Engine
}

interface Change {
  readonly change: string
  readonly of: WhatIf['of']
  readonly setting: Setting
}

/** A share of a step under which a change is not worth a sentence. */
export const noticeable = 0.01

/** How many of the changes that help most are combined, two at a time. */
const combined = 3

/**
 * Simulates again with one change at a time: another plan, no communication over an axis, faster hardware. Where the step does
 * not fit, the plans are those that save memory. What cannot be planned is left out. Then with two at a time of those that help most.
 */
export function* whatIf(simulation: Simulation, axes: readonly string[]): Work<WhatIfs> {
  const { loaded, machine, step } = simulation
  const changesOf = (setting: Setting): Change[] => [
    ...[...planChanges(setting.loaded, memoryOf(simulation).fits), ...otherSchedules(simulation, setting.loaded)].map(
      (each) => ({ change: each.change, of: 'plan' as const, setting: { ...setting, loaded: each.loaded } }),
    ),
    ...machineChanges(machine, setting, axes),
  ]
  const changes = changesOf({ loaded, engine: machine.engine })
  const most = changes.length + (combined * (combined - 1)) / 2
  const results: (WhatIf & Change)[] = []
  for (const [index, change] of changes.entries()) {
    yield { work: `simulating ${change.change}`, done: index, of: most }
    const figures = figuresOf(change.setting, step.seconds)
    if (figures) results.push({ ...change, ...figures })
  }
  let best: WhatIfPair | undefined
  const helpful = helpfulOf(results, memoryOf(simulation).fits)
  const pairs = helpful.flatMap((one, at) => helpful.slice(at + 1).map((other) => [one, other] as const))
  for (const [index, [one, other]] of pairs.entries()) {
    yield { work: `simulating ${one.change} and ${other.change}`, done: changes.length + index, of: most }
    // The same change of what the first has changed; one that undoes the first is no pair.
    const both = changesOf(one.setting).find(({ change }) => change === other.change)?.setting
    if (!both || isSame(both, other.setting)) continue
    const figures = figuresOf(both, step.seconds)
    const alone = [one, other, ...(best ? [best] : [])].filter(({ fits }) => fits)
    if (!figures?.fits || alone.some(({ difference }) => difference < figures.difference)) continue
    const sum = one.difference + other.difference
    best = { changes: [one.change, other.change], of: one.of, ...figures, sum }
  }
  return {
    whatIf: results.map(({ setting: _, ...each }) => each),
    ...(best && { whatIfPair: best }),
  }
}

/**
 * What is worth combining. Of a step that fits: the changes of the plan that help most, else hardware that is faster; communication that costs nothing is
 * no hardware. Of one that does not: the fastest plan that fits and the fastest that do not, or those that come nearest to it.
 */
function helpfulOf(results: readonly (WhatIf & Change)[], isFitting: boolean): readonly (WhatIf & Change)[] {
  const plans = results.filter(({ of }) => of === 'plan').sort((a, b) => a.difference - b.difference)
  const helps = ({ difference }: WhatIf) => difference <= -noticeable
  if (!isFitting) {
    const [fitting] = plans.filter(({ fits }) => fits)
    if (fitting) return [fitting, ...plans.filter((each) => !each.fits && helps(each))].slice(0, combined)
    return [...plans].sort((a, b) => a.peakBytes - b.peakBytes).slice(0, combined)
  }
  const helpful = plans.filter((each) => each.fits && helps(each))
  if (helpful.length > 0) return helpful.slice(0, combined)
  return results
    .filter(
      (each) =>
        each.of === 'machine' &&
        each.fits &&
        helps(each) &&
        !each.change.startsWith(freely) &&
        each.change !== allLinks,
    )
    .sort((a, b) => a.difference - b.difference)
    .slice(0, combined)
}

const isSame = (a: Setting, b: Setting) =>
  JSON.stringify([a.loaded.spec, a.loaded.cluster, a.engine]) ===
  JSON.stringify([b.loaded.spec, b.loaded.cluster, b.engine])

function figuresOf({ loaded, engine }: Setting, stepSeconds: number): Omit<WhatIf, 'change' | 'of'> | undefined {
  const changed = simulated(loaded, { engine })
  if (!changed) return undefined
  const { seconds } = changed.step
  const { peakBytes, fits } = memoryOf(changed)
  return { stepSeconds: seconds, difference: seconds / stepSeconds - 1, peakBytes, fits }
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

const freely = 'without communication over'
const allLinks = 'links of all levels twice as fast'

function machineChanges(machine: Machine, { loaded, engine }: Setting, axes: readonly string[]): Change[] {
  const cluster = loaded.cluster ?? machine.cluster
  return [
    ...axes.map((axis) => ({
      change: `${freely} ${axis}`,
      of: 'machine' as const,
      setting: { loaded, engine: { ...engine, free: [...engine.free, axis] } },
    })),
    ...fasterMachines(cluster, machine.mesh.world, typesOf(loaded.spec), axes.length > 0).map((each) => ({
      change: each.change,
      of: 'machine' as const,
      setting: { loaded: { ...loaded, cluster: each.cluster }, engine },
    })),
  ]
}

/** The types in which products multiply. */
function typesOf({ options: { dtype, linearDtype = dtype } }: LoadedSpec['spec']): string {
  return [...new Set([dtype, linearDtype])].join(' and ')
}

function fasterMachines(cluster: Cluster, world: number, types: string, communicates: boolean) {
  const { accelerator, levels } = cluster
  // Ranks fill a unit of a level before they cross to the next; links that join no two of them carry nothing.
  const sizes = unitSizes(cluster)
  const crossed = levels.map((_, index) => index).filter((index) => (sizes[index - 1] ?? 1) < world)
  const faster = (change: string, some: readonly number[]) => ({
    change,
    cluster: {
      ...cluster,
      levels: levels.map((level, at) => (some.includes(at) ? { ...level, link: twiceAsFast(level.link) } : level)),
    },
  })
  const links = crossed.map((index) => faster(`links of level \`${levels[index]?.name}\` twice as fast`, [index]))
  // A collective over several levels takes as long as on the slowest of them.
  if (crossed.length > 1) links.push(faster(allLinks, crossed))
  const peak = Object.fromEntries(Object.entries(accelerator.peak).map(([type, rate]) => [type, 2 * rate]))
  return [
    ...(communicates ? links : []),
    {
      change: 'device memory twice as fast',
      cluster: { ...cluster, accelerator: { ...accelerator, memoryBandwidth: 2 * accelerator.memoryBandwidth } },
    },
    {
      change: `matrix units twice as fast in ${types}`,
      cluster: { ...cluster, accelerator: { ...accelerator, peak } },
    },
  ]
}

/** A link that carries twice as much, where there is no switch between each two ranks too. */
function twiceAsFast(link: Cluster['levels'][number]['link']) {
  const perPeer = link.perPeer === undefined ? {} : { perPeer: 2 * link.perPeer }
  return { ...link, bandwidth: 2 * link.bandwidth, ...perPeer }
}

/** Schedules that a pipeline may change to, with the chunks per rank that they need; GPipe and the like are never faster. */
const schedules: readonly { readonly name: string; readonly schedule: string; readonly virtual?: number }[] = [
  { name: '1F1B', schedule: '1f1b' },
  { name: 'interleaved 1F1B, 2 chunks', schedule: 'interleaved1f1b', virtual: 2 },
  { name: 'ZB-H1', schedule: 'zbh1' },
  { name: 'ZB-V', schedule: 'zbv' },
  { name: 'DualPipe-V', schedule: 'dualpipev' },
]

function otherSchedules({ timed }: Simulation, loaded: LoadedSpec): PlanChange[] {
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
