import {
  type GroupedAttention,
  type LatentAttention,
  type Layer,
  type MixtureOfExperts,
  type ModelArchitecture,
  presets,
} from '@shardloom/models'
import { depthOf, given, type Setting } from './launcher.js'
import type { SettingsReader } from './settings-reader.js'
import type { SpecReader } from './spec-reader.js'

type Shape = Record<string, Setting | undefined>

const flag = (on: boolean): boolean | undefined => on || undefined

/** The shape of a model in the flags of Megatron-LM. Throws `LAUNCHER` for what they cannot describe. */
export function writeShape(spec: SpecReader, architecture: ModelArchitecture | undefined): Shape {
  if (!architecture) return {}
  const refuse = (what: string) =>
    spec.refuse(
      'model',
      `its ${what} has no flags in Megatron-LM`,
      'Use the launcher vllm, sglang or deepspeed, which take models as they are.',
    )
  const { layers, order, norm, dropout = 0, undrawn, extras } = architecture
  const kinds = order.runs.map(({ layer }) => layers[layer]).filter((layer) => layer !== undefined)
  const [first] = kinds
  if (!first || undrawn?.length || extras?.length) return refuse(undrawn?.join(', ') || 'parts beside its layers')
  const { attention, norms, residual } = first
  if (norms !== 'pre' || residual !== 'sequential') return refuse('arrangement of norms and residuals')
  if (kinds.some((each) => JSON.stringify(each.attention) !== JSON.stringify(attention)))
    return refuse('mixture of kinds of attention')
  const mixtures = kinds.map(({ ffn }) => ffn).filter((ffn) => ffn.kind === 'moe')
  const dense = kinds.map(({ ffn }) => ffn).find((ffn) => ffn.kind === 'dense')
  const [mixture] = mixtures
  if (new Set(kinds.map(({ ffn }) => JSON.stringify(ffn))).size > (mixture && dense ? 2 : 1))
    return refuse('mixture of kinds of feed-forward networks')
  if (attention.kind === 'undrawn') return refuse(attention.feature)
  const { activation, bias } = dense ?? mixture ?? { activation: 'gelu', bias: false }
  if (activation !== 'swiglu' && activation !== 'gelu') return refuse(`activation ${activation}`)
  const whole = attention.kind === 'grouped' && attention.bias.out
  if (bias !== whole) return refuse('biases on some projections alone')
  if (architecture.headBias) return refuse('bias of the head')
  const rates = typeof dropout === 'number' ? { attention: dropout, residual: dropout, embedding: dropout } : dropout
  if ((rates.embedding ?? 0) !== (rates.residual ?? 0)) return refuse('dropout of embeddings alone')
  const pattern = mixture && dense ? expertPattern(architecture) : undefined
  return {
    'num-layers': depthOf(architecture),
    'hidden-size': architecture.hidden,
    'ffn-hidden-size': dense?.intermediate ?? mixture?.intermediate,
    'max-position-embeddings': architecture.learnedPositions ?? architecture.maxPositions,
    'position-embedding-type': architecture.learnedPositions === undefined ? 'rope' : 'learned_absolute',
    ...writeAttention(attention, refuse),
    normalization: norm.kind === 'rms' ? 'RMSNorm' : 'LayerNorm',
    swiglu: flag(activation === 'swiglu'),
    'disable-bias-linear': flag(!bias),
    'untie-embeddings-and-output-weights': flag(!architecture.tiedEmbeddings),
    'tokenizer-type': 'NullTokenizer',
    'vocab-size': architecture.vocab - 1, // that tokenizer adds the end of a document
    'make-vocab-size-divisible-by': 1,
    'hidden-dropout': rates.residual ?? 0,
    'attention-dropout': rates.attention ?? 0,
    ...(mixture && writeMixture(mixture, refuse)),
    'moe-layer-freq': pattern,
  }
}

