import { lookup, type OperatorTable, type Program } from '@shardloom/core'
import { type InitialValue, interpret, perTensor, type Reference, usualValues } from '@shardloom/testing'

/** What comparing gradients with the slope of the loss came to. */
export interface Slope {
  /** |slope − Σ gradient · direction| / Σ |gradient · direction|, by central differences of the fourth order. */
  readonly error: number
  /** A larger error means that some derivative is wrong: what rounding leaves is a thousandth of it. */
  readonly tolerance: number
  /** The parameters whose own gradient is not the slope of the loss, where the error is too large. */
  readonly parameters: readonly string[]
}

const tolerance = 1e-7

/** Whether the gradients are the slope of the loss, as far as rounding lets one see. */
export function isSlope({ error, tolerance }: Slope): boolean {
  return error <= tolerance
}

/** Steps along directions that are tried in turn: a loss with kinks, such as the choice of experts, can spoil one. */
const attempts = [
  { seed: 1, step: 1e-4 },
  { seed: 2, step: 1e-5 },
  { seed: 3, step: 1e-6 },
]

/** Weights of the loss at ±1 and ±2 steps in the derivative (Abramowitz and Stegun 1964, 25.3.6). */
const differences = [
  [1, 8 / 12],
  [-1, -8 / 12],
  [2, -1 / 12],
  [-2, 1 / 12],
] as const

/**
 * Compares the gradients of a training step on one device with the slope of its loss, from the forward pass alone, along a
 * random direction through all parameters. Where they differ, each parameter is tried alone to find those whose gradient
 * is wrong.
 */
export function slopeOf(
  forward: Program,
  operators: OperatorTable,
  initial: InitialValue,
  { run, tensors }: Reference,
): Slope {
  const along = (seed: number, step: number, only?: string) => {
    const places = new Map<string, readonly number[]>()
    const directionOf = (id: string, at: readonly number[]) =>
      only !== undefined && id !== only
        ? () => 0
        : usualValues({ ...lookup(forward.tensors, id), id: `${seed} ${id}` }, at, undefined)
    const lossAt = (distance: number) => {
      const moved = perTensor((tensor, at) => {
        if (tensor.role !== 'parameter') return (index) => initial(tensor, at, index)
        const [usual, direction] = [usualValues(tensor, at, undefined), directionOf(tensor.id, at)]
        places.set(`${tensor.id}@${at.join()}`, at)
        return (index) => (initial(tensor, at, index) ?? usual(index)) + distance * direction(index)
      })
      return interpret(forward, operators, { initial: moved }).whole('loss')[0] ?? Number.NaN
    }
    const slope = differences.reduce((sum, [steps, weight]) => sum + weight * lossAt(steps * step), 0) / step
    let [expected, size] = [0, 0]
    for (const [key, at] of places) {
      const id = key.slice(0, key.lastIndexOf('@'))
      const gradient = tensors.get(`gradient/${id}`)
      if (!gradient || (only !== undefined && id !== only)) continue
      const values = run.whole(gradient.id, new Map(gradient.per.map((axis, index) => [axis, at[index] ?? 0])))
      const direction = directionOf(id, at)
      values.forEach((value, index) => {
        const term = value * direction(index)
        expected += term
        size += Math.abs(term)
      })
    }
    // A parameter that reaches the loss nowhere has neither gradient nor slope.
    return Math.abs(slope - expected) / Math.max(size, 1e-9)
  }
  const least = (tried: typeof attempts, only?: string) => {
    let error = Number.POSITIVE_INFINITY
    for (const { seed, step } of tried) {
      error = Math.min(error, along(seed, step, only))
      if (error <= tolerance) break
    }
    return error
  }
  const error = least(attempts)
  if (error <= tolerance) return { error, tolerance, parameters: [] }
  const parameters = [...forward.tensors.values()].filter(({ role }) => role === 'parameter').map(({ id }) => id)
  return { error, tolerance, parameters: parameters.filter((id) => !(least(attempts.slice(0, 1), id) <= tolerance)) }
}
