import {
  loadSpec,
  readSpecText,
  runWork,
  type ServingSimulationSummary,
  servingSimulationWork,
  summariseServingSimulation,
} from 'shardloom'
import type { Report } from './serve.js'

/** Serves the load of a spec event by event: what its clients see. Throws a ShardloomError. */
export async function servingOf(
  { text }: { readonly text: string },
  report: Report,
): Promise<ServingSimulationSummary> {
  const work = servingSimulationWork(await loadSpec(readSpecText(text)))
  return summariseServingSimulation(await runWork(work, { progress: report }))
}
