/** A paper that a guided page follows. */
export interface Source {
  /** As the text names it. */
  readonly short: string
  readonly title: string
  readonly url: string
}

/** Every paper, by the name under which pages list it. */
export const sources = {
  li: {
    short: 'Li et al. 2020',
    title: 'PyTorch Distributed: Experiences on Accelerating Data Parallel Training',
    url: 'https://arxiv.org/abs/2006.15704',
  },
  rajbhandari: {
    short: 'Rajbhandari et al. 2020',
    title: 'ZeRO: Memory Optimizations Toward Training Trillion Parameter Models',
    url: 'https://arxiv.org/abs/1910.02054',
  },
  zhao: {
    short: 'Zhao et al. 2023',
    title: 'PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel',
    url: 'https://arxiv.org/abs/2304.11277',
  },
  shoeybi: {
    short: 'Shoeybi et al. 2019',
    title: 'Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism',
    url: 'https://arxiv.org/abs/1909.08053',
  },
  narayanan: {
    short: 'Narayanan et al. 2021',
    title: 'Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM',
    url: 'https://arxiv.org/abs/2104.04473',
  },
  korthikanti: {
    short: 'Korthikanti et al. 2022',
    title: 'Reducing Activation Recomputation in Large Transformer Models',
    url: 'https://arxiv.org/abs/2205.05198',
  },
  huang: {
    short: 'Huang et al. 2019',
    title: 'GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism',
    url: 'https://arxiv.org/abs/1811.06965',
  },
  qi: {
    short: 'Qi et al. 2023',
    title: 'Zero Bubble Pipeline Parallelism',
    url: 'https://arxiv.org/abs/2401.10241',
  },
  deepseek: {
    short: 'DeepSeek-AI 2024',
    title: 'DeepSeek-V3 Technical Report',
    url: 'https://arxiv.org/abs/2412.19437',
  },
  lepikhin: {
    short: 'Lepikhin et al. 2020',
    title: 'GShard: Scaling Giant Models with Conditional Computation and Automatic Sharding',
    url: 'https://arxiv.org/abs/2006.16668',
  },
  fedus: {
    short: 'Fedus et al. 2022',
    title: 'Switch Transformers: Scaling to Trillion Parameter Models with Simple and Efficient Sparsity',
    url: 'https://arxiv.org/abs/2101.03961',
  },
  liu: {
    short: 'Liu et al. 2023',
    title: 'Ring Attention with Blockwise Transformers for Near-Infinite Context',
    url: 'https://arxiv.org/abs/2310.01889',
  },
  jacobs: {
    short: 'Jacobs et al. 2023',
    title: 'DeepSpeed Ulysses: System Optimizations for Enabling Training of Extreme Long Sequence Transformer Models',
    url: 'https://arxiv.org/abs/2309.14509',
  },
  pope: {
    short: 'Pope et al. 2022',
    title: 'Efficiently Scaling Transformer Inference',
    url: 'https://arxiv.org/abs/2211.05102',
  },
  zhong: {
    short: 'Zhong et al. 2024',
    title: 'DistServe: Disaggregating Prefill and Decoding for Goodput-optimized Large Language Model Serving',
    url: 'https://arxiv.org/abs/2401.09670',
  },
  williams: {
    short: 'Williams et al. 2009',
    title: 'Roofline: An Insightful Visual Performance Model for Multicore Architectures',
    url: 'https://doi.org/10.1145/1498765.1498785',
  },
  chowdhery: {
    short: 'Chowdhery et al. 2022',
    title: 'PaLM: Scaling Language Modeling with Pathways',
    url: 'https://arxiv.org/abs/2204.02311',
  },
} as const satisfies Readonly<Record<string, Source>>

export type SourceName = keyof typeof sources
