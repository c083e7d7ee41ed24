import { localRows } from './linear.js'
import { arithmetic, attributeOf, type OnnxMeaning, placesOf } from './values.js'

/** The largest element along the dim that the result lacks. */
export const maximumOnnx: OnnxMeaning = ([x = ''], { rule, add }) => {
  const axes = placesOf(rule.operands[0] ?? [], (dim) => !rule.results[0]?.includes(dim))
  return [add('ReduceMax', [x], { axes, keepdims: 0 })]
}

/** Σ exp(x − maximum). */
export const sumOfExponentialsOnnx: OnnxMeaning = ([x = '', largest = ''], context) => {
  const { minus, exp, sum, unsqueeze } = arithmetic(context)
  const last = (context.rule.operands[0]?.length ?? 1) - 1
  return [sum(exp(minus(x, unsqueeze(largest, [last]))), [last])]
}

/** The logit of each label; zero where another rank has its row. */
export const logitOfLabelOnnx: OnnxMeaning = ([logits = '', labels = ''], context) => {
  const { add, constant, whole, rule } = context
  const { unsqueeze, whole: integers } = arithmetic(context)
  const axis = (rule.operands[0]?.length ?? 1) - 1
  const at = (place: string) => {
    const column = add('GatherElements', [logits, unsqueeze(place, [axis])], { axis })
    return add('Squeeze', [column, constant([axis], 'int64')])
  }
  if (whole('vocab')) return [at(integers(labels))]
  const { here, place } = localRows(integers(labels), 'vocab', context)
  return [add('Where', [here, at(place), constant(0, 'float')])]
}

/** Σ over tokens of (maximum + log Σ exp − logit of the label), times the scale. */
export const negativeLogLikelihoodOnnx: OnnxMeaning = (
  [largest = '', total = '', target = '', , scale = ''],
  context,
) => {
  const { plus, minus, log, times } = arithmetic(context)
  const each = minus(plus(largest, log(total)), target)
  return [times(context.add('ReduceSum', [each], { keepdims: 0 }), scale)]
}

/** (softmax(logits) − 1 at the label) times the scale. */
export const likelihoodGradientOnnx: OnnxMeaning = (
  [logits = '', largest = '', total = '', labels = '', scale = ''],
  context,
) => {
  const { minus, over, exp, times, unsqueeze, whole } = arithmetic(context)
  const last = (context.rule.operands[0]?.length ?? 1) - 1
  const probability = over(exp(minus(logits, unsqueeze(largest, [last]))), unsqueeze(total, [last]))
  const isLabel = context.add('Equal', [unsqueeze(whole(labels), [last]), context.positions('vocab')])
  return [times(minus(probability, context.add('CastLike', [isLabel, probability])), scale)]
}

/** The elements at the sequence's last position, where this rank has them all. */
export const lastOnnx: OnnxMeaning = ([x = ''], context) => {
  const { add, constant, whole, rule } = context
  if (!whole('seq') || attributeOf(context, 'position') !== undefined) return undefined
  return [add('Gather', [x, constant(-1, 'int64')], { axis: rule.operands[0]?.indexOf('seq') ?? 1 })]
}

/** The row of the largest logit, the first where several are equal. */
export const largestLogitOnnx: OnnxMeaning = ([logits = ''], { add, rule }) => [
  add('ArgMax', [logits], { axis: (rule.operands[0]?.length ?? 1) - 1, keepdims: 0 }),
]
