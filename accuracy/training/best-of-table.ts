import { isShardloomError, type SpecInput } from 'shardloom'
import { rankCorrelation } from '../tau.js'
import { fastest, type Ran } from './fastest.js'
import { familyOf } from './metric.js'
import { valuesOfRow } from './report.js'
import { layoutOf, type Row } from './row.js'
import { type Run, run } from './run.js'
import { analyticFigures, searched } from './searched.js'
import { tableOf } from './sources.js'
import { type RowSpecs, specsOf } from './spec-of-row.js'

/** A strategy of a table, with its step as it was measured, simulated event by event, and by the model of the search. Seconds. */
export interface Strategy {
  readonly name: string
  readonly measured: number
  readonly simulated: number
  /** Null where the search has no such candidate. */
  readonly analytic: number | null
  /** What the simulated step consists of. */
  readonly parts: Run['parts']
}

/** What a search over all choices of a table finds for one model on its ranks. Shares are of the step of the search's first. */
export interface SearchedTable {
  readonly candidates: number
  readonly fitting: number
  /** Of the published best among those that fit. */
  readonly place: number
  readonly first: string
  /** By how much the published best takes longer than the first: by the search, and both simulated. */
  readonly longer: number
  readonly longerSimulated: number
  /** What the first saves, as shares of its step: negative where it takes more of it. */
  readonly saves: Run['parts']
}

/** An order of strategies beside the measured one. */
export interface Ranking {
  /** Of the published best; null where it is not in the order. */
  readonly place: number | null
  /** Kendall's τ over pairs of strategies that differ by more than the stated error; null without any. */
  readonly tau: number | null
  readonly pairs: number
}

/** What a model was measured with on the same ranks and the same batch, in one table. */
export interface Setting {
  readonly table: string
  readonly model: string
  /** Such as `Llama 3.1 8B: 8 ranks of H100, batch 16, seq 8192, bf16`. */
  readonly setting: string
  /** How the fastest was run, in the fields of its row. */
  readonly published: string
  /** The fastest measured first. */
  readonly strategies: readonly Strategy[]
  /** How the model of the search and the simulation order them. */
  readonly analytic: Ranking
  readonly simulated: Ranking
  readonly statedError: number
  /** Absent where there is nothing to choose from; a text says why there is no search. */
  readonly search?: SearchedTable | string
}

/** A row with what it becomes. */
interface Known {
  readonly row: Row
  readonly said: RowSpecs
}

/** A strategy of a setting, as it was run. */
interface Tried extends Strategy {
  readonly known: Known
  readonly ran: Ran
}

/** Tables whose authors chose each strategy as the best they knew. All combinations are searched of these, and of three and more. */
const tuned = /^Narayanan|^torchtitan|Megatron-Bridge/

/**
 * Where rows of one table vary only the strategy, ranks them by the model of the search and by simulation; and searches all
 * combinations of what a table's strategies chose. `told` hears of each setting as it is done.
 */
export async function bestOfTables(rows: readonly Row[], told: (done: number) => void = () => {}): Promise<Setting[]> {
  const isTimed = (row: Row) => !/per layer/i.test(row.metric) && ['time', 'throughput'].includes(familyOf(row) ?? '')
  const known = rows.filter(isTimed).map((row): Known => ({ row, said: specsOf(row) }))
  const planned = known.filter(({ said }) => said.choices.flat().length > 0)
  const settings: Setting[] = []
  for (const [table, own] of groupBy(planned, ({ row }) => tableOf(row.source)))
    for (const [setting, some] of groupBy(own, settingOf)) {
      const strategies = groupBy(some, strategyOf)
      const isSearched = tuned.test(table) || strategies.size > 2
      if (strategies.size === 1 && !isSearched) continue
      const specs = isSearched ? own.flatMap(({ said }) => said.choices.flat()) : undefined
      const found = await ranked(table, setting, [...strategies.values()], specs)
      if (found) settings.push(found)
      told(settings.length)
    }
  return settings
}

/** What rows of one strategy share: what issuing takes a host depends on the release. */
function strategyOf({ said }: Known): string {
  return JSON.stringify(said.choices, (key, value) => (key === 'host' ? undefined : value))
}

async function ranked(
  table: string,
  setting: string,
  groups: readonly (readonly Known[])[],
  specs: readonly SpecInput[] | undefined,
): Promise<Setting | undefined> {
  const tried: Tried[] = []
  for (const group of groups) tried.push(...(await triedOf(group, groups)))
  tried.sort((a, b) => a.measured - b.measured)
  const [best] = tried
  if (!best) return undefined
  const { row, said } = best.known
  const { statedError } = said.source
  const ranking = (of: (each: Tried) => number | null) => {
    const known = tried.flatMap((each) => {
      const predicted = of(each)
      return predicted === null ? [] : [{ metric: 'step time', unit: 's', measured: each.measured, predicted }]
    })
    const own = of(best)
    const place = own === null ? null : 1 + known.filter(({ predicted }) => predicted < own).length
    return { place, ...rankCorrelation(known, statedError) }
  }
  const search = specs && (await searchOf(best, specs))
  return {
    table,
    model: row.model,
    setting,
    published: layoutOf(row)
      .replace(/^\d+ ranks, /, '')
      .replace(/, batch \d+/, ''),
    strategies: tried.map(({ known: _, ran: __, ...strategy }) => strategy),
    analytic: ranking((each) => each.analytic),
    simulated: ranking((each) => each.simulated),
    statedError,
    ...(search && { search }),
  }
}

