import {
  closePorts,
  createMesh,
  type DataType,
  divisors,
  orList,
  type Phase,
  type Program,
  ShardloomError,
} from '@shardloom/core'
import type { ModelArchitecture } from './architecture.js'
import { buildDecode } from './build-decode.js'
import type { Model } from './build-model.js'
import { buildPrefill } from './build-prefill.js'
import { buildTraining } from './build-training.js'
import { Graph } from './graph.js'
import { layerRuns } from './layer-runs.js'
import { addParameters } from './weights.js'

/** How one device runs a model. */
export interface BuildOptions {
  readonly phase: Phase
  /** Sequences of one microbatch over the whole mesh. */
  readonly batch: number
  /** Microbatches per step (default 1); while decoding, batches in flight at one time. */
  readonly microbatches?: number
  /** Training, prefill: tokens per sequence. Decode: positions that the first step reads, its own included. */
  readonly seq: number
  /** Prefill: positions of each sequence that are in the cache already, and tokens that are computed at a time. */
  readonly cached?: number
  readonly chunk?: number
  /** Decode: steps in the graph. */
  readonly steps?: number
  /** Decode: tokens that a draft proposes for each step to verify, and how many tokens a step keeps in the graph. */
  readonly draft?: number
  readonly keep?: number
  /** Whether scores and probabilities touch memory and are saved for backward. */
  readonly attention?: 'flash' | 'materialised'
  /**
   * Training: whether the cross-entropy works on the logits as they are, or operator by operator, as PyTorch does uncompiled: backward
   * then holds log-softmax, its gradient and that of the logits in single precision at one time.
   */
  readonly loss?: 'fused' | 'materialised'
  /** Whether the FLOPs of causal attention count every pair of positions, or half of them. */
  readonly causal?: 'whole' | 'halved'
  readonly dtype?: DataType
  readonly gradientDtype?: DataType
  /** Inference: the element types in which matrices of layers, and the KV cache, are stored; default that of all else. */
  readonly weightDtype?: DataType
  readonly cacheDtype?: DataType
  /** Depths at which a new body begins, so that a strategy can name ranges of layers. */
  readonly layerBoundaries?: readonly number[]
}

/** The options with their defaults. */
export type ResolvedOptions = Required<BuildOptions>

const builders: Record<Phase, (model: Model) => void> = {
  training: buildTraining,
  prefill: buildPrefill,
  decode: buildDecode,
}

/** Builds the operator graph of one device for one phase; training as its forward pass, which `differentiate` completes. */
export function buildProgram(architecture: ModelArchitecture, given: BuildOptions): Program {
  if (architecture.undrawn?.length) {
    throw new ShardloomError(
      'UNDRAWN',
      `\`${architecture.name}\` cannot be planned yet: it needs ${architecture.undrawn.join(', ')}.`,
      {
        subject: architecture.name,
        help: 'Its parameters can still be counted. Choose a model without this feature.',
      },
    )
  }
  const options: ResolvedOptions = {
    microbatches: 1,
    steps: 1,
    cached: 0,
    draft: 0,
    keep: (given.draft ?? 0) + 1,
    chunk: given.seq - (given.cached ?? 0),
    attention: 'flash',
    loss: 'fused',
    causal: 'whole',
    dtype: 'bf16',
    gradientDtype: 'fp32',
    weightDtype: given.dtype ?? 'bf16',
    cacheDtype: given.dtype ?? 'bf16',
    layerBoundaries: [],
    ...given,
  }
  checkOptions(architecture, options)
  const { phase } = options
  const graph = new Graph(phase === 'training' ? 'forward' : phase, options.dtype)
  const runs = layerRuns(architecture, options.layerBoundaries)
  const weights = addParameters(graph, architecture, runs, options.weightDtype)
  const model = { graph, architecture, options, runs, weights }
  builders[phase](model)
  const { attention, causal, dtype, gradientDtype } = options
  return {
    schema: 'shardloom.program/1',
    name: architecture.name,
    phase,
    mesh: createMesh([]),
    tensors: graph.tensors,
    items: closePorts(graph.finish(), graph.tensors),
    preferences: [],
    uneven: 'refuse',
    notes: { model: architecture.name, attention, causal, dtype, ...(phase === 'training' && { gradientDtype }) },
  }
}

function checkOptions(architecture: ModelArchitecture, options: ResolvedOptions): void {
  for (const name of ['batch', 'microbatches', 'seq', 'steps'] as const) {
    const value = options[name]
    if (Number.isSafeInteger(value) && value >= 1) continue
    throw new ShardloomError('OPTION', `\`${name}\` is ${value}.`, {
      subject: name,
      help: 'It is a whole number of at least 1.',
    })
  }
  if (options.phase === 'prefill') checkChunks(options)
  if (options.phase === 'decode') checkDraft(options)
  const longest = architecture.learnedPositions
  const positions = options.seq + (options.phase === 'decode' ? (options.steps - 1) * options.keep + options.draft : 0)
  if (longest !== undefined && positions > longest) {
    throw new ShardloomError(
      'POSITIONS',
      `${positions} positions are asked of \`${architecture.name}\`, which has learned ${longest}.`,
      {
        subject: 'seq',
        help: `Use a \`seq\` of at most ${longest - (positions - options.seq)}.`,
      },
    )
  }
}

/** The most chunks of a prompt: the KV cache grows in each, so that each is measured on its own. */
const mostChunks = 65_536

function checkChunks({ seq, cached, chunk }: ResolvedOptions): void {
  if (!Number.isSafeInteger(cached) || cached < 0 || cached >= seq) {
    const message = `\`cached\` is ${cached}, but a prompt has ${seq} tokens, of which at least one is computed.`
    throw new ShardloomError('OPTION', message, { subject: 'cached', help: `Use 0 to ${seq - 1}.` })
  }
  const rest = seq - cached
  if (Number.isSafeInteger(chunk) && chunk >= 1 && rest % chunk === 0 && rest / chunk <= mostChunks) return
  const tokens = cached ? `${rest} tokens that are not cached` : `${rest} tokens`
  const message = `Cannot divide the ${tokens} of a prompt into chunks of ${chunk}.`
  const sizes = divisors(rest).filter((each) => rest / each <= mostChunks)
  const below = sizes.filter((each) => each <= chunk).slice(-4)
  const near = [...below, ...sizes.filter((each) => each > chunk)].slice(0, 8)
  throw new ShardloomError('OPTION', message, { subject: 'chunk', help: `Use a \`chunk\` of ${orList(near)}.` })
}

function checkDraft({ draft, keep }: ResolvedOptions): void {
  if (!Number.isSafeInteger(draft) || draft < 0)
    throw new ShardloomError('OPTION', `\`draft\` is ${draft}.`, {
      subject: 'draft',
      help: 'It is a number of tokens.',
    })
  if (Number.isSafeInteger(keep) && keep >= 1 && keep <= draft + 1) return
  const message = `\`keep\` is ${keep}, but a step that verifies ${draft} drafted tokens yields 1 to ${draft + 1}.`
  throw new ShardloomError('OPTION', message, { subject: 'keep', help: `Use 1 to ${draft + 1}.` })
}
