/**
 * The questions of the page "Which parallelism should I use?": a spec each, what is asked of it, the metrics of its table and its picture,
 * and what the page says in words of the choices of each of the best.
 */
export const questions = [
  {
    name: 'training',
    spec: {
      model: 'llama-3.1-70b',
      cluster: { preset: 'dgx-h100', nodes: 8 },
      batch: 512,
      seq: 8192,
    },
    ask: {
      choices: {
        order: ['tp,ulysses,cp,dp,pp'],
        cp: [1, 2],
        ulysses: [1],
        dpReplicate: [1],
        offload: ['none'],
        microbatch: [1, 2, 4],
        schedule: ['1f1b', 'interleaved1f1b'],
        virtual: [1, 2, 5, 10],
      },
      front: ['step-time', 'peak-memory'],
    },
    columns: ['step-time', 'throughput', 'peak-memory'],
    launcher: 'megatron',
    said: ({ tp, cp, recompute }) => tp <= 8 && cp === 2 && recompute === 'none',
  },
  {
    name: 'serving',
    spec: {
      model: 'llama-3.1-70b',
      cluster: { preset: 'dgx-h100', nodes: 1 },
      phase: 'serving',
      seq: 4096,
      options: {
        serving: { engine: 'vllm', load: { input: { from: 1024, to: 3072 }, output: { from: 256, to: 768 } } },
      },
    },
    ask: {
      limits: [
        { metric: 'ttft', most: 2 },
        { metric: 'tpot', most: 0.05 },
      ],
      front: ['tpot', '-throughput'],
    },
    columns: ['throughput', 'ttft', 'tpot'],
    launcher: 'vllm',
    said: ({ tp, pp = 1 }) => tp >= 4 && pp === 1,
  },
  {
    name: 'experts',
    spec: {
      model: 'deepseek-v3',
      cluster: { preset: 'dgx-h200', nodes: 4 },
      phase: 'serving',
      options: {
        weightDtype: 'fp8',
        serving: { engine: 'sglang', load: { input: { from: 2048, to: 6144 }, output: { from: 512, to: 1536 } } },
      },
    },
    ask: {
      limits: [
        { metric: 'ttft', most: 2 },
        { metric: 'tpot', most: 0.05 },
      ],
      choices: { pp: [1], tp: [1, 2, 4, 8], expertTp: [1], dcp: [1] },
      front: ['tpot', '-throughput'],
    },
    columns: ['throughput', 'ttft', 'tpot'],
    launcher: 'sglang',
    said: ({ ep = 1 }) => ep === 8,
  },
]
