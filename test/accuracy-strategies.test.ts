import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { strategiesLines } from '../accuracy/strategies-page.js'
import { bestOfTables, type Setting } from '../accuracy/training/best-of-table.js'
import { readRows } from '../accuracy/training/row.js'

const folder = process.env['SHARDLOOM_REFERENCE'] ?? ''
const page = readFileSync(join(import.meta.dirname, '../apps/docs/reference/accuracy.md'), 'utf8')
const published = () => readRows(readFileSync(join(folder, 'reference', 'measured-training.json'), 'utf8'), 'reference')

/** The cells of the first table below a heading, by the names of its columns. */
function tableBelow(heading: string): Record<string, string>[] {
  const lines = page.slice(page.indexOf(heading)).split('\n')
  const from = lines.findIndex((line) => line.startsWith('|'))
  const length = lines.slice(from).findIndex((line) => !line.startsWith('|'))
  const cells = (line: string) => line.slice(2, -2).split(' | ')
  const [names = [], , ...rows] = lines.slice(from, from + length).map(cells)
  return rows.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index] ?? ''])))
}

/** Published strategies that a search over all that their table chose places behind the third, by what its first takes less of most. */
const preferred: Readonly<Record<string, string>> = {
  'GPT 3.6B (h=3072, L=30, V=51200): 64 ranks of A100 80GB SXM, batch 512, seq 2048, fp16/bf16 mixed': 'tp',
  'Llama 3.1 70B: 256 ranks of H100 96GB HBM2e 2.4TB/s 500W, batch 512, seq 8192, bf16+float8': 'tp',
  'Llama-arch 1B (nanotron): 16 ranks of not stated in the log, batch 1024, seq 4096, bf16': 'computing',
  'DeepSeekV3: 256 ranks of DGX-GB200, batch 4096, seq 4096, MXFP8': 'bubble',
  'Qwen3_30B_a3B: 16 ranks of DGX-H100, batch 1024, seq 4096, FP8': 'bubble',
  'LLAMA3_70B: 32 ranks of DGX-GB200, batch 32, seq 4096, FP8': 'bubble',
  'LLAMA3_70B: 32 ranks of DGX-GB200, batch 32, seq 4096, MXFP8': 'bubble',
  'LLAMA3_70B: 64 ranks of DGX-GB200, batch 256, seq 8192, FP8':
    'Some options choose layers by their depth, and a search knows kinds of layers alone.',
  'LLAMA3_70B: 64 ranks of DGX-GB200, batch 256, seq 8192, MXFP8': 'bubble',
  'GPT OSS 120B: 64 ranks of DGX-H100, batch 1280, seq 4096, BF16': 'bubble',
}

describe('the published best, as the page of the docs says', () => {
  test('is among the first three of the strategies that its table compares, by the search and simulated', () => {
    const rows = tableBelow('### Strategies: the order of published rows')
    for (const table of ['torchtitan', 'nanotron', 'Megatron-Bridge', 'Zero Bubble', 'Korthikanti'])
      expect(rows.filter((row) => row['table']?.includes(table)).length, table).toBeGreaterThan(0)
    for (const row of rows)
      for (const order of ['place by search', 'place simulated'])
        expect(Number(row[order]), row['setting']).toBeLessThanOrEqual(3)
  })

  test('is among the first three of all that its table chose, or is listed here with what another saves', () => {
    const rows = tableBelow('### Strategies: searched')
    for (const table of ['Narayanan', 'torchtitan', 'nanotron', 'Megatron-Bridge'])
      expect(rows.filter((row) => row['table']?.includes(table)).length, table).toBeGreaterThan(0)
    const behind = rows.filter((row) => !(Number.parseInt(row['place'] ?? '', 10) <= 3))
    const reasons = behind.map((row) => [row['setting'] ?? '', /^less (\S+)/.exec(row['why'] ?? '')?.[1] ?? row['why']])
    expect(Object.fromEntries(reasons)).toEqual(preferred)
  })
})

describe.skipIf(folder === '')('strategies of published rows', () => {
  const lineOf = (settings: readonly Setting[], heading: string) => {
    const lines = strategiesLines(settings).join('\n').split('\n')
    const from = lines.indexOf(heading)
    return lines.slice(from).filter((line) => line.startsWith('| '))
  }

  test('of nanotron and of async tensor parallelism come out as the page says', async () => {
    const own = published().filter(({ source }) => /^nanotron|^torchtitan async/.test(source))
    const settings = await bestOfTables(own)
    const lines = lineOf(settings, '### Strategies: the order of published rows')
    expect(lines.length).toBeGreaterThan(20)
    const known = new Set(page.split('\n'))
    expect(lines.filter((line) => !known.has(line))).toEqual([])
  })
})
