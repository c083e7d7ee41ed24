import { simulateLoaded } from '../simulate-plan.js'
import { statedError } from '../stated-error.js'
import { stepBreakdown } from '../step-breakdown.js'
import { memoryOf } from '../step-figures.js'
import type { Question } from './question.js'
import { loadedOf } from './serving-spec.js'
import type { Simulator } from './simulate-best.js'
import { limitMisses, metricsAt } from './step-metrics.js'
import { specOfStep } from './step-points.js'
import type { StepTree } from './step-tree.js'

/** Simulates candidates of steps event by event; memory is one of the limits. */
export function stepSimulator(tree: StepTree, question: Question): Simulator {
  return {
    specOf: (candidate) => specOfStep(tree, question, candidate),
    *simulate(candidate, spec) {
      const simulation = simulateLoaded(loadedOf(tree.loaded, spec))
      const { seconds } = simulation.step
      const { peakBytes, capacityBytes, reserveBytes, fits } = memoryOf(simulation)
      const { world } = simulation.timed.program.mesh
      const pace = tree.paceAt(world)
      const metrics = metricsAt(pace, { seconds, bytes: peakBytes })
      const { fitted, source } = simulation.machine.constants
      const error = statedError({ fitted, file: tree.loaded.efficiency })
      const timed = Object.keys(metrics).filter((name) => !name.includes('memory') && name !== 'ranks')
      const known = Object.entries(metrics).filter(([name]) => name !== 'ranks')
      const tooMuch = fits ? [] : [{ rule: 'memory', by: (peakBytes + reserveBytes) / capacityBytes - 1 }]
      return {
        candidate,
        spec,
        metrics,
        breakdown: stepBreakdown(simulation),
        score: tree.aim.bound({ seconds, bytes: peakBytes }, pace),
        differences: Object.fromEntries(
          known.map(([name, value]) => [name, (candidate.metrics[name] ?? Number.NaN) / value - 1]),
        ),
        statedErrors: Object.fromEntries(timed.map((name) => [name, error])),
        misses: [...tooMuch, ...limitMisses(question.limits, metrics)],
        ...(!fitted && { assumed: source }),
      }
    },
  }
}
