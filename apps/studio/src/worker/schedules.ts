import { isShardloomError } from 'shardloom'
import { withField } from '../state/spec-text.js'
import { timelineOfSimulation } from '../timeline/data.js'
import { knownOf } from './cached.js'
import type { PlanSource, ScheduledStep } from './protocol.js'

/** The step of a spec by another schedule; where it cannot be, why not and what it would need. */
export async function scheduledStep({ text, pool }: PlanSource, name: string): Promise<ScheduledStep> {
  try {
    const { simulation } = await knownOf({ text: withField(text, ['options', 'schedule'], name), pool })
    return { name, data: timelineOfSimulation(simulation, name) }
  } catch (error) {
    if (!isShardloomError(error)) throw error
    const { code, message, help } = error
    return { name, failure: { code, message, ...(help !== undefined && { help }) } }
  }
}
