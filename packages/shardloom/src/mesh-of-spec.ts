import {
  type Axis,
  createMesh,
  divisors,
  isShardloomError,
  type Mesh,
  nearestNumbers,
  orList,
  type PluginAxis,
  ShardloomError,
} from '@shardloom/core'
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
  const multiplying = axes
    .filter((axis) => axis.ranks !== 'refactor' && axis.within === undefined)
    .sort((a, b) => place(a) - place(b))
  const first = [...multiplying].reverse().map(({ name, factors }): Axis => {
    const found = factors?.(degreeOf(name), sizes, degreeOf)
    return { name, degree: degreeOf(name), ...(found && { factors: found }) }
  })
  const again = axes.filter((axis) => axis.within !== undefined).flatMap((axis) => within(axis, first, degreeOf))
  const [rest, ...refactoring] = axes.filter((axis) => axis.ranks === 'refactor').map(({ name }) => name)
  if (rest === undefined) return createMesh(first, ...again)
  const inner = first
    .map(({ name }) => name)
    .filter((name) => !multiplying.some((axis) => axis.name === name && axis.ranks === 'outer'))
  const ranks = inner.reduce((all, name) => all * degreeOf(name), 1)
  if ((spec.parallel[rest] ?? ranks) === ranks && refactoring.every((name) => degreeOf(name) === 1))
    return createMesh(first, ...again)
  const outer = multiplying.findIndex((axis) => axis.ranks === 'outer' && degreeOf(axis.name) > 1)
  const inside = multiplying.findIndex((axis, at) => at > outer && axis.ranks !== 'outer' && degreeOf(axis.name) > 1)
  const between = outer >= 0 && inside >= 0 ? multiplying[outer]?.name : undefined
  return refactored(first, again, { rest, refactoring, inner, ranks, degrees: spec.parallel, between })
}

/**
 * The factorisation by which an axis names the innermost ranks of another one; none where its degree is 1. Throws
 * `MESH_FACTORS` with degrees that work, also where other ranks are the innermost.
 */
function within({ name, within: whole = '' }: PluginAxis, first: readonly Axis[], degreeOf: (axis: string) => number) {
  const degree = degreeOf(name)
  if (degree === 1) return []
  const refuse = (why: string, help: string) =>
    new ShardloomError(
      'MESH_FACTORS',
      `\`${name}\` ${degree} names ranks of \`${whole}\` ${degreeOf(whole)} once more: ${why}.`,
      {
        subject: name,
        help,
      },
    )
  const innermost = first.findLast((axis) => axis.degree > 1)
  if (innermost && innermost.name !== whole && degreeOf(whole) > 1) {
    throw refuse(`\`${innermost.name}\` stands inside of them`, `Put \`${whole}\` first in \`order\`.`)
  }
  const working = divisors(degreeOf(whole)).filter((each) => nests(first, [{ name, degree: each }]))
  if (working.includes(degree)) return [[{ name, degree }]]
  const why = degreeOf(whole) % degree ? `it does not divide ${degreeOf(whole)}` : 'its border cuts through heads'
  const help = working.length > 1 ? `Use ${name} ${orList(working)}` : `Leave it out, or set \`${whole}\` to ${degree}`
  throw refuse(why, `${help}.`)
}

/** Whether factorisations nest. */
function nests(...factorisations: readonly (readonly Axis[])[]): boolean {
  try {
    return createMesh(...factorisations).world > 0
  } catch (error) {
    if (isShardloomError(error)) return false
    throw error
  }
}

/** What the second factorisation of a mesh is made of. */
interface Refactoring {
  /** The axis that gets what the others leave. */
  readonly rest: string
  readonly refactoring: readonly string[]
  /** The axes whose ranks are divided once more, and how many ranks that are. */
  readonly inner: readonly string[]
  readonly ranks: number
  readonly degrees: Readonly<Record<string, number>>
  /** An axis between them whose ranks must stay as they are. */
  readonly between: string | undefined
}

