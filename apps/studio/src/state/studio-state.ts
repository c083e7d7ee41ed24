import type { Level, UnrollAxis } from 'shardloom'
import { emptySearch, mostTop, type SearchState } from '../search/state.js'

/** The pictures of a plan, in the order of their keys 1, 2, … */
export const viewNames = ['graph', 'timeline', 'memory', 'compare', 'search', 'learn'] as const
export type ViewName = (typeof viewNames)[number]

/** The guided pages, in their order. */
export const lessonNames = ['dp', 'tp', 'pp', 'ep', 'sp', 'hybrids', 'prefill-decode', 'bottleneck'] as const
export type LessonName = (typeof lessonNames)[number]

const levels = ['phase', 'stage', 'layer', 'module', 'operator'] as const satisfies readonly Level[]
const axes = ['layer', 'microbatch', 'decode_step', 'chunk', 'rank'] as const satisfies readonly UnrollAxis[]

/** A plan with a name: its spec as YAML, from which all else follows. */
export interface Variant {
  readonly name: string
  readonly text: string
}

/** What the graph shows. */
export interface GraphState {
  readonly level: Level
  /** Cards that are not as the level has them: opened, or closed. */
  readonly toggled: readonly string[]
  readonly unroll: readonly UnrollAxis[]
  /** The rank whose numbers are shown; none: of the whole mesh. */
  readonly rank?: number
}

/** The phases of serving, each with a plan of its own. */
export const pools = ['prefill', 'decode'] as const
export type Pool = (typeof pools)[number]
/** Plans beside each other, and which of them is shown. */
export type Plans = Pick<StudioState, 'variants' | 'active'>

/** Where a reader of a guided page is. */
export interface LearnState {
  readonly page: LessonName
  /** From 0. */
  readonly step: number
  /** The reader's own plans, which the page's stand in for. */
  readonly own: Plans
}

/** Everything that a link holds. */
export interface StudioState {
  readonly variants: readonly Variant[]
  /** Which of the variants is shown. */
  readonly active: number
  readonly view: ViewName
  readonly graph: GraphState
  /** Which plan of serving is looked at. */
  readonly pool: Pool
  /** What is asked of a search. */
  readonly search: SearchState
  /** The id of the selected node, in all views. */
  readonly selection?: string
  /** The guided page that is open. */
  readonly learn?: LearnState
}

/** What opens without a link: a plan that fits, with three strategies at work. */
export const sample: StudioState = {
  variants: [
    {
      name: 'Llama 3.1 70B',
      text: `model: llama-3.1-70b
cluster: dgx-h100
phase: training
batch: 64
seq: 8192
parallel:
  dp: 2
  tp: 8
  pp: 4
options:
  zero: 1
  sequenceParallel: true
  schedule: 1f1b
`,
    },
  ],
  active: 0,
  view: 'graph',
  graph: { level: 'stage', toggled: [], unroll: [] },
  pool: 'prefill',
  search: emptySearch,
}

/** The most plans of a page. */
export const mostVariants = 12

/** The longest text of a spec that is planned, and that a link holds, in UTF-16 code units, and its most lines. */
const longestText = 200_000
const mostLines = 5000

/** What a text is too large by, in words; undefined where it is not. */
export function sizeProblem(text: string): string | undefined {
  if (text.length > longestText) return `has ${text.length} characters, and at most ${longestText} are taken`
  const lines = text.split('\n').length
  return lines > mostLines ? `has ${lines} lines, and at most ${mostLines} are taken` : undefined
}

/** The longest name of a plan, and the most cards and steps. */
const longestName = 80
const mostToggled = 2000
const mostSteps = 100

/** The variant that is shown. */
export function activeVariant({ variants, active }: Plans): Variant {
  const found = variants[active]
  if (!found) throw new Error('internal error: no such variant')
  return found
}

