import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from '@modelcontextprotocol/client'
import { JSDOM } from 'jsdom'
import { launcherNames } from 'shardloom/launch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectStdio, failure, result } from './server.js'

const root = mkdtempSync(join(tmpdir(), 'shardloom-export-'))
let client: Client
beforeAll(async () => {
  client = await connectStdio('--root', root)
})
afterAll(() => client.close())

const call = (name: string, input: object) => result(client, name, input)
const fail = (name: string, input: object) => failure(client, name, input)

/** The text of an export, page by page. */
async function whole(input: object): Promise<string> {
  let page = await call('export', input)
  let text: string = page.text
  while (page.truncated?.[0]?.next) {
    page = await call('export', { ...input, more: page.truncated[0].next })
    text += page.text
  }
  expect(text).toHaveLength(page.characters)
  return text
}

/** GPT-3 175B on 1,024 ranks: tensor parallel 8, pipeline 16, data parallel 8, as in Megatron-LM's example of it. */
const training = {
  model: 'gpt3-175b',
  phase: 'training',
  batch: 1536,
  seq: 2048,
  parallel: { tp: 8, pp: 16, dp: 8 },
  options: { loss: 'materialised' },
}
const flags175b = `torchrun --nproc_per_node 8 --nnodes 128 pretrain_gpt.py --num-layers 96 --hidden-size 12288
  --num-attention-heads 96 --seq-length 2048 --max-position-embeddings 2048 --micro-batch-size 1 --global-batch-size 1536
  --lr 6.0e-5 --bf16 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 16`.replaceAll('\n', ' ')
const llama = {
  model: 'llama-3.1-8b',
  phase: 'training',
  batch: 16,
  seq: 1024,
  parallel: { dp: 4, tp: 2, pp: 2 },
  options: { zero: 3, sequenceParallel: true },
}
const small = { model: 'llama-3.1-8b', phase: 'prefill', batch: 4, seq: 4096, parallel: { tp: 2, dp: 2 } }

