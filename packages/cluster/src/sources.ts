/** Where a value comes from. */
export interface Source {
  /**
   * `document`: read in a public document. `quoted`: a figure in common use that was not checked against a data sheet.
   * `fitted`: constants of this package's formula, fitted to measurements.
   * `assumed`: no measurement was found; the value of the nearest hardware that has one.
   */
  readonly kind: 'document' | 'quoted' | 'fitted' | 'assumed'
  readonly where: string
}

/** The sources of all values in this package, by the key that stands beside a value. */
export const sources = {
  aiconfigurator: document('github.com/ai-dynamo/aiconfigurator, systems/<name>.yaml, at 095f58a51c4c'),
  'ml-engineering': document('github.com/stas00/ml-engineering, compute/accelerator/README.md, at 744d01e18b79'),
  'ml-engineering-network': document('github.com/stas00/ml-engineering, network/README.md, at 744d01e18b79'),
  'llm-analysis': document('github.com/cli99/llm-analysis, gpu_configs/*.json, at d841e40aec8c'),
  'llm-viewer': document('github.com/hahnyuan/LLM-Viewer, hardwares/hardware_params.py, at 472f71f1a180'),
  'scaling-book': document('github.com/jax-ml/scaling-book, tpus.md, at 0819a7d8c55d'),
  'gcp-v5p': document('cloud.google.com/tpu/docs/v5p-training'),
  'gcp-v5e': document('docs.cloud.google.com/tpu/docs/v5e'),
  'gcp-v6e': document('docs.cloud.google.com/tpu/docs/v6e'),
  'glennklockwood-a100': document('glennklockwood.com/garden/processors/A100'),
  'glennklockwood-h100': document('glennklockwood.com/garden/processors/h100'),
  'paderborn-a100': document('Paderborn PC2 documentation, device query of an A100 40GB'),
  'thundercompute-a100': document('thundercompute.com/blog/nvidia-a100-specs-full-guide'),
  'zangshuxian-h20': document('zangshuxian.com/new/674733024499207168'),
  'willitrunai-h20': document('willitrunai.com, gpus/h20-96gb'),
  'ke60-h20': document('ke60.top/article/1471031.html'),
  'gigagpu-4090': document('gigagpu.com/?p=34220'),
  'waredb-4090': document('waredb.com/processor/nvidia-geforce-rtx-4090'),
  'techpowerup-910c': document('techpowerup.com/335749'),
  'besthub-cm384': document('besthub.dev, on the network planes of CloudMatrix384'),
  'chinaresearchcollective-cm384': document(
    'chinaresearchcollective.substack.com/p/huawei-ascend-cloudmatrix-384-supernode',
  ),
  'gitee-910b': document('ai.gitee.com/docs/compute/clusters_gpu/ascend_gpu'),
  'ascend-910b2-ini': document('Ascend910B2C.ini of the CANN runtime, platform_config'),
  'hugging-face-gaudi': document('huggingface.co/docs/transformers, perf_train_gaudi'),
  genz: document('github.com/abhibambhaniya/GenZ-LLM-Analyzer, system_configs.py, at 091bdd0a2777'),
  'nccl-tuner': document('github.com/NVIDIA/nccl, src/graph/tuning.cc and topo.h, at 5067397c2676'),
  'nccl-tests-119': document('github.com/NVIDIA/nccl-tests, issue 119: all-reduce at 84.8 of 100 GB/s over HDR'),
  'nccl-tests-290': document('github.com/NVIDIA/nccl-tests, issue 290: 46 to 48 GB/s of one NDR NIC'),
  'nccl-a100': fitted('NCCL 2.27.3 on 2, 4 and 8 A100 SXM'),
  'nccl-h100': fitted('NCCL 2.29.2 on 2, 4 and 8 H100 and H200 SXM'),
  'nccl-b200': fitted('NCCL 2.29.2 on 2, 4 and 8 B200 and on 2 and 4 GB200'),
  'cuda-guide': document('docs.nvidia.com/cuda/cuda-c-programming-guide, throughput of native arithmetic instructions'),
  'flash-attention-3': document('Shah et al. 2024 (arXiv 2407.08608), section 3: 3.9 TFLOPS of special functions'),
  'flash-attention-4': document('Zadouri et al. 2026, FlashAttention-4 (together.ai/blog/flashattention-4)'),
  'nvidia-blackwell-ultra': document(
    'developer.nvidia.com/blog/making-softmax-more-efficient-with-nvidia-blackwell-ultra',
  ),
  'nvidia-gb200': document('nvidia.com/en-us/data-center/gb200-nvl72, product specifications'),
  quoted: { kind: 'quoted', where: 'a figure in common use; check it against a data sheet before you rely on it' },
  assumed: { kind: 'assumed', where: 'no measurement found; the value of the nearest hardware that has one' },
} satisfies Record<string, Source>

/** The key of an entry in {@link sources}. */
export type SourceKey = keyof typeof sources

/** A value with its source and, where there is more to say, a note. */
export type Fact = readonly [value: number, source: SourceKey, note?: string]

function document(where: string): Source {
  return { kind: 'document', where }
}

/** Measurements that github.com/ai-dynamo/aiconfigurator publishes with its systems. */
function fitted(what: string): Source {
  return {
    kind: 'fitted',
    where: `least mean absolute log error on times of ${what}, from aiconfigurator at 095f58a51c4c`,
  }
}