function writeAttention(attention: GroupedAttention | LatentAttention, refuse: (what: string) => never): Shape {
  if (attention.kind === 'latent') {
    if (attention.indexer) return refuse('lightning indexer')
    return {
      'num-attention-heads': attention.heads,
      'multi-latent-attention': true,
      'q-lora-rank': attention.queryRank,
      'kv-lora-rank': attention.kvRank,
      'qk-head-dim': attention.nopeDim,
      'qk-pos-emb-head-dim': attention.ropeDim,
      'v-head-dim': attention.valueDim,
    }
  }
  const { heads, kvHeads, headDim, bias, qkNorm, qkNormGain = true, window, chunk, sinks } = attention
  if (window !== undefined || chunk !== undefined || sinks) return refuse('window, chunks or sinks of attention')
  if (qkNorm === 'whole' || !qkNormGain) return refuse('norm over whole queries and keys')
  return {
    'num-attention-heads': heads,
    'group-query-attention': flag(kvHeads !== heads),
    'num-query-groups': kvHeads === heads ? undefined : kvHeads,
    'kv-channels': headDim,
    'add-qkv-bias': flag(bias.qkv && !bias.out),
    'qk-layernorm': flag(qkNorm === 'head'),
  }
}

function writeMixture(mixture: MixtureOfExperts, refuse: (what: string) => never): Shape {
  const { groups, shared, scale, normalised = true } = mixture
  if (mixture.routerBias || mixture.bias) return refuse('biases of experts and routers')
  if (shared?.gate) return refuse('gate of shared experts')
  if (!normalised) return refuse('weights of experts that are not divided by their sum')
  return {
    'num-experts': mixture.experts,
    'moe-router-topk': mixture.topK,
    'moe-ffn-hidden-size': mixture.intermediate,
    'moe-router-num-groups': groups?.count,
    'moe-router-group-topk': groups?.topK,
    'moe-router-topk-scaling-factor': scale,
    'moe-router-enable-expert-bias': flag(mixture.correctionBias),
    'moe-router-score-function': mixture.correctionBias ? 'sigmoid' : undefined,
    'moe-shared-expert-intermediate-size': shared?.intermediate,
  }
}

/** Which layers have experts, as Megatron-LM's expression: `([0]*3+[1]*58)*1`. */
function expertPattern({ order, layers }: ModelArchitecture): string {
  const runs = order.runs.map(({ layer, count }) => `[${layers[layer]?.ffn.kind === 'moe' ? 1 : 0}]*${count}`)
  return `(${runs.join('+')})*${order.repeat ?? 1}`
}

/**
 * The model whose shape flags describe: the name of a preset of that shape, or an object with as many rows of the embedding as
 * Megatron-LM pads them to. Undefined where sizes are missing. Throws `LAUNCHER` where only the vocabulary is, which comes with a
 * tokenizer, unless one preset has the rest or a model `isGiven`.
 */
export function readShape(flags: SettingsReader, isGiven: boolean): string | ModelArchitecture | undefined {
  const size = (name: string) => flags.count(name)
  const [layers, hidden, heads] = [size('num-layers'), size('hidden-size'), size('num-attention-heads')]
  const found = layers && hidden && heads ? architectureFrom(flags, { layers, hidden, heads }) : undefined
  if (!found) return undefined
  const rows = paddedRows(flags)
  const padded = `Megatron-LM pads the vocabulary from ${found.vocab} to ${rows} rows`
  const like = Object.entries(presets).filter(([, preset]) => shapeText(preset, found) === shapeText(found, found))
  const [preset, ...others] = like
  if (preset && others.length === 0) {
    const [name, { vocab }] = preset
    if (!isGiven && rows > 0 && rows !== vocab) flags.note(`${padded}, and ${name} has ${vocab}`)
    return name
  }
  if (isGiven) return undefined
  if (rows === 0)
    flags.refuse(
      'vocab-size',
      'the flags have the sizes of a model but for its vocabulary, which its tokenizer decides',
      'Add `--vocab-size`, or give a model: a preset, or the path of its config.json.',
    )
  if (rows !== found.vocab) flags.note(padded)
  return { ...found, vocab: rows }
}

/** Notes sizes of another model than the one that is planned. */
export function noteOtherShape(flags: SettingsReader, model: ModelArchitecture): void {
  const heads = new Set(
    Object.values(model.layers).flatMap(({ attention }) => ('heads' in attention ? [attention.heads] : [])),
  )
  const sizes = { 'num-layers': [depthOf(model)], 'hidden-size': [model.hidden], 'num-attention-heads': [...heads] }
  for (const [name, own] of Object.entries(sizes)) {
    const said = flags.count(name)
    if (said === undefined || own.length === 0 || own.includes(said)) continue
    flags.note(`\`--${name} ${said}\` is of another model: ${model.name}, which is planned, has ${own.join(' and ')}`)
  }
}

