import type { OnnxContext } from '@shardloom/core'
import { arithmetic, attributeOf, type OnnxMeaning } from './values.js'

/** The scores with minus infinity outside of each token's best groups, which rank by the sum of their `best` largest scores. */
function inGroups(scores: string, best: number, context: OnnxContext): string {
  const { rule, add, constant, size } = context
  const { sum, unsqueeze } = arithmetic(context)
  const count = attributeOf(context, 'groups') ?? 1
  if (count === 1) return scores
  const outer = rule.operands[0]?.slice(0, -1) ?? []
  const width = size(rule.operands[0]?.at(-1) ?? '') / count
  const axis = outer.length
  const shape = (...last: readonly number[]) => constant([...outer.map(() => 0), ...last], 'int64')
  const grouped = add('Reshape', [scores, shape(count, width)])
  const places = add('TopK', [grouped, constant([best], 'int64')], { axis: axis + 1 }, 1)
  const ranks = sum(add('GatherElements', [grouped, places], { axis: axis + 1 }), [axis + 1])
  const kept = constant([attributeOf(context, 'groupTopK') ?? 1], 'int64')
  const chosen = add('TopK', [ranks, kept], { axis }, 1)
  const numbers = constant(
    Array.from({ length: count }, (_, group) => group),
    'int64',
  )
  const isChosen = add('Equal', [unsqueeze(chosen, [axis + 1]), numbers])
  const times = sum(add('CastLike', [isChosen, scores]), [axis])
  const open = add('Greater', [unsqueeze(times, [axis + 1]), constant(0, 'float')])
  const masked = add('Where', [open, grouped, constant(Number.NEGATIVE_INFINITY, 'float')])
  return add('Reshape', [masked, shape(-1)])
}

/** Chooses experts by TopK. */
export const chooseOnnx: OnnxMeaning = ([logits = '', correction], context) => {
  const { rule, add, constant, size } = context
  const { times, over, plus, sigmoid, sum } = arithmetic(context)
  const { bySigmoid, isNormalised, scale } = routing(context)
  const axis = (rule.operands[0]?.length ?? 1) - 1
  const scores = bySigmoid ? sigmoid(logits) : logits
  const ranked = correction === undefined ? scores : plus(scores, correction)
  const count = constant([size(rule.results[0]?.at(-1) ?? '')], 'int64')
  const chosen = add('TopK', [inGroups(ranked, correction === undefined ? 1 : 2, context), count], { axis }, 1)
  const own = (values: string) => add('GatherElements', [values, chosen], { axis })
  const softmax = (values: string) => add('Softmax', [values], { axis })
  const bySoftmax = () => (isNormalised ? softmax(own(logits)) : own(softmax(logits)))
  const bySize = (parts: string) => (isNormalised ? over(parts, sum(parts, [axis], true)) : parts)
  const weights = bySigmoid ? bySize(own(scores)) : bySoftmax()
  return [scale === 1 ? weights : times(weights, scale), chosen]
}

const routing = (context: OnnxContext) => ({
  bySigmoid: context.node.attributes?.['score'] === 'sigmoid',
  isNormalised: context.node.attributes?.['normalised'] !== false,
  scale: attributeOf(context, 'scale') ?? 1,
})

/** The gradient of the router's logits: w (g − Σ w g) of those that share a sum of 1, by the slope of their score. */
export const chooseGradientOnnx: OnnxMeaning = ([logits = '', indices = '', incoming = ''], context) => {
  const { rule, add, constant } = context
  const { times, over, minus, sigmoid, sum, whole } = arithmetic(context)
  const { bySigmoid, isNormalised, scale } = routing(context)
  const axis = (rule.operands[0]?.length ?? 1) - 1
  const chosen = whole(indices)
  const zeros = add('Expand', [constant(0, 'float'), add('Shape', [logits])])
  const spread = (values: string) => add('ScatterElements', [zeros, chosen, values], { axis })
  const softmax = (values: string) => add('Softmax', [values], { axis })
  const own = times(incoming, scale)
  const less = (weights: string, gradient: string) => minus(gradient, sum(times(weights, gradient), [axis], true))
  if (!bySigmoid && !isNormalised) {
    const [weights, gradient] = [softmax(logits), spread(own)]
    return [times(weights, less(weights, gradient))]
  }
  const picked = add('GatherElements', [logits, chosen], { axis })
  if (!bySigmoid) {
    const weights = softmax(picked)
    return [spread(times(weights, less(weights, own)))]
  }
  const raw = sigmoid(picked)
  const slope = times(raw, minus(1, raw))
  if (!isNormalised) return [spread(times(slope, own))]
  const total = sum(raw, [axis], true)
  return [spread(times(over(slope, total), less(over(raw, total), own)))]
}

