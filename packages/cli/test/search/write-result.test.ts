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
    question: { front: ['step-time', 'peak-memory'], ranks: 8, choices: {} },
    loaded: await loadSpec({ model: 'llama-3.1-8b', cluster: 'dgx-h100', parallel: { dp: 8 }, batch: 32, seq: 4096 }),
    answer: { front },
    best: [{ candidate: front[0] }],
  } as unknown as SearchResult // all that a picture needs of it
  await writeFront(quiet, path, result)
  const svg = readFileSync(path, 'utf8')
  expect(svg).toContain('2 candidates · 2 on the front')
  // It says by itself of what it is.
  expect(svg.replaceAll('\u00a0', ' ')).toContain(
    'Llama 3.1 8B · training on 8 × h100-sxm · batch 32 · seq 4,096 · bf16 · per rank, as estimated',
  )
})
