import type {
  DenseFfn,
  GroupedAttention,
  LatentAttention,
  Layer,
  MixtureOfExperts,
  ModelArchitecture,
} from './architecture.js'

/** One weight of a model: of each layer of one kind, or outside the layers. */
export interface ParameterTensor {
  /** A path such as `attention/q/weight`, unique within its layer kind and within the tensors outside layers. */
  readonly name: string
  /** The module that the weight is counted under, such as `attention.q` or `moe.routed_experts`. */
  readonly module: string
  /** The name of each dim, in order. */
  readonly dims: readonly string[]
  /** The size of each dim, in elements, in the order of `dims`. */
  readonly shape: readonly number[]
  /** The kind of layer that holds the weight; absent outside the layers. */
  readonly layer?: string
  /** How many layers hold such a weight; 1 outside the layers. */
  readonly instances: number
  /** Present on the weights of routed experts, of which a token uses `topK / experts`. */
  readonly routed?: true
  /** Whether the operator graph holds the weight; extras, indexers and undrawn attention are counted only. */
  readonly drawn: boolean
}

/** How one module contributes to a model's count. */
export interface ModuleCount {
  /** How many such modules the model has: one per layer, one per layer norm, one per routed expert and so on. */
  readonly instances: number
  /** All parameters of these modules together. */
  readonly parameters: number
  /** Those of them that one token uses. */
  readonly active: number
}

/** The exact parameter counts of a model; a tied table is counted once. */
export interface ParameterCount {
  readonly total: number
  /** The parameters that one token uses: `topK` of the routed experts, and everything else. */
  readonly active: number
  /** The active parameters without the token embedding, the position embedding and the head. */
  readonly activeWithoutEmbedding: number
  /** The counts by module, in the order of {@link parameterTensors}. */
  readonly modules: ReadonlyMap<string, ModuleCount>
}

/** Families whose checkpoints store queries, keys and values as one weight; only the module names depend on it. */
const FUSED_QKV = new Set(['gpt2', 'gpt_neox', 'falcon'])

const EMBEDDING_MODULES = new Set(['embedding.token', 'embedding.position', 'lm_head'])

type Dim = readonly [name: string, size: number]
type Dims = readonly Dim[]
type Add = (
  name: string,
  module: string,
  dims: Dims,
  flags?: { readonly routed?: true; readonly drawn?: boolean },
) => void

/** How many layers of each kind the model has, over all runs and repeats; a kind that `order` never names is absent. */
export function layerCounts(architecture: ModelArchitecture): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  const repeat = architecture.order.repeat ?? 1
  for (const { layer, count } of architecture.order.runs) {
    counts.set(layer, (counts.get(layer) ?? 0) + count * repeat)
  }
  return counts
}

/** Whether an activation multiplies by a second projection, so that the network has a gate weight. */
export function isGated(activation: DenseFfn['activation']): boolean {
  return activation === 'swiglu' || activation === 'geglu'
}

/**
 * Every weight of a model, each once: the list that both the count and the operator graph are built from. Weights
 * before the layers come first, then those of each layer kind in the order of `layers`, then the rest.
 */
export function parameterTensors(architecture: ModelArchitecture): ParameterTensor[] {
  const tensors: ParameterTensor[] = []
  const adder = (instances: number, layer?: string): Add => {
    return (name, module, dims, flags = {}) => {
      tensors.push({
        name,
        module,
        dims: dims.map(([dim]) => dim),
        shape: dims.map(([, size]) => size),
        ...(layer === undefined ? {} : { layer }),
        instances,
        ...(flags.routed ? { routed: true } : {}),
        drawn: flags.drawn ?? true,
      })
    }
  }
  const outside = adder(1)
  const hidden: Dim = ['hidden', architecture.hidden]
  const vocab: Dim = ['vocab', architecture.vocab]

  outside('embedding/weight', 'embedding.token', [vocab, hidden])
  if (architecture.learnedPositions !== undefined) {
    outside('embedding/positions', 'embedding.position', [['positions', architecture.learnedPositions], hidden])
  }
  const counts = layerCounts(architecture)
  for (const [kind, layer] of Object.entries(architecture.layers)) {
    const instances = counts.get(kind) ?? 0
    if (instances > 0) addLayer(adder(instances, kind), architecture, layer)
  }
  outside('final_norm/gain', 'norm.final', [hidden])
  if (architecture.norm.bias) outside('final_norm/bias', 'norm.final', [hidden])
  if (!architecture.tiedEmbeddings) outside('head/weight', 'lm_head', [vocab, hidden])
  if (architecture.headBias) outside('head/bias', 'lm_head', [vocab])
  for (const { module, parameters } of architecture.extras ?? []) {
    outside(`extras/${module}`, module, [['parameters', parameters]], { drawn: false })
  }
  return tensors
}

