import { defaultDevice, init, lax, nn, numpy as np, valueAndGrad } from '@jax-js/jax'

/**
 * The loss of a training step and the gradient of every weight, computed by another library's arrays and derivatives.
 * Nothing of Shardloom is imported: the formulas are written down a second time, from the papers, so that the two can
 * only agree by both being right. All in float64.
 */

// The library asks for this type, which Node has from version 24 on, when it is handed data; nothing here is of it.
if (!('Float16Array' in globalThis)) Object.assign(globalThis, { Float16Array: class {} })
// Without a name it looks for a graphics card first; its other backend rounds exponentials to float32.
await init('cpu')
defaultDevice('cpu')

/** What the oracle reads of a model; Shardloom's own descriptions have this form. */
export interface OracleModel {
  readonly hidden: number
  readonly tiedEmbeddings: boolean
  readonly learnedPositions?: number
  readonly headBias?: boolean
  readonly norm: { readonly kind: 'rms' | 'layer'; readonly bias: boolean }
  readonly layers: Readonly<Record<string, OracleLayer>>
  readonly order: {
    readonly runs: readonly { readonly layer: string; readonly count: number }[]
    readonly repeat?: number
  }
}

interface OracleLayer {
  readonly attention: GroupedAttention | LatentAttention | { readonly kind: 'undrawn' }
  readonly ffn: DenseFfn | Mixture
  readonly residual: 'sequential' | 'parallel'
  readonly norms: 'pre' | 'post' | 'sandwich' | 'shared'
}

interface GroupedAttention {
  readonly kind: 'grouped'
  readonly headDim: number
  readonly bias: { readonly qkv: boolean; readonly out: boolean }
  readonly qkNorm?: 'head' | 'whole'
  readonly qkNormGain?: boolean
  readonly rotary: boolean
  readonly window?: number
  readonly chunk?: number
  readonly sinks?: boolean
}

interface LatentAttention {
  readonly kind: 'latent'
  readonly queryRank?: number
  readonly nopeDim: number
  readonly ropeDim: number
}

type Activation = 'swiglu' | 'geglu' | 'gelu' | 'relu'

interface DenseFfn {
  readonly kind: 'dense'
  readonly activation: Activation
  readonly bias: boolean
}

interface Mixture {
  readonly kind: 'moe'
  readonly experts: number
  readonly topK: number
  readonly activation: Activation
  readonly bias: boolean
  readonly routerBias: boolean
  readonly correctionBias: boolean
  readonly shared?: { readonly gate: boolean }
}

/** A weight; those of layers hold the values of all layers of their kind, one layer after the other. */
export interface OracleWeight {
  /** The sizes of one layer's weight, or of the whole one outside the layers. */
  readonly shape: readonly number[]
  readonly values: Float64Array
}

/** Names begin with the kind of layer, as in `layer/attention/q/weight`, or with nothing outside the layers. */
export type OracleWeights = Readonly<Record<string, OracleWeight>>

/** A loss and its derivative by each weight, in the layout of the weights. */
export interface OracleResult {
  readonly loss: number
  readonly gradients: Readonly<Record<string, Float64Array>>
}

type Tensor = np.Array
/** Finds a weight of the layer at hand by the end of its name. */
type Find = (name: string) => Tensor

/**
 * Runs one training step's forward and backward pass. `tokens` and `labels` are sequences of the same length; the loss
 * is the sum over all tokens of logsumexp(logits) − logit of the label, times `scale`.
 */
export function oracleTraining(
  model: OracleModel,
  weights: OracleWeights,
  tokens: readonly (readonly number[])[],
  labels: readonly (readonly number[])[],
  scale: number,
): OracleResult {
  const loss = (given: Record<string, Tensor>) => times(lossSum(model, given, tokens, labels), scale)
  const [value, gradients] = valueAndGrad(loss)(stacked(model, weights))
  return {
    loss: scalar(value),
    gradients: Object.fromEntries(
      Object.entries(gradients).map(([name, gradient]) => [name, Float64Array.from(gradient.dataSync())]),
    ),
  }
}