describe('launchers', () => {
  test('every launcher of the library is a format, and can be read', async () => {
    const { tools } = await client.listTools()
    for (const { name, inputSchema } of tools) {
      const { format, launch } = (inputSchema.properties ?? {}) as Record<string, { enum?: unknown }>
      if (name === 'export') expect(format?.enum).toEqual(expect.arrayContaining(launcherNames))
      if (name === 'plan') expect(launch).toMatchObject({ properties: { launcher: { enum: launcherNames } } })
    }
  })

  // The flags by the names that each tool documents.
  test.each([
    [
      'megatron',
      training,
      ['--tensor-model-parallel-size 8', '--pipeline-model-parallel-size 16', '--global-batch-size 1536'],
    ],
    ['torchtitan', llama, ['tensor_parallel_degree = 2', 'pipeline_parallel_degree = 2']],
    ['deepspeed', { ...llama, parallel: { dp: 8 }, options: { zero: 2 } }, ['"train_batch_size": 16', '"stage": 2']],
    [
      'vllm',
      { ...small, phase: 'decode', parallel: { tp: 8, pp: 2 } },
      ['--tensor-parallel-size 8', '--pipeline-parallel-size 2'],
    ],
    ['sglang', { ...small, phase: 'decode', parallel: { tp: 4 } }, ['meta-llama/Llama-3.1-8B', '--tp-size 4']],
  ] as const)('%s is told the degrees of the spec', async (format, spec, parts) => {
    const { text, notes } = await call('export', { spec, format })
    for (const part of parts) expect(text.replace(/ +\\?\n\s*/g, ' ')).toContain(part)
    expect(Array.isArray(notes)).toBe(true)
  })

  test('flags of Megatron-LM plan what they say', async () => {
    const launch = { launcher: 'megatron', text: flags175b }
    const plan = await call('plan', { launch })
    expect(plan).toMatchObject({ world: 1024, phase: 'training', batch: { sequences: 1536, seq: 2048 } })
    expect(plan.mesh).toMatchObject({ tp: 8, pp: 16, dp: 8 })
    // Brown et al. 2020, table 2.1: 175.0 billion parameters.
    expect(plan.model.parameters / 175e9).toBeCloseTo(1, 2)
    expect(plan.perRank).toEqual((await call('plan', { spec: training })).perRank)
    expect(plan.warnings.join()).toMatch(/settings? that nothing here reads/)
    const halved = await call('plan', { launch, spec: { parallel: { dp: 4 } } })
    expect(halved.mesh).toMatchObject({ tp: 8, pp: 16, dp: 4 })
  })

  test('fields of a spec say what no launcher is told', async () => {
    const text = 'vllm serve meta-llama/Llama-3.1-8B-Instruct --tensor-parallel-size 8'
    const spec = { cluster: 'dgx-h100', phase: 'decode', batch: 32, seq: 1024 }
    const step = await call('simulate', { launch: { launcher: 'vllm', text }, spec })
    expect(step).toMatchObject({ world: 8, phase: 'decode' })
    // An eighth of the weights, in two bytes each, is read at 3.35 TB/s at best; the embedding of most tokens is not.
    expect(step.stepSeconds).toBeGreaterThan((2 * (8_030_261_248 - 128_256 * 4096)) / 8 / 3.35e12)
    const { specs } = await call('compare', {
      specs: [2, 4].map((tp) => ({
        name: `tp ${tp}`,
        launch: { launcher: 'vllm', text: text.replace(/size \d/, `size ${tp}`) },
        spec: { ...spec, model: 'llama-3.1-8b' },
      })),
    })
    expect(specs.map(({ world }: { world: number }) => world)).toEqual([2, 4])
  })

  test('ranks that the text leaves open are those of the cluster, or of the search', async () => {
    // A shard degree of -1 is what other degrees leave of the ranks (torchtitan).
    const text = [
      '[model]\nname = "llama3"\nflavor = "8B"',
      '[parallelism]\ndata_parallel_shard_degree = -1\ntensor_parallel_degree = 2',
      '[activation_checkpoint]\nmode = "full"',
    ].join('\n')
    const launch = { launcher: 'torchtitan', text }
    expect(await fail('plan', { launch })).toMatchObject({ code: 'LAUNCHER' })
    expect(await fail('plan', { launch, spec: { cluster: 'dgx-h100' } })).toMatchObject({ code: 'LAUNCHER' })
    const spec = { cluster: { preset: 'dgx-h100', nodes: 4 } }
    expect((await call('plan', { launch, spec })).mesh).toMatchObject({ tp: 2, dp: 16 })
    const choices = { tp: [2], pp: [1], cp: [1], ulysses: [1], microbatch: [1], zero: [1], dpReplicate: [1] }
    const asked = { launch, spec: { cluster: 'dgx-h100', batch: 32 }, ranks: 32, choices, top: 1 }
    expect((await call('search', asked)).best[0].spec.parallel).toMatchObject({ tp: 2, dp: 16 })
  })

  test('what one is told is read back as the spec', async () => {
    const { text } = await call('export', { spec: llama, format: 'torchtitan' })
    const again = await call('export', { launch: { launcher: 'torchtitan', text }, format: 'spec' })
    const direct = await call('export', { spec: llama, format: 'spec' })
    expect(again.text).toBe(direct.text)
  })

  test('a schedule that torchtitan has no name for comes with its file', async () => {
    const asked = { spec: { ...llama, options: { ...llama.options, schedule: 'zbh1' } }, format: 'torchtitan' }
    const { text, files } = await call('export', asked)
    expect(text).toContain(`"${files[0].name}"`)
    const written = await call('export', { ...asked, out: 'job.toml' })
    expect(written).toMatchObject({ out: 'job.toml', files: [{ name: 'job.schedule.csv' }] })
    expect(readdirSync(root).sort()).toEqual(['job.schedule.csv', 'job.toml'])
    expect(readFileSync(join(root, 'job.schedule.csv'), 'utf8')).toBe(files[0].text)
    expect(readFileSync(join(root, 'job.toml'), 'utf8')).toContain('"job.schedule.csv"')
  })

  test('what cannot be said or read is an error that names it', async () => {
    const gptOss = { model: 'gpt-oss-120b', batch: 8 }
    expect(await fail('export', { spec: gptOss, format: 'megatron' })).toMatchObject({ code: 'LAUNCHER' })
    const launch = { launcher: 'vllm', text: 'vllm serve some/model --tensor-parallel-size 2' }
    expect(await fail('plan', { launch })).toMatchObject({ code: 'LAUNCHER', help: expect.stringContaining('spec') })
    expect((await call('plan', { launch, spec: { model: 'llama-3.1-8b' } })).decode.mesh).toMatchObject({ tp: 2 })
    const local = { launcher: 'vllm', text: 'vllm serve /etc/model --tensor-parallel-size 2' }
    expect((await fail('plan', { launch: local })).code).toBe('OUTSIDE_ROOT')
    expect(await fail('plan', { launch, file: 'a.yaml' })).toMatchObject({ code: 'ARGUMENTS', subject: 'spec' })
    expect(await fail('plan', { launch: { launcher: 'slurm', text: 'x' } })).toMatchObject({
      code: 'ARGUMENTS',
      message: expect.stringContaining('megatron'),
    })
  })
})

