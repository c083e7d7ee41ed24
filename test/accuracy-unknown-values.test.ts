import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { clusterOfRow } from '../accuracy/hardware.js'
import { inferenceReport } from '../accuracy/inference/report.js'
import { examples } from '../accuracy/own-rows.js'
import { servingReport } from '../accuracy/serving/report.js'
import { readTable } from '../accuracy/tables.js'
import { trainingReport } from '../accuracy/training/report.js'

const [row] = JSON.parse(examples.training.text) as [object]
const training = (...changes: readonly object[]) => {
  const { training, warnings } = readTable(JSON.stringify(changes.map((change) => ({ ...row, ...change }))), 'my.json')
  return { report: trainingReport(training), warnings }
}
const servingText = (...changes: readonly Readonly<Record<string, string>>[]) => {
  const [names = [], cells = []] = examples.serving.text.split('\n').map((line) => line.split(','))
  const own = changes.map((change) => names.map((name, index) => change[name] ?? cells[index]).join(','))
  return [names.join(','), ...own].join('\n')
}

describe('hardware', () => {
  // Spellings of the published tables, of nvidia-smi, and of aiconfigurator's systems.
  test.each([
    ['A100 80GB SXM, DGX A100, 8x HDR200 IB (Selene)', 'dgx-a100'],
    ['NVIDIA A100-SXM4-40GB', { accelerator: 'a100-40-sxm' }],
    ['A100 40 GB', { accelerator: 'a100-40-sxm' }],
    ['NVIDIA H100 80GB HBM3', 'dgx-h100'],
    ['not stated in the log (HF cluster, assume H100 80GB, 8/node)', 'dgx-h100'],
    ['h200_sxm', 'dgx-h200'],
    ['DGX-GB200', 'gb200-nvl72'],
    ['l40s', 'l40s-pcie'],
  ])('%j is known', (hardware, cluster) => {
    expect(clusterOfRow({ hardware, gpus: 8 })).toEqual(cluster)
  })

  // H100 PCIe has 2.0 TB/s in place of 3.35 (NVIDIA's data sheet); GH200 has one device beside each processor.
  test.each(['H100 PCIe', 'h100_pcie', 'H100 (PCIe)', 'H100 NVL', 'gh200_sxm', 'A100 PCIe', 'GB300', 'XH100'])(
    '%j is no other device',
    async (hardware) => {
      expect(clusterOfRow({ hardware, gpus: 8 })).toBeUndefined()
      const { rows, listed } = await servingReport(readTable(servingText({ system: hardware }), 's7.csv').serving)
      expect(rows).toEqual([])
      expect(listed).toMatchObject([
        { source: 's7.csv, vllm', lacks: [expect.stringMatching(/^what hardware .*H100 SXM/)] },
      ])
    },
  )
})

describe('a value of a row', () => {
  test.each([
    [{ precision: 'int4' }, /precision `int4`.*known: bf16, fp16, fp8, mxfp8/],
    [{ precision: 'fp32' }, /precision `fp32`/],
    [{ recompute: 'sometimes' }, /recompute `sometimes`.*known: none, full/],
    [{ metric: 'iteration time', unit: 'furlongs' }, /unit `furlongs`.*known: s, ms/],
    [{ metric: 'time per layer', unit: 'ms' }, /two values/],
    [{ metric: 'smiles', unit: '%' }, /metric `smiles`.*known: time/],
    [{ model: 'llama-3.1-8bb' }, /did you mean `llama-3\.1-8b`/],
  ])('that is not understood is told of, with what would be: %j', async (change, why) => {
    const { rows, listed } = await training(change).report
    expect(rows).toEqual([])
    expect(listed).toMatchObject([{ lacks: [expect.stringMatching(why)] }])
  })

  test('is understood in any case of letters, and a table of all ranks has what all of them do', async () => {
    const { rows, listed } = await training(
      { recompute: 'full', precision: 'bf16' },
      { recompute: 'Full', precision: 'BF16', hardware: 'dgx h100', metric: 'Tokens/s per GPU', unit: 'Tok/s/gpu' },
      { recompute: 'full', metric: 'tokens/s', unit: 'tok/s' },
    ).report
    expect(listed).toEqual([])
    const [one = 0, upper = 0, whole = 0] = rows.map(({ predicted }) => predicted)
    expect([upper, rows[1]?.layout.toLowerCase()]).toEqual([one, rows[0]?.layout])
    expect(whole / one).toBeCloseTo(8, 9)
  })

  test.each([
    [{ precision: 'int4' }, /precision `int4`/],
    [{ backend: 'mine' }, /engine `mine`.*vllm/],
    [{ tp_size: 'two' }, /tp_size `two`/],
  ])('under load is told of once: %j', async (change, why) => {
    const { listed } = await servingReport(readTable(servingText(change), 's7.csv').serving)
    expect(listed).toMatchObject([{ lacks: [expect.stringMatching(why)] }])
  })

  test('of a static batch is listed where nothing simulated is it: one token has no time per further token', async () => {
    const [batch] = JSON.parse(examples.inference.text) as [object]
    const text = JSON.stringify([
      { ...batch, metric: 'TPOT' },
      { ...batch, unit: 'furlongs' },
      { ...batch, parallelism: 'four' },
    ])
    const { rows, listed } = await inferenceReport(readTable(text, 'my.json').inference)
    expect(rows).toEqual([])
    expect(listed.map(({ lacks }) => lacks[0])).toEqual([
      expect.stringMatching(/^a value of its metric/),
      expect.stringMatching(/unit `furlongs`/),
      expect.stringMatching(/parallelism `four`/),
    ])
  })
})

describe('a column', () => {
  test('that no file of the shape has is named once, with the one that it is near to', () => {
    expect(training({ zero_stage: 1 }, { zero_stage: 1 }).warnings).toEqual([
      'the column `zero_stage` of my.json is not read: did you mean `zero`?',
    ])
    expect(readTable(`${servingText({})}`.replace('tp_size', 'tpsize'), 's7.csv').warnings).toEqual([
      expect.stringMatching(/`tpsize`.*`tp_size`/),
    ])
    for (const { text, name } of Object.values(examples)) expect(readTable(text, name).warnings).toEqual([])
  })
})

describe('the page of one’s own rows', () => {
  test('says of them alone: no fit, no empty table, hardware where it differs', () => {
    const folder = mkdtempSync(join(tmpdir(), 'own-rows-'))
    try {
      const path = join(folder, 's7.json')
      const source = 'Korthikanti et al. 2022 Table 5'
      const rows = ['DGX H100', 'A100 80GB'].map((hardware) => ({ ...row, source, hardware, zero_stage: 1 }))
      writeFileSync(path, JSON.stringify(rows))
      const run = (...args: readonly string[]) =>
        spawnSync(process.execPath, ['scripts/accuracy.mjs', '--rows', path, ...args], {
          cwd: join(import.meta.dirname, '..'),
          encoding: 'utf8',
        })
      const { stdout, stderr } = run()
      expect(stdout).toMatch(/\| hardware \| model .*\n.*\n\| DGX H100 \|.*\n\| A100 80GB \|/)
      expect(stdout).not.toMatch(/fitted|published|Of 0|\n\| setting|## Rows of your own|Buffers/)
      expect(stdout).toContain('2 values.')
      expect(stderr.match(/zero_stage/g)).toHaveLength(1)
      const report = JSON.parse(run('--json').stdout)
      expect(report.warnings).toHaveLength(1)
      expect(report.training.summary).toMatchObject([{ fitted: 0, n: 2 }])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
