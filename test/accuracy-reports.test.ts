import { describe, expect, test } from 'vitest'
import { trainingReport } from '../accuracy/training/report.js'
import { readRows } from '../accuracy/training/row.js'
import { specsOf } from '../accuracy/training/spec-of-row.js'

const unknown = { seen: 'recalled', micro_batch: null, recompute: null }

/** DeepSeek-AI 2024, section 3.2 and table 1: 180,000 hours of an H800 for a trillion tokens, on 2,048 of them. */
const deepSeek = {
  ...unknown,
  source: 'DeepSeek-V3 technical report',
  model: 'DeepSeek-V3',
  hardware: 'H800',
  gpus: 2048,
  dp: 128,
  tp: 1,
  pp: 16,
  ep: 64,
  zero: 1,
  global_batch: 15_360,
  micro_batch: 1,
  seq: 4096,
  precision: 'fp8',
  metric: 'tokens/s per GPU',
  value: 1e12 / (180_000 * 3600),
  unit: 'tok/s/GPU',
}

/** Grattafiori et al. 2024, table 4. */
const llama = {
  ...unknown,
  source: 'The Llama 3 Herd of Models, table 4',
  model: 'Llama 3.1 405B',
  hardware: 'H100',
  gpus: 16_384,
  dp: 128,
  tp: 8,
  pp: 16,
  global_batch: 2048,
  seq: 8192,
  precision: 'bf16',
  metric: 'BF16 TFLOP/s per GPU',
  value: 400,
  unit: 'TFLOP/s/GPU',
}

const rowOf = (row: object) => readRows(JSON.stringify([row]), 'rows')
const errorOf = async (row: object) => {
  const { rows, listed } = await trainingReport(rowOf(row))
  return [...rows, ...listed][0]?.error
}

describe('runs of thousands of ranks that reports describe', () => {
  test('DeepSeek-V3, most of whose all-to-alls its pipeline of two directions hides, takes what it took within a sixth', async () => {
    // Too fast: the module that predicts a second token is not here, nor that 20 of 132 cores communicate (sections 2.2 and 3.2.2).
    const error = (await errorOf(deepSeek)) ?? 1
    expect(error).toBeGreaterThan(0)
    expect(error).toBeLessThan(1 / 6)
  })

  test('Llama 3 405B has its end stages lighter by a layer, and is met within a sixth', async () => {
    const [row] = rowOf(llama)
    const layers = row && specsOf(row).choices[0]?.[0]?.options?.pp?.layers
    expect([layers?.[0], layers?.at(-1), layers?.reduce((sum, each) => sum + each, 0)]).toEqual([7, 7, 126])
    expect(Math.abs((await errorOf({ ...llama, zero: 3 })) ?? 1)).toBeLessThan(1 / 6)
  })
})
