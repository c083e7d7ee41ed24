import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSpec } from 'shardloom'
import { launcherNames, launchers } from 'shardloom/launch'
import { describe, expect, test } from 'vitest'
import { formats } from '../src/formats/formats.js'
import { shardloom, temporaryFolder } from './run-command.js'

const training = '--model llama-3.1-8b --batch 16 --dp 4 --pp 2 --zero 3'.split(' ')

describe('launchers', () => {
  test('there is a format for each, by its own name', () => {
    for (const name of launcherNames) expect(formats[name]?.title).toContain(launchers[name].title)
  })

  test.each(['vllm', 'sglang'])(
    '%s is told nothing of how batches in flight share sequences out, which a note says',
    async (format) => {
      const spec = '--model llama-3.1-8b --phase serving --pp 2 --serving-scheduler-sharing greedy'.split(' ')
      const { code, err } = await shardloom(['export', ...spec, '--serving-engine', format, '--format', format])
      expect(code).toBe(0)
      expect(err.replace(/\s+/g, ' ')).toContain('nothing there says `options.serving.scheduler.sharing`')
    },
  )

  test('what export writes, every command takes with --import', async () => {
    const cwd = temporaryFolder()
    const flags = [...training, '--tp', '2', '--sequence-parallel']
    const written = await shardloom(['export', ...flags, '--format', 'megatron', '--out', 'run.sh'], { cwd })
    expect([written.code, written.out]).toEqual([0, ''])
    const from = await shardloom(['plan', '--import', 'megatron:run.sh', '--json'], { cwd })
    const direct = await shardloom(['plan', ...flags, '--json'], { cwd })
    const [there, here] = [JSON.parse(from.out), JSON.parse(direct.out)]
    expect({ ...there, warnings: [] }).toEqual({ ...here, warnings: [] })
    expect(there.warnings).toEqual([])
    const piped = await shardloom(['export', '--import', 'megatron:-', '--format', 'spec', '--microbatch', '2'], {
      cwd,
      input: readFileSync(join(cwd, 'run.sh'), 'utf8'),
    })
    expect(piped.out).toContain('model: llama-3.1-8b\nbatch: 16\nmicrobatch: 2\n')
    writeFileSync(join(cwd, 'spec.yaml'), piped.out)
    expect((await shardloom(['plan', 'spec.yaml'], { cwd })).code).toBe(0)
  })

  test('flags themselves may stand behind the colon', async () => {
    const text = 'vllm: --model meta-llama/Llama-3.1-70B-Instruct --tensor-parallel-size 8'
    const { out } = await shardloom([
      'export',
      '--import',
      text,
      '--phase',
      'decode',
      '--batch',
      '64',
      '--format',
      'spec',
    ])
    expect(out).toBe(
      'schema: shardloom.spec/1\nmodel: llama-3.1-70b\nphase: decode\nbatch: 64\nseq: 8192\nparallel:\n  tp: 8\n',
    )
  })

  test.each([
    [
      // Megatron-LM, examples/llama/train_llama3_8b_h100_fp8.sh, with the words of torchrun as PyTorch spells them.
      'megatron: CUDA_DEVICE_MAX_CONNECTIONS=1 torchrun --nproc_per_node=8 --nnodes 2 --node_rank $RANK --rdzv_backend c10d --master-addr host -m pretrain_gpt.py --tensor-model-parallel-size 8 --pipeline-model-parallel-size 2 --micro-batch-size 1 --global-batch-size 16 --seq-length 4096',
      ['--model', 'llama-3.1-8b'],
      { parallel: { tp: 8, pp: 2 }, batch: 16, seq: 4096 },
    ],
    // vLLM, Parallelism and Scaling: `vllm serve … --tensor-parallel-size 8 --pipeline-parallel-size 2`.
    [
      'vllm:vllm serve meta-llama/Llama-3.1-70B-Instruct --tensor-parallel-size 8 --pipeline-parallel-size 2',
      [],
      { model: 'llama-3.1-70b', phase: 'serving', parallel: { tp: 8, pp: 2 } },
    ],
    [
      'vllm: python3 -m vllm.entrypoints.openai.api_server --model meta-llama/Llama-3.1-70B-Instruct -tp 4',
      [],
      { model: 'llama-3.1-70b', phase: 'serving', parallel: { tp: 4 } },
    ],
    // SGLang, Server Arguments.
    [
      'sglang: python -m sglang.launch_server --model-path deepseek-ai/DeepSeek-V3 --tp 8 --trust-remote-code',
      [],
      { model: 'deepseek-v3', phase: 'serving', parallel: { tp: 8 } },
    ],
  ])('a whole command may stand there: %s', async (text, more, expected) => {
    const { out, err, code } = await shardloom(['export', '--import', text, ...more, '--format', 'spec'])
    expect([code, err.includes('error')]).toEqual([0, false])
    expect(parseSpec(out)).toMatchObject(expected)
  })

  test('a file is read, whatever its name has in it', async () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'run --tp 2.sh'), 'vllm serve meta-llama/Llama-3.1-70B-Instruct --tensor-parallel-size 8')
    const { out } = await shardloom(['export', '--import', 'vllm:run --tp 2.sh', '--format', 'spec'], { cwd })
    expect(parseSpec(out)).toMatchObject({ parallel: { tp: 8 } })
    const missing = await shardloom(['export', '--import', 'vllm:no file.sh', '--format', 'spec'], { cwd })
    expect(missing.err).toContain('no file.sh')
    expect(missing.code).toBe(1)
  })

  test('a schedule that torchtitan has no name for is a file beside, or asks for one', async () => {
    const cwd = temporaryFolder()
    const flags = ['export', ...training, '--schedule', 'zbh1', '--format', 'torchtitan']
    expect((await shardloom([...flags, '--out', 'job.toml'], { cwd })).code).toBe(0)
    expect(readdirSync(cwd).sort()).toEqual(['job.schedule.csv', 'job.toml'])
    expect(readFileSync(join(cwd, 'job.toml'), 'utf8')).toContain('"job.schedule.csv"')
    const { code, err } = await shardloom(flags, { cwd })
    expect([code, err]).toEqual([1, expect.stringContaining('--out FILE.toml')])
  })

  test.each([
    [['plan', '--import', 'slurm:x'], 2, 'Launchers: megatron, torchtitan, deepspeed, vllm, sglang'],
    [['plan', '--import', 'vllm:'], 2, 'not of the form'],
    [['plan', '--import', 'vllm:none.sh'], 1, 'none.sh'],
    [['plan', '--import', 'vllm: --tensor-parallel-size 2'], 1, 'Add `--model`'],
    [['plan', 'spec.yaml', '--import', 'vllm: --tp 2'], 2, 'both say'],
    [['export', '--model', 'llama-3.1-8b', '--tp', '3', '--format', 'deepspeed'], 1, 'tp'],
    [['export', '--model', 'gpt-oss-120b', '--format', 'megatron'], 1, '`model`'],
  ])('%j', async (args, code, text) => {
    const run = await shardloom(args)
    expect([run.code, run.out]).toEqual([code, ''])
    expect(run.err).toContain(text)
  })

  test('values that a launcher refuses beside other degrees too are not told', async () => {
    // vLLM's context parallelism is of decode alone (its `ParallelConfig`): no degree of cp is among its flags.
    const choices = ['tp=1', 'pp=1', 'cp=8', 'ulysses=1', 'sequenceParallel=false']
    const flags = ['--phase', 'prefill', '--model', 'llama-3.1-8b', '--cluster', 'dgx-h100', '--batch', '8']
    const asked = ['search', ...flags, '--ranks', '8', '--workers', '1', '--launcher', 'vllm']
    const { err } = await shardloom([...asked, ...choices.flatMap((each) => ['--choose', each])])
    const [, told = ''] = /Add --choose (\S+) to search/.exec(err.replace(/\s+/g, ' ')) ?? []
    expect(told).toBe('cp=1')
  })

  test('notes stand in the document', async () => {
    const { out } = await shardloom([
      'export',
      ...training.slice(0, 6),
      '--causal',
      'halved',
      '--format',
      'deepspeed',
      '--json',
    ])
    expect(JSON.parse(out)).toMatchObject({
      format: 'deepspeed',
      notes: ['nothing there says `options.causal`, `seq`'],
    })
  })
})
