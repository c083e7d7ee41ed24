import { ShardloomError } from '@shardloom/core'
import type { PlannedSpec } from './sequence.js'
import type { Simulation } from './simulate-plan.js'
import { type StepFigures, stepFigures } from './step-figures.js'

/** One of the specs to compare: what to call it, and what came of it. */
export interface Compared {
  readonly name: string
  readonly simulation: Simulation
}

/** How a figure of one spec differs from the first's. */
export interface Difference {
  /** Of the first's: −0.18 is 18 % less. Null where the first is 0. */
  readonly relative: number | null
  /** Whether it is smaller than what the model is stated to err by. */
  readonly tie: boolean
}

/** One figure of all specs, in their order. */
export interface ComparedMetric {
  readonly metric: string
  /** `s`, `B`, `tokens/s`, `J`, `days`, `money` in the currency of the price, or `share` of 1. */
  readonly unit: 's' | 'B' | 'tokens/s' | 'J' | 'days' | 'money' | 'share'
  readonly better: 'less' | 'more'
  /** Of the step: a part, whose differences tie where they are small against the step, however much the part changed. */
  readonly part: boolean
  readonly values: readonly number[]
  /** Of each spec but the first. */
  readonly differences: readonly Difference[]
}

/** What `shardloom compare --json` prints. */
export interface Comparison {
  readonly schema: 'shardloom.compare/1'
  readonly phase: string
  readonly specs: readonly {
    readonly name: string
    readonly model: string
    readonly cluster: string
    readonly world: number
    readonly fits: boolean
    /** Of a device, and what of it no tensor gets. */
    readonly capacityBytes: number
    readonly reserveBytes: number
  }[]
  /** The fields of the spec in which they differ; null where one leaves a field open. */
  readonly parameters: readonly { readonly field: string; readonly values: readonly unknown[] }[]
  readonly metrics: readonly ComparedMetric[]
  /** The relative error that times are good for: the worst of all specs'. */
  readonly error: number
  /** What figures cannot show, such as that a step is of more tokens. */
  readonly notes: readonly string[]
}

/** Puts simulations side by side. Throws `COMPARE` for fewer than two, and for phases that differ. */
export function compare(list: readonly Compared[]): Comparison {
  const [first, ...others] = list
  if (!first || others.length === 0) {
    throw new ShardloomError('COMPARE', `A comparison needs two specs; ${list.length} were given.`, {
      help: 'Give two or more.',
    })
  }
  const { phase } = first.simulation.loaded.spec
  for (const { name, simulation } of others) {
    const other = simulation.loaded.spec.phase
    if (other === phase) continue
    throw new ShardloomError(
      'COMPARE',
      `${first.name} is ${phase}, ${name} is ${other}: their steps have nothing in common.`,
      {
        subject: name,
        help: `Compare specs of one phase: set \`phase: ${phase}\`.`,
      },
    )
  }
  const summaries = list.map(({ simulation }) => stepFigures(simulation))
  const error = Math.max(...summaries.map(({ conventions }) => conventions.error))
  return {
    schema: 'shardloom.compare/1',
    phase,
    specs: summaries.map(({ model, conventions, world, memory }, index) => ({
      name: list[index]?.name ?? '',
      model,
      cluster: conventions.cluster,
      world,
      fits: memory.fits,
      capacityBytes: memory.capacityBytes,
      reserveBytes: memory.reserveBytes,
    })),
    parameters: parametersOf(list.map(({ simulation }) => simulation.loaded.spec)),
    metrics: metricsOf(summaries, error),
    error,
    notes: notesOf(summaries),
  }
}

/** The fields whose values are not the same in all specs, by their paths. */
function parametersOf(specs: readonly PlannedSpec[]): Comparison['parameters'] {
  // Training runs one sequence at a time where nobody says; in inference what is left out is the whole batch, whatever that is.
  const usual = { microbatch: 1 }
  const flat = specs.map((spec) => new Map(leaves({ ...(spec.phase === 'training' && usual), ...spec }, [])))
  const fields = [...new Set(flat.flatMap((each) => [...each.keys()]))].sort()
  return fields.flatMap((field) => {
    const values = flat.map((each) => each.get(field) ?? null)
    return new Set(values.map((value) => JSON.stringify(value))).size > 1 ? [{ field, values }] : []
  })
}

