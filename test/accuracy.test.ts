import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { stepFlops } from '../accuracy/flops.js'
import { modelOf } from '../accuracy/models.js'
import { report } from '../accuracy/report.js'
import { readRows } from '../accuracy/row.js'
import { specsOf } from '../accuracy/spec-of-row.js'
import { rankCorrelation } from '../accuracy/tau.js'
import { reportText } from '../accuracy/text.js'

const folder = process.env['SHARDLOOM_REFERENCE'] ?? ''
const reference = (name: string) => readFileSync(join(folder, 'reference', name), 'utf8')

const row = {
  source: 'a table',
  model: 'llama-3.1-8b',
  hardware: 'DGX H100',
  gpus: 8,
  dp: 1,
  tp: 8,
  pp: 1,
  global_batch: 8,
  micro_batch: 1,
  seq: 4096,
  recompute: 'none',
  precision: 'bf16',
  metric: 'tokens/s per GPU',
  value: 6000,
  unit: 'tok/s/GPU',
}
const rowsOf = (...changes: readonly object[]) =>
  readRows(JSON.stringify(changes.map((change) => ({ ...row, ...change }))), 'rows')

describe('rows', () => {
  test('are the same from JSON and from a CSV, whose quoted fields may hold commas', () => {
    const named = { ...row, source: 'a table, with "notes"' }
    const quoted = (value: unknown) => `"${String(value).replaceAll('"', '""')}"`
    const csv = `${Object.keys(named).join(',')}\n${Object.values(named).map(quoted).join(',')}\n`
    expect(readRows(csv, 'rows')).toEqual(rowsOf(named))
  })

  test('lack every field that is null but those that then are not used', () => {
    const lacksOf = (change: object) => specsOf(rowsOf(change)[0] as ReturnType<typeof readRows>[number]).lacks // one row
    for (const field of ['vp', 'cp', 'ep', 'sp', 'zero']) expect(lacksOf({ [field]: null })).toEqual([])
    for (const field of ['gpus', 'tp', 'pp', 'seq', 'dp', 'global_batch', 'micro_batch', 'recompute', 'precision'])
      expect(lacksOf({ [field]: null })).toContain(field)
    expect(lacksOf({ model: 'a model that nobody knows' })).toEqual(['the shape of the model'])
    expect(lacksOf({ hardware: 'a machine that nobody knows' })).toEqual(['the hardware'])
  })

  test('that are wrong are refused by their number', () => {
    expect(() => rowsOf({}, { gpus: 'many' })).toThrowError(
      expect.objectContaining({ code: 'ROWS', subject: 'rows, row 2' }),
    )
    expect(() => rowsOf({ value: 'fast' })).toThrowError(expect.objectContaining({ code: 'ROWS' }))
  })

  test('say the same in each metric, and are listed where they leave something open', async () => {
    const { rows, listed, summary } = await report(
      rowsOf(
        {},
        { metric: 'iteration time', unit: 's', value: 1 },
        { metric: 'iteration time', unit: 'ms', value: 1000 },
        { metric: 'model TFLOP/s per GPU', unit: 'TFLOP/s/GPU', value: 400 },
        { metric: 'MFU', unit: '%', value: 40 },
        { recompute: null },
      ),
    )
    const [tokens = 0, seconds = 0, milliseconds = 0, rate = 0, share = 0] = rows.map(({ predicted }) => predicted)
    expect(tokens * seconds * 8).toBeCloseTo(8 * 4096, 3)
    expect(milliseconds).toBeCloseTo(1000 * seconds, 6)
    const model = modelOf('llama-3.1-8b')
    const flops =
      model && stepFlops(model, { tokens: 8 * 4096, seq: 4096 }, { causal: 'halved', recomputed: false }, 'none')
    expect(rate).toBeCloseTo((flops ?? 0) / seconds / 8 / 1e12, 6)
    expect(share).toBeCloseTo(rate / 9.894, 6)
    expect(listed).toMatchObject([{ lacks: ['recompute'], predicted: expect.closeTo(tokens, 6) }])
    expect(rows[0]?.error).toBeCloseTo(tokens / 6000 - 1, 9)
    // One configuration, in time and in throughput.
    expect(summary.filter(({ open }) => !open).map(({ family, n, rows }) => [family, n, rows])).toEqual([
      ['throughput', 1, 3],
      ['time', 1, 2],
    ])
  })
})

