import fc from 'fast-check'
import { isShardloomError, loadSpec, plan, planServing } from 'shardloom'
import { importLaunch, type LauncherName, launcherNames } from 'shardloom/launch'
import { describe, expect, test } from 'vitest'

/** The flags of Megatron-LM's examples/gpt3/train_gpt3_175b_distributed.sh, on the 128 nodes that its batch is meant for. */
const gpt175b = `
GPUS_PER_NODE=8
NUM_NODES=128   # Change for multinode config
export WORLD_SIZE=$(($GPUS_PER_NODE*$NUM_NODES))
DISTRIBUTED_ARGS=(
    --nproc_per_node $GPUS_PER_NODE
    --nnodes $NUM_NODES
    --master_addr $MASTER_ADDR
)
MODEL_ARGS=( --num-layers 96 --hidden-size 12288 --num-attention-heads 96
    --seq-length 2048 --max-position-embeddings 2048
    --attention-backend auto # Can use (flash/fused/unfused/local)
)
TRAINING_ARGS=( --micro-batch-size 1 --global-batch-size 1536
    --rampup-batch-size 16 16 5859375
    --lr 6.0e-5 --fp16
)
MODEL_PARALLEL_ARGS=(
	--tensor-model-parallel-size 8
	--pipeline-model-parallel-size 16
)
torchrun \${DISTRIBUTED_ARGS[@]} pretrain_gpt.py \\
    \${MODEL_ARGS[@]} \\
    \${TRAINING_ARGS[@]} \${MODEL_PARALLEL_ARGS[@]} --vocab-file $3
`

/** Of examples/llama/train_llama3_8b_h100_fp8.sh: defaults of variables, flags in quoted words, lists that are added to. */
const llama8b = `
GPUS_PER_NODE=8
TP_SIZE=1
CP_SIZE=\${CP_SIZE:-1}
SEQ_LENGTH="\${4:-8192}"
mkdir -p "$(dirname "$CHECKPOINT_PATH")"
DISTRIBUTED_ARGS=( --nproc_per_node $GPUS_PER_NODE --nnodes 1 )
MODEL_ARGS=( --num-layers 32 --hidden-size 4096 --ffn-hidden-size 14336 --num-attention-heads 32
    --group-query-attention --num-query-groups 8 --kv-channels 128
    --seq-length $SEQ_LENGTH --max-position-embeddings 8192 --position-embedding-type rope
    --attention-dropout 0.0 --hidden-dropout 0.0 --swiglu --normalization RMSNorm
    --untie-embeddings-and-output-weights --disable-bias-linear )
TRAINING_ARGS=( --micro-batch-size 1 --global-batch-size 128 --bf16 --grad-reduce-in-bf16 --cross-entropy-loss-fusion )
if [[ "$DTYPE" == "fp8" ]]; then
    DTYPE_ARGS+=(
        "--fp8-format hybrid"
        "--fp8-param-gather"
    )
fi
PARALLEL_ARGS=(
    --tensor-model-parallel-size $TP_SIZE
    # --pipeline-model-parallel-size 4
    --context-parallel-size $CP_SIZE
    --sequence-parallel  # Always
)
TRAINING_ARGS+=("\${DDP_ARGS[@]}" --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather)
DATA_ARGS+=( "--tokenizer-type NullTokenizer" "--vocab-size 128256" )
torchrun \${DISTRIBUTED_ARGS[@]} pretrain_gpt.py \${MODEL_ARGS[@]}
`

/** Older scripts keep flags in strings. */
const strings = `
GPT_ARGS="
    --tensor-model-parallel-size 8 \\
    --pipeline-model-parallel-size=16 --num-layers-per-virtual-pipeline-stage 2 \\
    --num-layers 96 --hidden-size 12288 --num-attention-heads 96 --micro-batch-size 1 --global-batch-size 1536 --seq-length 2048 --bf16
"
torchrun --nproc-per-node=8 --nnodes=64 pretrain_gpt.py $GPT_ARGS
`