describe('tables', () => {
  /** The rows of a CSV without quoted commas: cells by the names of their columns. */
  const rowsOf = (text: string) => {
    const [head = '', ...lines] = text.trimEnd().split('\r\n')
    const names = head.split(',')
    return lines.map((line) => Object.fromEntries(line.split(',').map((cell, at) => [names[at], cell])))
  }
  const sum = (rows: readonly Record<string, string>[], column: string) =>
    rows.reduce((total, row) => total + Number(row[column]), 0)

  test('columns of the nodes add up to what plan says', async () => {
    const { perRank } = await call('plan', { spec: small, rank: 3 })
    const rows = rowsOf(await whole({ spec: small, format: 'csv', rank: 3 }))
    expect(sum(rows, 'flops_per_step')).toBe(perRank.flops)
    expect(sum(rows, 'bytes_read_per_step')).toBe(perRank.bytesRead)
    expect(sum(rows, 'bytes_written_per_step')).toBe(perRank.bytesWritten)
  })

  test('communication is that of plan, as CSV and as JSON', async () => {
    const { communication } = await call('plan', { spec: small })
    const sent = communication.reduce(
      (total: number, { count, bytesPerRank }: Record<string, number>) => total + (count ?? 0) * (bytesPerRank ?? 0),
      0,
    )
    expect(sent).toBeGreaterThan(0)
    const rows = rowsOf(await whole({ spec: small, format: 'csv', table: 'communication' }))
    expect(sum(rows, 'sent_bytes_per_step')).toBe(sent)
    const table = JSON.parse(await whole({ spec: small, format: 'table', table: 'communication' }))
    expect(table).toMatchObject({ schema: 'shardloom.table/1', table: 'communication', rank: 0 })
    expect(table.rows).toHaveLength(communication.length)
  })
})

describe('svg', () => {
  const { DOMParser } = new JSDOM('').window
  const spec = { model: 'gpt2', phase: 'training', batch: 8, seq: 512, parallel: { pp: 4 }, cluster: 'dgx-h100' }

  test.each([
    [{ level: 'stage' }, 'training · stages'],
    [{ view: 'timeline' }, 'training · timeline'],
    [{ view: 'memory', rank: 2 }, 'training · memory'],
  ])('%j is XML', async (options, title) => {
    const text = await whole({ spec, format: 'svg', ...options })
    const document = new DOMParser().parseFromString(text, 'image/svg+xml') // throws nothing: errors are an element
    expect(document.querySelector('parsererror')).toBeNull()
    expect(document.documentElement.namespaceURI).toBe('http://www.w3.org/2000/svg')
    expect(document.querySelector('title')?.textContent).toBe(title)
  })

  test('is written to a file of its ending', async () => {
    const asked = { spec, format: 'svg', level: 'stage' }
    expect(await call('export', { ...asked, out: 'a.svg' })).toMatchObject({ out: 'a.svg' })
    expect(readFileSync(join(root, 'a.svg'), 'utf8')).toMatch(/^<svg/)
    expect((await fail('export', { ...asked, out: 'a.html' })).help).toContain('.svg')
  })

  test('what a simulated step does not have is refused', async () => {
    const timeline = { spec, format: 'svg', view: 'timeline' }
    expect(await fail('export', { ...timeline, level: 'stage' })).toMatchObject({ subject: 'level' })
    expect(await fail('export', { ...timeline, rank: 9 })).toMatchObject({ subject: 'rank' })
    expect(await fail('export', { ...timeline, spec: { ...spec, phase: 'serving', parallel: {} } })).toMatchObject({
      subject: 'view',
    })
    expect(await fail('export', { ...timeline, spec: { ...spec, cluster: undefined } })).toMatchObject({
      code: 'NO_CLUSTER',
    })
  })
})

test('the spec as YAML is what was planned', async () => {
  const { text, out } = await call('export', { spec: small, format: 'spec' })
  expect(out).toBeUndefined()
  await call('export', { spec: small, format: 'spec', out: 'small.yaml' })
  expect(readFileSync(join(root, 'small.yaml'), 'utf8')).toBe(text)
  expect(await call('plan', { file: 'small.yaml' })).toEqual(await call('plan', { spec: small }))
})

test.each([
  ['program', { level: 'module' }, 'mermaid'],
  ['csv', { unroll: ['layer'] }, 'svg'],
  ['mermaid', { table: 'nodes' }, 'csv'],
  ['dot', { view: 'timeline' }, 'svg'],
  ['spec', { rank: 0 }, 'csv'],
  ['megatron', { part: 'decode' }, 'program'],
])('%s does not have %j', async (format, option, other) => {
  const [subject = ''] = Object.keys(option)
  expect(await fail('export', { spec: small, format, ...option })).toMatchObject({
    code: 'ARGUMENTS',
    subject,
    message: expect.stringContaining(format),
    help: expect.stringContaining(other),
  })
})
