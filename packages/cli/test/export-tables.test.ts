import { describe, expect, test } from 'vitest'
import { shardloom } from './run-command.js'

const specs = [
  ['data and tensor parallel', '--model tiny --batch 8 --seq 16 --dp 2 --tp 2 --zero 1'],
  ['a pipeline', '--model tiny --batch 8 --seq 16 --dp 2 --pp 2 --zero 3'],
  ['experts', '--model tiny-moe --batch 8 --seq 16 --dp 2 --tp 2 --ep 4 --sequence-parallel'],
  ['decoding', '--model tiny --phase decode --batch 8 --seq 16 --steps 3 --tp 2'],
] as const

type Row = Readonly<Record<string, string | number | null>>

async function json(...args: readonly string[]) {
  const { code, out, err } = await shardloom(args)
  expect([code, err]).toEqual([0, ''])
  return JSON.parse(out)
}

const sum = (rows: readonly Row[], ...columns: readonly string[]) =>
  rows.reduce((total, row) => columns.reduce((product, column) => product * Number(row[column]), 1) + total, 0)

describe('tables add up to the plan', () => {
  test.each(specs)('%s', async (_, text) => {
    const flags = text.split(' ')
    for (const rank of ['0', '1']) {
      const plan = await json('plan', ...flags, '--rank', rank, '--json')
      const table = (name: string) =>
        json('export', ...flags, '--rank', rank, '--format', 'table', '--table', name).then((each) => each.rows)
      const nodes: Row[] = await table('nodes')
      expect(sum(nodes, 'flops_per_step')).toBe(plan.perRank.flops)
      expect(sum(nodes, 'bytes_read_per_step')).toBe(plan.perRank.bytesRead)
      expect(sum(nodes, 'bytes_written_per_step')).toBe(plan.perRank.bytesWritten)
      expect(sum(nodes, 'executions_per_step')).toBe(plan.nodes.total)
      const sent = (rows: Row[]) => sum(rows, 'executions_per_step', 'sent_bytes_per_execution')
      const planned = sum(plan.communication, 'count', 'bytesPerRank')
      expect(planned).toBeGreaterThan(0)
      expect(sent(nodes)).toBeCloseTo(planned, 3)
      expect(sent(await table('communication'))).toBeCloseTo(planned, 3)
      expect(sum(await table('communication'), 'sent_bytes_per_step')).toBeCloseTo(planned, 3)
    }
  })

  // DualPipe (DeepSeek, 2025): each rank holds the first direction's stage r and the second's p − 1 − r, for half of the microbatches each.
  test('both directions of a pipeline have one name for what both run, and a column that tells them apart', async () => {
    const flags = '--model tiny --batch 8 --seq 16 --pp 2 --schedule dualpipe'.split(' ')
    const { rows }: { rows: Row[] } = await json('export', ...flags, '--format', 'table')
    expect(rows.filter(({ id }) => String(id).includes('~'))).toEqual([])
    const norms = rows.filter(({ id }) => /^forward\/.*\/attention\/norm$/.test(String(id)))
    expect(norms.map(({ direction }) => direction).sort()).toEqual([1, 2])
    expect(new Set(norms.map(({ executions_per_step }) => executions_per_step)).size).toBe(1)
  })

  test('graphml of ranks beyond the mesh names the last one', async () => {
    const { code, err } = await shardloom([
      'export',
      '--model',
      'tiny',
      '--format',
      'graphml',
      '--ranks',
      '0..99999999999999',
    ])
    expect([code, err]).toEqual([1, expect.stringMatching(/^error\[RANK\]/)])
  })

  test('flags of other formats are refused, and graphml takes ranks', async () => {
    const refused = await shardloom(['export', '--model', 'tiny', '--format', 'csv', '--level', 'layer'])
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('--level is of')])
    const flags = ['export', '--model', 'tiny', '--batch', '8', '--tp', '2', '--format', 'graphml']
    const nodes = async (...more: string[]) => (await shardloom([...flags, ...more])).out.split('<node ').length - 1
    expect(await nodes('--unroll', 'rank')).toBe(2 * (await nodes()))
    expect(await nodes('--ranks', '1..1')).toBe(await nodes('--rank', '1'))
    const large = await shardloom([...flags, '--unroll', 'layer,microbatch', '--limit', '10'])
    expect([large.code, large.out, large.err]).toEqual([1, '', expect.stringContaining('the limit is 10')])
  })
})
