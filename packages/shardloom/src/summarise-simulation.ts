import { finish, type Work } from '@shardloom/core'
import { type CriticalNode, choicesOf, criticalPath, kernelNames, type RankMemory } from '@shardloom/simulator'
import { bottleneckOf } from './bottleneck.js'
import { type CriticalKind, criticalKinds } from './critical-kinds.js'
import type { Simulation } from './simulate-plan.js'
import { type StageMemory, type StepFigures, stepFigures } from './step-figures.js'
import { type WhatIf, type WhatIfPair, whatIf } from './what-if.js'

/** A share of the step's length; `kernel` names all nodes that run as one, where there are several. */
export interface CriticalKernel extends CriticalNode {
  readonly kernel?: string
}

/** What `shardloom simulate --json` prints. Seconds, and shares of 1. */
export interface SimulationSummary extends StepFigures {
  readonly schema: 'shardloom.simulate/1'
  readonly memory: Omit<StepFigures['memory'], 'perStage'> & {
    readonly perStage: readonly (StageMemory & {
      /** The largest of what has come and not yet gone at the peak. */
      readonly alive: RankMemory['alive']
    })[]
  }
  readonly criticalPath: readonly CriticalKernel[]
  readonly criticalKinds: readonly CriticalKind[]
  /** What limits the step, in sentences. */
  readonly bottleneck: readonly string[]
  readonly whatIf: readonly WhatIf[]
  /** Two of the changes that help most, or that make a step fit, at once; none where one of them alone is better. */
  readonly whatIfPair?: WhatIfPair
}

/** How many tensors of each stage's peak a summary names. */
const namedTensors = 8

/** What a summary may be asked for. */
export interface SimulationSummaryOptions {
  /** Simulate again with one change at a time, and with two of those that help most. Default false. */
  readonly whatIf?: boolean
}

/** Says what came of a simulation; `whatIf` simulates again with one change at a time. */
export function summariseSimulation(simulation: Simulation, options: SimulationSummaryOptions = {}): SimulationSummary {
  return finish(simulationSummaryWork(simulation, options))
}

/** {@link summariseSimulation} as work that can be stopped; its parts are the changes that `whatIf` tries. */
export function* simulationSummaryWork(
  simulation: Simulation,
  options: SimulationSummaryOptions = {},
): Work<SimulationSummary> {
  const { timed, timeline, memory: held } = simulation
  const { memory, ...figures } = stepFigures(simulation)
  const path = criticalPath(timeline)
  const { program, operators } = timed
  const names = kernelNames(program, operators, choicesOf(program, simulation.machine.engine))
  const named = path.map((each): CriticalKernel => {
    const kernel = names.get(each.node)
    return kernel === undefined ? each : { ...each, kernel }
  })
  const perStage = memory.perStage.map((stage) => {
    const alive = held.find(({ rank }) => rank === stage.rank)?.alive ?? []
    return { ...stage, alive: alive.slice(0, namedTensors) }
  })
  const told = {
    ...figures,
    memory: { ...memory, perStage },
    criticalKinds: criticalKinds(path, timed, simulation.machine.engine),
    ...(options.whatIf ? yield* whatIf(simulation, Object.keys(figures.exposedCommunicationSeconds)) : { whatIf: [] }),
  }
  return { schema: 'shardloom.simulate/1', ...told, criticalPath: named, bottleneck: bottleneckOf(told) }
}
