import { divisors, greatestCommonDivisor, isShardloomError, orList, ShardloomError } from '@shardloom/core'
import type { ModelArchitecture } from '@shardloom/models'
import { makeSchedule, resolveScheduleName, scheduleNames } from '@shardloom/schedules'
import { checkSpec } from '../parse-spec.js'
import type { LoadedSpec } from '../plan.js'
import { checkOrder } from '../planned.js'
import type { PlannedSpec } from '../sequence.js'
import { parallelSchema } from '../spec-schema.js'

/** A value of a choice. */
export type Value = string | number | boolean

/** What was chosen, by the names of choices. */
export type Choices = Readonly<Record<string, Value>>

/** The value of `recompute` by which as many layers of each stage recompute as memory demands. */
export const byStage = 'stages'

/** Those of its values that layers have then. */
export const recomputations = ['none', 'full'] as const

/** Degrees that multiply to the ranks, and those that divide them once more. */
export const multiplying = ['tp', 'cp', 'ulysses'] as const
export const dividing = ['ep', 'expertTp'] as const

/** The schedules that are in use. */
export const usualSchedules: readonly Value[] = ['1f1b', 'interleaved1f1b', 'zbh1', 'zbv']

/** Those of some schedules that may have so many chunks on each rank. */
export function schedulesWith(schedules: readonly Value[], virtual: number): Value[] {
  return schedules.filter((name) => {
    try {
      return makeSchedule(String(name), { ranks: 2, microbatches: 8, virtual }).virtual === virtual
    } catch (error) {
      if (!isShardloomError(error)) throw error
      return false
    }
  })
}

/**
 * The values of each choice that a search for steps of a phase tries on so many ranks, unless told otherwise: every divisor as a degree,
 * where the model has what it divides and the phase what it splits; three orders of axes, of those that lay all groups of ranks on the same
 * links the first; microbatches in powers of two in training, else all that divide the batch; all stages of ZeRO, hybrid sharding and
 * recomputation of all layers; the schedules that are in use, with up to eight chunks per rank; layers divided evenly or by what they take.
 * Inference has neither gradients nor a backward, and decode no sequence: what these would choose is left out. Offload is as the spec has it, and
 * what {@link savingChoices} has more is not tried unless asked for. Plugins bring choices of their own.
 */
export function stepChoices(
  { spec, architecture, plugins }: LoadedSpec,
  ranks: readonly number[],
): Record<string, readonly Value[]> {
  const all = [...new Set(ranks.flatMap(divisors))].sort((a, b) => a - b)
  const { heads, kvHeads, experts, layers } = limitsOf(architecture)
  const upTo = (most: number) => all.filter((degree) => degree <= most)
  const { phase } = spec
  const copies = copiesOf({ spec, architecture })
  const [usual, ...others] = orders
  // What tp would hold copies of.
  const copied = upTo(heads).flatMap((tp) => kvHeads.map((count) => tp / greatestCommonDivisor(tp, count)))
  const sequence = {
    cp: all.filter((degree) => degree === 1 || spec.seq % (2 * degree) === 0),
    ulysses: upTo(heads),
    sequenceParallel: [false, true],
  }
  const own: Record<string, readonly Value[]> = {
    order: spec.order.join(',') === usual && copies === 'dp' ? [usual, ...others] : [spec.order.join(',')],
    tp: upTo(heads),
    ...(phase === 'decode' && { dcp: all.filter((degree) => copied.some((count) => count % degree === 0)) }),
    ...(phase !== 'decode' && { cp: sequence.cp, ulysses: sequence.ulysses }),
    pp: upTo(layers),
    ep: experts > 0 ? all.filter((degree) => experts % degree === 0) : [1],
    expertTp: experts > 0 ? upTo(heads) : [1],
    ...(phase === 'training' && { dpReplicate: all }),
    ...(phase !== 'decode' && { sequenceParallel: sequence.sequenceParallel }),
    ...(phase === 'training' && {
      recompute: savingChoices({ spec })['recompute']?.filter((value) => value !== byStage) ?? [],
      ...(typeof spec.options.offload === 'string' && { offload: [spec.options.offload] }),
    }),
    microbatch:
      phase === 'training' ? [1, 2, 4, 8, 16, 32].filter((size) => spec.batch % size === 0) : divisors(spec.batch),
    ...(phase === 'training' && {
      zero: [0, 1, 2, 3],
      schedule: usualSchedules,
      virtual: [1, 2, 3, 4, 5, 6, 7, 8],
    }),
    split: ['even', 'balanced'],
  }
  for (const { name, values } of plugins.flatMap(({ choices = [] }) => choices)) own[name] = values
  return own
}

