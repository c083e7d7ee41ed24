import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'
import { wordsOf } from './small-search.js'

test.each([
  [['--model', 'meta-llama/Llama-3.1-70B'], /Did you mean `llama-3\.1-70b`/],
  [['--model', 'Qwen/Qwen3-8B'], /Did you mean `qwen3-8b`/],
  [['--model', 'somebody/some-model'], /There is no file somebody\/some-model/],
  [['--model', 'tiny', '--cluster', 'h100'], /Did you mean `dgx-h100`/],
  [['--model', 'tiny', '--cluster', 'a100'], /Did you mean `dgx-a100`/],
  [['--model', 'tiny', '--cluster', 'dgx-h1000'], /Did you mean `dgx-h100`/],
  [['--model', 'tiny', '--cluster', 'xyz'], /help: Known are/],
  [['--model', 'tiny', '--tpp', '8'], /Did you mean --tp\?/],
])('a name that is near to another is asked about: %j', async (flags, text) => {
  const { code, err } = await shardloom(['plan', ...flags])
  expect(code).toBeGreaterThan(0)
  expect(err.replace(/\s+/g, ' ')).toMatch(text)
})

test.each(['vllm', 'sglang'])('%s says which phases it serves, and how two pools are started', async (format) => {
  const trained = await shardloom([
    'export',
    '--model',
    'gpt2',
    '--dp',
    '2',
    '--pp',
    '2',
    '--order',
    'pp,dp',
    '--format',
    format,
  ])
  expect(trained.err.replace(/\s+/g, ' ')).toMatch(
    /`phase` is "training": .* serves, and takes the phases serving, prefill and decode/,
  )
  const cwd = temporaryFolder()
  const pools = 'options: {serving: {prefill: {parallel: {tp: 2}}, decode: {parallel: {tp: 4}}}}\n'
  writeFileSync(join(cwd, 'two.yaml'), `model: llama-3.1-8b\nphase: serving\ncluster: dgx-h100\n${pools}`)
  const { err } = await shardloom(['export', 'two.yaml', '--format', format], { cwd })
  expect(err).toContain('two launches')
  expect(err).not.toContain('parallel.dp')
  const line = /`(shardloom export SPEC --phase prefill [^`]*)`/.exec(err.replace(/\s+/g, ' '))?.[1] ?? ''
  const words = wordsOf(line)
    .slice(1)
    .map((word) => (word === 'SPEC' ? 'two.yaml' : word))
  for (const [phase, tp] of [
    ['prefill', 2],
    ['decode', 4],
  ] as const) {
    const { code, out } = await shardloom(
      words.map((word) => (word === 'prefill' ? phase : word)),
      { cwd },
    )
    expect(code).toBe(0)
    expect(out).toMatch(new RegExp(`--(tensor-parallel|tp)-size ${tp}`))
  }
})

// docs.vllm.ai, "Parallelism and Scaling", multi-node deployment: `--nnodes 2 --node-rank 0 --master-addr HEAD` with tp 8 and pp 2 on nodes of 8.
test('a command of vLLM over several nodes says how the others are started', async () => {
  const vllm = ['export', '--model', 'llama-3.1-70b', '--cluster', 'dgx-h100', '--phase', 'serving', '--format', 'vllm']
  const over = await shardloom([...vllm, '--tp', '8', '--pp', '2'])
  expect(over.out).toMatch(/^# .*--nnodes 2 --node-rank N --master-addr/m)
  expect(over.out).toMatch(/^# .*--distributed-executor-backend ray/m)
  for (const line of over.out.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
  for (const own of [
    ['--tp', '8'],
    ['--tp', '8', '--replicas', '2'],
  ])
    expect((await shardloom([...vllm, ...own])).out).not.toContain('nnodes')
})
