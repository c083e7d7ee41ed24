import { plan, type SpecInput } from 'shardloom'
import { importLaunch } from 'shardloom/launch'
import { describe, expect, test } from 'vitest'

/** What of torchtitan's train_configs/llama3_8b.toml a plan depends on. */
const llama8b = `[model]
name = "llama3"
flavor = "8B"
[training]
local_batch_size = 1
seq_len = 8192
[parallelism]
data_parallel_replicate_degree = 1
data_parallel_shard_degree = -1
tensor_parallel_degree = 1
[activation_checkpoint]
mode = "selective"
selective_ac_option = "op"
`

type LaunchAccess = NonNullable<Parameters<typeof importLaunch>[2]>

const imported = (text: string, access: LaunchAccess) => importLaunch('torchtitan', text, access)

describe('a shard degree of -1 of torchtitan', () => {
  test('is settled by degrees that stand over the file', async () => {
    const { spec } = await imported(llama8b, { over: { parallel: { dp: 16, tp: 4 } } })
    expect(spec).toMatchObject({ parallel: { dp: 16 }, batch: 16, options: { zero: 3 } })
    const replicated = llama8b.replace('replicate_degree = 1', 'replicate_degree = 2')
    const { spec: two } = await imported(replicated, { over: { parallel: { dp: 16 } } })
    expect(two.parallel).toMatchObject({ dp: 16, dpReplicate: 2 })
    await expect(imported(replicated, { over: { parallel: { dp: 3 } } })).rejects.toThrow('2 do not divide it')
  })

  test('is what ranks leave of the degrees that stand over the file', async () => {
    const { spec } = await imported(llama8b, { ranks: 64, over: { parallel: { tp: 4 } } })
    expect(spec.parallel?.['dp']).toBe(16)
  })
})

// torchtitan v0.2.0, distributed/activation_checkpoint.py: saved are attention, reduce-scatters and products with odd numbers.
describe('selective checkpointing of torchtitan', () => {
  const saved = async (text: string, access: LaunchAccess = {}) => {
    const { spec, notes } = await imported(text, { ranks: 8, ...access })
    await plan(spec as SpecInput)
    return { recompute: spec.options?.recompute, notes: notes.join('\n') }
  }

  test('by operators keeps attention and every second product', async () => {
    const { recompute, notes } = await saved(llama8b)
    const names = ['q', 'v', 'gate', 'down', 'score', 'softmax', 'context']
    expect(recompute).toEqual({ full: { except: { name: names } }, border: 'again' })
    expect(notes).toContain('is approximated')
  })

  test('with tensor parallelism keeps what is behind reduce-scatters too', async () => {
    const { recompute } = await saved(llama8b.replace('tensor_parallel_degree = 1', 'tensor_parallel_degree = 2'))
    expect(JSON.stringify(recompute)).toContain('"out"')
    const flagged = await saved(llama8b, { ranks: 64, over: { parallel: { tp: 4 } } })
    expect(flagged.recompute).toEqual(recompute)
  })

  test('of latent attention counts its products', async () => {
    const { recompute } = await saved(llama8b.replace('llama3', 'deepseek_v3').replace('8B', '671B'))
    // wq_a, wq_b, wkv_a, wkv_b, wo
    const names = ['q_down', 'kv_down', 'k_rope', 'out', 'score', 'softmax', 'context']
    expect(recompute).toEqual({ full: { except: { name: names } }, border: 'again' })
  })

  // config/job_config.py: `mode` is selective and `selective_ac_option` 2 unless told otherwise; layers are counted from 1.
  test.each([
    ['', 'the file does not say'],
    ['[activation_checkpoint]\nmode = "selective"\nselective_ac_option = "2"', 'one of 2 layers'],
  ])('by layers is of every second one: %j', async (section, note) => {
    const { recompute, notes } = await saved(llama8b.replace(/\[activation_checkpoint\][\s\S]*/, section))
    expect(recompute).toEqual({ full: { layers: Array.from({ length: 16 }, (_, index) => 2 * index + 1) } })
    expect(notes).toContain(note)
  })

  test('is nothing where a field stands over it, whatever the mode', async () => {
    const over = { options: { recompute: 'none' } }
    for (const mode of ['selective', 'memory_budget'])
      expect((await saved(llama8b.replace('selective"\n', `${mode}"\n`), { over })).recompute).toBeUndefined()
  })

  test('a refusal quotes only what the file has', async () => {
    await expect(saved(llama8b.replace('"op"', '"attention"'))).rejects.toThrow('selective_ac_option = "attention"')
    const bare = '[parallelism]\ndata_parallel_shard_degree = 8'
    await expect(imported(bare, {})).rejects.toThrow('depends on the model, and none is known')
  })
})
