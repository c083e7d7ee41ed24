/** How an engine chooses what its next step computes. */
export interface Scheduler {
  /**
   * `mixed`: a step decodes all running sequences and prefills prompts beside them, in what is left of its tokens (Yu et al. 2022, Orca).
   * `separate`: prompts that wait are prefilled first, in steps of their own, while decoding stands still.
   */
  readonly batching: 'mixed' | 'separate'
  /** Whether a prompt may be prefilled in several steps, each of which takes what its tokens leave room for (Agrawal et al. 2024, Sarathi-Serve). */
  readonly chunked: boolean
  /** Tokens that a step computes at most. */
  readonly maxTokens: number
  /** Sequences that run at the same time at most. */
  readonly maxSequences: number
  /** KV capacity is handed out in blocks of that many tokens (Kwon et al. 2023, vLLM). */
  readonly blockTokens: number
  /** The share of what a sequence is still to generate that must have room before another is let in: 1 never preempts. */
  readonly reserve: number
  /**
   * What of a prompt must have room beside that: all of it, or, where nothing is reserved, the part that the next step computes, as in vLLM
   * before 2026, whose chunked prompts may be thrown out half computed and begun again. Default `prompt`.
   */
  readonly admission?: 'prompt' | 'chunk'
  /**
   * Of several batches in flight, whether each lets in no more than its share of the sequences, as SGLang's are limited, or all that wait when it
   * begins, as vLLM does: then many may gather in one, which the others wait for. Default `even`.
   */
  readonly sharing?: 'even' | 'greedy'
  /**
   * What happens to the sequence that was let in last when the running ones outgrow the capacity: its KV cache is dropped and computed
   * again, or goes to the host and comes back, at that many seconds per token and way.
   */
  readonly preemption: 'recompute' | { readonly swapSecondsPerToken: number }
}

/** What one step computes. Contexts in tokens that are in the KV cache before the step. */
export interface EngineStep {
  /** Parts of prompts. */
  readonly prefill: readonly { readonly tokens: number; readonly context: number }[]
  /** Of each sequence that one token is decoded of, its context. */
  readonly decode: readonly number[]
  /** Tokens that the step gives: of all that are decoded, and of the prompts that it ends. */
  readonly sampled: number
}

/**
 * Seconds of one step; of an engine with several batches in flight those in each place that a batch passes, in order: its host first, then
 * each of its stages. It knows the model and the hardware; nothing else here does.
 */
export type StepCost = (step: EngineStep) => number | readonly number[]