/** The loss alone. */
export function oracleLoss(
  model: OracleModel,
  weights: OracleWeights,
  tokens: readonly (readonly number[])[],
  labels: readonly (readonly number[])[],
  scale: number,
): number {
  return scalar(lossSum(model, stacked(model, weights), tokens, labels)) * scale
}

/** The weights as arrays, those of layers with the layer as their first dim. */
function stacked(model: OracleModel, weights: OracleWeights): Record<string, Tensor> {
  const kinds = Object.keys(model.layers)
  return Object.fromEntries(
    Object.entries(weights).map(([name, { shape, values }]) => {
      const each = shape.reduce((product, size) => product * size, 1)
      const layers = kinds.includes(name.split('/')[0] ?? '') ? [values.length / each] : []
      return [name, tensor(values, [...layers, ...shape])]
    }),
  )
}

function scalar(value: Tensor): number {
  return value.dataSync()[0] ?? Number.NaN
}

function lossSum(
  model: OracleModel,
  weights: Readonly<Record<string, Tensor>>,
  tokens: readonly (readonly number[])[],
  labels: readonly (readonly number[])[],
): Tensor {
  const seq = tokens[0]?.length ?? 0
  const vocabTable = found(weights, 'embedding/weight')
  let x = rows(vocabTable, tokens.flat(), [tokens.length, seq])
  if (model.learnedPositions !== undefined) {
    const positions = Array.from({ length: seq }, (_, position) => position)
    x = plus(x, rows(found(weights, 'embedding/positions'), positions, [seq]))
  }
  const depths = new Map<string, number>()
  for (const kind of layerOrder(model)) {
    const layer = found(model.layers, kind)
    const depth = depths.get(kind) ?? 0
    depths.set(kind, depth + 1)
    x = runLayer(model, layer, x, (name) => found(weights, `${kind}/${name}`).ref.slice(depth))
  }
  const find: Find = (name) => found(weights, name)
  const normed = hiddenNorm(model, find, 'final_norm', x)
  const table = model.tiedEmbeddings ? vocabTable : find('head/weight')
  let logits = project(normed, swap(table, [1, 0]))
  if (model.headBias) logits = plus(logits, find('head/bias'))
  const target = sumLast(multiply(logits, oneHot(labels.flat(), lastSize(logits), [tokens.length, seq])))
  return np.sum(minus(nn.logsumexp(logits.ref, -1), target))
}

function layerOrder({ order }: OracleModel): string[] {
  const once = order.runs.flatMap(({ layer, count }) => Array.from({ length: count }, () => layer))
  return Array.from({ length: order.repeat ?? 1 }, () => once).flat()
}

function runLayer(model: OracleModel, layer: OracleLayer, x: Tensor, find: Find): Tensor {
  const before = (name: string, value: Tensor) =>
    layer.norms === 'post' ? value : hiddenNorm(model, find, name, value)
  const after = (name: string, value: Tensor) =>
    layer.norms === 'post' || layer.norms === 'sandwich' ? hiddenNorm(model, find, name, value) : value
  const attend = (value: Tensor) => after('attention_post_norm', attention(layer.attention, value, find))
  const feed = (value: Tensor) => after('ffn_post_norm', feedForward(layer.ffn, value, find))
  const normed = before('attention_norm', x)
  if (layer.residual === 'parallel') {
    return plus(x, plus(attend(normed), feed(layer.norms === 'shared' ? normed : before('ffn_norm', x))))
  }
  const middle = plus(x, attend(normed))
  return plus(middle, feed(before('ffn_norm', middle)))
}

function hiddenNorm({ norm }: OracleModel, find: Find, name: string, x: Tensor): Tensor {
  const centred = norm.kind === 'layer' ? minus(x, np.mean(x.ref, -1, { keepdims: true })) : x
  const gained = multiply(rms(centred), find(`${name}/gain`))
  return norm.bias ? plus(gained, find(`${name}/bias`)) : gained
}

