import type { OnnxContext } from '@shardloom/core'
import { arithmetic, attributeOf, type OnnxMeaning } from './values.js'

/** Chooses experts by TopK; experts in groups have no such meaning. */
export const chooseOnnx: OnnxMeaning = ([logits = '', correction], context) => {
  const { rule, add, constant, size, node } = context
  if (attributeOf(context, 'groups') !== undefined && attributeOf(context, 'groups') !== 1) return undefined
  const { times, over, plus, sigmoid, sum } = arithmetic(context)
  const bySigmoid = node.attributes?.['score'] === 'sigmoid'
  const isNormalised = node.attributes?.['normalised'] !== false
  const axis = (rule.operands[0]?.length ?? 1) - 1
  const scores = bySigmoid ? sigmoid(logits) : logits
  const ranked = correction === undefined ? scores : plus(scores, correction)
  const count = constant([size(rule.results[0]?.at(-1) ?? '')], 'int64')
  const chosen = add('TopK', [ranked, count], { axis, largest: 1, sorted: 1 }, 1)
  const own = (values: string) => add('GatherElements', [values, chosen], { axis })
  const softmax = (values: string) => add('Softmax', [values], { axis })
  const parts = own(scores)
  const bySoftmax = () => (isNormalised ? softmax(parts) : own(softmax(logits)))
  const weights = bySigmoid ? (isNormalised ? over(parts, sum(parts, [axis], true)) : parts) : bySoftmax()
  const scale = attributeOf(context, 'scale') ?? 1
  return [scale === 1 ? weights : times(weights, scale), chosen]
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

/** The value times the sigmoid of its token's gate. */
export const gateOnnx: OnnxMeaning = ([value = '', gate = ''], context) => {
  const [dims = [], gateDims = []] = context.rule.operands
  const { times, sigmoid, unsqueeze } = arithmetic(context)
  if (dims.slice(0, gateDims.length).join() !== gateDims.join()) return undefined
  const missing = dims.slice(gateDims.length).map((_, index) => gateDims.length + index)
  return [times(value, unsqueeze(sigmoid(gate), missing))]
}
