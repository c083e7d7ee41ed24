import { isShardloomError, loadSpec, type SpecInput } from 'shardloom'
import { importLaunch } from 'shardloom/launch'
import { describe, expect, test } from 'vitest'

describe('the vocabulary of Megatron-LM', () => {
  const shape = `torchrun --nproc-per-node 8 pretrain_gpt.py --num-layers 20 --hidden-size 1024 --num-attention-heads 16
    --max-position-embeddings 1024 --seq-length 1024 --micro-batch-size 1 --global-batch-size 8 --bf16`
  const made = async (flags: string) => {
    const { spec, notes } = await importLaunch('megatron', `${shape} ${flags}`)
    return { rows: (await loadSpec(spec as SpecInput)).architecture.vocab, notes: notes.join('\n') }
  }

  // `_vocab_size_with_padding`: to a multiple of `make_vocab_size_divisible_by` (by default 128) · tensor_model_parallel_size.
  test.each([
    ['--vocab-size 50257 --tensor-model-parallel-size 8', 51_200],
    ['--vocab-size 50257', 50_304],
    ['--vocab-size 50257 --make-vocab-size-divisible-by 1 --tensor-model-parallel-size 8', 50_264],
    ['--vocab-size 50304', 50_304],
    // That tokenizer adds the end of a document.
    ['--vocab-size 50304 --tokenizer-type NullTokenizer', 50_432],
    ['--padded-vocab-size 50257', 50_257],
  ])('%s has %d rows', async (flags, rows) => {
    const found = await made(flags)
    expect(found.rows).toBe(rows)
    const said = Number(/\d+/.exec(flags)?.[0])
    expect(found.notes.includes(`pads the vocabulary from ${said} to ${rows} rows`)).toBe(said !== rows)
  })

  test('a preset keeps its rows, and a note says what they are padded to', async () => {
    const sizes = shape.replace('20', '12').replace('1024', '768').replace('s 16', 's 12')
    const { spec, notes } = await importLaunch('megatron', `${sizes} --vocab-size 50257`)
    expect(spec.model).toBe('gpt2')
    expect(notes.join()).toContain('pads the vocabulary from 50257 to 50304 rows, and gpt2 has 50257')
  })

  test('that lacks is named, unless a model stands in', async () => {
    const error: unknown = await made('').catch((problem: unknown) => problem)
    if (!isShardloomError(error)) throw error
    expect([error.code, error.subject]).toEqual(['LAUNCHER', 'vocab-size'])
    expect(error.message).toContain('vocabulary, which its tokenizer decides')
    const { spec } = await importLaunch('megatron', shape, { model: 'gpt2' })
    expect(spec.model).toBe('gpt2')
  })
})