/** The values of choices that save memory and no time, each of which a large space would be as large again with: what near misses try. */
export function savingChoices({ spec }: Pick<LoadedSpec, 'spec'>): Record<string, readonly Value[]> {
  if (spec.phase !== 'training') return {}
  return {
    recompute: ['none', ...(spec.options.attention === 'flash' ? [] : ['selective']), 'full', byStage],
    ...(typeof spec.options.offload === 'string' && { offload: ['none', 'activations'] }),
  }
}

/**
 * What was not to choose from, such as `offload=activations`: a whole space with it takes several times as long. Types of fewer bits change
 * the model's numbers, and of serving a pool for each phase is a space of pairs. Of schedules those that are best where others would be are tried.
 */
export function untriedChoices(
  { spec }: Pick<LoadedSpec, 'spec'>,
  { choices }: { readonly choices: Readonly<Record<string, readonly Value[]>> },
): string[] {
  const has = (name: string, usual: unknown, value: Value) => choices[name]?.includes(value) ?? usual === value
  const ofInference = {
    ...(spec.phase === 'serving' && { pools: [2] }),
    weightDtype: ['fp8'],
    cacheDtype: ['fp8'],
  }
  const all: Record<string, readonly Value[]> = spec.phase === 'training' ? savingChoices({ spec }) : ofInference
  const { weightDtype, cacheDtype, dtype } = spec.options
  const usual: Readonly<Record<string, unknown>> = {
    weightDtype: weightDtype ?? dtype,
    cacheDtype: cacheDtype ?? dtype,
  }
  const saving = Object.entries(all).flatMap(([name, values]) =>
    values.filter((value) => !has(name, usual[name], value)).map((value) => `${name}=${value}`),
  )
  const schedules = choices['schedule'] ?? []
  const others = scheduleNames().filter((name) => !schedules.includes(name))
  return schedules.length > 1 && others.length > 0 ? [...saving, `schedule=${others}`] : saving
}

/**
 * The numbers of ranks that are tried where the fewest are asked for: 1, 2, 3, 4, 6, 8, 12, … up to the most, and the most; within a node
 * those that divide it, beyond it whole nodes.
 */
export function rankCounts(most: number, perNode: number): number[] {
  const all = [...gridTo(most), most].filter((count) => (count < perNode ? perNode % count : count % perNode) === 0)
  return [...new Set(all.length > 0 ? all : [most])].sort((a, b) => a - b)
}

/** 1, 2, 3, 4, 6, 8, 12, … up to a number. */
export function gridTo(most: number): number[] {
  const all = [1]
  for (let power = 2; power <= most; power *= 2) all.push(power, ...(1.5 * power <= most ? [1.5 * power] : []))
  return all
}

/** The ranks that degrees multiply to. */
export function worldOf({
  dpReplicate: _,
  ep: __,
  expertTp: ___,
  dcp: ____,
  ...rest
}: PlannedSpec['parallel']): number {
  return Object.values(rest).reduce((all, degree) => all * degree, 1)
}

/** What ranks are that no other degree takes: of inference without experts engines of their own. */
export function copiesOf({ spec, architecture }: Pick<LoadedSpec, 'spec' | 'architecture'>): 'dp' | 'replicas' {
  return spec.phase === 'training' || limitsOf(architecture).experts > 0 ? 'dp' : 'replicas'
}

/** Axes from innermost to outermost: pipelines outside of data parallelism, inside of it, or data parallelism on the fastest links. */
const orders = ['tp,ulysses,cp,dp,pp', 'tp,ulysses,cp,pp,dp', 'dp,tp,ulysses,cp,pp'] as const

function limitsOf({ layers, order }: ModelArchitecture) {
  const all = Object.values(layers)
  const most = (of: (layer: (typeof all)[number]) => number) => Math.max(...all.map(of))
  return {
    kvHeads: all.map(({ attention }) => ('kvHeads' in attention ? attention.kvHeads : 1)),
    heads: most(({ attention }) => ('heads' in attention ? attention.heads : 1)),
    experts: most(({ ffn }) => ('experts' in ffn ? ffn.experts : 0)),
    layers: order.runs.reduce((sum, { count }) => sum + count, 0) * (order.repeat ?? 1),
  }
}

/** The kinds of a model's layers by depth. */
export function kindsOf({ order }: ModelArchitecture): string[] {
  const once = order.runs.flatMap(({ layer, count }) => new Array<string>(count).fill(layer))
  return Array.from({ length: order.repeat ?? 1 }, () => once).flat()
}

const degrees: readonly string[] = Object.keys(parallelSchema.shape)

