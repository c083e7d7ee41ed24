import { formatCounted } from 'shardloom'
import { grouped, number, percent, plain, tableLines } from './table-lines.js'
import type { Ranking, SearchedTable, Setting } from './training/best-of-table.js'

const about = `Which strategy would have been recommended? Where rows of a table differ in nothing but the strategy, or in the software that
runs it, they are put in the order of the model that [a search](../guides/which-parallelism.md) looks for the best with, and in that of
simulation. Of metrics and releases of one strategy the fastest counts. τ is over pairs that differ by more than the stated error.`

const wide = (
  which: string,
) => `All combinations of the degrees, microbatches, chunks, schedules and recomputation that strategies of a table have, on the ranks
and with the batch of each model. A candidate fits that needs no more memory than there is, or than the ${which} strategy, which did run.
The place of the ${which} best is among those that fit; it is within the stated error of the first where it takes no longer than that.
What it takes longer is as shares of the step of the first: by the search, and with both simulated event by event; and why, what ranks do and
wait for in the two simulated steps: what is computed, what is waited for in communication over an axis, and the bubble.`

/** The part of the page about strategies: how tables rank, and what searches over them prefer. `which`: what the rows are. */
export function strategiesLines(settings: readonly Setting[], which: 'published' | 'measured' = 'published'): string[] {
  const several = settings.filter(({ strategies }) => strategies.length > 1)
  const searched = settings.filter(({ search }) => search !== undefined)
  const places = searched.flatMap(({ search }) => (typeof search === 'object' ? [search.place] : []))
  const within = places.filter((place) => place <= 3).length
  if (several.length + searched.length === 0) return []
  const parts = [
    ['## Strategies', about],
    several.length > 0 && [
      `### Strategies: the order of ${which} rows`,
      tableLines(
        ['table', 'setting', 'n', `${which} best`, 'place by search', 'τ (pairs)', 'place simulated', 'τ (pairs)'],
        several.map(orderCells),
      ).join('\n'),
      ...grouped(
        several.flatMap(({ setting, strategies }) => strategies.map((strategy) => ({ setting, ...strategy }))),
        ({ setting }) => setting,
        ['strategy', 'measured', 'by search', 'simulated'],
        ({ name, measured, analytic, simulated }) => [
          name,
          `${number(measured)} s`,
          analytic === null ? 'no candidate' : number(analytic),
          number(simulated),
        ],
      ),
    ],
    searched.length > 0 && [
      '### Strategies: searched',
      wide(which),
      ...(places.length > 0
        ? [
            `Of ${formatCounted(places.length, `${which} strategy`, `${which} strategies`)} ${within} ${within === 1 ? 'is' : 'are'} among the first three.`,
          ]
        : []),
      tableLines(
        ['table', 'setting', which, 'place', 'of', 'first', 'longer by search', 'simulated', 'why'],
        searched.map((setting) => searchedCells(setting, which)),
      ).join('\n'),
    ],
  ]
  return parts.flatMap((part) => (part ? [part.join('\n\n'), ''] : []))
}

function orderCells({ table, setting, strategies, analytic, simulated }: Setting): string[] {
  const cells = ({ place, tau, pairs }: Ranking) => [
    place === null ? 'no candidate' : String(place),
    tau === null ? '' : `${tau.toFixed(2).replace('-', '−')} (${pairs})`,
  ]
  return [table, setting, String(strategies.length), strategies[0]?.name ?? '', ...cells(analytic), ...cells(simulated)]
}

function searchedCells({ table, setting, published, search, statedError }: Setting, which: string): string[] {
  if (typeof search !== 'object') return [table, setting, published, '', '', '', '', '', search ?? '']
  const { candidates, fitting, place, first, longer, longerSimulated } = search
  const isTie = place > 1 && longer <= statedError
  const of = `${fitting} that fit of ${candidates}`
  if (place === 1) return [table, setting, published, '1', of, `the ${which}`, '', '', '']
  const placed = `${place}${isTie ? ', within the stated error' : ''}`
  return [table, setting, published, placed, of, first, percent(longer), percent(longerSimulated), whyOf(search)]
}

/** The least share of a step that is worth a word. */
const noticeable = 0.01

/** What the first of a search takes less of and more of than the published best, the largest first. */
export function whyOf({ saves }: SearchedTable): string {
  const sorted = Object.entries(saves).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a))
  const named = (sign: number) =>
    sorted
      .filter(([, share]) => sign * share >= noticeable)
      .map(([part, share]) => `${part} ${plain(Math.abs(share))}`)
      .join(', ')
  const [less, more] = [named(1), named(-1)]
  return [...(less ? [`less ${less}`] : []), ...(more ? [`more ${more}`] : [])].join('; ')
}
