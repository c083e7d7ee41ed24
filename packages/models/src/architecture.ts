/**
 * A model's shapes in Shardloom's own format, independent of any checkpoint format. Sizes are counts of elements;
 * nothing here says how a model is split.
 */
export interface ModelArchitecture {
  readonly schema: 'shardloom.model/1'
  /** A display name, such as `Llama 3.1 70B`; free text that a user controls. */
  readonly name: string
  /** The family, in the words of Hugging Face's `model_type` where it has one. */
  readonly family: string
  readonly hidden: number
  readonly vocab: number
  /** Whether the head reads the token embedding's table. */
  readonly tiedEmbeddings: boolean
  /** Learned absolute positions (GPT-2): the number of rows of the table. */
  readonly learnedPositions?: number
  readonly headBias?: boolean
  /** The norm used for every layer norm and for the final one. */
  readonly norm: { readonly kind: 'rms' | 'layer' /** A bias beside the gain. */; readonly bias: boolean }
  /** Training: the share of elements that is dropped, of each kind of tensor or one for all; default none. */
  readonly dropout?: number | DropoutRates
  /** The element type in which a checkpoint stores the matrices of layers, where it is of eight bits; else what computes. */
  readonly weightDtype?: 'fp8'
  /** The longest sequence that the model was trained for, in tokens. */
  readonly maxPositions?: number
  /** The distinct layers by name; the name is a path segment of node ids (`layer`, `dense-layer`, `moe-layer`, …). */
  readonly layers: Readonly<Record<string, Layer>>
  /** Which layer stands at each depth, run-length coded; the whole list is repeated `repeat` times (default 1). */
  readonly order: {
    readonly runs: readonly { readonly layer: string; readonly count: number }[]
    readonly repeat?: number
  }
  /** Parameters outside the text model's layers, such as a vision tower: counted, never drawn. */
  readonly extras?: readonly { readonly module: string; readonly parameters: number }[]
  /** Features that no phase can express yet, by name: a plan refuses the model and names them; the count stands. */
  readonly undrawn?: readonly string[]
}

/** Shares of elements, at least 0 and less than 1, that training drops; default 0, which is no operator. */
export interface DropoutRates {
  /** Of the embeddings, positions included. */
  readonly embedding?: number
  /** Of the attention probabilities. */
  readonly attention?: number
  /** Of what attention and feed-forward networks add to the residual stream. */
  readonly residual?: number
}

/** One kind of layer. */
export interface Layer {
  readonly attention: GroupedAttention | LatentAttention | UndrawnAttention
  readonly ffn: DenseFfn | MixtureOfExperts
  /** `sequential`: x + attention, then + ffn. `parallel`: both read the same residual (GPT-NeoX, Falcon, Phi). */
  readonly residual: 'sequential' | 'parallel'
  /**
   * Where the layer norms stand. `pre`: before attention and before ffn. `post`: on each branch's output (OLMo 2).
   * `sandwich`: both (Gemma 2 and 3). `shared`: one norm feeds both branches of a parallel residual (Falcon 7B, Phi).
   */
  readonly norms: 'pre' | 'post' | 'sandwich' | 'shared'
}

/** Multi-head, grouped-query or multi-query attention. */
export interface GroupedAttention {
  readonly kind: 'grouped'
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  /** Biases on the query, key and value projections and on the output projection. */
  readonly bias: { readonly qkv: boolean; readonly out: boolean }
  /** Norms on queries and keys: over each head's vector, or over the whole projection (OLMo 2, MiniMax M2). */
  readonly qkNorm?: 'head' | 'whole'
  /** Whether a qk norm has learned gains (Llama 4's has none). Default true. */
  readonly qkNormGain?: boolean
  /** Rotary positions on this layer; `false` for learned positions or a layer without positions. */
  readonly rotary: boolean
  /** Attends to the last `window` positions only. */
  readonly window?: number
  /** Attends inside chunks of this many positions (Llama 4). */
  readonly chunk?: number
  /** A learned extra logit per head in the softmax (gpt-oss). */
  readonly sinks?: boolean
}

/** Multi-head latent attention (DeepSeek-V2, section 2.1). */
export interface LatentAttention {
  readonly kind: 'latent'
  readonly heads: number
  /** Rank of the query down-projection; absent when queries are projected directly. */
  readonly queryRank?: number
  readonly kvRank: number
  readonly nopeDim: number
  readonly ropeDim: number
  readonly valueDim: number
  /** A lightning indexer for sparse attention (DeepSeek-V3.2): counted, not drawn. */
  readonly indexer?: { readonly heads: number; readonly headDim: number }
}

/** Attention that is counted but cannot be drawn yet; its parameters by module, per layer. */
export interface UndrawnAttention {
  readonly kind: 'undrawn'
  readonly feature: string
  readonly parameters: readonly {
    readonly module: string
    /** A path below `attention/`, such as `output_gate/weight`. */
    readonly name: string
    readonly dims: readonly string[]
    readonly shape: readonly number[]
  }[]
}

/** The activation of a feed-forward network; the gated ones multiply by a second projection. */
export type Activation = 'swiglu' | 'geglu' | 'gelu' | 'relu'

/** A dense feed-forward network. */
export interface DenseFfn {
  readonly kind: 'dense'
  readonly intermediate: number
  readonly activation: Activation
  readonly bias: boolean
}

/** A mixture of experts: a router chooses `topK` of `experts` for each token. */
export interface MixtureOfExperts {
  readonly kind: 'moe'
  readonly experts: number
  readonly topK: number
  /** Width of one routed expert. */
  readonly intermediate: number
  readonly activation: Activation
  /** Biases on the experts' projections (gpt-oss). */
  readonly bias: boolean
  readonly routerBias: boolean
  /** A per-expert correction added to the router's scores for choosing only (DeepSeek-V3). */
  readonly correctionBias: boolean
  /**
   * Routing limited by groups: experts stand in `count` groups of neighbours, and a token chooses among those of its best
   * `topK` groups. Groups rank by the sum of their two largest corrected scores (DeepSeek-V3, section 2.1.2 and its
   * reference implementation), without a correction by the largest one (DeepSeek-V2, section 2.2.2).
   */
  readonly groups?: { readonly count: number; readonly topK: number }
  /** Whether the weights of a token's experts are divided by their sum; default true. */
  readonly normalised?: boolean
  /** What the weights of a token's experts are multiplied by; default 1. */
  readonly scale?: number
  /** Shared experts that every token passes, as one network of this total width, with an optional sigmoid gate. */
  readonly shared?: { readonly count: number; readonly intermediate: number; readonly gate: boolean }
}