/** x / √(mean(x²) + ε) over the last dim (Zhang and Sennrich 2019, equation 4). */
function rms(x: Tensor): Tensor {
  return over(x, np.sqrt(plus(np.mean(np.square(x.ref), -1, { keepdims: true }), 1e-5)))
}

function attention(shape: OracleLayer['attention'], x: Tensor, find: Find): Tensor {
  if (shape.kind === 'undrawn') throw new Error('The oracle does not know this attention.')
  return shape.kind === 'grouped' ? grouped(shape, x, find) : latent(shape, x, find)
}

function grouped(shape: GroupedAttention, x: Tensor, find: Find): Tensor {
  const make = (name: 'q' | 'k' | 'v'): Tensor => {
    let value = project(x, find(`attention/${name}/weight`))
    if (shape.bias.qkv) value = plus(value, find(`attention/${name}/bias`))
    if (name === 'v') return value
    if (shape.qkNorm !== undefined) {
      const dims = value.shape
      const flat = shape.qkNorm === 'whole' ? reshape(value, [dims[0] ?? 0, dims[1] ?? 0, -1]) : value
      value = reshape(rms(flat), dims)
      if (shape.qkNormGain !== false) value = multiply(value, find(`attention/${name}_norm/gain`))
    }
    return shape.rotary ? rotate(value, shape.headDim) : value
  }
  const sinks = shape.sinks ? find('attention/sinks') : undefined
  const visible = (query: number, key: number) =>
    key <= query &&
    query - key < (shape.window ?? Number.POSITIVE_INFINITY) &&
    (shape.chunk === undefined || Math.floor(query / shape.chunk) === Math.floor(key / shape.chunk))
  const heads = attend(make('q'), make('k'), make('v'), visible, sinks)
  const out = project(heads, find('attention/out/weight'), 3)
  return shape.bias.out ? plus(out, find('attention/out/bias')) : out
}

/** DeepSeek-V2, section 2.1, without absorbing any projection. */
function latent(shape: LatentAttention, x: Tensor, find: Find): Tensor {
  const weight = (name: string) => find(`attention/${name}/weight`)
  const lowRank = (value: Tensor, norm: string) => multiply(rms(value), find(`attention/${norm}/gain`))
  const source = shape.queryRank === undefined ? x : lowRank(project(x, weight('q_down')), 'q_norm')
  const q = rotate(project(source, weight('q')), shape.ropeDim)
  const c = lowRank(project(x, weight('kv_down')), 'kv_norm')
  const nope = project(c, weight('k_up'))
  const rope = rotate(project(x, weight('k_rope')), shape.ropeDim)
  const [batch = 0, seq = 0, heads = 0] = nope.shape
  const everyHead = np.broadcastTo(reshape(rope, [batch, seq, 1, shape.ropeDim]), [batch, seq, heads, shape.ropeDim])
  const k = np.concatenate([nope, everyHead], -1)
  const grouping = reshape(q, [batch, seq, heads, 1, shape.nopeDim + shape.ropeDim])
  const values = attend(grouping, k, project(c, weight('v_up')), (query, key) => key <= query)
  const out = weight('out')
  const [, valueDim = 0, hidden = 0] = out.shape
  return project(values, reshape(out, [heads, 1, valueDim, hidden]), 3)
}

/**
 * Softmax attention. Dims: q batch, seq, kv_heads, group, width; k and v batch, seq, kv_heads, width; sinks kv_heads,
 * group. The result has the dims of q with the width of v.
 */
