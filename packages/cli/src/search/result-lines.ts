import { clusterOf, formatCount, formatCounted, formatDifference, formatQuantity, formatSeconds } from 'shardloom'
import {
  betterOf,
  type Candidate,
  choicesText,
  distanceToBest,
  limitText,
  meanLoadOf,
  metricHead,
  metricText,
  missText,
  placeOf,
  rejectionText,
  ruleText,
  type SimulatedCandidate,
  shownMetrics,
  tieError,
  untriedChoices,
} from 'shardloom/search'
import { type Style, singleLine } from '../style.js'
import { flow, pairs, table, wrapped } from '../table.js'
import { missLines } from './miss-lines.js'
import { isUpToRanks, measureOf, type SearchResult, subjectOf } from './result.js'
import type { Launch } from './write-result.js'

/** What is told of the best beside its place. */
export interface Further {
  /** What simulates it. */
  readonly command?: string
  /** Which row that is, where one was picked. */
  readonly pick?: number
  /** How one of the best is started. */
  readonly launch?: Launch
}

/** What a search found, for people, within 80 columns. */
export function resultLines(result: SearchResult, style: Style, { command, pick, launch }: Further = {}): string[] {
  const { nearMisses, front, answer } = result
  const lines = [
    ...headLines(result, style),
    ...(result.best.length > 0 ? ['', ...bestLines(result, style)] : []),
    ...(answer.counts.total === 0 && result.best.length === 0 ? ['', ...emptyLines(result, style)] : []),
    ...(front.length > 0 ? ['', ...frontLines(result, style)] : []),
    ...(nearMisses.length > 0 ? ['', ...missLines(result, style)] : []),
    ...commandLines(command, style, pick === undefined ? 'it' : `number ${pick}`),
    ...(launch
      ? [
          '',
          style.bold(`For ${launch.launcher}${launch.place === 1 ? '' : `, of number ${launch.place}`}`),
          ...launch.text.trimEnd().split('\n'),
          ...launch.notes.flatMap((note) => wrapped(note, 2).map((line) => `#${line.slice(1)}`)),
        ]
      : []),
  ]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

/** What simulates a candidate, in one line that can be copied. */
export function commandLines(command: string | undefined, style: Style, of = 'it'): string[] {
  return command === undefined ? [] : ['', `${style.bold(`To simulate ${of}`)}`, `  ${command}`]
}

/** What is searched, and how many candidates became what. */
function headLines(result: SearchResult, style: Style): string[] {
  const { loaded, question, answer } = result
  const { objective, limits } = question
  const { phase } = loaded.spec
  const untried = untriedChoices(loaded, question)
  const others = untried.length > 0 ? ['(--choose adds them)'] : []
  const stays = fixedClients(result)
  const refused = Object.entries(answer.counts.rejected).sort(([, a], [, b]) => b - a)
  const isMost = isUpToRanks(question)
  const most = betterOf(phase, objective) === 'more' ? 'most' : 'least'
  return [
    style.bold(singleLine(subjectOf(result))),
    ...pairs([
      ['objective', `${most} ${objective}`],
      ...(isMost
        ? [['ranks tried', flow((question.choices['ranks'] ?? []).map(String), ' ', 16)] as [string, string[]]]
        : []),
      ...(phase === 'serving' ? [['requests', requestsText(loaded)] as [string, string[]]] : []),
      ...(phase === 'serving'
        ? []
        : [
            ['step of', [`batch ${formatCount(loaded.spec.batch)}`, `seq ${formatCount(loaded.spec.seq)}`]] as [
              string,
              string[],
            ],
          ]),
      ...(limits.length > 0 ? [['limits', limits.map(limitText)] as [string, string[]]] : []),
      ['candidates', countsText(result)],
      ...(untried.length > 0 || stays.length > 0
        ? [['not tried', [...untried.flatMap(atCommas), ...others, ...stays]] as [string, string[]]]
        : []),
      ...(refused.length > 0
        ? [['rejected by', refused.map(([rule, count]) => rejectedText(rule, count, question))] as [string, string[]]]
        : []),
    ]),
  ]
}

/** That clients are as the spec has them, which is one value of what could be chosen. */
function fixedClients({ loaded: { spec }, question }: SearchResult): string[] {
  const { clients } = spec.options.serving.load ?? {}
  if (spec.phase !== 'serving' || clients === undefined || question.choices['clients'] !== undefined) return []
  const told = [`clients (the spec's ${formatCount(clients)} stays;`, '--choose clients=… adds others)']
  return told.join(' ').length > 64 ? told : [told.join(' ')]
}

/** A choice and its values as entries of a list beside the longest name, where they are too many for one line. */
const atCommas = (text: string) => flow(text.split(/(?<=,)/), '', 'rejected by'.length + 4)

/** How many fell to a rule: `memory 626`. */
function rejectedText(rule: string, count: number, question: SearchResult['question']): string {
  const text = rejectionText(rule, question)
  return `${text}${text === rule ? '' : ':'} ${formatCount(count)}`
}

/** How many candidates became what: those of parts that have ended. */
function countsText(result: SearchResult): string | string[] {
  const { answer, question, best, interrupted, missing = [], ...time } = result
  const { total, rejected, bounded, evaluated } = answer.counts
  if (interrupted && total === 0 && best.length > 0)
    return 'none counted before it was interrupted: those below were found at the start, where good candidates are looked for first'
  const all = Object.values(rejected).reduce((sum, count) => sum + count, 0)
  const parts = formatCounted(question.parts, 'part')
  const ends = [
    `${formatCount(total)}${timeText(total, time)}`,
    ...(interrupted ? ['interrupted'] : result.stopped && missing.length === 0 ? ['complete'] : []),
    ...(missing.length > 0 ? [`without ${formatCount(missing.length)} of ${parts}`] : []),
  ]
  return [
    ...ends.map((text, index) => `${text}${index < ends.length - 1 ? ',' : ':'}`),
    `${formatCount(evaluated)} evaluated,`,
    `${formatCount(bounded)} no better by their bounds,`,
    `${formatCount(all)} rejected`,
  ]
}

/** What this search took, and for how many of the candidates: others were in the checkpoint that it went on from. */
function timeText(total: number, { seconds, resumed = 0 }: Pick<SearchResult, 'seconds' | 'resumed'>): string {
  if (seconds === undefined) return ''
  const own = total - resumed
  if (own <= 0 && resumed > 0) return ', all of them from the checkpoint'
  const each = !seconds || own === 0 ? '' : `, ${formatQuantity(own / seconds, '')}/s`
  return `${resumed > 0 ? `, ${formatCount(own)} of them now,` : ''} in ${formatSeconds(seconds)}${each}`
}

/** The load that engines are searched for. */
function requestsText(loaded: SearchResult['loaded']): string[] {
  const { input, output, rate } = meanLoadOf(loaded)
  const [prompt, answer] = [input, output].map((tokens) => formatCount(Math.round(tokens)))
  const { load = {} } = loaded.spec.options.serving
  const assumed = (['input', 'output'] as const).filter((name) => load[name] === undefined)
  return [
    `of ${prompt} tokens and ${answer} generated on average${rate === undefined ? '' : `, ${rate} a second`}`,
    ...(assumed.length > 0 ? [`(${assumed.join(' and ')} of \`load\` assumed)`] : []),
  ]
}

/** How a table of candidates is told otherwise than as the best of a search. */
interface TableOptions {
  /** What is said of each in place of its choices. */
  readonly labels?: readonly string[]
  /** What the others are compared with, and at the head of which column; the best by default. */
  readonly against?: { readonly head: string; readonly candidate: SimulatedCandidate } | undefined
}

/** Candidates as simulated, each above what it has chosen. */
export function candidateTable(
  result: Pick<SearchResult, 'question' | 'loaded' | 'best'>,
  style: Style,
  { labels = [], against }: TableOptions = {},
): string[] {
  const { question, loaded, best } = result
  const { objective } = question
  const metrics = shownMetrics(loaded.spec.phase, objective)
  const standard = against?.candidate ?? best[0]
  // That so many ranks are so many is no estimate: what is, is the time of the step.
  const estimated = objective === 'ranks' ? (metrics[1] ?? objective) : objective
  const columns = [
    { header: '', align: 'right' },
    ...metrics.map((name) => ({ header: metricHead(name), align: 'right' }) as const),
    { header: against?.head ?? 'to best', align: 'right' },
    { header: objective === 'ranks' ? `${shorter(estimated)} estimate` : 'estimate', align: 'right' },
  ] as const
  const rows = best.flatMap((each, index) => {
    const { candidate, metrics: simulated, differences, misses, error } = each
    const shown = simulated ?? candidate.metrics
    const numbers = metrics.map((name) => {
      const value = shown[name]
      return value === undefined ? '–' : metricText(name, value)
    })
    const difference = differences?.[estimated]
    const estimate = simulated ? (difference === undefined ? '–' : changeText(difference)) : 'not simulated'
    const what = `${labels[index] ?? choicesText(candidate, question.choices)}${isTpWide(candidate, loaded) ? '  (tp over nodes)' : ''}`
    const faults = error
      ? [`not simulated, ${error.code}: ${singleLine(error.message)}`]
      : misses.map(({ rule, by }) => `misses ${ruleText(rule, question.limits)} by ${missText(by)} as simulated`)
    return [
      [String(index + 1), ...numbers, each === standard ? '' : distanceText(standard, each, objective), estimate],
      ...flow([...what.split('  '), ...faults], '  ', 5).map((line) => [`     ${line}`]),
    ]
  })
  return table(columns, rows, style)
}

/** A metric in few letters, by its name or by its head. */
const shorter = (metric: string) => (metricHead(metric).length < metric.length ? metricHead(metric) : metric)

/** Whether tensor parallelism, which sends most often, leaves the fast links of a node. */
function isTpWide({ choices }: Candidate, loaded: SearchResult['loaded']): boolean {
  const order = String(choices['order'] ?? loaded.spec.order).split(',')
  const inside = order.slice(0, order.indexOf('tp') + 1)
  const span = inside.reduce((all, axis) => all * Number(choices[axis] ?? 1), 1)
  return Number(choices['tp'] ?? 1) > 1 && span > clusterOf(loaded).perNode
}

/** How many of the best to ask for where more are to be simulated. */
const moreOf = ({ top }: SearchResult['question']) => Math.max(20, 4 * top)

function bestLines(result: SearchResult, style: Style): string[] {
  const { answer, best, question, simulated } = result
  const note = tiesNote(best, question.objective)
  const [first] = best
  const isMissed = simulated > 0 && first && (first.error || first.misses.length > 0)
  return [
    isMissed
      ? `${style.bad(`None of ${formatCount(simulated)} simulated keeps all limits.`)} The nearest`
      : simulated > 0
        ? `${style.bold('The best')} of ${formatCount(simulated)} simulated`
        : `${style.bold('The best')}, as estimated${result.stopped && !result.interrupted ? ': interrupted before they were simulated' : ''}`,
    ...candidateTable(result, style),
    ...note.map((line) => style.dim(line)),
    ...(isMissed && answer.counts.bounded > 0
      ? wrapped(`Others may keep them: --top ${moreOf(question)} simulates more.`, 2)
      : result.capped
        ? wrapped(
            `No more are simulated for ${question.top} of the best, and others may belong among them: --top ${moreOf(question)} simulates more.`,
            2,
          )
        : []),
  ]
}

/** Up to which difference rows of a table are ties, and what its last column is; nothing where none of the rows has an error stated. */
export function tiesNote(
  best: readonly SimulatedCandidate[],
  objective: string,
  standard: SimulatedCandidate | undefined = best[0],
): string[] {
  const others = best.length > 1 ? best.filter((each) => each !== standard) : best
  const errors = standard ? others.map((each) => Math.round(100 * tieError(standard, each, objective))) : []
  const [least, most] = [Math.min(...errors), Math.max(...errors)]
  if (errors.length === 0 || most === 0) return []
  const share = least === most ? `±${most} %` : `±${least} to ±${most} %, the larger of what both are good for,`
  const good = least === most ? ', for which the model is good,' : ''
  return wrapped(
    `Differences up to ${share}${good} are ties. Estimate: what the search reckoned with, to what was simulated.`,
    2,
  )
}

/** Why there is no candidate at all. */
function emptyLines({ question, loaded, interrupted }: SearchResult, style: Style): string[] {
  if (interrupted)
    return wrapped('Nothing was found before it was interrupted: --checkpoint keeps what ends, for another time.', 2)
  const { batch, phase } = loaded.spec
  const why =
    phase !== 'serving'
      ? `each data-parallel rank takes as many sequences of the batch of ${formatCount(batch)}, and a stage has one layer at least.`
      : 'engines fill the ranks, and heads are divided evenly.'
  return [
    style.bad('There is no candidate.'),
    ...wrapped(
      `Degrees multiply to ${formatCounted(question.ranks, 'rank')}; ${why} Give other --ranks, or fewer --choose and --keep.`,
      2,
    ),
  ]
}

/** How the objective differs from that of another, such as the best; within the error that both are good for it is a tie. */
function distanceText(other: SimulatedCandidate | undefined, each: SimulatedCandidate, objective: string): string {
  const distance = other && distanceToBest(other, each, objective)
  return distance ? `${changeText(distance.relative)}${distance.tie ? ' tie' : ''}` : '–'
}

const changeText = (relative: number) => (Math.abs(relative) < 0.0005 ? 'same' : formatDifference(relative))

function frontLines({ front, best, question, loaded }: SearchResult, style: Style): string[] {
  const [x = '', y = ''] = (question.front ?? []).map((name) => name.replace(/^-/, ''))
  const most = (name: string) => (betterOf(loaded.spec.phase, name) === 'more' ? 'most' : 'least')
  const columns = [
    { header: x, align: 'right' },
    { header: y, align: 'right' },
    { header: '', align: 'left' },
  ] as const
  const shown = alongFront(front, [x, y])
  const rows = shown.map(({ candidate, metrics, simulated }) => {
    const place = simulated && placeOf(simulated, best)
    const above = place === undefined ? [] : [`(number ${place} above)`]
    const [a, b] = [x, y].map((name) => metricText(name, metrics[name] ?? 0))
    const room = 74 - Math.max(x.length, a?.length ?? 0) - Math.max(y.length, b?.length ?? 0)
    const [what = '', ...more] = cut([...choicesText(candidate, question.choices).split('  '), ...above], room)
    return [[a ?? '', b ?? '', what], ...more.map((line) => ['', '', line])]
  })
  return [
    `${style.bold('The front')} of ${most(x)} ${x} and ${most(y)} ${y}, ${measureOf(front)}`,
    ...table(columns, rows.flat(), style),
    ...(shown.length < front.length
      ? wrapped(
          `${formatCount(shown.length)} of ${formatCount(front.length)}, spread over it with both ends: --json has all, and --svg draws them.`,
          2,
        ).map((line) => style.dim(line))
      : []),
  ]
}

/** Rows of a front that are shown: more would push what else was found off the screen. */
const mostOfFront = 20

/** All of a front that is short; of a longer one both ends, and again and again the point that is furthest from those taken. */
function alongFront(front: SearchResult['front'], [x, y]: readonly string[]): SearchResult['front'] {
  if (front.length <= mostOfFront) return front
  // Distances are shares of how far the front reaches, whatever its metrics are measured in.
  const places = [x, y].map((name = '') => {
    const values = front.map(({ metrics }) => metrics[name] ?? 0)
    const [first = 0, last = 0] = [values[0], values.at(-1)]
    return values.map((value) => (value - first) / (last - first || 1))
  })
  const apart = (a: number, b: number) => Math.hypot(...places.map((at) => (at[a] ?? 0) - (at[b] ?? 0)))
  const taken = [0, front.length - 1]
  const nearest = front.map((_, index) =>
    taken.includes(index) ? -1 : Math.min(...taken.map((other) => apart(index, other))),
  )
  while (taken.length < mostOfFront) {
    const furthest = nearest.indexOf(nearest.reduce((a, b) => Math.max(a, b)))
    taken.push(furthest)
    for (const index of nearest.keys())
      nearest[index] = Math.min(nearest[index] ?? 0, index === furthest ? -1 : apart(index, furthest))
  }
  return taken.sort((a, b) => a - b).flatMap((index) => front[index] ?? [])
}

const cut = (entries: readonly string[], room: number) => flow(entries, '  ', 80 - room)