function addLayer(add: Add, architecture: ModelArchitecture, layer: Layer): void {
  const hidden: Dim = ['hidden', architecture.hidden]
  const addNorm = (name: string) => {
    add(`${name}/gain`, 'norm.layer', [hidden])
    if (architecture.norm.bias) add(`${name}/bias`, 'norm.layer', [hidden])
  }
  if (layer.norms !== 'post') addNorm('attention_norm')
  addAttention(add, architecture, layer)
  if (layer.norms === 'post' || layer.norms === 'sandwich') addNorm('attention_post_norm')
  if (layer.norms === 'pre' || layer.norms === 'sandwich') addNorm('ffn_norm')
  if (layer.ffn.kind === 'moe') addMixtureOfExperts(add, hidden, layer.ffn)
  else
    addDense(
      add,
      hidden,
      layer.ffn,
      Object.values(architecture.layers).some(({ ffn }) => ffn.kind === 'moe'),
    )
  if (layer.norms === 'post' || layer.norms === 'sandwich') addNorm('ffn_post_norm')
}

function addAttention(add: Add, architecture: ModelArchitecture, { attention }: Layer): void {
  const hidden: Dim = ['hidden', architecture.hidden]
  if (attention.kind === 'latent') addLatentAttention(add, hidden, attention)
  else if (attention.kind === 'grouped') addGroupedAttention(add, hidden, attention, attentionModules(architecture))
  else {
    for (const { module, name, dims, shape } of attention.parameters) {
      const sizes = shape.map((size, index): Dim => [dims[index] ?? `dim_${index}`, size])
      add(`attention/${name}`, module, sizes, { drawn: false })
    }
  }
}

/** The modules of the projections; where a model has undrawn attention too (MiniMax M1), the other is called full. */
function attentionModules(architecture: ModelArchitecture) {
  const hybrid = Object.values(architecture.layers).some(({ attention }) => attention.kind === 'undrawn')
  const prefix = hybrid ? 'attention.full' : 'attention'
  const fused = FUSED_QKV.has(architecture.family) ? `${prefix}.qkv` : undefined
  return { q: fused ?? `${prefix}.q`, k: fused ?? `${prefix}.k`, v: fused ?? `${prefix}.v`, out: `${prefix}.out` }
}

function addGroupedAttention(
  add: Add,
  hidden: Dim,
  attention: GroupedAttention,
  modules: ReturnType<typeof attentionModules>,
): void {
  const kvHeads: Dim = ['kv_heads', attention.kvHeads]
  const group: Dim = ['group', attention.heads / attention.kvHeads]
  const headDim: Dim = ['head_dim', attention.headDim]
  const query: Dims = [kvHeads, group, headDim]
  const keyOrValue: Dims = [kvHeads, headDim]
  const { bias, qkNorm } = attention

  add('attention/q/weight', modules.q, [hidden, ...query])
  if (bias.qkv) add('attention/q/bias', modules.q, query)
  add('attention/k/weight', modules.k, [hidden, ...keyOrValue])
  if (bias.qkv) add('attention/k/bias', modules.k, keyOrValue)
  add('attention/v/weight', modules.v, [hidden, ...keyOrValue])
  if (bias.qkv) add('attention/v/bias', modules.v, keyOrValue)
  if (qkNorm === 'head' && attention.qkNormGain !== false) {
    add('attention/q_norm/gain', 'norm.qk', [headDim])
    add('attention/k_norm/gain', 'norm.qk', [headDim])
  }
  if (qkNorm === 'whole' && attention.qkNormGain !== false) {
    add('attention/q_norm/gain', 'norm.q', query)
    add('attention/k_norm/gain', 'norm.k', keyOrValue)
  }
  if (attention.sinks) add('attention/sinks', 'attention.sinks', [kvHeads, group])
  add('attention/out/weight', modules.out, [...query, hidden])
  if (bias.out) add('attention/out/bias', modules.out, [hidden])
}

function addLatentAttention(add: Add, hidden: Dim, attention: LatentAttention): void {
  const heads: Dim = ['kv_heads', attention.heads]
  const qkDim: Dim = ['qk_dim', attention.nopeDim + attention.ropeDim]
  const kvRank: Dim = ['kv_rank', attention.kvRank]
  const valueDim: Dim = ['value_dim', attention.valueDim]
  const queryRank: Dim | undefined = attention.queryRank === undefined ? undefined : ['q_rank', attention.queryRank]

  if (queryRank === undefined) {
    add('attention/q/weight', 'attention.q', [hidden, heads, qkDim])
  } else {
    add('attention/q_down/weight', 'attention.q_a', [hidden, queryRank])
    add('attention/q_norm/gain', 'norm.q_a', [queryRank])
    add('attention/q/weight', 'attention.q_b', [queryRank, heads, qkDim])
  }
  add('attention/kv_down/weight', 'attention.kv_a', [hidden, kvRank])
  add('attention/k_rope/weight', 'attention.kv_a', [hidden, ['rope_dim', attention.ropeDim]])
  add('attention/kv_norm/gain', 'norm.kv_a', [kvRank])
  add('attention/k_up/weight', 'attention.kv_b', [kvRank, heads, ['nope_dim', attention.nopeDim]])
  add('attention/v_up/weight', 'attention.kv_b', [kvRank, heads, valueDim])
  if (attention.indexer !== undefined) {
    const indexHeads: Dim = ['index_heads', attention.indexer.heads]
    const indexDim: Dim = ['index_dim', attention.indexer.headDim]
    const prefix = 'attention/indexer'
    const modules = 'attention.indexer'
    add(`${prefix}/q/weight`, `${modules}.wq_b`, [queryRank ?? hidden, indexHeads, indexDim], { drawn: false })
    add(`${prefix}/k/weight`, `${modules}.wk`, [hidden, indexDim], { drawn: false })
    add(`${prefix}/k_norm/gain`, `${modules}.k_norm`, [indexDim], { drawn: false })
    add(`${prefix}/k_norm/bias`, `${modules}.k_norm`, [indexDim], { drawn: false })
    add(`${prefix}/weights/weight`, `${modules}.weights_proj`, [hidden, indexHeads], { drawn: false })
  }
  add('attention/out/weight', 'attention.out', [heads, valueDim, hidden])
}