/** For each of this rank's experts, in front, whether it is each of a token's choices. */
function choices(indices: string, dims: readonly string[], context: OnnxContext): string {
  const { unsqueeze, whole } = arithmetic(context)
  const experts = unsqueeze(
    context.positions('experts'),
    dims.map((_, index) => index + 1),
  )
  return context.add('Equal', [whole(indices), experts])
}

/** Each token at every expert that it chose; zeros at the others. */
export const spreadOnnx: OnnxMeaning = ([x = '', indices = ''], context) => {
  const { rule, add } = context
  const [dims = [], choiceDims = []] = rule.operands
  if (rule.results[0]?.join() !== ['experts', ...dims].join()) return undefined
  const { sum, times } = arithmetic(context)
  const chosen = add('CastLike', [choices(indices, choiceDims, context), x])
  return [times(sum(chosen, [choiceDims.length], true), x)]
}

/** The weighted sum of a token's experts. */
export const weighOnnx: OnnxMeaning = ([x = '', weights = '', indices = ''], context) => {
  const { rule, add } = context
  const [dims = [], choiceDims = []] = rule.operands
  if (dims[0] !== 'experts' || rule.results[0]?.join() !== dims.slice(1).join()) return undefined
  const { sum, times } = arithmetic(context)
  const chosen = add('CastLike', [choices(indices, choiceDims, context), weights])
  return [sum(times(x, sum(times(chosen, weights), [choiceDims.length], true)), [0])]
}

/** The sum of what a token's experts hold of it. */
export const collectOnnx: OnnxMeaning = ([x = '', indices = ''], context) => {
  const { rule, add } = context
  const [dims = [], choiceDims = []] = rule.operands
  if (dims[0] !== 'experts' || rule.results[0]?.join() !== dims.slice(1).join()) return undefined
  const { sum, times } = arithmetic(context)
  const chosen = add('CastLike', [choices(indices, choiceDims, context), x])
  return [sum(times(x, sum(chosen, [choiceDims.length], true)), [0])]
}

/** The gradient of the experts' results: the token's gradient times the expert's weight. */
export const weighGradientOnnx: OnnxMeaning = ([incoming = '', weights = '', indices = ''], context) => {
  const { rule, add } = context
  const [dims = [], choiceDims = []] = rule.operands
  if (rule.results[0]?.join() !== ['experts', ...dims].join()) return undefined
  const { sum, times } = arithmetic(context)
  const chosen = add('CastLike', [choices(indices, choiceDims, context), weights])
  return [times(sum(times(chosen, weights), [choiceDims.length], true), incoming)]
}

/** The gradient of the experts' weights: the expert's result times the token's gradient. */
export const weighWeightGradientOnnx: OnnxMeaning = ([x = '', indices = '', incoming = ''], context) => {
  const { rule, add } = context
  const [dims = [], choiceDims = []] = rule.operands
  if (dims[0] !== 'experts' || dims.length !== choiceDims.length + 1) return undefined
  const { sum, times } = arithmetic(context)
  const chosen = add('CastLike', [choices(indices, choiceDims, context), x])
  return [sum(times(chosen, sum(times(x, incoming), [choiceDims.length], true)), [0])]
}

/** The value times the sigmoid of its token's gate. */
export const gateOnnx: OnnxMeaning = ([value = '', gate = ''], context) => {
  const [dims = [], gateDims = []] = context.rule.operands
  const { times, sigmoid, unsqueeze } = arithmetic(context)
  if (dims.slice(0, gateDims.length).join() !== gateDims.join()) return undefined
  const missing = dims.slice(gateDims.length).map((_, index) => gateDims.length + index)
  return [times(value, unsqueeze(sigmoid(gate), missing))]
}

/** The gradient of the gates, summed over what each of them scales. */
export const gateGradientOnnx: OnnxMeaning = ([value = '', gate = '', incoming = ''], context) => {
  const [dims = [], gateDims = []] = context.rule.operands
  const { times, minus, sigmoid, sum } = arithmetic(context)
  if (dims.slice(0, gateDims.length).join() !== gateDims.join()) return undefined
  const missing = dims.slice(gateDims.length).map((_, index) => gateDims.length + index)
  const open = sigmoid(gate)
  return [times(sum(times(value, incoming), missing), times(open, minus(1, open)))]
}
