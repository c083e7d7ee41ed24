import { type Axis, createMesh, divisors, type Mesh, orList, type PluginAxis, ShardloomError } from '@shardloom/core'
import type { Spec } from './spec-schema.js'

/**
 * The mesh of a spec: the axes of `order`, innermost first, then every other axis with a degree, in the order in which
 * plugins bring them. Axes that refactor ranks divide those of all others but the outer ones once more (the law of
 * degrees: dp · cp · ulysses · tp = expertDp · ep · expertTp). `sizes` gives the sizes of a dim in the model, by which an
 * axis may be divided.
 */
export function meshOfSpec(spec: Spec, axes: readonly PluginAxis[], sizes: (dim: string) => readonly number[]): Mesh {
  const twice = spec.order.find((name, index) => spec.order.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new ShardloomError('SPEC_VALUE', `\`order\` names the axis \`${twice}\` twice.`, {
      subject: 'order',
      help: 'Name each axis once.',
    })
  }
  const place = (axis: PluginAxis) =>
    spec.order.includes(axis.name) ? spec.order.indexOf(axis.name) : spec.order.length
  const degreeOf = (name: string) => spec.parallel[name] ?? 1
  const meshAxis = ({ name, factors }: PluginAxis, degree = degreeOf(name)): Axis => {
    const found = factors?.(degree, sizes, degreeOf)
    return { name, degree, ...(found && { factors: found }) }
  }
  const multiplying = axes.filter((axis) => axis.ranks !== 'refactor').sort((a, b) => place(a) - place(b))
  const first = [...multiplying].reverse().map((axis) => meshAxis(axis))
  const [rest, ...refactoring] = axes.filter((axis) => axis.ranks === 'refactor')
  const product = (list: readonly PluginAxis[]) => list.reduce((all, { name }) => all * degreeOf(name), 1)
  const taken = product(refactoring)
  if (!rest || taken === 1) return createMesh(first)
  const inner = multiplying.filter((axis) => axis.ranks !== 'outer')
  const ranks = product(inner)
  const named = (list: readonly PluginAxis[]) => list.map(({ name }) => `${name} ${degreeOf(name)}`).join(' · ')
  const refuse = (why: string, help: string) =>
    new ShardloomError('MESH_FACTORS', `Cannot lay ${named(refactoring)} over the ranks of ${named(inner)}: ${why}.`, {
      subject: refactoring[0]?.name ?? rest.name,
      help,
    })
  const outer = multiplying.findIndex((axis) => axis.ranks === 'outer' && degreeOf(axis.name) > 1)
  const within = multiplying.findIndex((axis, at) => at > outer && axis.ranks !== 'outer' && degreeOf(axis.name) > 1)
  if (outer >= 0 && within >= 0) {
    const { name } = multiplying[outer] ?? rest
    throw refuse(`\`${name}\` stands between them`, `Put \`${name}\` last in \`order\`: its ranks go outside.`)
  }
  if (ranks % taken !== 0) {
    const help = `Choose degrees that multiply to ${orList(divisors(ranks).slice(-8))}.`
    throw refuse(`${taken} does not divide ${ranks}`, help)
  }
  const second = [rest, ...refactoring].map((axis) => meshAxis(axis, axis === rest ? ranks / taken : undefined))
  return createMesh(first, second)
}

/**
 * How a step's batch is divided: the sequences of one microbatch on a rank of `dp` and over the whole mesh, and how many
 * microbatches there are.
 */
export interface Slots {
  readonly microbatch: number
  readonly batch: number
  readonly microbatches: number
}

/**
 * Divides the batch: batch = dp · microbatch · microbatches. Without `microbatch`, training runs one sequence at a time,
 * prefill and decode the whole batch at once, which dp has to divide. Throws `INDIVISIBLE` with batches and degrees that work, and `SPEC_VALUE` for a field that the
 * phase does not use.
 */
export function slotsOf(spec: Spec): Slots {
  const { batch, phase, steps } = spec
  const dp = spec.parallel.dp
  const unused = (field: string, value: number, phases: string) =>
    new ShardloomError('SPEC_VALUE', `\`${field}\` is ${value}, but only ${phases} has it; the phase is ${phase}.`, {
      subject: field,
      help: `Leave \`${field}\` out.`,
    })
  if (phase !== 'decode' && steps !== 1) throw unused('steps', steps, 'decode')
  const once = spec.microbatch === undefined && phase !== 'training'
  const microbatch = once && batch % dp === 0 ? batch / dp : (spec.microbatch ?? 1)
  const slot = dp * microbatch
  if (batch % slot === 0) return { microbatch, batch: slot, microbatches: batch / slot }
  const product = once ? `dp ${dp}` : `dp · microbatch = ${dp} · ${microbatch} = ${slot}`
  const below = Math.floor(batch / slot) * slot
  const batches = [below, below + slot].filter((each) => each > 0)
  const degrees = batch % microbatch === 0 ? divisors(batch / microbatch).filter((each) => each <= 4 * dp) : []
  const choices = degrees.length ? `, or dp ${orList(degrees.slice(-6))}` : ''
  throw new ShardloomError(
    'INDIVISIBLE',
    `Cannot split a batch of ${batch} sequences over ${product}: it does not divide.`,
    {
      subject: 'batch',
      help: `Use batch ${orList(batches)}${choices}.`,
    },
  )
}
