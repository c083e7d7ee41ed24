import { loadSpec, type SpecInput } from 'shardloom'
import { exportLaunch, type LauncherName } from 'shardloom/launch'
import { describe, expect, test } from 'vitest'

// vLLM, Engine Arguments: `max-model-len` is the context of a request, prompt and output together; so is SGLang's `context-length`.
describe.each<[LauncherName, string]>([
  ['vllm', '--max-model-len'],
  ['sglang', '--context-length'],
])('the longest sequence of %s', (name, flag) => {
  test.each([
    [{ input: 2048, output: 512 }, 2560],
    [{ input: { from: 820, to: 1024 }, output: { from: 102, to: 128 } }, 1152],
    [{ output: 1000 }, 4096 + 1000],
    // Longer than the model's usual prompt, too.
    [{ input: 100_000, output: 24 }, 100_024],
  ])('of a load of %j is its longest request with what it generates', async (load, longest) => {
    const spec: SpecInput = { model: 'llama-3.1-8b', phase: 'serving', seq: 4096, options: { serving: { load } } }
    const { text, notes } = exportLaunch(await loadSpec(spec), name)
    expect(text).toMatch(new RegExp(`${flag} ${longest}\\b`))
    expect(notes.join(' ')).not.toContain('lets them in')
  })

  test('of a load that does not say how long requests are is that of a prompt, and a note says what they are taken to be', async () => {
    const serving = { load: { clients: 8 } }
    const loaded = await loadSpec({ model: 'llama-3.1-8b', phase: 'serving', seq: 4096, options: { serving } })
    const { text, notes } = exportLaunch(loaded, name)
    expect(text).toMatch(new RegExp(`${flag} 4097\\b`))
    expect(notes.join(' ')).toContain(`${flag} 4352`)
  })
})
