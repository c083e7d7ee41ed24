import { nearest, orList, ShardloomError } from '@shardloom/core'
import type { Scheduler } from './scheduler.js'

/** What the processes around the kernels take. */
export interface HostCost {
  /** Seconds per step: choosing what to compute, preparing inputs, handing out tokens. */
  readonly step: number
  /** Seconds per layer and step that the device waits between kernels, beyond what each kernel takes. */
  readonly layer: number
  /** Seconds per sequence and step: sampling, turning tokens into text, sending. */
  readonly sequence: number
  /** Seconds per request before it waits at the engine. */
  readonly request: number
  /**
   * Seconds per layer in which a step with prompts is issued kernel by kernel: none is done sooner. Steps that decode alone are replayed
   * as graphs. Zero where it is not known.
   */
  readonly issue: number
}

/** An inference engine as it comes: how it schedules, what of memory it takes, what its host costs. */
export interface EnginePreset {
  readonly name: string
  readonly scheduler: Scheduler
  /** Share of a device's memory for weights, activations and KV cache. */
  readonly memoryFraction: number
  readonly host: HostCost
  /** Seconds that a collective inside of a node takes before its bytes move: engines have kernels of their own for small ones. */
  readonly collectiveSeconds: number
  /** Share of the peak that its products of one byte sustain; absent: as in training. */
  readonly matmul8?: number
  /** The accelerators on which these and the host's constants were fitted, by their names in a spec. */
  readonly accelerators: readonly string[]
  /** Where the scheduler's defaults are documented, and what the host's constants were fitted to. */
  readonly sources: { readonly scheduler: string; readonly host: string }
}

const vllm: EnginePreset = {
  name: 'vllm',
  scheduler: {
    batching: 'mixed',
    chunked: true,
    maxTokens: 8192,
    maxSequences: 1024,
    blockTokens: 16,
    reserve: 0,
    preemption: 'recompute',
  },
  memoryFraction: 0.9,
  collectiveSeconds: 3e-6,
  host: { step: 0.25e-3, layer: 29e-6, sequence: 27e-6, request: 42e-3, issue: 0 },
  accelerators: ['h100-sxm'],
  sources: {
    scheduler:
      'vLLM documentation, Optimization and Tuning (V1: decodes first, chunked prefill by default, preemption by recomputation) and Engine Arguments (block size 16, gpu-memory-utilization 0.9; max-num-batched-tokens 8192 and max-num-seqs 1024 for the server on devices of 70 GB and more), and its SchedulerConfig of 2026 (scheduler_reserve_full_isl, by default: a request is let in where its whole prompt fits)',
    host: "fitted to TTFT and TPOT of Llama 3.1 70B in 8 bits (InferenceMAX) and Qwen3 32B in 16 bits (vLLM 0.12) on H100, in NVIDIA's aiconfigurator (silicon_sample.csv)",
  },
}

const sglang: EnginePreset = {
  name: 'sglang',
  scheduler: {
    batching: 'separate',
    chunked: true,
    maxTokens: 8192,
    maxSequences: 2048,
    blockTokens: 1,
    reserve: 0.1,
    preemption: 'recompute',
  },
  memoryFraction: 0.9,
  collectiveSeconds: 3e-6,
  host: { step: 0.98e-3, layer: 30e-6, sequence: 9e-6, request: 240e-3, issue: 0 },
  accelerators: ['h200-sxm'],
  sources: {
    scheduler:
      'SGLang documentation, Server Arguments (chunked-prefill-size 8192, enable-mixed-chunk off, page-size 1) and Hyperparameter Tuning (mem-fraction-static, schedule-conservativeness; running requests count with 0.7 of their output at first and 0.1 from 600 steps on, which is taken)',
    host: "fitted to TTFT and TPOT of DeepSeek-R1 on 8 H200 (SGLang 0.5.9, InferenceMAX), in NVIDIA's aiconfigurator (silicon_sample.csv)",
  },
}

const tensorrtLlm: EnginePreset = {
  name: 'tensorrt-llm',
  scheduler: {
    batching: 'mixed',
    chunked: false,
    maxTokens: 8192,
    maxSequences: 2048,
    blockTokens: 32,
    reserve: 1,
    preemption: 'recompute',
  },
  memoryFraction: 0.9,
  collectiveSeconds: 3e-6,
  matmul8: 0.55,
  host: { step: 0.5e-3, layer: 18e-6, sequence: 25e-6, request: 120e-3, issue: 0.6e-3 },
  accelerators: ['h100-sxm'],
  sources: {
    scheduler:
      'TensorRT-LLM documentation, Useful Runtime Options (GUARANTEED_NO_EVICT by default; KV cache fraction 0.9) and Tuning Max Batch Size and Max Num Tokens (2048 and 8192 by default; whole prompts beside decoding unless context is chunked)',
    host: "fitted to TTFT and TPOT of Qwen3 32B in 8 bits on H100 (TensorRT-LLM 1.0.0rc3), in NVIDIA's aiconfigurator (silicon_sample.csv); TensorRT-LLM documentation, Torch Compile & Piecewise CUDA Graph: graphs are of pure generation by default",
  },
}

const presets = [vllm, sglang, tensorrtLlm]

/** The names of engines that are known. */
export function engineNames(): string[] {
  return presets.map(({ name }) => name)
}

/** An engine by name. Throws `UNKNOWN_ENGINE`. */
export function findEngine(name: string): EnginePreset {
  const found = presets.find((preset) => preset.name === name)
  if (found) return found
  const near = nearest(name, engineNames())
  throw new ShardloomError('UNKNOWN_ENGINE', `There is no engine \`${name.slice(0, 60)}\`.`, {
    subject: name.slice(0, 60),
    help: `${near === undefined ? '' : `Did you mean ${near}? `}Known are ${orList(engineNames())}.`,
  })
}
