import { divisors, ShardloomError } from '@shardloom/core'

/** A factor of a product, and which degrees it may have; all, unless said. */
export interface FactorAxis {
  readonly name: string
  readonly allowed?: (degree: number) => boolean
}

/**
 * All ways to write `n` as a product of one degree per axis, each once, as degrees by axis: those of the first axis ascend, for each of
 * them those of the second, and so on. Of n = Π pᵉ and k axes without conditions there are Π C(e + k − 1, k − 1). They are made as they
 * are asked for.
 */
export function* factorisations(n: number, axes: readonly FactorAxis[]): Generator<Readonly<Record<string, number>>> {
  if (!Number.isSafeInteger(n) || n < 1)
    throw new ShardloomError('RANKS', `${n} has no factors: it is no whole number from 1.`, {
      help: 'Use a whole number of ranks.',
    })
  const twice = axes.find(({ name }, index) => axes.findIndex((other) => other.name === name) < index)?.name
  if (twice !== undefined)
    throw new ShardloomError('AXIS_TWICE', `The axis \`${twice}\` is given twice.`, {
      help: 'Give each axis a name of its own.',
      subject: twice,
    })
  const degrees = divisors(n)
  const possible = axes.map(({ allowed }) => (allowed === undefined ? degrees : degrees.filter(allowed)))
  yield* product(n, axes, possible, [])
}

function* product(
  rest: number,
  axes: readonly FactorAxis[],
  possible: readonly (readonly number[])[],
  chosen: readonly number[],
): Generator<Readonly<Record<string, number>>> {
  const [degrees, ...others] = possible
  if (degrees === undefined) {
    if (rest === 1) yield Object.fromEntries(axes.map(({ name }, index) => [name, chosen[index] as number]))
  } else if (others.length === 0) {
    if (degrees.includes(rest)) yield* product(1, axes, others, [...chosen, rest])
  } else {
    for (const degree of degrees)
      if (rest % degree === 0) yield* product(rest / degree, axes, others, [...chosen, degree])
  }
}
