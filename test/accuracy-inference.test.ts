import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inferenceReport } from '../accuracy/inference/report.js'
import { leaveOut } from '../accuracy/serving/leave-out.js'
import { Simulations, servingReport } from '../accuracy/serving/report.js'
import { readTable } from '../accuracy/tables.js'

const folder = process.env['SHARDLOOM_REFERENCE'] ?? ''
const reference = (name: string) => readFileSync(join(folder, 'reference', name), 'utf8')

describe.skipIf(folder === '')('published inference', () => {
  const simulations = new Simulations()
  const serving = () => readTable(reference('measured-serving.csv'), 'reference').serving

  test('prompts by themselves come out within 7 % with the constants of training', async () => {
    const { inference } = readTable(reference('measured-inference.json'), 'reference')
    const { rows, listed } = await inferenceReport(inference)
    expect([rows.length, listed.length]).toEqual([2, 0])
    for (const { error } of rows) expect(Math.abs(error)).toBeLessThanOrEqual(0.07)
  })

  test('engines under load: every ninth row within the KV capacity, and DeepSeek-R1, whose cache is one for all heads', async () => {
    const rows = serving().filter(({ model }, index) => index % 9 === 0 || (model === 'DeepSeek-R1' && index % 4 === 0))
    const { summary } = await servingReport(rows, simulations)
    const within = summary.filter(({ table }) => !table.includes('past the KV'))
    expect(within.length).toBeGreaterThan(4)
    for (const { table, family, meanError, tau } of within) {
      expect(meanError, `${table} ${family}`).toBeLessThan(family === 'TPOT' ? 0.08 : 0.25)
      if (tau !== null) expect(tau, `${table} ${family}`).toBeGreaterThanOrEqual(0.8)
    }
    expect(summary.filter(({ table }) => table.startsWith('DeepSeek')).map(({ table }) => table)).toEqual([
      'DeepSeek-R1, sglang, fp8',
      'DeepSeek-R1, sglang, fp8',
    ])
  })

  test('with constants from other groups the time per output token stays within 15 %', async () => {
    const rows = serving().filter(
      ({ model, output }, index) => index % 5 === 0 && model === 'Qwen3-32B' && (output ?? 0) <= 512,
    )
    const left = await leaveOut(rows, simulations)
    expect(left.length).toBeGreaterThan(1)
    for (const { group, fittedTo, errors } of left) {
      expect(fittedTo).not.toContain(group)
      expect(errors.find(({ family }) => family === 'TPOT')?.meanError, group).toBeLessThanOrEqual(0.15)
    }
  })
})