describe("Kendall's τ", () => {
  const ranked = (pairs: readonly (readonly [number, number])[]) =>
    pairs.map(([measured, predicted]) => ({ metric: 'm', unit: 's', measured, predicted }))
  test('is 1 in order, −1 in reverse, and leaves out what differs by less than the stated error', () => {
    expect(
      rankCorrelation(
        ranked([
          [1, 10],
          [2, 20],
          [3, 30],
        ]),
        0.05,
      ),
    ).toEqual({ tau: 1, pairs: 3 })
    expect(
      rankCorrelation(
        ranked([
          [1, 3],
          [2, 2],
          [3, 1],
        ]),
        0.05,
      ),
    ).toEqual({ tau: -1, pairs: 3 })
    expect(
      rankCorrelation(
        ranked([
          [100, 3],
          [103, 2],
        ]),
        0.05,
      ),
    ).toEqual({ tau: null, pairs: 0 })
  })
})

describe.skipIf(folder === '')('published measurements', () => {
  const formulas = () => JSON.parse(reference('memory-formulas.json')).models
  test.each([
    ['GPT 22B', 'megatron-22B', 4],
    ['GPT-3 175B', 'gpt3-175B', 64],
  ])('FLOPs of %s are those of Korthikanti et al. (2022, appendix A) and of Megatron-LM', (name, key, batch) => {
    const model = modelOf(name)
    if (!model) throw new Error(name)
    const expected = formulas()[key]
    const flops = (causal: 'whole' | 'halved', recompute: string) =>
      stepFlops(model, { tokens: batch * 2048, seq: 2048 }, { causal, recomputed: recompute !== 'none' }, recompute)
    expect(flops('whole', 'none') / expected.korthikanti_model_flops).toBeCloseTo(1, 12)
    expect(flops('whole', 'selective') / expected.korthikanti_hw_flops_selective).toBeCloseTo(1, 12)
    expect(flops('halved', 'none') / expected.megatron_num_floating_point_operations).toBeCloseTo(1, 12)
  })

  test('of Korthikanti et al. and of torchtitan in 16 bits come out as aimed at, and as the page of the docs says', async () => {
    const rows = readRows(reference('measured-training.json'), 'reference').filter(
      ({ source, precision }) =>
        /^Korthikanti et al. 2022 Table/.test(source) ||
        (/^torchtitan benchmarks/.test(source) && precision === 'bf16'),
    )
    const result = await report(rows)
    const of = (name: string, family: string) =>
      result.summary.find((each) => each.table.includes(name) && each.family === family)
    expect(of('Table 5', 'time')).toMatchObject({ n: 4, open: false })
    expect(of('Table 5', 'time')?.meanError).toBeLessThanOrEqual(0.02)
    expect(Math.abs(of('Table 5', 'time')?.worst ?? 1)).toBeLessThanOrEqual(0.05)
    expect(of('Table 4', 'time')?.meanError).toBeLessThanOrEqual(0.03)
    expect(of('torchtitan', 'throughput')?.meanError).toBeLessThanOrEqual(0.06)
    for (const { tau, family } of result.summary)
      if (tau !== null && family !== 'memory') expect(tau).toBeGreaterThanOrEqual(0.8)
    const page = readFileSync(join(import.meta.dirname, '../apps/docs/reference/accuracy.md'), 'utf8').split('\n')
    const printed = reportText(result).split('\n')
    const lines = printed.slice(
      printed.indexOf('## Rows that say everything'),
      printed.indexOf('## Rows that leave something open'),
    )
    const data = lines.filter((line) => /^\| GPT|^\| Llama/.test(line))
    expect(data.length).toBeGreaterThan(20)
    expect(data.filter((line) => !page.includes(line))).toEqual([])
  })
})