function attend(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  visible: (query: number, key: number) => boolean,
  sinks?: Tensor,
): Tensor {
  const [batch = 0, seq = 0, kvHeads = 0, group = 0, width = 0] = q.shape
  const queries = reshape(swap(q, [0, 2, 3, 1, 4]), [batch, kvHeads, group * seq, width])
  const products = np.matmul(queries, swap(k, [0, 2, 3, 1]))
  const scores = times(reshape(products, [batch, kvHeads, group, seq, seq]), 1 / Math.sqrt(width))
  const pairs = Array.from({ length: seq * seq }, (_, pair) => visible(Math.floor(pair / seq), pair % seq))
  const mask = tensor(Float64Array.from(pairs, Number), [seq, seq]).greater(0.5)
  const masked = np.where(mask, scores, -1e300)
  const extra = sinks && np.broadcastTo(reshape(sinks, [1, kvHeads, group, 1, 1]), [batch, kvHeads, group, seq, 1])
  const joined = nn.softmax(extra ? np.concatenate([masked, extra], -1) : masked, -1)
  const probabilities = reshape(lastPart(joined, 0, seq), [batch, kvHeads, group * seq, seq])
  const context = np.matmul(probabilities, swap(v, [0, 2, 1, 3]))
  return swap(reshape(context, [batch, kvHeads, group, seq, lastSize(v)]), [0, 3, 1, 2, 4])
}

/**
 * Rotary positions on the last `width` elements (Su et al. 2021, section 3.4.2): element j turns with element
 * j + width / 2, by position · 10000^(−2j / width). Positions are the second dim.
 */
function rotate(x: Tensor, width: number): Tensor {
  const whole = lastSize(x)
  const half = width / 2
  const seq = x.shape[1] ?? 0
  const dims = [seq, ...x.shape.slice(3).map(() => 1), half]
  const angles = Float64Array.from({ length: seq * half }, (_, index) => {
    return Math.floor(index / half) * 10000 ** ((-2 * (index % half)) / width)
  })
  const cosine = tensor(angles.map(Math.cos), dims)
  const sine = tensor(angles.map(Math.sin), dims)
  const first = lastPart(x, whole - width, whole - half)
  const second = lastPart(x, whole - half, whole)
  const turned = [
    minus(multiply(first, cosine), multiply(second, sine)),
    plus(multiply(second, cosine), multiply(first, sine)),
  ]
  return np.concatenate(whole === width ? turned : [lastPart(x, 0, whole - width), ...turned], -1)
}

function feedForward(ffn: DenseFfn | Mixture, x: Tensor, find: Find): Tensor {
  if (ffn.kind === 'moe') return mixture(ffn, x, find)
  return network(ffn.activation, ffn.bias, x, (name) => find(`ffn/${name}`))
}

function network(activation: Activation, bias: boolean, x: Tensor, find: Find): Tensor {
  const linear = (name: string, value: Tensor) => {
    const product = project(value, find(`${name}/weight`))
    return bias ? plus(product, find(`${name}/bias`)) : product
  }
  const up = linear('up', x)
  if (activation === 'relu') return linear('down', np.maximum(up, 0))
  if (activation === 'gelu') return linear('down', gelu(up))
  const gate = linear('gate', x)
  return linear('down', multiply(activation === 'swiglu' ? multiply(gate, nn.sigmoid(gate.ref)) : gelu(gate), up))
}

/** Every expert runs on every token; the router's weights are zero for those that a token did not choose. */
function mixture(moe: Mixture, x: Tensor, find: Find): Tensor {
  let logits = project(x, find('moe/router/weight'))
  if (moe.routerBias) logits = plus(logits, find('moe/router/bias'))
  const weights = moe.correctionBias
    ? sigmoidWeights(logits, find('moe/router/correction'), moe.topK)
    : nn.softmax(np.where(chosen(logits, moe.topK), logits, -1e300), -1)
  let sum = times(x, 0)
  for (let expert = 0; expert < moe.experts; expert++) {
    const output = network(moe.activation, moe.bias, x, (name) => find(`moe/experts/${name}`).slice(expert))
    sum = plus(sum, multiply(output, lastPart(weights, expert, expert + 1)))
  }
  if (!moe.shared) return sum
  const shared = network(moe.activation, false, x, (name) => find(`moe/shared/${name}`))
  if (!moe.shared.gate) return plus(sum, shared)
  const score = project(x, reshape(find('moe/shared/router/weight'), [-1, 1]))
  return plus(sum, multiply(shared, nn.sigmoid(score)))
}

