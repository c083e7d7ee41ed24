import type { Kernel } from '@shardloom/core'

const none = new Float64Array()

/** The sum of squares of all elements. */
export const sumOfSquares: Kernel = ([x = none]) => [Float64Array.of(x.reduce((sum, value) => sum + value * value, 0))]

/** The largest norm that gradients keep. */
export const normLimit = 1

/** min(1, limit / √norm²). */
export const clip: Kernel = ([squares = none]) => [Float64Array.of(Math.min(1, normLimit / Math.sqrt(squares[0] ?? 0)))]

/** Step size, decay rates and the step at which bias is corrected: any values prove the same. */
export const [stepSize, decay1, decay2, epsilon, step] = [1e-3, 0.9, 0.95, 1e-8, 10]

/** One step of Adam (Kingma and Ba 2015, algorithm 1) on the clipped gradient. */
export const adamStep: Kernel = (operands, { rule }) => {
  const [gradient = none, master = none, moment1 = none, moment2 = none, factor = none] = operands
  const clipped = gradient.map((value) => value * (factor[0] ?? 0))
  const first = moment1.map((value, index) => decay1 * value + (1 - decay1) * (clipped[index] ?? 0))
  const second = moment2.map((value, index) => decay2 * value + (1 - decay2) * (clipped[index] ?? 0) ** 2)
  const next = master.map((value, index) => {
    const [mean, square] = [(first[index] ?? 0) / (1 - decay1 ** step), (second[index] ?? 0) / (1 - decay2 ** step)]
    return value - (stepSize * mean) / (Math.sqrt(square) + epsilon)
  })
  return rule.results.length === 3 ? [next, first, second] : [next, next, first, second]
}
