import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readCsv, servingAccuracy, servingCase, servingSummary } from '../scripts/accuracy/serving-rows.mjs'

const file = join(process.env['SHARDLOOM_REFERENCE'] ?? '', 'reference/measured-serving.csv')

test.skipIf(!existsSync(file))('measured serving is predicted: every ninth row within the KV capacity', async () => {
  const rows = readCsv(readFileSync(file, 'utf8')).filter((_: unknown, index: number) => index % 9 === 0)
  const report = await servingAccuracy(rows)
  const summary = servingSummary(report.rows.filter(({ pastCapacity }) => !pastCapacity))
  expect(summary.length).toBeGreaterThan(4)
  for (const { group, metric, mean } of summary)
    expect(mean, `${group} ${metric}`).toBeLessThan(metric === 'TPOT' ? 0.08 : 0.25)
})

test('a row that says too little is listed with what it lacks', () => {
  const row = {
    model_path: 'Qwen/Qwen3-32B',
    system: 'h100_sxm',
    backend: 'vllm',
    mode: 'agg',
    isl: '1024',
    osl: '128',
  }
  expect(servingCase(row)).not.toHaveProperty('lacks')
  for (const change of [{ model_path: 'x/y' }, { system: 'z' }, { mode: 'disagg' }, { gemm_quant_mode: 'int4' }])
    expect(servingCase({ ...row, ...change })).toHaveProperty('lacks')
})
