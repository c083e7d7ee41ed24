import type { Candidate, Miss } from '@shardloom/search'
import type { SpecInput } from '../spec-schema.js'
import { type Choices, type Value, worldOf } from './choices.js'
import { isMultiplying } from './groups.js'
import type { Question } from './question.js'
import type { Leaf } from './step-nodes.js'
import type { StepTree } from './step-tree.js'

/** A change of a point, and the point that it leads to. */
export interface Change {
  /** Such as `recompute=full`. */
  readonly change: string
  readonly candidate: Candidate
}

/** What is chosen where nothing is said of it. */
const unchanged: Choices = {
  zero: 0,
  dpReplicate: 1,
  sequenceParallel: false,
  recompute: 'none',
  offload: 'none',
  split: 'even',
}

/** Which changes are tried beside those of one choice: of any two, or of two degrees that together take as many ranks as before. */
export type Pairs = 'none' | 'degrees' | 'all'

/** The points that differ from one in one choice, or in two as far as `pairs` says so, and break no rule; best first. */
export function changesOf(
  tree: StepTree,
  question: Question,
  from: Choices,
  { pairs = 'none' }: { readonly pairs?: Pairs } = {},
): Change[] {
  const found = new Map<string, Change>()
  for (const change of tryChanges(tree, question, from, { pairs }))
    if (!found.has(change.candidate.name)) found.set(change.candidate.name, change)
  return [...found.values()].sort((a, b) => a.candidate.score - b.candidate.score || (a.change < b.change ? -1 : 1))
}

/** Which changes are tried. */
export interface Tried {
  readonly pairs: Pairs
  /** Those of these choices; all by default. */
  readonly names?: readonly string[]
  /** Some are left out that bounds keep above what this is by then. */
  readonly most?: () => number
  /** Every so many-th of them alone; all by default. */
  readonly every?: { readonly from: number; readonly of: number }
}

/** The same as they are found. */
export function* tryChanges(
  tree: StepTree,
  question: Question,
  from: Choices,
  { pairs, names, most = () => Number.POSITIVE_INFINITY, every = { from: 0, of: 1 } }: Tried,
): Generator<Change> {
  type Single = readonly [string, Value]
  const singles = Object.entries(question.choices)
    .filter(([name]) => names?.includes(name) !== false)
    .flatMap(([name, values]) =>
      values.filter((value) => value !== (from[name] ?? unchanged[name])).map((value): Single => [name, value]),
    )
  const changes: (readonly Single[])[] = singles.map((single) => [single])
  const keepsRanks = (pair: readonly Single[]) =>
    pair.every(([name]) => name === 'pp' || isMultiplying(name, tree.model)) &&
    pair.reduce((ratio, [name, value]) => ratio * (Number(value) / Number(from[name] ?? 1)), 1) === 1
  if (pairs !== 'none')
    singles.forEach((one, index) => {
      for (const other of singles.slice(index + 1))
        if (one[0] !== other[0] && (pairs === 'all' || keepsRanks([one, other]))) changes.push([one, other])
    })
  for (const change of changes.filter((_, index) => index % every.of === every.from)) {
    const leaf = leafWith(tree, { ...from, ...Object.fromEntries(change) })
    const candidate = leaf && !tree.exceeds(leaf, most()) && tree.judge(leaf)
    if (!candidate || 'rule' in candidate) continue
    const before = from['virtual'] ?? 1
    const { virtual = before } = candidate.choices
    const all =
      virtual === before || change.some(([name]) => name === 'virtual') ? change : [...change, ['virtual', virtual]]
    yield { change: all.map(([name, value]) => `${name}=${value}`).join(' '), candidate }
  }
}

/** A leaf of these choices; where no schedule has so many chunks on so many stages, with as many as it has. */
function leafWith(tree: StepTree, choices: Choices): Leaf | undefined {
  const { virtual: _, ...rest } = choices
  return tree.leafOf(choices) ?? tree.leafOf(rest)
}

/** The choices that a spec has made, as a search of steps names them. */
export function choicesOfSpec(tree: StepTree, question: Question): Choices {
  const { phase, parallel, options, order, batch, microbatch } = tree.loaded.spec
  const named = Object.keys(question.choices).flatMap((name): (readonly [string, Value])[] => {
    if (name === 'order') return [[name, order.join(',')]]
    if (name === 'replicas') return [[name, parallel.dp * parallel.replicas]]
    if (name === 'ranks') return [[name, worldOf(parallel)]]
    if (name === 'microbatch')
      return [[name, microbatch ?? (phase === 'training' ? 1 : batch / (parallel.dp * parallel.replicas))]]
    if (name === 'split') return [[name, 'even']]
    const degree = (parallel as Readonly<Record<string, number>>)[name]
    if (degree !== undefined) return [[name, degree]]
    const value = name
      .split('.')
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], options)
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? [[name, value]] : []
  })
  return Object.fromEntries(named)
}

/** The spec of a point of a question about steps: `shardloom simulate` takes it. */
export function specOfStep(
  tree: StepTree,
  { spec, choices: asked }: Question,
  { choices }: Pick<Candidate, 'choices'>,
): SpecInput {
  const leaf = tree.leafOf(choices)
  const { layers, recompute } = leaf?.staging.optionsOf(leaf.cut, leaf.stored) ?? {}
  const planned = tree.model.specOf(choices)
  const { schedule, virtual, pp, ...options } = planned.options
  if (recompute !== undefined) options.recompute = recompute
  const { options: given = {} } = spec
  const isChosen = (name: string) => Object.keys(asked).some((choice) => choice.split('.')[0] === name)
  const own = Object.entries(options).filter(
    ([name, value]) => name in given || (isChosen(name) && value !== unchanged[name]),
  )
  const isPipeline = Number(choices['pp'] ?? 1) > 1
  // How layers are divided is the search's to say.
  const { layers: _, balance: __, ...kept } = given.pp ?? {}
  const staged = { ...kept, ...(layers && { layers }) }
  const takesChunks = isPipeline && typeof tree.model.pipelines.of(String(schedule), 2, 3, 8) !== 'string'
  // Inference takes the whole batch at once where nothing is said of it.
  const isWhole = planned.phase !== 'training' && leaf?.staging.microbatches === 1
  const { microbatch: ___, ...rest } = spec
  return {
    ...rest,
    ...(choices['order'] !== undefined && { order: [...planned.order] }),
    ...(!isWhole && { microbatch: planned.microbatch ?? 1 }),
    parallel: Object.fromEntries(Object.entries(planned.parallel).filter(([, degree]) => degree > 1)),
    options: {
      ...Object.fromEntries(own),
      ...(isPipeline && schedule !== undefined && { schedule }),
      ...(takesChunks && virtual !== undefined && { virtual }),
      ...(isPipeline && Object.keys(staged).length > 0 && { pp: staged }),
    },
  } as SpecInput
}

/** Whether a point is one that a rule keeps out. */
export const isMiss = (point: Candidate | Miss): point is Miss => 'rule' in point
