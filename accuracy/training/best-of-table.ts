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
  readonly analytic: number
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

/** What a model was measured with on the same ranks and the same batch, in one table. */
export interface Setting {
  readonly table: string
  readonly model: string
  /** Such as `16 ranks, batch 1024, seq 4096, bf16`. */
  readonly setting: string
  /** The fastest measured first. */
  readonly strategies: readonly Strategy[]
  /** The place of the published best among the strategies, in each of the two orders. */
  readonly place: { readonly analytic: number; readonly simulated: number }
  /** Kendall's τ of each order, over pairs of strategies that differ by more than the stated error; null without any. */
  readonly tau: { readonly analytic: number | null; readonly simulated: number | null }
  readonly pairs: number
  readonly statedError: number
  /** Absent where the table is not one of strategies that were chosen as the best; text: why there is no search. */
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

/** Tables whose authors chose the strategies as the best they knew, or compare many: all that they chose is searched. */
const chosen = /^Narayanan|^nanotron|^torchtitan|Megatron-Bridge/

/**
 * Where rows of one table vary only the strategy, ranks them by the model of the search and by simulation; and searches all
 * combinations of what a table's strategies chose. `told` hears of each setting as it is done.
 */
export async function bestOfTables(rows: readonly Row[], told: (done: number) => void = () => {}): Promise<Setting[]> {
  const isTimed = (row: Row) => !/per layer/.test(row.metric) && ['time', 'throughput'].includes(familyOf(row) ?? '')
  const known = rows.filter(isTimed).map((row): Known => ({ row, said: specsOf(row) }))
  const planned = known.filter(({ said }) => said.choices.flat().length > 0)
  const settings: Setting[] = []
  for (const [table, own] of groupBy(planned, ({ row }) => tableOf(row.source)))
    for (const [setting, some] of groupBy(own, settingOf)) {
      const strategies = groupBy(some, ({ said }) => JSON.stringify(said.choices))
      const isSearched = chosen.test(table)
      if (strategies.size === 1 && !isSearched) continue
      const specs = isSearched ? own.flatMap(({ said }) => said.choices.flat()) : undefined
      const found = await ranked(table, setting, [...strategies.values()], specs)
      if (found) settings.push(found)
      told(settings.length)
    }
  return settings
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
  const place = (of: (each: Tried) => number) => 1 + tried.filter((each) => of(each) < of(best)).length
  const correlation = (of: (each: Tried) => number) =>
    rankCorrelation(
      tried.map((each) => ({ metric: 'step time', unit: 's', measured: each.measured, predicted: of(each) })),
      statedError,
    )
  const [analytic, simulated] = [correlation((each) => each.analytic), correlation((each) => each.simulated)]
  return {
    table,
    model: row.model,
    setting,
    strategies: tried.map(({ known: _, ran: __, ...strategy }) => strategy),
    place: { analytic: place((each) => each.analytic), simulated: place((each) => each.simulated) },
    tau: { analytic: analytic.tau, simulated: simulated.tau },
    pairs: analytic.pairs,
    statedError,
    ...(specs && { search: await searchOf(best, specs) }),
  }
}

/** A strategy from the rows that repeat it, in other metrics or for other releases: the fastest that was measured counts. */
async function triedOf(group: readonly Known[], groups: readonly (readonly Known[])[]): Promise<Tried[]> {
  const [known] = group as [Known, ...Known[]] // a group has a row
  try {
    const ran = await fastest(known.said.choices)
    const analytic = ran && (await analyticFigures(ran.spec))?.seconds
    if (!ran || analytic === undefined) return []
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

/** What a search over all that a table chose says of a setting's best. */
async function searchOf({ known: { row }, ran }: Tried, specs: readonly SpecInput[]): Promise<SearchedTable | string> {
  const named = [
    ...['dp', 'tp', 'pp', 'cp', 'ep', 'zero'],
    ...(row.micro_batch === null ? [] : ['microbatch']),
    ...(row.vp === null && row.micro_batch === null ? [] : ['schedule', 'virtual']),
  ]
  const found = await searched(ran.spec, specs, named)
  if (typeof found === 'string') return found
  const { candidates, fitting, place, leader, leaderSpec } = found
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
