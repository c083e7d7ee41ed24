interface Remark {
  readonly match: RegExp
  /** Of rows past the KV capacity alone, or of those within it alone. */
  readonly past?: boolean
  readonly remark: string
}

/** Why rows of a group miss, as far as it is known. */
const remarks: readonly Remark[] = [
  {
    match: /^Qwen3-32B, tensorrt-llm/,
    past: false,
    remark:
      'The least that a step with prompts takes, and what its products in eight bits sustain, are read off how TPOT grows with clients for outputs of 128 and 512 tokens: by 28 ms for each prompt of 1,024 tokens on four ranks and on eight alike, by 75 ms on one. Where eight clients ask for equal lengths their prompts come together and wait for each other; outputs that differ, as assumed here, spread them.',
  },
  {
    match: /^Qwen3-32B, vllm/,
    past: true,
    remark:
      'One row is so near to the capacity that a little less room makes requests wait: TTFT is four times as long then.',
  },
  {
    match: /^DeepSeek-R1/,
    remark:
      'InferenceMAX gives weights and cache 0.82 of the memory (its script for H200); here they and activations have 0.9. With 64 clients of 8,192 tokens requests fill what there is to the last hundredth, and a little less room makes them wait (TTFT −40 %).',
  },
  {
    match: /tensorrt-llm, bf16/,
    remark:
      'TensorRT-LLM 0.14 with its runtime in C++; the constants of the host are those of 1.0.0rc3, where a request takes 120 ms before it waits at the engine.',
  },
  {
    match: /offline$/,
    remark:
      'All requests are there at once and no server takes part, so that what the host takes per request and per sequence is left out. The share of memory (0.95 in many runs, 0.9 here) and the batch that the engine was built for are not stated by row; tokens are spread over experts evenly here.',
  },
]

/** What is known of why rows of a group miss. */
export function remarkOf(group: string, isPast: boolean): string | undefined {
  return remarks.find(({ match, past }) => match.test(group) && (past ?? isPast) === isPast)?.remark
}