function addDense(add: Add, hidden: Dim, ffn: DenseFfn, besideExperts: boolean): void {
  const width: Dim = ['ffn', ffn.intermediate]
  const gated = isGated(ffn.activation)
  const whole = besideExperts ? 'mlp.dense' : gated ? 'mlp.gate_up_down' : undefined
  if (gated) {
    add('ffn/gate/weight', whole ?? 'mlp.gate', [hidden, width])
    if (ffn.bias) add('ffn/gate/bias', whole ?? 'mlp.gate', [width])
  }
  add('ffn/up/weight', whole ?? 'mlp.up', [hidden, width])
  if (ffn.bias) add('ffn/up/bias', whole ?? 'mlp.up', [width])
  add('ffn/down/weight', whole ?? 'mlp.down', [width, hidden])
  if (ffn.bias) add('ffn/down/bias', whole ?? 'mlp.down', [hidden])
}

function addMixtureOfExperts(add: Add, hidden: Dim, moe: MixtureOfExperts): void {
  const experts: Dim = ['experts', moe.experts]
  const width: Dim = ['ffn', moe.intermediate]
  const gated = isGated(moe.activation)
  const addExperts = (name: string, dims: Dims) => {
    add(`moe/experts/${name}`, 'moe.routed_experts', [experts, ...dims], { routed: true })
  }
  add('moe/router/weight', 'moe.router', [hidden, experts])
  if (moe.routerBias) add('moe/router/bias', 'moe.router', [experts])
  if (moe.correctionBias) add('moe/router/correction', 'moe.router_correction_bias', [experts])
  for (const name of gated ? ['gate', 'up'] : ['up']) {
    addExperts(`${name}/weight`, [hidden, width])
    if (moe.bias) addExperts(`${name}/bias`, [width])
  }
  addExperts('down/weight', [width, hidden])
  if (moe.bias) addExperts('down/bias', [hidden])
  if (moe.shared === undefined) return

  const sharedWidth: Dim = ['ffn', moe.shared.intermediate]
  if (gated) add('moe/shared/gate/weight', 'moe.shared_experts', [hidden, sharedWidth])
  add('moe/shared/up/weight', 'moe.shared_experts', [hidden, sharedWidth])
  add('moe/shared/down/weight', 'moe.shared_experts', [sharedWidth, hidden])
  if (moe.shared.gate) add('moe/shared/router/weight', 'moe.shared_expert_gate', [hidden])
}

/**
 * Counts a model's parameters exactly. The counts are plain numbers: every model with fewer than 2^53 parameters is
 * counted to the unit.
 */
export function countParameters(architecture: ModelArchitecture): ParameterCount {
  const modules = new Map<string, { instances: number; parameters: number; active: number }>()
  const units = new Set<string>()
  let activeWithoutEmbedding = 0
  let total = 0
  let active = 0
  for (const tensor of parameterTensors(architecture)) {
    const each = tensor.shape.reduce((product, size) => product * size, 1)
    const ffn = tensor.layer === undefined ? undefined : architecture.layers[tensor.layer]?.ffn
    const experts = tensor.routed && ffn?.kind === 'moe' ? ffn : undefined
    const parameters = each * tensor.instances
    const used = experts === undefined ? parameters : (parameters / experts.experts) * experts.topK
    total += parameters
    active += used
    if (!EMBEDDING_MODULES.has(tensor.module)) activeWithoutEmbedding += used

    const module = modules.get(tensor.module) ?? { instances: 0, parameters: 0, active: 0 }
    modules.set(tensor.module, module)
    module.parameters += parameters
    module.active += used
    const unit = moduleUnit(tensor)
    if (units.has(unit)) continue
    units.add(unit)
    module.instances += tensor.instances * (experts?.experts ?? 1)
  }
  return { total, active, activeWithoutEmbedding, modules }
}

/** Tensors with equal units are parts of one module: all of a layer's, save that each norm is a module of its own. */
function moduleUnit({ name, module, layer }: ParameterTensor): string {
  const norm = module.startsWith('norm.') ? name.slice(0, name.lastIndexOf('/')) : ''
  return JSON.stringify([layer ?? null, module, norm])
}