/** DeepSeek-V3, equations 13 to 16: the correction takes part in the choice alone. */
function sigmoidWeights(logits: Tensor, correction: Tensor, topK: number): Tensor {
  const scores = nn.sigmoid(logits.ref)
  const kept = np.where(chosen(plus(scores, correction), topK), scores, 0)
  return over(kept, np.sum(kept.ref, -1, { keepdims: true }))
}

/** Which elements of the last dim are among its `topK` largest. */
function chosen(scores: Tensor, topK: number): Tensor {
  const [, indices] = lax.topK(lax.stopGradient(scores.ref), topK)
  return np.sum(nn.oneHot(indices, lastSize(scores)), -2).greater(0.5)
}

/** The tanh form (Hendrycks and Gimpel 2016, section 2), which GPT-2 and Gemma use. */
function gelu(x: Tensor): Tensor {
  const inner = times(plus(x, times(multiply(np.square(x.ref), x), 0.044715)), Math.sqrt(2 / Math.PI))
  return times(multiply(x, plus(np.tanh(inner), 1)), 0.5)
}

/** Contracts the last `contracted` dims of x with as many first dims of the weight. */
function project(x: Tensor, weight: Tensor, contracted = 1): Tensor {
  const kept = x.shape.slice(0, x.shape.length - contracted)
  const width = weight.shape.slice(0, contracted).reduce((product, size) => product * size, 1)
  const product = np.matmul(reshape(x, [-1, width]), reshape(weight, [width, -1]))
  return product.reshape([...kept, ...weight.shape.slice(contracted)])
}

// The library frees an array once it is read: these read a further reference, so that every value can be read again.

function tensor(values: Float64Array, shape: readonly number[]): Tensor {
  return np.array(values.slice(), { shape: [...shape], dtype: np.float64 })
}

const plus = (a: Tensor, b: Tensor | number): Tensor => a.ref.add(typeof b === 'number' ? b : b.ref)
const minus = (a: Tensor, b: Tensor): Tensor => a.ref.sub(b.ref)
const multiply = (a: Tensor, b: Tensor): Tensor => a.ref.mul(b.ref)
const times = (a: Tensor, factor: number): Tensor => a.ref.mul(factor)
const over = (a: Tensor, b: Tensor): Tensor => a.ref.div(b.ref)
const reshape = (x: Tensor, shape: number[]): Tensor => x.ref.reshape(shape)
const swap = (x: Tensor, order: number[]): Tensor => np.transpose(x.ref, order)
const sumLast = (x: Tensor): Tensor => np.sum(x.ref, -1)
const lastSize = (x: Tensor): number => x.shape.at(-1) ?? 0

/** The elements of the last dim from one position up to another. */
function lastPart(x: Tensor, from: number, to: number): Tensor {
  return x.ref.slice(...x.shape.slice(1).map((): [] => []), [from, to])
}

/** Rows of a table, in a shape of their own. */
function rows(table: Tensor, indices: readonly number[], shape: readonly number[]): Tensor {
  return np.take(table.ref, np.array(Int32Array.from(indices), { shape: [...shape] }), 0)
}

function oneHot(indices: readonly number[], classes: number, shape: readonly number[]): Tensor {
  const values = indices.flatMap((index) => Array.from({ length: classes }, (_, each) => Number(each === index)))
  return tensor(Float64Array.from(values), [...shape, classes])
}

function found<T>(from: Readonly<Record<string, T>>, name: string): T {
  const value = from[name]
  if (value === undefined) throw new Error(`The oracle was given no \`${name}\`.`)
  return value
}
