import { type RankStep, ranksStoodFor } from '@shardloom/simulator'
import type { Simulation } from './simulate-plan.js'

/** Where the time of a step goes: seconds that add up to it, each a mean over all ranks. */
export interface StepBreakdown {
  /** Something is computed. */
  readonly computing: number
  /** Nothing is computed because communication over these axes has not ended. */
  readonly exposed: Readonly<Record<string, number>>
  /** There is nothing to compute and nothing of a rank's own to wait for: other ranks work. */
  readonly waiting: number
}

/** A figure of a step as a mean over all ranks, each of which stands for those that do the same. */
export function meanOverRanks({ machine, plan, step }: Pick<Simulation, 'machine' | 'plan' | 'step'>) {
  const { ranks } = step
  const stoodFor = ranksStoodFor(
    machine,
    ranks.map(({ rank }) => rank),
  )
  const { world } = plan.program.mesh
  return (of: (rank: RankStep) => number): number =>
    ranks.reduce((sum, each, index) => sum + of(each) * (stoodFor[index] ?? 0), 0) / world
}

/** Breaks a simulated step down. */
export function stepBreakdown(simulation: Pick<Simulation, 'machine' | 'plan' | 'step'>): StepBreakdown {
  const mean = meanOverRanks(simulation)
  const axes = [...new Set(simulation.step.ranks.flatMap(({ exposed }) => Object.keys(exposed)))].sort()
  return {
    computing: mean((each) => each.computing),
    exposed: Object.fromEntries(axes.map((axis) => [axis, mean((each) => each.exposed[axis] ?? 0)])),
    waiting: mean((each) => each.waiting),
  }
}

/** By how much more each part of a step takes than that of another, in seconds: they add up to what the whole takes more. */
export function breakdownDifference(from: StepBreakdown, to: StepBreakdown): StepBreakdown {
  const axes = [...new Set([from, to].flatMap(({ exposed }) => Object.keys(exposed)))].sort()
  return {
    computing: to.computing - from.computing,
    exposed: Object.fromEntries(axes.map((axis) => [axis, (to.exposed[axis] ?? 0) - (from.exposed[axis] ?? 0)])),
    waiting: to.waiting - from.waiting,
  }
}
