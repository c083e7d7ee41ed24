import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inferenceReport } from '../accuracy/inference/report.js'
import { modelOf } from '../accuracy/models.js'
import { pageOf } from '../accuracy/page.js'
import { type Entry, summarise } from '../accuracy/section.js'
import { servingReport } from '../accuracy/serving/report.js'
import { readTable } from '../accuracy/tables.js'
import { rankCorrelation } from '../accuracy/tau.js'
import { stepFlops } from '../accuracy/training/flops.js'
import { trainingReport } from '../accuracy/training/report.js'
import { readRows } from '../accuracy/training/row.js'
import { specsOf } from '../accuracy/training/spec-of-row.js'

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
    expect(lacksOf({ hardware: 'a machine that nobody knows' })).toEqual([
      expect.stringMatching(/^what hardware .*known: /),
    ])
  })

  test('that are wrong are refused by their number', () => {
    expect(() => rowsOf({}, { gpus: 'many' })).toThrowError(
      expect.objectContaining({ code: 'ROWS', subject: 'rows, row 2' }),
    )
    expect(() => rowsOf({ value: 'fast' })).toThrowError(expect.objectContaining({ code: 'ROWS' }))
  })

  test('say the same in each metric, and are listed where they leave something open', async () => {
    const { rows, listed, summary } = await trainingReport(
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

const entry: Entry = {
  source: 'a table',
  table: 'a table',
  model: 'a model',
  hardware: 'a device',
  metric: 'tokens/s',
  unit: 'tok/s',
  measured: 100,
  predicted: 100,
  error: 0,
  family: 'throughput',
  layout: '',
  configuration: 'a',
  recalled: [],
  open: false,
  isFitted: false,
  statedError: 0.1,
}
const entryOf = (error: number, change: Partial<Entry> = {}): Entry => {
  const measured = change.measured ?? entry.measured
  return { ...entry, ...change, measured, error, predicted: measured * (1 + error) }
}

describe('a summary', () => {
  test('counts a repeated configuration once, with the mean size of its errors; the worst is a row', () => {
    expect(summarise([entryOf(0.5), entryOf(-0.15)])).toMatchObject([
      { n: 1, rows: 2, meanError: expect.closeTo(0.325, 12), bias: expect.closeTo(0.175, 12), worst: 0.5 },
    ])
    const another = entryOf(-0.1, { configuration: 'b' })
    expect(summarise([entryOf(0.5), entryOf(-0.15), another])).toMatchObject([
      { n: 2, rows: 3, meanError: expect.closeTo((0.325 + 0.1) / 2, 12), worst: 0.5 },
    ])
    expect(summarise([entryOf(0.15), entryOf(-0.5)])).toMatchObject([{ worst: -0.5 }])
  })

  test('counts configurations that constants were fitted to, and the page says which tables are in-sample', () => {
    const tables = [[true, true], [false, true], [false]].map((fitted, table) =>
      fitted.map((isFitted, index) =>
        entryOf(0.01, { table: `table ${table}`, configuration: String(index), isFitted }),
      ),
    )
    const summary = summarise(tables.flat())
    expect(summary.map(({ fitted, n }) => [fitted, n])).toEqual([
      [2, 2],
      [1, 2],
      [0, 1],
    ])
    const page = pageOf({ schema: 'shardloom.accuracy/2', training: { rows: [], listed: [], summary } })
    expect(page).toContain('| table 0 | throughput | fitted |')
    expect(page).toContain('| table 1 | throughput | fitted to 1 of 2 |')
    expect(page).toContain('| table 2 | throughput | held out |')
  })

  test('has remarks where they belong: under each table that they are about, with the metric where it is of one', () => {
    const remarked = [
      entryOf(0, { table: 'A', family: 'memory', remark: 'Buffers.' }),
      entryOf(0, { table: 'A' }),
      entryOf(0, { table: 'B', family: 'memory', remark: 'Buffers.' }),
      entryOf(0, { table: 'C', remark: 'Links.' }),
      entryOf(0, { table: 'C', family: 'time', remark: 'Links.' }),
    ]
    const summary = summarise(remarked)
    const page = pageOf({ schema: 'shardloom.accuracy/2', training: { rows: [], listed: [], summary } })
    expect(page).toContain('- **A, memory; B**: Buffers.\n- **C**: Links.')
  })

  test('puts rows in order that differ by more than the stated error, and by more than the mean error', () => {
    const values = [100, 115, 140].map((measured) => ({ measured, configuration: String(measured) }))
    const summaryOf = (error: number) => summarise(values.map((change) => entryOf(error, change)))
    expect(summaryOf(0.05)).toMatchObject([{ statedError: 0.1, tie: 0.1, pairs: 3 }])
    expect(summaryOf(-0.2)).toMatchObject([{ statedError: 0.1, tie: expect.closeTo(0.2, 12), pairs: 1 }])
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
    const result = await trainingReport(rows)
    const of = (name: string, family: string) =>
      result.summary.find((each) => each.table.includes(name) && each.family === family)
    expect(of('Table 5', 'time')).toMatchObject({ n: 4, open: false })
    expect(of('Table 5', 'time')?.meanError).toBeLessThanOrEqual(0.02)
    expect(Math.abs(of('Table 5', 'time')?.worst ?? 1)).toBeLessThanOrEqual(0.05)
    expect(of('Table 4', 'time')?.meanError).toBeLessThanOrEqual(0.03)
    expect(of('torchtitan', 'throughput')?.meanError).toBeLessThanOrEqual(0.06)
    expect(of('torchtitan', 'memory')?.meanError).toBeLessThanOrEqual(0.1)
    for (const { tau, family } of result.summary)
      if (tau !== null && family !== 'memory') expect(tau).toBeGreaterThanOrEqual(0.8)
    const page = readFileSync(join(import.meta.dirname, '../apps/docs/reference/accuracy.md'), 'utf8').split('\n')
    const printed = pageOf({ schema: 'shardloom.accuracy/2', training: result }).split('\n')
    const lines = printed.slice(
      printed.indexOf('### Training: rows that say everything'),
      printed.indexOf('### Training: rows that leave something open'),
    )
    const data = lines.filter((line) => /^\| GPT|^\| Llama/.test(line))
    expect(data.length).toBeGreaterThan(20)
    expect(data.filter((line) => !page.includes(line))).toEqual([])
  })
})

const sample = {
  model_path: 'meta-llama/Llama-3.1-8B',
  system: 'h100_sxm',
  backend: 'vllm',
  precision: '',
  mode: 'agg',
  isl: '1024',
  osl: '64',
  batch_size: '8',
  tp_size: '1',
  silicon_ttft_ms: '100',
  silicon_tpot_ms: '10',
}
const published = {
  model: 'Llama-3.1-8B',
  hardware: 'H100-SXM-80GB',
  gpus: 1,
  parallelism: 'TP1',
  precision: 'BF16',
  batch_or_concurrency: 4,
  isl: 512,
  osl: 1,
  metric: 'first_token_latency',
  value: 50,
  unit: 'ms',
  kind: 'static-batch',
  source: 'a page',
}

describe('rows of inference', () => {
  const csvOf = (...rows: readonly Readonly<Record<string, string>>[]) =>
    `${Object.keys(sample).join(',')}\n${rows
      .map((row) =>
        Object.keys(sample)
          .map((key) => row[key] ?? '')
          .join(','),
      )
      .join('\n')}\n`

  test('are told apart by their columns, as JSON and as CSV', () => {
    expect(readTable(csvOf(sample), 'a.csv')).toMatchObject({
      training: [],
      serving: [{ engine: 'vllm' }],
      inference: [],
    })
    expect(readTable(JSON.stringify([sample]), 'a.csv').serving).toEqual(readTable(csvOf(sample), 'a.csv').serving)
    expect(readTable(JSON.stringify({ rows: [published] }), 'b.json').inference).toHaveLength(1)
    expect(readTable(JSON.stringify([row]), 'c.json').training).toHaveLength(1)
  })

  test.each([
    [{ model_path: 'x/y' }, /shape of the model/],
    [{ system: 'z' }, /hardware `z`.*H100/],
    [{ backend: 'mine' }, /engine/],
    [{ mode: 'disagg' }, /rate/],
    [{ precision: 'int4' }, /int4/],
    [{ tp_size: '' }, /parallelism/],
    [{ batch_size: '' }, /how requests came/],
    [{ isl: '' }, /isl/],
    [{ osl: '' }, /osl/],
    [{ silicon_ttft_ms: '', silicon_tpot_ms: '' }, /measured value/],
  ])('under load, with %j: listed with what they lack', async (change, lacks) => {
    const { serving } = readTable(csvOf({ ...sample, ...change }), 'a.csv')
    const { rows, listed } = await servingReport(serving)
    expect(rows).toEqual([])
    expect(listed).toHaveLength(1)
    expect(listed[0]?.lacks.join(', ')).toMatch(lacks)
  })

  test.each([
    [{ kind: null }, /kind/],
    [{ parallelism: null, gpus: 2 }, /parallelism/],
    [{ gpus: 2 }, /mesh of all/],
    [{ metric: 'smiles' }, /metric `smiles`.*ttft/],
    [{ batch_or_concurrency: null }, /batch|how requests came/],
  ])('of a page, with %j: listed with what they lack', async (change, lacks) => {
    const { serving, inference } = readTable(JSON.stringify([{ ...published, ...change }]), 'b.json')
    const listed = [...(await servingReport(serving)).listed, ...(await inferenceReport(inference)).listed]
    expect(listed).toHaveLength(1)
    expect(listed[0]?.lacks.join(', ')).toMatch(lacks)
  })

  test('of one configuration are simulated once, and count once, whatever file they come from', async () => {
    const online = { ...published, kind: 'online', source: 'vLLM', metric: 'TPOT', isl: 1024, osl: 64, value: 10 }
    const { serving } = readTable(csvOf({ ...sample, precision: 'bf16' }), 'a.csv')
    const other = readTable(JSON.stringify([{ ...online, batch_or_concurrency: 'concurrency 8' }]), 'b.json').serving
    const { rows, summary } = await servingReport([...serving, ...other])
    const tpot = rows.filter(({ metric }) => metric === 'TPOT').map(({ predicted }) => predicted)
    expect(tpot).toHaveLength(2)
    expect(new Set(tpot).size).toBe(1)
    expect(summary.map(({ family, n, rows }) => [family, n, rows])).toEqual([
      ['TTFT', 1, 1],
      ['TPOT', 1, 2],
    ])
  })

  test('may be of percentiles and of throughput: what passes through is what clients get (Little 1961)', async () => {
    const metrics = ['TTFT', 'p99_TTFT', 'median_TPOT', 'latency', 'request_throughput', 'output_throughput']
    const online = metrics.map((metric) => ({
      ...{ ...published, kind: 'online', source: 'vLLM', isl: 256, osl: 32, batch_or_concurrency: 'concurrency 8' },
      metric,
      unit: metric === 'request_throughput' ? 'req/s' : metric.endsWith('throughput') ? 'tok/s' : 's',
      value: 1,
    }))
    const { rows } = await servingReport(readTable(JSON.stringify(online), 'b.json').serving)
    const of = (metric: string) => rows.find((each) => each.metric === metric)?.predicted ?? Number.NaN
    expect(of('p99_TTFT')).toBeGreaterThan(of('TTFT'))
    expect(of('request_throughput') * of('latency')).toBeLessThanOrEqual(8)
    expect(of('request_throughput') * of('latency')).toBeGreaterThan(6)
    expect(of('output_throughput') / of('request_throughput')).toBeCloseTo(32, -1)
  })

  test('of a static batch: a token behind the prompt takes what decode does', async () => {
    const two = { ...published, osl: 2 }
    const records = [published, { ...two, metric: 'TPOT' }, { ...two, metric: 'latency' }]
    const { rows } = await inferenceReport(readTable(JSON.stringify(records), 'b.json').inference)
    const [first = 0, next = 0, whole = 0] = rows.map(({ predicted }) => predicted)
    expect(whole).toBeCloseTo(first + next, 9)
    // 8.03 B parameters of 2 bytes, without the embedding; 3.35 TB/s (NVIDIA 2023).
    expect(next).toBeGreaterThan((1e3 * (8.03e9 - 128_256 * 4096) * 2) / 3.35e12)
  })
})