/** The mesh with its second factorisation. Throws `MESH_FACTORS` with degrees that would work. */
function refactored(
  first: readonly Axis[],
  again: readonly (readonly Axis[])[],
  { rest, refactoring, inner, ranks, degrees, between }: Refactoring,
): Mesh {
  const degreeOf = (name: string) => degrees[name] ?? 1
  const named = (names: readonly string[]) => {
    const used = names.filter((name) => degreeOf(name) > 1)
    return (used.length ? used : names.slice(-1)).map((name) => `${name} ${degreeOf(name)}`).join(' · ')
  }
  const all = [rest, ...refactoring]
  const refuse = (why: string, help: string) =>
    new ShardloomError('MESH_FACTORS', `Cannot lay ${named(all)} over the ranks of ${named(inner)}: ${why}.`, {
      subject: refactoring[0] ?? rest,
      help,
    })
  if (between) throw refuse(`\`${between}\` stands between them`, `Put \`${between}\` last in \`order\`.`)
  const takenWith = (chosen: Readonly<Record<string, number>>) =>
    refactoring.reduce((product, name) => product * (chosen[name] ?? degreeOf(name)), 1)
  /** The mesh, where some degrees may be others; undefined where the two factorisations do not nest. */
  const laid = (chosen: Readonly<Record<string, number>> = {}): Mesh | undefined => {
    const left = ranks / takenWith(chosen)
    if (!Number.isInteger(left)) return undefined
    const second = all.map((name) => ({ name, degree: name === rest ? left : (chosen[name] ?? degreeOf(name)) }))
    return nests(first, second, ...again) ? createMesh(first, second, ...again) : undefined
  }
  const law = `${inner.join(' · ')} = ${all.join(' · ')}`
  const taken = takenWith({})
  const mesh = laid()
  if (mesh && (degrees[rest] ?? ranks / taken) === ranks / taken) return mesh
  if (mesh) throw refuse(`they have to multiply to ${ranks} (${law})`, `Leave \`${rest}\` out: it follows.`)
  const choices = refactoring.flatMap((name) => {
    const working = divisors(ranks).filter((degree) => laid({ [name]: degree }))
    return working.length ? [`${name} ${nearestNumbers(working, degreeOf(name))}`] : []
  })
  const why = ranks % taken ? `${taken} does not divide ${ranks} (${law})` : 'their borders do not nest'
  throw refuse(why, choices.length ? `Use ${choices.join('; or ')}.` : 'Choose other degrees, or another `order`.')
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
 * Divides the batch: batch = replicas · dp · microbatch · microbatches. Without `microbatch`, training runs one sequence at a time,
 * prefill and decode the whole batch at once, which dp has to divide. Throws `INDIVISIBLE` with batches and degrees that work, and `SPEC_VALUE` for a field that the
 * phase does not use.
 */
export function slotsOf(spec: Spec): Slots {
  const { batch, phase, steps } = spec
  const { dp, replicas } = spec.parallel
  const ranks = dp * replicas
  const unused = (field: string, value: number, phases: string) =>
    new ShardloomError('SPEC_VALUE', `\`${field}\` is ${value}, but only ${phases} has it; the phase is ${phase}.`, {
      subject: field,
      help: `Leave \`${field}\` out.`,
    })
  if (phase !== 'decode' && steps !== 1) throw unused('steps', steps, 'decode')
  for (const [field, value] of Object.entries(spec.options.prefill))
    if (phase !== 'prefill') throw unused(`options.prefill.${field}`, value, 'prefill')
  for (const [field, value] of Object.entries(spec.options.decode)) {
    if (phase !== 'decode') throw unused(`options.decode.${field}`, value, 'decode')
    if (spec.options.decode.draft !== undefined) continue
    throw new ShardloomError('SPEC_VALUE', `\`options.decode.${field}\` is ${value}, but no tokens are drafted.`, {
      subject: `options.decode.${field}`,
      help: 'Set `options.decode.draft` to the tokens that a draft proposes, or leave it out.',
    })
  }
  const { keep, acceptance } = spec.options.decode
  if (keep !== undefined && acceptance !== undefined) {
    throw new ShardloomError(
      'OPTION',
      `\`options.decode.keep\` is ${keep}, and \`options.decode.acceptance\` ${acceptance}: both say what a step keeps.`,
      {
        subject: 'options.decode.acceptance',
        help: 'Leave `options.decode.keep` out for what the acceptance lets expect, or `options.decode.acceptance` out.',
      },
    )
  }
  const once = spec.microbatch === undefined && phase !== 'training'
  const microbatch = once && batch % ranks === 0 ? batch / ranks : (spec.microbatch ?? 1)
  const slot = ranks * microbatch
  if (batch % slot === 0) return { microbatch, batch: slot, microbatches: batch / slot }
  const factors = { ...(replicas > 1 && { replicas }), dp, ...(!once && { microbatch }) }
  const [names, values] = [Object.keys(factors).join(' · '), Object.values(factors).join(' · ')]
  const product = names.includes('·') ? `${names} = ${values} = ${slot}` : `dp ${dp}`
  const below = Math.floor(batch / slot) * slot
  const batches = [below, below + slot].filter((each) => each > 0)
  const each = batch / (replicas * microbatch)
  const degrees = Number.isInteger(each) ? divisors(each) : []
  const choices = degrees.length ? `, or dp ${nearestNumbers(degrees, dp)}` : ''
  throw new ShardloomError(
    'INDIVISIBLE',
    `Cannot split a batch of ${batch} sequences over ${product}: it does not divide.`,
    {
      subject: 'batch',
      help: `Use batch ${orList(batches)}${choices}.`,
    },
  )
}
