import { spawnSync } from 'node:child_process'
import { readSchedule } from '@shardloom/schedules'
import fc from 'fast-check'
import { loadSpec, planLoaded, type SpecInput } from 'shardloom'
import { exportLaunch, importLaunch, type LauncherName } from 'shardloom/launch'
import { describe, expect, test } from 'vitest'

const has = (program: string) => spawnSync(program, ['--version']).status === 0

describe('other readers', () => {
  const input: Record<'train' | 'serve', SpecInput> = {
    train: {
      model: 'deepseek-v3',
      batch: 64,
      parallel: { dp: 4, tp: 2, ep: 8 },
      options: { zero: 1, sequenceParallel: true },
    },
    serve: { model: "./it's $HOME; (a) model/config.json", phase: 'serving', parallel: { tp: 2 } },
  }
  const readText = () => JSON.stringify({ model_type: 'gpt2', n_embd: 64, n_head: 4, n_layer: 2, vocab_size: 100 })

  test.skipIf(!has('bash')).each<[LauncherName, 'train' | 'serve', string]>([
    ['megatron', 'train', 'torchrun'],
    ['vllm', 'serve', 'vllm'],
    ['sglang', 'serve', 'python3'],
  ])('a shell hands %s the words that were meant', async (name, kind, command) => {
    const { text } = exportLaunch(await loadSpec(input[kind], { readText }), name)
    const script = `${command}() { for word in "$@"; do printf '%s\\0' "$word"; done; }\nNODE_RANK=3 MASTER_ADDR=here\n${text}`
    const { stdout, stderr, status } = spawnSync('bash', ['-eu', '-c', script], { encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
    const words = stdout.split('\0')
    const after = (flag: string) => words[words.indexOf(flag) + 1]
    if (kind === 'train') {
      expect([after('--moe-layer-freq'), after('--nproc-per-node')]).toEqual(['([0]*3+[1]*58)*1', '8'])
    } else {
      expect(words).toContain("./it's $HOME; (a) model")
      expect(after(name === 'vllm' ? '--tensor-parallel-size' : '--tp-size')).toBe('2')
    }
  })

  test.skipIf(!has('python3'))("Python's tomllib reads torchtitan's file", async () => {
    const spec: SpecInput = {
      model: 'llama-3.1-8b',
      batch: 16,
      parallel: { dp: 2, pp: 2 },
      options: { pp: { layers: [15, 17] }, schedule: '1f1b' },
    }
    const { text } = exportLaunch(await loadSpec(spec), 'torchtitan')
    const program = 'import sys, json, tomllib; print(json.dumps(tomllib.loads(sys.stdin.read())))'
    const { stdout } = spawnSync('python3', ['-c', program], { input: text, encoding: 'utf8' })
    const { model, training, parallelism } = JSON.parse(stdout)
    expect([model.name, training.local_batch_size, parallelism.data_parallel_replicate_degree]).toEqual([
      'llama3',
      8,
      2,
    ])
    expect(parallelism.module_fqns_per_model_part.map((part: string[]) => part.length)).toEqual([16, 19])
  })

  test.skipIf(!has('python3'))('hostile names of models stay names', async () => {
    const name = '"""\n[parallelism]\ntensor_parallel_degree = 64 # \\ \u0007 ä🧵'
    const { architecture } = await loadSpec({ model: 'llama-3.1-8b' })
    const loaded = await loadSpec({ model: { ...architecture, name }, batch: 4 })
    const { text } = exportLaunch(loaded, 'torchtitan')
    const program = 'import sys, json, tomllib; print(json.dumps(tomllib.loads(sys.stdin.read())))'
    const { stdout } = spawnSync('python3', ['-c', program], { input: text, encoding: 'utf8' })
    const { model, parallelism } = JSON.parse(stdout)
    expect([model.flavor, parallelism.tensor_parallel_degree]).toEqual([name, 1])
  })

  // `get_num_layers_to_build` of Megatron-Core asserts that layers divide over stages, and those of a stage over its chunks.
  test.each([
    [{ tp: 8, pp: 6 }, {}, 6],
    [{ tp: 8, pp: 4 }, { schedule: 'interleaved1f1b', virtual: 3 }, 12],
    [{ tp: 8, pp: 4 }, { schedule: 'interleaved1f1b', virtual: 5 }, 0],
  ] as const)(
    'Megatron-LM is told the layers of each chunk where they do not divide: %j %j',
    async (parallel, options, chunks) => {
      const asked = { model: 'llama-3.1-70b', batch: 96, seq: 8192, parallel, options }
      const { text } = exportLaunch(await loadSpec(asked), 'megatron')
      const [, layout] = /--pipeline-model-parallel-layout '?([^' \n\\]+)/.exec(text) ?? []
      expect(layout === undefined).toBe(chunks === 0)
      if (layout === undefined) return
      expect(text).not.toContain('--num-virtual-stages-per-pipeline-rank')
      const { spec } = await importLaunch('megatron', text)
      const planned = planLoaded(await loadSpec(asked)).program.pipeline?.chunks.map(({ from, to }) => to - from)
      expect(spec.options?.pp?.layers).toEqual(planned)
      expect(planned?.length).toBe(chunks)
    },
  )

  test('sizes of another model than the one that is planned are noted', async () => {
    const command =
      'torchrun --nproc-per-node 8 pretrain_gpt.py --bf16 --micro-batch-size 1 --global-batch-size 8 --seq-length 4096'
    const notesOf = async (sizes: string) =>
      (await importLaunch('megatron', `${command} ${sizes}`, { model: 'llama-3.1-8b', ranks: 8 })).notes.join()
    const own = await notesOf('--num-layers 32 --hidden-size 4096 --num-attention-heads 32')
    expect(own).not.toContain('another model')
    const other = await notesOf('--num-layers 40 --hidden-size 4096 --num-attention-heads 32')
    expect(other).toContain('`--num-layers 40` is of another model: Llama 3.1 8B, which is planned, has 32')
    expect(other).not.toContain('hidden-size')
  })

  test('a shard degree of -1 is what the ranks leave, and without them nobody knows', async () => {
    const text = [
      '[model]\nname = "llama3"\nflavor = "8B"',
      '[parallelism]\ndata_parallel_shard_degree = -1\ntensor_parallel_degree = 2',
      '[activation_checkpoint]\nmode = "full"',
    ].join('\n')
    const dpOf = async (access: Parameters<typeof importLaunch>[2]) =>
      (await importLaunch('torchtitan', text, access)).spec.parallel?.['dp']
    expect(await dpOf({ ranks: 64 })).toBe(32)
    expect(await dpOf({ cluster: { preset: 'dgx-h100', nodes: 2 } })).toBe(8)
    await expect(dpOf({ cluster: 'dgx-h100' })).rejects.toThrow('the file does not say how many there are')
    await expect(dpOf({ ranks: 7 })).rejects.toThrow('do not divide them')
  })

  test('what torchtitan has no name for is a file that our reader takes', async () => {
    const loaded = await loadSpec({
      model: 'llama-3.1-8b',
      batch: 16,
      parallel: { dp: 2, pp: 2 },
      options: { schedule: 'zbh1' },
    })
    expect(() => exportLaunch(loaded, 'torchtitan')).toThrow('options.schedule')
    const { text, files } = exportLaunch(loaded, 'torchtitan', { scheduleFile: 'job.schedule.csv' })
    expect(text).toContain('pipeline_parallel_schedule_csv = "job.schedule.csv"')
    expect(files.map(({ name }) => name)).toEqual(['job.schedule.csv'])
    expect(readSchedule(files[0]?.text ?? '')).toMatchObject({ ranks: 2, microbatches: 8 })
    expect((await importLaunch('torchtitan', text)).spec.options?.schedule).toBe('job.schedule.csv')
  })

  test("DeepSpeed's batch rule holds", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 8 }),
        async (dp, microbatch, steps) => {
          const loaded = await loadSpec({ model: 'gpt2', batch: dp * microbatch * steps, microbatch, parallel: { dp } })
          const config = JSON.parse(exportLaunch(loaded, 'deepspeed').text)
          expect(config.train_batch_size).toBe(
            config.train_micro_batch_size_per_gpu * config.gradient_accumulation_steps * dp,
          )
        },
      ),
      { numRuns: 30 },
    )
  })
})
