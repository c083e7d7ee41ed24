import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadSpec } from 'shardloom'
import type { Candidate } from 'shardloom/search'
import { expect, test } from 'vitest'
import type { SearchResult } from '../../src/search/result.js'
import { writeFront } from '../../src/search/write-result.js'
import { temporaryFolder } from '../run-command.js'
import { quiet } from './pretended.js'

test('candidates that differ in nothing their short names say are points of their own', async () => {
  const candidate = (own: number | string, time: number, memory: number): Candidate => ({
    name: `own=${own}`,
    choices: { own }, // of a plugin: both values stand for nothing in short names
    score: time,
    metrics: { 'step-time': time, 'peak-memory': memory },
  })
  const front = [candidate(1, 1, 3e9), candidate('none', 2, 2e9)]
  const path = join(temporaryFolder(), 'front.svg')
  const result = {
    question: { front: ['step-time', 'peak-memory'], ranks: 8, choices: {}, limits: [] },
    loaded: await loadSpec({ model: 'llama-3.1-8b', cluster: 'dgx-h100', parallel: { dp: 8 }, batch: 32, seq: 4096 }),
    front: front.map((each) => ({ candidate: each, metrics: each.metrics })),
    best: [{ candidate: front[0], misses: [] }],
  } as unknown as SearchResult // all that a picture needs of it
  await writeFront(quiet, path, result)
  const svg = readFileSync(path, 'utf8')
  expect(svg).toContain('2 candidates · 2 on the front')
  // It says by itself of what it is.
  expect(svg.replaceAll('\u00a0', ' ')).toContain(
    'Llama 3.1 8B · training on 8 × h100-sxm · batch 32 · seq 4,096 · bf16 · as estimated',
  )
})

test('a sum over all ranks is said to be one, and bytes to be those of one rank', async () => {
  const point: Candidate = {
    name: 'tp=1',
    choices: { tp: 1 },
    score: 1,
    metrics: { 'tokens-per-second': 8000, throughput: 1000, 'peak-memory': 3e9 },
  }
  const loaded = await loadSpec({ model: 'llama-3.1-8b', cluster: 'dgx-h100', parallel: { dp: 8 }, batch: 8, seq: 64 })
  const drawn = async (front: readonly [string, string]) => {
    const path = join(temporaryFolder(), 'front.svg')
    const result = {
      question: { front, ranks: 8, choices: {}, limits: [] },
      loaded,
      front: [{ candidate: point, metrics: point.metrics }],
      best: [],
    } as unknown as SearchResult // all that a picture needs of it
    await writeFront(quiet, path, result)
    return readFileSync(path, 'utf8').replaceAll('\u00a0', ' ')
  }
  // 8,000 of all eight ranks are 1,000 of one.
  const sum = await drawn(['tokens-per-second', 'peak-memory'])
  expect(sum).toContain('tokens per second 8,000 of all ranks · peak memory of a rank 3.00 GB')
  expect(sum).not.toContain('per rank')
  expect(await drawn(['throughput', 'peak-memory'])).toContain('throughput 1,000 tokens/s per rank')
})
