import type { Kernel, KernelContext, OperatorNode } from '@shardloom/core'
import { placesOf } from './linear.js'
import { offsets, zeros } from './points.js'

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

/**
 * The weight of every expert before it is scaled, and of which experts the weights are divided by the sum: those chosen,
 * or all (a softmax), or none (a sigmoid).
 */
function rawWeights(logits: Float64Array, chosen: readonly number[], node: OperatorNode) {
  const { score, normalised } = node.attributes ?? {}
  const bySigmoid = score === 'sigmoid'
  const maximum = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const raw = logits.map(bySigmoid ? sigmoid : (logit) => Math.exp(logit - maximum))
  const pool = normalised !== false ? chosen : bySigmoid ? [] : [...logits.keys()]
  const total = pool.length ? pool.reduce((sum, expert) => sum + (raw[expert] ?? 0), 0) : 1
  return { raw, pool, total, slope: (weight: number) => (bySigmoid ? weight * (1 - weight) : weight) }
}

const scaleOf = ({ attributes }: OperatorNode) => Number(attributes?.['scale'] ?? 1)

/** The positions of the largest scores, the largest first; of equal ones the first. */
function largest(scores: readonly number[], count: number, among: readonly number[] = [...scores.keys()]): number[] {
  return [...among].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b).slice(0, count)
}

/** The experts of a token's best groups, which rank by the sum of their `best` largest scores; without groups all. */
function candidates(scores: readonly number[], { attributes }: OperatorNode, best: number): readonly number[] {
  const count = Number(attributes?.['groups'] ?? 1)
  const width = scores.length / count
  const members = (group: number) => Array.from({ length: width }, (_, index) => group * width + index)
  const groups = Array.from({ length: count }, (_, group) =>
    largest(scores, best, members(group)).reduce((sum, expert) => sum + (scores[expert] ?? 0), 0),
  )
  return largest(groups, Number(attributes?.['groupTopK'] ?? 1)).flatMap(members)
}

/**
 * Chooses the experts of each token. `softmax`: the largest logits, weighted by a softmax over them (Jiang et al. 2024,
 * section 2.1) or, unless `normalised`, over all. `sigmoid`: the largest sigmoid plus correction, weighted by the sigmoids,
 * scaled to sum to one where `normalised` (DeepSeek-V3, section 2.1.2). Of `groups` the best `groupTopK` alone are chosen
 * from: by the sum of their two largest scores with a correction, else by the largest. Equal scores: the first expert.
 */
export const choose: Kernel = ([logits = new Float64Array(), correction], context) => {
  const { size, rule, node } = context
  const [experts, topK] = [size(rule.operands[0]?.at(-1) ?? ''), size(rule.results[0]?.at(-1) ?? '')]
  const [weights, indices] = [zeros(context, 0), zeros(context, 1)]
  const bySigmoid = node.attributes?.['score'] === 'sigmoid'
  for (let token = 0; token * experts < logits.length; token++) {
    const row = logits.subarray(token * experts, (token + 1) * experts)
    const scores = Array.from(
      row,
      (logit, expert) => (bySigmoid ? sigmoid(logit) : logit) + (correction?.[expert] ?? 0),
    )
    const chosen = largest(scores, topK, candidates(scores, node, correction ? 2 : 1))
    const { raw, total } = rawWeights(row, chosen, node)
    chosen.forEach((expert, k) => {
      weights[token * topK + k] = (scaleOf(node) * (raw[expert] ?? 0)) / total
      indices[token * topK + k] = expert
    })
  }
  return [weights, indices]
}

/** The gradient of the router's logits, from the logits, the chosen experts and the gradient of their weights. */
export const chooseGradient: Kernel = (
  [logits = new Float64Array(), indices = new Float64Array(), incoming = new Float64Array()],
  context,
) => {
  const { size, rule, node } = context
  const [experts, topK] = [size(rule.results[0]?.at(-1) ?? ''), size(rule.operands[1]?.at(-1) ?? '')]
  const out = zeros(context)
  for (let token = 0; token * topK < indices.length; token++) {
    const chosen = Array.from(indices.subarray(token * topK, (token + 1) * topK))
    const row = logits.subarray(token * experts, (token + 1) * experts)
    const { raw, pool, total, slope } = rawWeights(row, chosen, node)
    const own = new Map(chosen.map((expert, k) => [expert, scaleOf(node) * (incoming[token * topK + k] ?? 0)]))
    // What all weights lose when the sum that divides them grows.
    const along = pool.reduce((sum, expert) => sum + ((raw[expert] ?? 0) / total) * (own.get(expert) ?? 0), 0)
    for (const expert of pool.length ? pool : chosen)
      out[token * experts + expert] = (slope(raw[expert] ?? 0) / total) * ((own.get(expert) ?? 0) - along)
  }
  return [out]
}

