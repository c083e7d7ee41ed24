import { isShardloomError } from 'shardloom'
import { withField } from '../state/spec-text.js'
import { timelineOfSimulation } from '../timeline/data.js'
import { knownOf } from './cached.js'
import type { ScheduledStep } from './protocol.js'

/** The steps of a spec by other schedules, in the order asked for; of one that cannot be, why not and what it would need. */
export async function scheduledSteps(text: string, names: readonly string[]): Promise<readonly ScheduledStep[]> {
  const steps: ScheduledStep[] = []
  for (const name of names)
    try {
      const { simulation } = await knownOf(withField(text, ['options', 'schedule'], name))
      steps.push({ name, data: timelineOfSimulation(simulation, name), seconds: simulation.step.seconds })
    } catch (error) {
      if (!isShardloomError(error)) throw error
      const { code, message, help } = error
      steps.push({ name, failure: { code, message, ...(help !== undefined && { help }) } })
    }
  return steps
}
