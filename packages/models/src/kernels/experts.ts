import type { Kernel, KernelContext } from '@shardloom/core'
import { placesOf } from './linear.js'
import { offsets, zeros } from './points.js'

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

/** Weights of a token's chosen experts before they are scaled to sum to one. */
function rawWeights(logits: readonly number[], { node }: KernelContext): number[] {
  if (node.attributes?.['score'] === 'sigmoid') return logits.map(sigmoid)
  const maximum = Math.max(...logits)
  return logits.map((logit) => Math.exp(logit - maximum))
}

/**
 * Chooses the experts of each token. `softmax`: the largest logits, weighted by a softmax over them (Jiang et al. 2024,
 * section 2.1). `sigmoid`: the largest sigmoid plus correction, weighted by the sigmoids scaled to sum to one
 * (DeepSeek-V3, section 2.1.2). Equal scores: the first expert.
 */
export const choose: Kernel = ([logits = new Float64Array(), correction], context) => {
  const { size, rule, node } = context
  const [experts, topK] = [size(rule.operands[0]?.at(-1) ?? ''), size(rule.results[0]?.at(-1) ?? '')]
  const [weights, indices] = [zeros(context, 0), zeros(context, 1)]
  const bySigmoid = node.attributes?.['score'] === 'sigmoid'
  for (let token = 0; token * experts < logits.length; token++) {
    const row = logits.subarray(token * experts, (token + 1) * experts)
    const score = (expert: number) =>
      (bySigmoid ? sigmoid(row[expert] ?? 0) : (row[expert] ?? 0)) + (correction?.[expert] ?? 0)
    const chosen = Array.from(row.keys())
      .sort((a, b) => score(b) - score(a) || a - b)
      .slice(0, topK)
    const raw = rawWeights(
      chosen.map((expert) => row[expert] ?? 0),
      context,
    )
    const total = raw.reduce((a, b) => a + b, 0)
    chosen.forEach((expert, k) => {
      weights[token * topK + k] = (raw[k] ?? 0) / total
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
    const chosen = Array.from(indices.subarray(token * topK, (token + 1) * topK), (expert) => token * experts + expert)
    const own = chosen.map((place) => logits[place] ?? 0)
    const raw = rawWeights(own, context)
    const total = raw.reduce((a, b) => a + b, 0)
    const along = raw.reduce((sum, weight, k) => sum + (weight / total) * (incoming[token * topK + k] ?? 0), 0)
    chosen.forEach((place, k) => {
      const weight = raw[k] ?? 0
      const slope = node.attributes?.['score'] === 'sigmoid' ? weight * (1 - weight) : weight
      out[place] = (slope / total) * ((incoming[token * topK + k] ?? 0) - along)
    })
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
