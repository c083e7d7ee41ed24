import type { Level, UnrollAxis } from 'shardloom'

/** The pictures of a plan, in the order of their keys 1, 2, … */
export const viewNames = ['graph', 'timeline', 'memory', 'compare'] as const
export type ViewName = (typeof viewNames)[number]

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

/** Everything that a link holds. */
export interface StudioState {
  readonly variants: readonly Variant[]
  /** Which of the variants is shown. */
  readonly active: number
  readonly view: ViewName
  readonly graph: GraphState
  /** The id of the selected node, in all views. */
  readonly selection?: string
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
}

/** The longest text of a spec that a link may hold, in UTF-16 code units, and the most variants and cards. */
const longestText = 200_000
const longestName = 80
const mostVariants = 12
const mostToggled = 2000

/** The variant that is shown. */
export function activeVariant({ variants, active }: StudioState): Variant {
  const found = variants[active]
  if (!found) throw new Error('internal error: no such variant')
  return found
}

/** What of data from outside is a state; throws an Error that says what is wrong. */
export function checkState(value: unknown): StudioState {
  const { variants, active, view, graph, selection } = objectOf(value, 'the state')
  const list = listOf(variants, 'its variants', mostVariants).map((each): Variant => {
    const { name, text } = objectOf(each, 'a variant')
    return { name: textOf(name, 'a name', longestName), text: textOf(text, 'a spec', longestText) }
  })
  if (typeof active !== 'number' || !list[active]) throw new Error('there is no such variant')
  const { level, toggled, unroll, rank } = objectOf(graph, 'its graph')
  if (rank !== undefined && !(Number.isSafeInteger(rank) && Number(rank) >= 0)) throw new Error('there is no such rank')
  return {
    variants: list,
    active,
    view: memberOf(viewNames, view, 'a view'),
    graph: {
      level: memberOf(levels, level, 'a level'),
      toggled: listOf(toggled, 'its cards', mostToggled).map((each) => textOf(each, 'an id', 1000)),
      unroll: listOf(unroll, 'its axes', axes.length).map((each) => memberOf(axes, each, 'an axis')),
      ...(rank !== undefined && { rank: Number(rank) }),
    },
    ...(selection !== undefined && { selection: textOf(selection, 'an id', 1000) }),
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
