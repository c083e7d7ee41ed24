import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'
import { space } from './small-search.js'

describe('a cluster in a file', () => {
  const cluster = (nodes: number, accelerator = 'h100-sxm') =>
    `accelerator: ${accelerator}\nnodes: ${nodes}\nlevels: [{name: node, fanOut: 8, link: nvlink-4}]\n`
  const searched = (...more: string[]) => [
    ...['search', '--model', 'llama-3.1-8b', '--cluster', './own.yaml', '--batch', '16', '--seq', '4096', '--top', '1'],
    ...[...space, '--workers', '1', ...more],
  ]

  test('says how many ranks there are, and how many are too many', async () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'own.yaml'), cluster(1))
    expect((await shardloom(searched(), { cwd })).out).toContain('on 8 × h100-sxm')
    const { code, err } = await shardloom(searched('--ranks', '24'), { cwd })
    expect(code).toBe(1)
    expect(err).toMatch(/error\[CLUSTER_SIZE\].*\n.*`nodes: 3`/s)
  })

  test('that has changed is another question to a checkpoint', async () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'own.yaml'), cluster(1))
    const call = searched('--checkpoint', 'answers.jsonl')
    expect((await shardloom(call, { cwd })).code).toBe(0)
    expect((await shardloom(call, { cwd })).code).toBe(0)
    writeFileSync(join(cwd, 'own.yaml'), cluster(1, 'a100-80-sxm'))
    const { code, err } = await shardloom(call, { cwd })
    expect(code).toBe(1)
    expect(err).toContain('the answers of another question')
  })
})

test('a batch that nobody trains with is refused at once', async () => {
  const { code, err } = await shardloom([
    'search',
    '--model',
    'llama-3.1-8b',
    '--cluster',
    'dgx-h100',
    '--ranks',
    '8',
    '--batch',
    '100000000',
  ])
  expect(code).toBe(1)
  expect(err).toContain('Give at most 16777216')
})
