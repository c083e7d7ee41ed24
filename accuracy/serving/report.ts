import { finish, isShardloomError, loadSpec, prepareServing, type ServingSimulation } from 'shardloom'
import { type Entry, type Listed, predictedOf, type Section, summarise } from '../section.js'
import { type Case, type Lacking, noValue, type SaidOfServing, servingCase } from './case.js'
import { familyOf, servedValue, statedErrorOf } from './metric.js'
import { remarkOf } from './remarks.js'

/** Seconds of the host's work, by what they are per: in place of those of an engine. */
export type Host = ServingSimulation['engine']['host']

/** Simulates cases. Specs that differ in load and host alone share what their steps are made of; equal ones are simulated once. */
export class Simulations {
  private readonly prepared = new Map<string, ReturnType<typeof prepareServing>>()
  private readonly results = new Map<string, ServingSimulation>()

  async of({ spec }: Case, host?: Host): Promise<ServingSimulation> {
    const { serving, ...options } = spec.options ?? {}
    const whole = JSON.stringify(spec)
    const known = this.results.get(whole)
    if (known && !host) return known
    const loaded = await loadSpec(host ? { ...spec, options: { ...options, serving: { ...serving, host } } } : spec)
    const key = JSON.stringify({ ...spec, seq: 0, options: { ...options, engine: serving?.engine } })
    const serve = this.prepared.get(key) ?? prepareServing(loaded)
    this.prepared.set(key, serve)
    const simulation = finish(serve(loaded))
    if (!host) this.results.set(whole, simulation)
    return simulation
  }
}

/** A case with its simulation. */
export interface Simulated {
  readonly each: Case
  readonly simulation: ServingSimulation
}

/** The rows under load, each simulated as far as it says enough. `told` hears of each as it is done. */
export async function simulateRows(
  rows: readonly SaidOfServing[],
  simulations: Simulations,
  told: (done: number) => void = () => {},
): Promise<{ readonly simulated: readonly Simulated[]; readonly listed: readonly Listed[] }> {
  const simulated: Simulated[] = []
  const listed: Lacking[] = []
  for (const [index, row] of rows.entries()) {
    const each = servingCase(row)
    if ('lacks' in each) listed.push(each)
    else
      try {
        const one = { each, simulation: await simulations.of(each) }
        simulated.push(one)
        if (entriesOf(one).length === 0) listed.push(lacked(each, noValue))
      } catch (cause) {
        if (!isShardloomError(cause)) throw cause
        listed.push(lacked(each, `a plan: ${cause.message}`))
      }
    told(index + 1)
  }
  return { simulated, listed }
}

/** A case that is not predicted, and why. */
function lacked({ source, model, hardware, measured }: Case, why: string): Lacking {
  const [{ metric, unit }] = measured as [Case['measured'][number]] // a case has a measured value
  return { source, model, hardware, metric, unit, lacks: [why] }
}

/** What was predicted of rows under load, in the metrics that were measured. */
export async function servingReport(
  rows: readonly SaidOfServing[],
  simulations = new Simulations(),
  told?: (done: number) => void,
): Promise<Section> {
  const { simulated, listed } = await simulateRows(rows, simulations, told)
  const entries = simulated.flatMap(entriesOf)
  return { rows: entries.map(predictedOf), listed, summary: summarise(entries) }
}

/** The groups that the host of an engine was fitted to, with their rows within the KV capacity, as the sources of engines say. */
const fittedGroups: readonly string[] = [
  'Llama-3.1-70B, vllm, fp8',
  'Qwen3-32B, vllm, bf16',
  'DeepSeek-R1, sglang, fp8',
  'Qwen3-32B, tensorrt-llm, fp8',
]

/** A value for each that was measured; those of engines that had to keep requests waiting for memory have a table of their own. */
export function entriesOf({ each, simulation }: Simulated): Entry[] {
  const { source, model, hardware, layout, spec, measured, group } = each
  const ranks = simulation.pools.reduce((sum, pool) => sum + pool.ranks, 0)
  const isPast = isPastCapacity(simulation)
  const table = `${group}${isPast ? ', past the KV capacity' : ''}`
  return measured.flatMap((one): Entry[] => {
    const predicted = servedValue(simulation.result, ranks, one)
    const family = familyOf(one.metric)
    if (predicted === undefined || family === undefined) return []
    return [
      {
        source,
        table,
        model,
        hardware,
        metric: one.metric,
        unit: one.unit,
        measured: one.value,
        predicted,
        error: predicted / one.value - 1,
        family,
        layout,
        configuration: JSON.stringify(spec),
        recalled: [],
        open: false,
        isFitted: !isPast && /^silicon_sample/.test(source) && fittedGroups.includes(group),
        statedError: statedErrorOf(family),
        remark: remarkOf(group, isPast),
      },
    ]
  })
}

/** Whether the requests of all clients together outgrow the KV cache. */
function isPastCapacity({ pools, workload }: ServingSimulation): boolean {
  const { requests, clients } = workload
  const pool = pools.at(-1)
  if (clients === undefined || !pool) return false
  const held = requests.reduce((sum, { input, output }) => sum + input + output, 0) / requests.length
  return clients * held > pool.capacity.tokens * pool.engines
}