/** A strategy from the rows that repeat it, in other metrics or for other releases: the fastest that was measured counts. */
async function triedOf(group: readonly Known[], groups: readonly (readonly Known[])[]): Promise<Tried[]> {
  const [known] = group as [Known, ...Known[]] // a group has a row
  try {
    const ran = await fastest(known.said.choices)
    if (!ran) return []
    const analytic = (await analyticOf(ran.spec))?.seconds ?? null
    const measured: number[] = []
    for (const { row, said } of group)
      for (const value of await valuesOfRow(row, said, ran)) {
        const ratio = value.measured / value.predicted
        measured.push(ran.run.seconds * (value.family === 'time' ? ratio : 1 / ratio))
      }
    const name = nameOf(known.row, groups)
    const { seconds, parts } = ran.run
    return [{ known, ran, name, measured: Math.min(...measured), simulated: seconds, analytic, parts }]
  } catch (cause) {
    if (!isShardloomError(cause)) throw cause
    return []
  }
}

/** Undefined too where the search cannot ask about such a spec. */
async function analyticOf(spec: SpecInput): ReturnType<typeof analyticFigures> {
  try {
    return await analyticFigures(spec)
  } catch (cause) {
    if (!isShardloomError(cause)) throw cause
    return undefined
  }
}

/** What a search over all that a table chose says of a setting's best. */
async function searchOf(
  { known: { row }, ran }: Tried,
  specs: readonly SpecInput[],
): Promise<SearchedTable | string | undefined> {
  const named = [
    ...['dp', 'tp', 'pp', 'cp', 'ep', 'zero'],
    ...(row.micro_batch === null ? [] : ['microbatch']),
    ...(row.vp === null && row.micro_batch === null ? [] : ['schedule', 'virtual']),
  ]
  const found = await searched(ran.spec, specs, named)
  if (typeof found === 'string') return found
  const { candidates, fitting, place, leader, leaderSpec } = found
  if (candidates === 1) return undefined
  const first = place === 1 ? ran.run : await run(leaderSpec)
  const names = [...new Set([ran.run, first].flatMap(({ parts }) => Object.keys(parts)))]
  const savedOf = (name: string) => ((ran.run.parts[name] ?? 0) - (first.parts[name] ?? 0)) / first.seconds
  return {
    candidates,
    fitting,
    place,
    first: shortName(leader.choices),
    longer: found.seconds / leader.score - 1,
    longerSimulated: ran.run.seconds / first.seconds - 1,
    saves: Object.fromEntries(names.map((name) => [name, savedOf(name)])),
  }
}

/** Choices that differ from what is usual: such as `dp 4, tp 8, pp 2, microbatch 2`. */
function shortName(choices: Readonly<Record<string, string | number | boolean>>): string {
  const usual = [1, 'none', false, '1f1b', 'even']
  return Object.entries(choices)
    .filter(([name, value]) => name === 'microbatch' || !usual.includes(value))
    .filter(([name]) => !['zero', 'split', 'schedule'].includes(name))
    .map(([name, value]) => (value === true ? name : `${name} ${value}`))
    .join(', ')
}

/** What a model was run on and with, beside the strategy. */
function settingOf({ row, said }: Known): string {
  const batch = said.choices.flat()[0]?.batch ?? 1
  const precision = row.precision === null ? '' : `, ${row.precision}`
  return `${row.model}: ${row.gpus} ranks of ${row.hardware.replace(/[(,].*$/, '').trim()}, batch ${batch}, seq ${row.seq}${precision}`
}

/** The fields of a row in which strategies of its setting differ; where none does, the first words of its note. */
function nameOf(row: Row, groups: readonly (readonly Known[])[]): string {
  const fields = ['dp', 'tp', 'pp', 'vp', 'cp', 'ep', 'sp', 'zero', 'micro_batch', 'recompute'] as const
  const rows = groups.flat().map((known) => known.row)
  const differing = fields.filter((field) => new Set(rows.map((each) => each[field])).size > 1)
  const named = differing.flatMap((field) =>
    row[field] === null ? [] : [`${field === 'micro_batch' ? 'microbatch' : field} ${row[field]}`],
  )
  return named.length > 0 ? named.join(', ') : (row.note ?? layoutOf(row)).replace(/[,;].*$/, '')
}

function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return groups
}