/** What of a model the flags settle, to compare by; a vocabulary that they leave open (0) is any. */
function shapeText(model: ModelArchitecture, { vocab, learnedPositions }: ModelArchitecture): string {
  const kinds = model.order.runs.map(({ layer, count }) => [model.layers[layer], count])
  const { tiedEmbeddings, norm, hidden, extras, headBias } = model
  const positions = learnedPositions === undefined ? model.learnedPositions : model.learnedPositions !== undefined
  return canonical([
    kinds,
    model.order.repeat ?? 1,
    hidden,
    tiedEmbeddings,
    norm,
    extras,
    headBias,
    positions,
    vocab === 0 || model.vocab,
  ])
}

/** JSON with keys in order, without what is not there. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  )

interface Sizes {
  readonly layers: number
  readonly hidden: number
  readonly heads: number
}

function architectureFrom(flags: SettingsReader, { layers, hidden, heads }: Sizes): ModelArchitecture {
  const swiglu = flags.flag('swiglu')
  const bias = !flags.flag('disable-bias-linear')
  const rope = flags.text('position-embedding-type') === 'rope' || flags.flag('use-rotary-position-embeddings')
  const positions = flags.count('max-position-embeddings')
  const rms = flags.text('normalization') === 'RMSNorm'
  const rates = {
    embedding: flags.number('hidden-dropout') ?? 0.1,
    attention: flags.number('attention-dropout') ?? 0.1,
    residual: flags.number('hidden-dropout') ?? 0.1,
  }
  const alike = rates.attention === rates.residual
  const intermediate = flags.count('ffn-hidden-size') ?? 4 * hidden
  const activation = swiglu ? ('swiglu' as const) : ('gelu' as const)
  const attention = readAttention(flags, { hidden, heads, bias, rope })
  const kindOf = (ffn: Layer['ffn']): Layer => ({ attention, ffn, residual: 'sequential', norms: 'pre' })
  const dense = kindOf({ kind: 'dense', intermediate, activation, bias })
  const mixture = readMixture(flags, intermediate, activation)
  const runs = mixture ? readPattern(flags, layers) : [{ experts: false, count: layers }]
  const nameOf = (experts: boolean) =>
    runs.every((run) => run.experts === experts) ? 'layer' : experts ? 'moe-layer' : 'dense-layer'
  const used = [false, true].filter((experts) => runs.some((run) => run.experts === experts))
  const whole: Record<string, unknown> = {
    schema: 'shardloom.model/1',
    name: 'GPT',
    family: 'gpt',
    hidden,
    vocab: readVocabulary(flags),
    tiedEmbeddings: !flags.flag('untie-embeddings-and-output-weights'),
    learnedPositions: rope ? undefined : (positions ?? flags.count('seq-length')),
    norm: { kind: rms ? 'rms' : 'layer', bias: !rms },
    dropout: alike ? rates.attention || undefined : rates,
    maxPositions: positions,
    layers: Object.fromEntries(used.map((experts) => [nameOf(experts), experts && mixture ? kindOf(mixture) : dense])),
    order: { runs: runs.map(({ experts, count }) => ({ layer: nameOf(experts), count })) },
  }
  return given(whole) as unknown as ModelArchitecture // checked where the model is loaded
}

/** Rows of the embedding with padding (`_vocab_size_with_padding` of its tokenizers), 0 where a tokenizer says how many. */
function paddedRows(flags: SettingsReader): number {
  const [tokens, padded] = [flags.count('vocab-size'), flags.count('padded-vocab-size')]
  if (padded !== undefined || tokens === undefined) return padded ?? 0
  const tp = flags.count('tensor-model-parallel-size', 'model-parallel-size') ?? 1
  const multiple = Math.max(1, (flags.count('make-vocab-size-divisible-by') ?? 128) * tp)
  const end = flags.text('tokenizer-type') === 'NullTokenizer' ? 1 : 0
  return Math.ceil((tokens + end) / multiple) * multiple
}

/**
 * Tokens of the vocabulary, 0 where a tokenizer says how many. NullTokenizer adds one for the end of a document; where rows are padded
 * to a multiple, as they are unless told otherwise, that is part of the padding, which the models of presets do not have.
 */