const published: readonly [string, LauncherName, string, object][] = [
  [
    'GPT-3 175B',
    'megatron',
    gpt175b,
    {
      model: 'gpt3-175b',
      batch: 1536,
      seq: 2048,
      parallel: { dp: 8, tp: 8, pp: 16 },
      options: { dtype: 'fp16', gradientDtype: 'fp16', loss: 'materialised' },
    },
  ],
  [
    'Llama 3 8B in fp8',
    'megatron',
    llama8b,
    {
      model: 'llama-3.1-8b',
      batch: 128,
      seq: 8192,
      parallel: { dp: 8 },
      // arguments.py turns sequence parallelism off where tensor parallelism is 1
      options: { zero: 1, gradientDtype: 'bf16', linearDtype: 'fp8' },
    },
  ],
  [
    'flags in a string, chunks by their layers',
    'megatron',
    strings,
    {
      model: 'gpt3-175b',
      batch: 1536,
      seq: 2048,
      parallel: { dp: 4, tp: 8, pp: 16 },
      options: { loss: 'materialised', schedule: 'interleaved1f1b', virtual: 3 },
    },
  ],
  // vLLM recipes, DeepSeek-V3 (R1) Usage Guide: 8 H200, tensor or data parallel attention; its config.json says fp8.
  [
    'DeepSeek-R1, TP8+EP',
    'vllm',
    'vllm serve deepseek-ai/DeepSeek-R1-0528 --trust-remote-code --tensor-parallel-size 8 --enable-expert-parallel',
    { model: 'deepseek-v3', phase: 'serving', parallel: { tp: 8, ep: 8 }, options: { weightDtype: 'fp8' } },
  ],
  [
    'DeepSeek-R1, DP8+EP',
    'vllm',
    'vllm serve deepseek-ai/DeepSeek-R1-0528 \\\n  --trust-remote-code \\\n  --data-parallel-size 8 \\\n  --enable-expert-parallel',
    {
      model: 'deepseek-v3',
      phase: 'serving',
      parallel: { dp: 8, ep: 8 },
      options: { weightDtype: 'fp8', ep: { dispatch: 'all-gather' } },
    },
  ],
  // vLLM documentation, Data Parallel Deployment: "expert layers form a tensor parallel group of size DP × TP".
  [
    'experts split by width',
    'vllm',
    'vllm serve deepseek-ai/DeepSeek-V3 -dp 4 -tp 2',
    {
      model: 'deepseek-v3',
      phase: 'serving',
      parallel: { dp: 4, tp: 2, expertTp: 8 },
      options: { weightDtype: 'fp8' },
    },
  ],
  // The model card of Qwen/Qwen3-32B-FP8: "fine-grained fp8 quantization with block size of 128".
  [
    'Qwen3 in eight bits',
    'vllm',
    'vllm serve Qwen/Qwen3-32B-FP8 --tensor-parallel-size 2',
    { model: 'qwen3-32b', phase: 'serving', parallel: { tp: 2 }, options: { weightDtype: 'fp8' } },
  ],
  [
    'engines of their own',
    'vllm',
    'vllm serve meta-llama/Llama-3.1-8B-Instruct --data-parallel-size=4 --tensor_parallel_size 2 --max-num-seqs 64',
    {
      model: 'llama-3.1-8b',
      phase: 'serving',
      batch: 256,
      parallel: { replicas: 4, tp: 2 },
      options: { serving: { scheduler: { maxSequences: 64 } } },
    },
  ],
  // SGLang documentation, DeepSeek usage: data parallel attention inside of eight tensor parallel ranks; two nodes of eight.
  [
    'DeepSeek, data parallel attention',
    'sglang',
    'python -m sglang.launch_server --model deepseek-ai/DeepSeek-V3 --tp 8 --dp 8 --enable-dp-attention',
    {
      model: 'deepseek-v3',
      phase: 'serving',
      parallel: { dp: 8, expertTp: 8 },
      options: { weightDtype: 'fp8', serving: { engine: 'sglang' } },
    },
  ],
  [
    'DeepSeek, two nodes',
    'sglang',
    'python3 -m sglang.launch_server --model-path deepseek-ai/DeepSeek-R1 --tp 16 --nnodes 2 --node-rank 0 --dist-init-addr 10.0.0.1:5000',
    {
      model: 'deepseek-v3',
      phase: 'serving',
      parallel: { tp: 16 },
      options: { weightDtype: 'fp8', serving: { engine: 'sglang' } },
    },
  ],
  [
    'DeepSeek, DeepEP',
    'sglang',
    'python3 -m sglang.launch_server --model-path deepseek-ai/DeepSeek-R1 --tp-size 16 --dp-size 4 --enable-dp-attention --moe-a2a-backend deepep --chunked-prefill-size 32768',
    {
      model: 'deepseek-v3',
      phase: 'serving',
      parallel: { dp: 4, tp: 4, ep: 16 },
      options: { weightDtype: 'fp8', serving: { engine: 'sglang', scheduler: { maxTokens: 8192 } } },
    },
  ],
  // torchtitan, llama3_405b.toml, its shard degree of 128 ranks written out.
  [
    'Llama 3 405B',
    'torchtitan',
    `[model]\nname = "llama3"\nflavor = "405B"\nconverters = ["float8"]\n[training]\nlocal_batch_size = 2\nseq_len = 8192
[parallelism]\ndata_parallel_replicate_degree = 1\ndata_parallel_shard_degree = 16\ntensor_parallel_degree = 8
enable_async_tensor_parallel = true\npipeline_parallel_degree = 1\ncontext_parallel_degree = 1
[activation_checkpoint]\nmode = "full"\n[float8]\nenable_fsdp_float8_all_gather = true`,
    {
      model: 'llama-3.1-405b',
      batch: 32,
      microbatch: 2,
      seq: 8192,
      parallel: { dp: 16, tp: 8 },
      options: { zero: 3, linearDtype: 'fp8', sequenceParallel: true, recompute: 'full', tp: { overlap: 8 } },
    },
  ],
  // DeepSpeed documentation, Batch Size Related Parameters: train batch = micro batch · accumulation · ranks.
  [
    'the batch rule',
    'deepspeed',
    '{"train_batch_size": 256, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 8, "fp16": {"enabled": true}, "zero_optimization": {"stage": 2, "reduce_bucket_size": 5e8}}',
    {
      batch: 256,
      microbatch: 4,
      parallel: { dp: 8 },
      options: { dtype: 'fp16', gradientDtype: 'fp16', zero: 2, dp: { bucket: 1e9 } },
    },
  ],
]

