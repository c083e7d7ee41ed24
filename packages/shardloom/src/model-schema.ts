import { ShardloomError } from '@shardloom/core'
import type { ModelArchitecture } from '@shardloom/models'
import * as z from 'zod'
import { largestSize } from './schema-values.js'
import { checkNesting, schemaError } from './spec-error.js'

const sizeText = `a whole number from 1 to ${largestSize}`
const size = z.number(sizeText).int(sizeText).min(1, sizeText).max(largestSize, sizeText)
const countText = `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`
const count = z.number(countText).int(countText).min(0, countText)
const rateText = 'a share of at least 0 and less than 1'
const rate = z.number(rateText).min(0, rateText).lt(1, rateText)
const factorText = 'a number above 0'
const flag = z.boolean('true or false')
const text = z.string('a string')
const object = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject(shape, 'an object')
const list = <Entry extends z.ZodType>(entry: Entry) => z.array(entry, 'a list')

function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, `one of ${values.join(', ')}`)
}

const activation = oneOf(['swiglu', 'geglu', 'gelu', 'relu'])

const grouped = object({
  kind: z.literal('grouped'),
  heads: size,
  kvHeads: size,
  headDim: size,
  bias: object({ qkv: flag, out: flag }),
  qkNorm: z.exactOptional(oneOf(['head', 'whole'])),
  qkNormGain: z.exactOptional(flag),
  rotary: flag,
  window: z.exactOptional(size),
  chunk: z.exactOptional(size),
  sinks: z.exactOptional(flag),
})

const latent = object({
  kind: z.literal('latent'),
  heads: size,
  queryRank: z.exactOptional(size),
  kvRank: size,
  nopeDim: size,
  ropeDim: size,
  valueDim: size,
  indexer: z.exactOptional(object({ heads: size, headDim: size })),
})

const undrawn = object({
  kind: z.literal('undrawn'),
  feature: text,
  parameters: list(object({ module: text, name: text, dims: list(text), shape: list(size) })),
})

const dense = object({ kind: z.literal('dense'), intermediate: size, activation, bias: flag })

const mixture = object({
  kind: z.literal('moe'),
  experts: size,
  topK: size,
  intermediate: size,
  activation,
  bias: flag,
  routerBias: flag,
  correctionBias: flag,
  groups: z.exactOptional(object({ count: size, topK: size })),
  normalised: z.exactOptional(flag),
  scale: z.exactOptional(z.number(factorText).gt(0, factorText)),
  shared: z.exactOptional(object({ count: size, intermediate: size, gate: flag })),
})

const layer = object({
  attention: z.discriminatedUnion('kind', [grouped, latent, undrawn], 'attention of kind grouped, latent or undrawn'),
  ffn: z.discriminatedUnion('kind', [dense, mixture], 'a feed-forward network of kind dense or moe'),
  residual: oneOf(['sequential', 'parallel']),
  norms: oneOf(['pre', 'post', 'sandwich', 'shared']),
})

const dropout = object({
  embedding: z.exactOptional(rate),
  attention: z.exactOptional(rate),
  residual: z.exactOptional(rate),
})

const architectureSchema = object({
  schema: z.literal('shardloom.model/1', 'shardloom.model/1'),
  name: text,
  family: text,
  hidden: size,
  vocab: size,
  tiedEmbeddings: flag,
  learnedPositions: z.exactOptional(size),
  headBias: z.exactOptional(flag),
  norm: object({ kind: oneOf(['rms', 'layer']), bias: flag }),
  dropout: z.exactOptional(z.union([rate, dropout], `${rateText}, or an object of such shares`)),
  weightDtype: z.exactOptional(oneOf(['fp8'])),
  maxPositions: z.exactOptional(size),
  layers: z.record(z.string().regex(/^[a-z][a-z0-9-]*$/), layer, 'an object of layers, their names in lower case'),
  order: object({
    runs: list(object({ layer: text, count: size })).min(1, 'a list of at least one run'),
    repeat: z.exactOptional(size),
  }),
  extras: z.exactOptional(list(object({ module: text, parameters: count }))),
  undrawn: z.exactOptional(list(text)),
}) satisfies z.ZodType<ModelArchitecture>

/**
 * Checks a model in Shardloom's own format. Throws `MODEL_KEY` and `MODEL_VALUE` for fields that are unknown, missing or
 * of the wrong kind, and for fields that contradict each other.
 */
export function checkArchitecture(value: unknown): ModelArchitecture {
  checkNesting(value, 'model')
  const result = architectureSchema.safeParse(value)
  if (!result.success) throw schemaError(result.error.issues, value, { kind: 'model', keysAt: modelKeysAt })
  const model = result.data
  for (const { layer } of model.order.runs) {
    if (Object.hasOwn(model.layers, layer)) continue
    const known = Object.keys(model.layers).join(', ') || 'none'
    throw contradiction(
      `\`order.runs\` names the layer ${JSON.stringify(layer)}, which \`layers\` lacks`,
      `Layers: ${known}.`,
    )
  }
  for (const [name, { attention, ffn }] of Object.entries(model.layers)) {
    if (attention.kind === 'grouped' && attention.heads % attention.kvHeads !== 0) {
      const why = `\`layers.${name}.attention\` has ${attention.heads} heads, which its ${attention.kvHeads} KV heads do not divide`
      throw contradiction(why, 'Every KV head serves the same number of heads.')
    }
    if (ffn.kind === 'moe' && ffn.topK > ffn.experts) {
      throw contradiction(
        `\`layers.${name}.ffn\` chooses ${ffn.topK} of ${ffn.experts} experts`,
        `Use topK up to ${ffn.experts}.`,
      )
    }
    const { count: groups, topK: chosen } = (ffn.kind === 'moe' && ffn.groups) || { count: 1, topK: 1 }
    if (ffn.kind === 'moe' && (ffn.experts % groups || chosen > groups || (ffn.experts / groups) * chosen < ffn.topK)) {
      throw contradiction(
        `\`layers.${name}.ffn\` chooses ${ffn.topK} of ${ffn.experts} experts from ${chosen} of ${groups} groups`,
        'Groups are equal, and those chosen hold at least topK experts.',
      )
    }
  }
  return model
}

function contradiction(why: string, help: string): ShardloomError {
  return new ShardloomError('MODEL_VALUE', `The model contradicts itself: ${why}.`, { help })
}

/** The keys that the model may have at `path`; for unions, those of every member. */
function modelKeysAt(path: readonly string[]): readonly string[] {
  const [first, name, part] = path
  if (first === undefined) return Object.keys(architectureSchema.shape)
  if (first === 'layers' && name !== undefined) {
    if (part === undefined) return Object.keys(layer.shape)
    const members = part === 'attention' ? [grouped, latent, undrawn] : part === 'ffn' ? [dense, mixture] : []
    return [...new Set(members.flatMap((member) => Object.keys(member.shape)))]
  }
  if (first === 'order') return name === undefined ? ['runs', 'repeat'] : ['layer', 'count']
  if (first === 'dropout') return Object.keys(dropout.shape)
  return first === 'norm' ? ['kind', 'bias'] : []
}