/** The rows of a tensor over tokens and of one over chosen experts, token by token. */
function tokensOf(context: KernelContext, hidden: readonly string[]) {
  const tokens = hidden.slice(0, -1)
  const { size } = context
  return { width: size(hidden.at(-1) ?? ''), count: offsets(tokens, tokens, size).length }
}

/**
 * Goes through the chosen experts that this rank has: `visit` gets a token, the expert's place on this rank and which of
 * the token's choices it is.
 */
function forChosen(
  indices: Float64Array,
  topK: number,
  context: KernelContext,
  visit: (token: number, expert: number, choice: number) => void,
): void {
  const places = placesOf(context.positions('experts'))
  indices.forEach((expert, at) => {
    const place = places.get(expert)
    if (place !== undefined) visit(Math.floor(at / topK), place, at)
  })
}

/** Each token at every expert that it chose; zeros at the others. */
export const spread: Kernel = ([x = new Float64Array(), indices = new Float64Array()], context) => {
  const { rule, size } = context
  const { width, count } = tokensOf(context, rule.operands[0] ?? [])
  const out = zeros(context)
  forChosen(indices, size('topk'), context, (token, expert) => {
    out.set(x.subarray(token * width, (token + 1) * width), (expert * count + token) * width)
  })
  return [out]
}

/** The sum of what a token's experts hold of it. */
export const collect: Kernel = ([x = new Float64Array(), indices = new Float64Array()], context) => {
  const { rule, size } = context
  const { width, count } = tokensOf(context, rule.results[0] ?? [])
  const out = zeros(context)
  forChosen(indices, size('topk'), context, (token, expert) => {
    const [from, to] = [(expert * count + token) * width, token * width]
    for (let j = 0; j < width; j++) out[to + j] = (out[to + j] ?? 0) + (x[from + j] ?? 0)
  })
  return [out]
}

/** The weighted sum of a token's experts. */
export const weigh: Kernel = (
  [x = new Float64Array(), weights = new Float64Array(), indices = new Float64Array()],
  context,
) => {
  const { rule, size } = context
  const { width, count } = tokensOf(context, rule.results[0] ?? [])
  const out = zeros(context)
  forChosen(indices, size('topk'), context, (token, expert, choice) => {
    const [from, to, weight] = [(expert * count + token) * width, token * width, weights[choice] ?? 0]
    for (let j = 0; j < width; j++) out[to + j] = (out[to + j] ?? 0) + weight * (x[from + j] ?? 0)
  })
  return [out]
}

/** The gradient of the experts' results: the token's gradient times the expert's weight. */
export const weighGradient: Kernel = (
  [incoming = new Float64Array(), weights = new Float64Array(), indices = new Float64Array()],
  context,
) => {
  const { rule, size } = context
  const { width, count } = tokensOf(context, rule.operands[0] ?? [])
  const out = zeros(context)
  forChosen(indices, size('topk'), context, (token, expert, choice) => {
    const [from, to, weight] = [token * width, (expert * count + token) * width, weights[choice] ?? 0]
    for (let j = 0; j < width; j++) out[to + j] = weight * (incoming[from + j] ?? 0)
  })
  return [out]
}

/** The gradient of the experts' weights: the expert's result times the token's gradient, summed over the hidden dim. */
export const weighWeightGradient: Kernel = (
  [x = new Float64Array(), indices = new Float64Array(), incoming = new Float64Array()],
  context,
) => {
  const { rule, size } = context
  const { width, count } = tokensOf(context, rule.operands[2] ?? [])
  const out = zeros(context)
  forChosen(indices, size('topk'), context, (token, expert, choice) => {
    const [from, to] = [(expert * count + token) * width, token * width]
    let sum = 0
    for (let j = 0; j < width; j++) sum += (x[from + j] ?? 0) * (incoming[to + j] ?? 0)
    out[choice] = sum
  })
  return [out]
}

/** The value times the sigmoid of its token's gate. */
export const gate: Kernel = ([value = new Float64Array(), gates = new Float64Array()], { rule, size }) => {
  const [dims = [], gateDims = []] = rule.operands
  const own = offsets(dims, gateDims, size)
  return [value.map((each, index) => each * sigmoid(gates[own[index] ?? 0] ?? 0))]
}

/** The gradient of the gates, summed over what each of them scales. */
export const gateGradient: Kernel = (
  [value = new Float64Array(), gates = new Float64Array(), incoming = new Float64Array()],
  context,
) => {
  const { rule, size } = context
  const own = offsets(rule.operands[0] ?? [], rule.results[0] ?? [], size)
  const out = zeros(context)
  value.forEach((each, index) => {
    const at = own[index] ?? 0
    const open = sigmoid(gates[at] ?? 0)
    out[at] = (out[at] ?? 0) + each * (incoming[index] ?? 0) * open * (1 - open)
  })
  return [out]
}