function leaves(value: unknown, path: readonly string[]): [field: string, value: unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[path.join('.'), value]]
  return Object.entries(value).flatMap(([key, each]) => leaves(each, [...path, key]))
}

function metricsOf(summaries: readonly StepFigures[], error: number): ComparedMetric[] {
  const axes = [...new Set(summaries.flatMap((each) => Object.keys(each.exposedCommunicationSeconds)))].sort()
  const steps = summaries.map(({ stepSeconds }) => stepSeconds)
  /** Figures that follow from the time of a step err as it does. */
  const timed = (a: number, b: number) => Math.abs(b - a) <= error * Math.abs(a)
  const exact = (a: number, b: number) => a === b
  /** Parts of a step err by their share of it. */
  const partly = (a: number, b: number) => Math.abs(b - a) <= error * Math.min(...steps)
  const shares = (a: number, b: number) => Math.abs(b - a) <= error
  const metric = (
    name: string,
    unit: ComparedMetric['unit'],
    better: ComparedMetric['better'],
    tie: (a: number, b: number) => boolean,
    of: (summary: StepFigures) => number | undefined,
  ): ComparedMetric[] => {
    const found = summaries.map(of)
    const values = found.flatMap((value) => value ?? [])
    const [base = 0, ...rest] = values
    if (values.length < found.length) return []
    const differences = rest.map((value) => ({
      relative: base === 0 ? (value === 0 ? 0 : null) : value / base - 1,
      tie: tie(base, value),
    }))
    return [{ metric: name, unit, better, part: tie === partly || tie === shares, values, differences }]
  }
  return [
    ...metric('stepSeconds', 's', 'less', timed, (each) => each.stepSeconds),
    ...metric('ttftSeconds', 's', 'less', timed, (each) => each.ttftSeconds),
    ...metric('tpotSeconds', 's', 'less', timed, (each) => each.tpotSeconds),
    ...metric('tokensPerSecond', 'tokens/s', 'more', timed, (each) => each.tokensPerSecond),
    ...metric('tokensPerSecondPerRank', 'tokens/s', 'more', timed, (each) => each.tokensPerSecondPerRank),
    ...metric('mfu', 'share', 'more', timed, (each) => each.mfu),
    ...metric('hfu', 'share', 'more', timed, (each) => each.hfu),
    ...metric('peakBytes', 'B', 'less', exact, ({ memory }) => memory.peakBytes),
    ...metric('bubble', 'share', 'less', shares, ({ bubble }) => bubble.global),
    ...axes.flatMap((axis) =>
      metric(`exposed ${axis}`, 's', 'less', partly, (each) => each.exposedCommunicationSeconds[axis] ?? 0),
    ),
    ...metric('energyJoules', 'J', 'less', timed, (each) => each.energyJoules),
    ...metric('days', 'days', 'less', timed, ({ budget }) => budget?.days),
    ...metric('cost', 'money', 'less', timed, ({ budget }) => budget?.cost),
    ...metric('costPerMillionTokens', 'money', 'less', timed, ({ budget }) => budget?.costPerMillionTokens),
  ]
}

function notesOf(summaries: readonly StepFigures[]): string[] {
  const differ = (of: (summary: StepFigures) => unknown) => new Set(summaries.map(of)).size > 1
  return [
    ...(differ(({ tokensPerStep }) => tokensPerStep)
      ? ['A step is not of as many tokens: compare tokens per second.']
      : []),
    ...(differ(({ model }) => model) ? ['The models differ: their tokens are not the same work.'] : []),
    ...(differ(({ world }) => world) ? ['The ranks are not as many: compare tokens per second and rank.'] : []),
    ...(differ(({ conventions }) => conventions.flops)
      ? ['FLOPs of causal attention do not count alike: MFU and HFU do not compare.']
      : []),
    ...(differ(({ conventions }) => conventions.peak) ? ['The peaks that MFU is a share of are not the same.'] : []),
  ]
}