/** The spec with choices made: a degree, `order`, `microbatch`, or an option by its path below `options`. */
export function specWith(spec: PlannedSpec, choices: Choices, axes: readonly string[] = []): PlannedSpec {
  const parallel: Record<string, number> = { ...spec.parallel }
  const options: Record<string, unknown> = { ...spec.options }
  let { order, microbatch, batch } = spec
  for (const [name, value] of Object.entries(choices)) {
    if (name === 'split' || name === 'ranks') continue
    // Which layers recompute is found by what they hold.
    if (name === 'recompute' && value === byStage) options['recompute'] = 'none'
    else if (name === 'order') order = String(value).split(',')
    else if (name === 'microbatch') microbatch = Number(value)
    else if (name === 'batch') batch = Number(value)
    else if (degrees.includes(name) || axes.includes(name)) parallel[name] = Number(value)
    else setPath(options, name.split('.'), value)
  }
  return {
    ...spec,
    batch,
    ...(microbatch !== undefined && { microbatch }),
    order,
    parallel: parallel as PlannedSpec['parallel'],
    options: options as PlannedSpec['options'],
  }
}

function setPath(into: Record<string, unknown>, [first = '', ...rest]: readonly string[], value: Value): void {
  if (rest.length === 0) {
    into[first] = value
    return
  }
  const inner = { ...(into[first] as Record<string, unknown> | undefined) }
  into[first] = inner
  setPath(inner, rest, value)
}

/** Refuses values that no spec can have, by the name of their choice. Throws `CHOICE`. */
export function checkChoices(loaded: LoadedSpec, choices: Readonly<Record<string, readonly Value[]>>): void {
  const axes = loaded.plugins.flatMap((plugin) => (plugin.axes ?? []).map(({ name }) => name))
  for (const [name, values] of Object.entries(choices)) {
    if (values.length === 0)
      throw new ShardloomError('CHOICE', `\`${name}\` has no values to choose from.`, {
        subject: name,
        help: 'Name one or more, or leave it out.',
      })
    if (notIn(loaded).includes(name.split('.')[0] ?? ''))
      throw new ShardloomError('CHOICE', `${capital(loaded.spec.phase)} has no \`${name}\` to choose.`, {
        subject: name,
        help: name === 'dp' ? 'Without experts it is `replicas`.' : 'Leave it out.',
      })
    if (
      name === 'ranks' ||
      name === 'microbatch' ||
      name === 'batch' ||
      degrees.includes(name) ||
      axes.includes(name)
    ) {
      const other = values.find((value) => typeof value !== 'number' || (name === 'ranks' && !isCount(value)))
      if (other !== undefined)
        throw new ShardloomError('CHOICE', `\`${name}\` cannot be ${String(other).slice(0, 60)}.`, {
          subject: name,
          help: 'Use whole numbers from 1.',
        })
      if (name === 'ranks') continue
    }
    if (name === 'order') for (const value of values) checkOrder(String(value).split(','), [...degrees, ...axes])
    if (name === 'split') {
      const other = values.find((value) => value !== 'even' && value !== 'balanced')
      if (other === undefined) continue
      throw new ShardloomError('CHOICE', `\`split\` cannot be ${String(other).slice(0, 60)}.`, {
        subject: name,
        help: 'Use even or balanced.',
      })
    }
    const unknown = name === 'schedule' && values.find((value) => resolveScheduleName(String(value)) === undefined)
    if (unknown !== undefined && unknown !== false)
      throw new ShardloomError('CHOICE', `There is no schedule \`${String(unknown).slice(0, 60)}\`.`, {
        subject: name,
        help: `Use ${orList(scheduleNames())}.`,
      })
    for (const value of values) checkSpec(plainSpec(specWith(loaded.spec, { [name]: value }, axes)))
  }
}

/** The choices that the phase of a spec does not have. */
function notIn(loaded: LoadedSpec): readonly string[] {
  const { phase } = loaded.spec
  if (phase === 'training') return ['dcp', 'replicas', 'weightDtype', 'cacheDtype']
  const ofTraining = ['dpReplicate', 'zero', 'recompute', 'offload', 'schedule', 'virtual', 'gradientDtype', 'loss']
  const ofSequences = phase === 'decode' ? ['cp', 'ulysses', 'sequenceParallel'] : ['dcp']
  return [...ofTraining, ...ofSequences, copiesOf(loaded) === 'dp' ? 'replicas' : 'dp']
}

const isCount = (value: number) => Number.isSafeInteger(value) && value >= 1

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

/** A spec without what loading has filled in for it. */
function plainSpec(spec: PlannedSpec): unknown {
  return JSON.parse(JSON.stringify(spec))
}
