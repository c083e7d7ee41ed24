import type { Work } from '@shardloom/core'
import type { Answer } from '@shardloom/search'
import { simulateLoaded } from '../simulate-plan.js'
import { statedError } from '../stated-error.js'
import { memoryOf } from '../step-figures.js'
import type { Question } from './question.js'
import { loadedOf } from './serving-spec.js'
import { type SimulatedBest, simulateBest } from './simulate-best.js'
import { limitMisses, metricsAt } from './step-metrics.js'
import { specOfStep } from './step-points.js'
import type { StepTree } from './step-tree.js'

/** Simulates the best of an answer event by event, and puts them in the order of that, see {@link simulateBest}; memory is one of the limits. */
export function* stepRerankWork(tree: StepTree, question: Question, answer: Answer): Work<SimulatedBest> {
  return yield* simulateBest(
    answer,
    question,
    (candidate) => specOfStep(tree, question, candidate),
    function* (candidate, spec) {
      const simulation = simulateLoaded(loadedOf(tree.loaded, spec))
      const { seconds } = simulation.step
      const { peakBytes, capacityBytes, reserveBytes, fits } = memoryOf(simulation)
      const { world } = simulation.timed.program.mesh
      const pace = tree.paceAt(world)
      const metrics = metricsAt(pace, { seconds, bytes: peakBytes })
      const { fitted } = simulation.machine.constants
      const error = statedError({ fitted, file: tree.loaded.efficiency })
      const timed = Object.keys(metrics).filter((name) => !name.includes('memory') && name !== 'ranks')
      const known = Object.entries(metrics).filter(([name]) => name !== 'ranks')
      const tooMuch = fits ? [] : [{ rule: 'memory', by: (peakBytes + reserveBytes) / capacityBytes - 1 }]
      return {
        candidate,
        spec,
        metrics,
        score: tree.aim.bound({ seconds, bytes: peakBytes }, pace),
        differences: Object.fromEntries(
          known.map(([name, value]) => [name, (candidate.metrics[name] ?? Number.NaN) / value - 1]),
        ),
        statedErrors: Object.fromEntries(timed.map((name) => [name, error])),
        misses: [...tooMuch, ...limitMisses(question.limits, metrics)],
      }
    },
  )
}