function readVocabulary(flags: SettingsReader): number {
  const tokens = flags.count('vocab-size', 'padded-vocab-size') ?? 0
  const exact = flags.count('make-vocab-size-divisible-by') === 1 && flags.text('tokenizer-type') === 'NullTokenizer'
  return tokens > 0 && exact ? tokens + 1 : tokens
}

function readAttention(
  flags: SettingsReader,
  shape: { hidden: number; heads: number; bias: boolean; rope: boolean },
): Layer['attention'] {
  const { hidden, heads, bias, rope } = shape
  const queryRank = flags.count('q-lora-rank')
  const latent = {
    kvRank: flags.count('kv-lora-rank') ?? 32,
    nopeDim: flags.count('qk-head-dim') ?? 128,
    ropeDim: flags.count('qk-pos-emb-head-dim') ?? 64,
    valueDim: flags.count('v-head-dim') ?? 128,
  }
  const [kvHeads, headDim] = [flags.count('num-query-groups') ?? 1, flags.count('kv-channels') ?? hidden / heads]
  const groups = flags.flag('group-query-attention')
  const qkv = flags.flag('add-qkv-bias') || bias
  const normed = flags.flag('qk-layernorm')
  if (flags.flag('multi-latent-attention'))
    return { kind: 'latent', heads, ...(queryRank !== undefined && { queryRank }), ...latent }
  return {
    kind: 'grouped',
    heads,
    kvHeads: groups ? kvHeads : heads,
    headDim,
    bias: { qkv, out: bias },
    ...(normed && { qkNorm: 'head' as const }),
    rotary: rope,
  }
}

function readMixture(
  flags: SettingsReader,
  usual: number,
  activation: 'swiglu' | 'gelu',
): MixtureOfExperts | undefined {
  const experts = flags.count('num-experts')
  const [topK, intermediate] = [flags.count('moe-router-topk') ?? 2, flags.count('moe-ffn-hidden-size') ?? usual]
  const [count, chosen] = [flags.count('moe-router-num-groups'), flags.count('moe-router-group-topk')]
  const scale = flags.number('moe-router-topk-scaling-factor')
  const shared = flags.count('moe-shared-expert-intermediate-size')
  const correctionBias = flags.flag('moe-router-enable-expert-bias')
  if (experts === undefined) return undefined
  return {
    kind: 'moe',
    experts,
    topK,
    intermediate,
    activation,
    bias: false,
    routerBias: false,
    correctionBias,
    ...(count !== undefined && { groups: { count, topK: chosen ?? 1 } }),
    ...(scale !== undefined && { scale }),
    ...(shared !== undefined && {
      shared: { count: Math.max(1, Math.round(shared / intermediate)), intermediate: shared, gate: false },
    }),
  }
}

/** Which layers have experts: every n-th, or by an expression such as `([0]*3+[1]*58)*1`. */
function readPattern(flags: SettingsReader, layers: number): { experts: boolean; count: number }[] {
  const pattern = flags.text('moe-layer-freq') ?? '1'
  const marks = /^\d+$/.test(pattern)
    ? Array.from({ length: layers }, (_, layer) => layer % Number(pattern) === 0)
    : marksOf(pattern)
  if (marks.length !== layers)
    flags.refuse(
      'moe-layer-freq',
      `\`${pattern}\` is a pattern of ${marks.length} layers, and there are ${layers}`,
      'Such as `([0]*3+[1]*58)`.',
    )
  const runs: { experts: boolean; count: number }[] = []
  for (const experts of marks) {
    const run = runs.at(-1)
    if (run?.experts === experts) run.count++
    else runs.push({ experts, count: 1 })
  }
  return runs
}

/** The list that an expression of lists, sums and products stands for; empty where it is none. */
function marksOf(expression: string): boolean[] {
  const text = expression.replace(/\s/g, '')
  const [, sum = text, repeat = '1'] = /^\(([^()]*)\)(?:\*(\d+))?$/.exec(text) ?? []
  const once = sum.split('+').flatMap((term) => {
    const [, list = '', count = '1'] = /^\[([01](?:,[01])*)\](?:\*(\d+))?$/.exec(term) ?? []
    const marks = list
      .split(',')
      .filter(Boolean)
      .map((mark) => mark === '1')
    return Array.from({ length: Math.min(Number(count), 1000) }, () => marks).flat()
  })
  return Array.from({ length: Math.min(Number(repeat), 1000) }, () => once).flat()
}
