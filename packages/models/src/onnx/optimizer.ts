import { decay1, decay2, epsilon, normLimit, step, stepSize } from '../kernels/optimizer.js'
import { arithmetic, type OnnxMeaning } from './values.js'

/** The sum of squares of all elements. */
export const sumOfSquaresOnnx: OnnxMeaning = ([x = ''], { add }) => [add('ReduceSumSquare', [x], { keepdims: 0 })]

/** min(1, limit / √norm²). */
export const clipOnnx: OnnxMeaning = ([squares = ''], context) => {
  const { over, sqrt } = arithmetic(context)
  return [context.add('Min', [over(normLimit, sqrt(squares)), context.constant(1, 'float')])]
}

/** One step of Adam on the clipped gradient. */
export const adamStepOnnx: OnnxMeaning = (operands, context) => {
  const [gradient = '', master = '', moment1 = '', moment2 = '', factor = ''] = operands
  const { plus, minus, times, over, sqrt } = arithmetic(context)
  const clipped = times(gradient, factor)
  const first = plus(times(moment1, decay1), times(clipped, 1 - decay1))
  const second = plus(times(moment2, decay2), times(times(clipped, clipped), 1 - decay2))
  const mean = times(first, stepSize / (1 - decay1 ** step))
  const size = plus(sqrt(times(second, 1 / (1 - decay2 ** step))), epsilon)
  const next = minus(master, over(mean, size))
  return context.rule.results.length === 3 ? [next, first, second] : [next, next, first, second]
}
