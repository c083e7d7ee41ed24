import type { Summary } from '../section.js'
import { summarise } from '../section.js'
import type { SaidOfServing } from './case.js'
import { entriesOf, type Host, type Simulated, type Simulations, simulateRows } from './report.js'

/** A group of rows, predicted with constants of the host that were fitted to other groups. */
export interface LeftOut {
  readonly group: string
  /** The groups that the constants come from. */
  readonly fittedTo: readonly string[]
  readonly host: Host
  readonly errors: readonly Pick<Summary, 'family' | 'n' | 'meanError' | 'bias' | 'worst'>[]
}

/** What engines of any kind may take, to start fits from. Seconds. */
const start: Host = { step: 0.5e-3, layer: 25e-6, sequence: 40e-6, request: 100e-3, issue: 0 }

/** Rows of a fit at most, evenly taken: four constants need no more. */
const fitted = 16

/**
 * Predicts each group of rows with the host's constants of others: fitted to the groups of the same engine, or to all others where
 * there is none. The scheduler stays the engine's, since it is documented. `told` hears of each fit as it is done.
 */
export async function leaveOut(
  rows: readonly SaidOfServing[],
  simulations: Simulations,
  told: (done: number) => void = () => {},
): Promise<LeftOut[]> {
  const { simulated } = await simulateRows(rows, simulations)
  const within = simulated.filter((one) => entriesOf(one).every(({ table }) => table === one.each.group))
  const closed = unique(within.filter(({ simulation }) => simulation.workload.clients !== undefined))
  const groups = [...new Set(closed.map(({ each }) => each.group))]
  const results: LeftOut[] = []
  for (const group of groups) {
    const own = closed.filter(({ each }) => each.group === group)
    const others = closed.filter(({ each }) => each.group !== group)
    const engine = own[0]?.simulation.engine.name
    const alike = others.filter(({ simulation }) => simulation.engine.name === engine)
    const from = alike.length > 0 ? alike : others
    if (from.length === 0) continue
    const host = await fittedHost(spreadOut(from), simulations)
    const entries = await predicted(own, simulations, host)
    results.push({
      group,
      fittedTo: [...new Set(from.map(({ each }) => each.group))],
      host,
      errors: summarise(entries).map(({ family, n, meanError, bias, worst }) => ({
        family,
        n,
        meanError,
        bias,
        worst,
      })),
    })
    told(results.length)
  }
  return results
}

/** Rows that a source repeats, once. */
function unique(rows: readonly Simulated[]): Simulated[] {
  return [...new Map(rows.map((row) => [JSON.stringify([row.each.spec, row.each.measured]), row])).values()]
}

/** Some of the rows, as many of each group. */
function spreadOut(rows: readonly Simulated[]): Simulated[] {
  const groups = [...new Set(rows.map(({ each }) => each.group))]
  const each = Math.floor(fitted / groups.length)
  return groups.flatMap((group) => {
    const own = rows.filter((row) => row.each.group === group)
    const every = Math.max(1, Math.floor(own.length / each))
    return own.filter((_, index) => index % every === 0).slice(0, each)
  })
}

async function predicted(rows: readonly Simulated[], simulations: Simulations, host: Host) {
  const entries = []
  for (const { each } of rows) entries.push(...entriesOf({ each, simulation: await simulations.of(each, host) }))
  return entries
}

const names = ['request', 'step', 'layer', 'sequence'] as const

/** The constants of least mean error in logarithms: one after the other by factors that shrink, as long as one helps. */
async function fittedHost(rows: readonly Simulated[], simulations: Simulations): Promise<Host> {
  const lossOf = async (host: Host) => {
    const entries = await predicted(rows, simulations, host)
    return entries.reduce((sum, { error }) => sum + Math.abs(Math.log1p(error)), 0) / entries.length
  }
  let best = start
  let least = await lossOf(best)
  for (const factor of [2, 1.4, 1.2])
    for (const name of names)
      for (const by of [factor, 1 / factor])
        for (let times = 0; times < 3; times++) {
          const moved = { ...best, [name]: best[name] * by }
          const loss = await lossOf(moved)
          if (loss >= least) break
          best = moved
          least = loss
        }
  return best
}