describe('what tools publish', () => {
  test.each(published)('%s (%s)', async (_, name, text, expected) => {
    const { spec } = await importLaunch(name, text)
    const { schema, phase = 'training', ...rest } = spec
    expect(schema).toBe('shardloom.spec/1')
    expect({ phase, ...rest }).toEqual({ phase: 'training', ...expected })
    // What runs can be planned; a file that names no model needs one.
    const planned = phase === 'serving' ? planServing : plan
    await expect(planned({ model: 'gpt2', ...spec })).resolves.toBeTruthy()
  })

  test.each<[LauncherName, string, string, string]>([
    ['megatron', '--tensor-model-parallel-size 8', 'nproc-per-node', 'torchrun'],
    [
      'megatron',
      'torchrun --nproc-per-node 8 x --tensor-model-parallel-size $TP',
      'tensor-model-parallel-size',
      'Nothing in the text sets',
    ],
    ['megatron', 'torchrun --nproc-per-node 8 x --tensor-model-parallel-size 3', 'nproc-per-node', 'multiple of 3'],
    [
      'megatron',
      'torchrun --nproc-per-node 8 x --cpu-offloading-num-layers 3',
      'cpu-offloading-num-layers',
      'Leave it out',
    ],
    [
      'megatron',
      'torchrun --nproc-per-node 8 x --recompute-granularity full --recompute-method block --recompute-num-layers 4',
      'recompute-method',
      'options.recompute',
    ],
    [
      'torchtitan',
      '[parallelism]\ntensor_parallel_degree = 8',
      'parallelism.data_parallel_shard_degree',
      'write the degree',
    ],
    [
      'torchtitan',
      '[parallelism]\ndata_parallel_shard_degree = 8\n[activation_checkpoint]\nmode = "memory_budget"',
      'activation_checkpoint.mode',
      'selective or none',
    ],
    ['torchtitan', '[parallelism', '', 'job.config_file'],
    ['deepspeed', '{"train_batch_size": "auto"}', 'train_batch_size', 'Give numbers'],
    ['deepspeed', '{', '', 'deepspeed_config'],
    ['vllm', 'vllm serve some/model --data-parallel-size 2', 'data-parallel-size', '--model'],
    ['vllm', 'model: meta-llama/Llama-3.1-8B\ntensor-parallel-size: 8\n', '', 'right file'],
    ['sglang', 'tp: 8\n', '', 'right file'],
    [
      'vllm',
      'vllm serve openai-community/gpt2 --prefill-context-parallel-size 2',
      'prefill-context-parallel-size',
      'Leave it out',
    ],
    ['vllm', 'vllm serve openai-community/gpt2 --quantization awq', 'quantization', 'weight-dtype'],
    ['sglang', 'x --model-path openai-community/gpt2 --tp 8 --dp 3 --enable-dp-attention', 'dp-size', 'divisor'],
  ])('%s: %s is an error for people', async (name, text, subject, help) => {
    const error: unknown = await importLaunch(name, text).catch((problem: unknown) => problem)
    if (!isShardloomError(error)) throw error
    expect([error.code, error.subject ?? '']).toEqual(['LAUNCHER', subject])
    expect(`${error.message} ${error.help}`).toContain(help)
  })

  test.each<[LauncherName, string]>([
    ['vllm', 'vllm serve openai-community/gpt2 --tensor-parallel-size 0'],
    ['sglang', 'x --model-path openai-community/gpt2 --tp -2'],
    ['deepspeed', '{"train_batch_size": 4, "train_micro_batch_size_per_gpu": -1, "gradient_accumulation_steps": -4}'],
  ])('%s: %s has degrees that the check of specs refuses', async (name, text) => {
    const { spec } = await importLaunch(name, text)
    await expect(loadSpec({ model: 'gpt2', ...spec })).rejects.toMatchObject({ code: 'SPEC_VALUE' })
  })

  // Distances of one or two letters, and an end that lacks: no two flags of these tools are as near to each other.
  test.each<[LauncherName, string, string]>([
    ['megatron', 'torchrun --nproc-per-node 8 x --tensor-model-paralel-size 8', 'tensor-model-parallel-size'],
    ['megatron', 'torchrun --nproc-per-node 8 x --tensor-model-parallel 8', 'tensor-model-parallel-size'],
    ['megatron', 'torchrun --nproc-per-node 8 x --sequence-paralell', 'sequence-parallel'],
    ['vllm', 'vllm serve openai-community/gpt2 --max-num-seq 8', 'max-num-seqs'],
    ['vllm', 'vllm serve openai-community/gpt2 --gpu-memory-utilisation 0.8', 'gpu-memory-utilization'],
    ['sglang', 'x --model-path openai-community/gpt2 --mem-fraction-statc 0.8', 'mem-fraction-static'],
    [
      'deepspeed',
      '{"train_batch_size": 4, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 4, "zero_optimisation": {"stage": 3}}',
      'zero_optimization.stage',
    ],
  ])('%s: what nearly is a setting is taken for one that is misspelt: %s', async (name, text, meant) => {
    const error: unknown = await importLaunch(name, text).catch((problem: unknown) => problem)
    if (!isShardloomError(error)) throw error
    expect([error.code, error.help]).toEqual(['LAUNCHER', `Did you mean \`${meant}\`? Else leave it out.`])
  })

  // The words of `CacheDType` and `ModelDType` of vLLM, and of `--cp-comm-type` of Megatron-LM.
  test.each<[LauncherName, string, string]>([
    ['vllm', 'vllm serve meta-llama/Llama-3.1-8B --dtype float33', 'float32'],
    ['vllm', 'vllm serve meta-llama/Llama-3.1-8B --kv-cache-dtype fp9', 'fp8'],
    ['sglang', 'python3 -m sglang.launch_server --model-path meta-llama/Llama-3.1-8B --dtype bfloat17', 'bfloat16'],
    ['megatron', 'torchrun --nproc-per-node 8 pretrain_gpt.py --cp-comm-type p2q', 'p2p'],
    ['megatron', 'torchrun --nproc-per-node 8 pretrain_gpt.py --moe-token-dispatcher-type alltoal', 'alltoall'],
  ])('misspelt words of %s are errors: %s', async (name, text, meant) => {
    const error = await importLaunch(name, text, { model: 'llama-3.1-8b' }).catch((reason) => reason)
    expect([error.code, error.help]).toEqual(['LAUNCHER', `Did you mean \`${meant}\`?`])
  })

  test('where data parallel ranks of vLLM run changes nothing that they do', async () => {
    const line = 'vllm serve deepseek-ai/DeepSeek-V3 --tensor-parallel-size 2 --data-parallel-size 8'
    const placed =
      '--data-parallel-size-local 4 --data-parallel-address 10.0.0.1 --data-parallel-rpc-port 13345 --headless'
    const [one, other] = await Promise.all([line, `${line} ${placed}`].map((text) => importLaunch('vllm', text)))
    expect(other).toEqual(one)
  })

  // Of megatron/training/arguments.py: real flags whose names are near to those of others.
  test('flags of their own are not taken for others', async () => {
    const flags =
      '--train-iters 1 --eval-iters 1 --eval-interval 1 --save-interval 1 --log-interval 1 --lr 1 --min-lr 1 --ckpt-step 1 --no-rope-fusion --tokenizer-model x --lr-decay-iters 1 --moe-router-dtype fp32 --no-load-rng --no-save-rng --train-samples 1 --fp8-margin 0'
    const text = `torchrun --nproc-per-node 8 x ${flags}`
    expect((await importLaunch('megatron', text)).notes.join()).toMatch(/^\d+ settings that nothing here reads/)
  })

  test('flags that nothing reads are counted, and said to be no more than that', async () => {
    const { notes } = await importLaunch(
      'vllm',
      'vllm serve openai-community/gpt2 --port 80 --api-key x --trust-remote-code',
    )
    expect(notes).toEqual(['3 settings that nothing here reads are ignored: `port`, `api-key`, `trust-remote-code`'])
  })

  test('any text is read or refused', async () => {
    const pieces = fc.constantFrom(
      '--tp',
      '--dp ',
      '8',
      ' ',
      '\n',
      '"',
      "'",
      '$',
      '${',
      '}',
      '(',
      ')',
      '`',
      '\\',
      '=',
      '[',
      ']',
      '{',
      '"stage":',
      '#',
      '*',
      't*9',
      '|',
      'torchrun --nproc-per-node 8 ',
      '--pipeline-model-parallel-layout ',
      '--moe-layer-freq ',
      '__proto__',
      ',',
    )
    const texts = fc.oneof(
      fc.array(pieces, { maxLength: 20 }).map((parts) => parts.join('')),
      fc.string(),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...launcherNames), texts, async (name, text) => {
        const result = await importLaunch(name, text).catch((error: unknown) => error)
        if (result instanceof Error && !isShardloomError(result)) throw result
      }),
      { numRuns: 500 },
    )
  })
})
