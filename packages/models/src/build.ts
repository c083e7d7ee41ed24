import { closePorts, createMesh, type DataType, type Phase, type Program, ShardloomError } from '@shardloom/core'
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
  /** Decode: steps in the graph. */
  readonly steps?: number
  /** Whether scores and probabilities touch memory and are saved for backward. */
  readonly attention?: 'flash' | 'materialised'
  /** Whether the FLOPs of causal attention count every pair of positions, or half of them. */
  readonly causal?: 'whole' | 'halved'
  readonly dtype?: DataType
  readonly gradientDtype?: DataType
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
    attention: 'flash',
    causal: 'whole',
    dtype: 'bf16',
    gradientDtype: 'fp32',
    layerBoundaries: [],
    ...given,
  }
  checkOptions(architecture, options)
  const { phase } = options
  const graph = new Graph(phase === 'training' ? 'forward' : phase, options.dtype)
  const runs = layerRuns(architecture, options.layerBoundaries)
  const weights = addParameters(graph, architecture, runs)
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
  const longest = architecture.learnedPositions
  const positions = options.seq + (options.phase === 'decode' ? options.steps - 1 : 0)
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