/** What of data from outside is a state; throws an Error that says what is wrong. */
export function checkState(value: unknown): StudioState {
  const { view, graph, pool, search, selection, learn, ...rest } = objectOf(value, 'the state')
  const { level, toggled, unroll, rank } = objectOf(graph, 'its graph')
  if (rank !== undefined && !(Number.isSafeInteger(rank) && Number(rank) >= 0)) throw new Error('there is no such rank')
  return {
    ...checkPlans(rest),
    view: memberOf(viewNames, view, 'a view'),
    graph: {
      level: memberOf(levels, level, 'a level'),
      toggled: listOf(toggled, 'its cards', mostToggled).map((each) => textOf(each, 'an id', 1000)),
      unroll: listOf(unroll, 'its axes', axes.length).map((each) => memberOf(axes, each, 'an axis')),
      ...(rank !== undefined && { rank: Number(rank) }),
    },
    pool: pool === undefined ? 'prefill' : memberOf(pools, pool, 'a phase of serving'),
    search: search === undefined ? emptySearch : checkSearch(search),
    ...(selection !== undefined && { selection: textOf(selection, 'an id', 1000) }),
    ...(learn !== undefined && { learn: checkLearn(learn) }),
  }
}

function checkPlans({ variants, active }: Readonly<Record<string, unknown>>): Plans {
  const list = listOf(variants, 'its variants', mostVariants).map((each): Variant => {
    const { name, text } = objectOf(each, 'a variant')
    if (typeof text !== 'string') throw new Error('a spec is no text')
    const problem = sizeProblem(text)
    if (problem) throw new Error(`a spec ${problem}`)
    return { name: textOf(name, 'a name', longestName), text }
  })
  if (typeof active !== 'number' || !list[active]) throw new Error('there is no such variant')
  return { variants: list, active }
}

function checkLearn(value: unknown): LearnState {
  const { page, step, own } = objectOf(value, 'its guide')
  if (!(Number.isSafeInteger(step) && Number(step) >= 0 && Number(step) < mostSteps))
    throw new Error('there is no such step')
  return {
    page: memberOf(lessonNames, page, 'a page'),
    step: Number(step),
    own: checkPlans(objectOf(own, 'the own plans')),
  }
}

/** The most limits, choices and kept names of a search, the longest of them, and the largest number. */
const mostAsked = 64
const longestAsked = 500
const largestCount = 999_999_999

function checkSearch(value: unknown): SearchState {
  const { ranks, objective, limits, choose, keep, top, front } = objectOf(value, 'its search')
  const texts = (list: unknown, name: string) =>
    listOf(list, name, mostAsked).map((each) => textOf(each, 'what is asked', longestAsked))
  const count = (number: unknown, name: string) => {
    if (Number.isSafeInteger(number) && Number(number) >= 1 && Number(number) <= largestCount) return Number(number)
    throw new Error(`its ${name} are no number of them`)
  }
  const [x, y] = front === undefined ? [] : texts(front, 'its front')
  return {
    limits: texts(limits, 'its limits'),
    choose: texts(choose, 'its choices'),
    keep: texts(keep, 'what it keeps'),
    ...(ranks !== undefined && { ranks: count(ranks, 'ranks') }),
    ...(top !== undefined && { top: Math.min(mostTop, count(top, 'best')) }),
    ...(objective !== undefined && { objective: textOf(objective, 'an objective', longestAsked) }),
    ...(x !== undefined && y !== undefined && { front: [x, y] as const }),
  }
}

function objectOf(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${name} is no object`)
  return value as Readonly<Record<string, unknown>> // any object is one
}

function listOf(value: unknown, name: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${name} are no list`)
  if (value.length > most) throw new Error(`${name} are more than ${most}`)
  return value
}

function textOf(value: unknown, name: string, most: number): string {
  if (typeof value !== 'string') throw new Error(`${name} is no text`)
  if (value.length > most) throw new Error(`${name} is longer than ${most} characters`)
  return value
}

function memberOf<Member extends string>(members: readonly Member[], value: unknown, name: string): Member {
  const found = members.find((each) => each === value)
  if (found === undefined) throw new Error(`${name} is none of ${members.join(', ')}`)
  return found
}
