/** The model against times of NCCL on five systems, found through the environment variable SHARDLOOM_REFERENCE. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  busBandwidth,
  busFactor,
  type CollectiveOp,
  collectiveCost,
  collectiveSeconds,
  groupOver,
  resolveCluster,
} from '@shardloom/cluster'
import { createMesh } from '@shardloom/core'
import { describe, expect, test } from 'vitest'

const folder = process.env['SHARDLOOM_REFERENCE']

const systems: Readonly<Record<string, string>> = {
  a100_sxm: 'dgx-a100',
  h100_sxm: 'dgx-h100',
  h200_sxm: 'dgx-h200',
  b200_sxm: 'dgx-b200',
  gb200: 'gb200-nvl72',
}
const ops: Readonly<Record<string, CollectiveOp>> = {
  AllReduce: 'all-reduce',
  AllGather: 'all-gather',
  ReduceScatter: 'reduce-scatter',
  AllToAll: 'all-to-all',
}

const inNode = (cluster: string, ranks: number) =>
  groupOver(resolveCluster(cluster), createMesh([{ name: 'tp', degree: ranks }]), ['tp'])

type Row = readonly [string, number, number, number, number, number]

function tables(): readonly { readonly system: string; readonly rows: readonly Row[] }[] {
  return JSON.parse(readFileSync(join(folder ?? '', 'hardware/nccl-measured.json'), 'utf8')).tables
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

describe.skipIf(!folder)('the model against nccl-measured.json', () => {
  const errors = folder
    ? tables().flatMap(({ system, rows }) =>
        rows.map(([name, ranks, size, microseconds]) => {
          const op = ops[name] ?? 'send'
          const bytes = op === 'all-to-all' ? size * ranks : size
          const seconds = collectiveSeconds(inNode(systems[system] ?? '', ranks), { op, bytes })
          return { system, op, ranks, size, error: Math.abs((seconds * 1e6) / microseconds - 1) }
        }),
      )
    : []

  test('median error below 8 % for every system, and its report', () => {
    const lines = Object.keys(systems).map((system) => {
      const own = errors.filter((row) => row.system === system)
      const percent = (value: number) => (value * 100).toFixed(1).padStart(5)
      const perOp = Object.values(ops).map((op) => {
        return `${op} ${percent(median(own.filter((row) => row.op === op).map(({ error }) => error)))}`
      })
      const all = own.map(({ error }) => error)
      expect(median(all), system).toBeLessThan(0.08)
      const mean = all.reduce((sum, error) => sum + error, 0) / all.length
      const worst = Math.max(...all)
      const [n, figures] = [String(all.length), `median ${percent(median(all))}  mean ${percent(mean)}`]
      return `${system.padEnd(9)} n ${n}  ${figures}  worst ${percent(worst)}  (medians: ${perOp.join(', ')})`
    })
    console.log(['Errors in % of the time measured', ...lines].join('\n'))
  })

  test('median error below 10 % for reductions and gathers, below 20 % for exchanges, at every number of ranks', () => {
    for (const system of Object.keys(systems)) {
      for (const op of Object.values(ops)) {
        for (const ranks of [2, 4, 8]) {
          const own = errors.filter((row) => row.system === system && row.op === op && row.ranks === ranks)
          if (own.length === 0) continue
          const bound = op === 'all-to-all' ? 0.2 : 0.1
          expect(median(own.map(({ error }) => error)), `${system} ${op} ${ranks}`).toBeLessThan(bound)
        }
      }
    }
  })

  test('the constants of H100 hold for H200, which has another memory', () => {
    const of = (system: string) => median(errors.filter((row) => row.system === system).map(({ error }) => error))
    expect(Math.abs(of('h100_sxm') - of('h200_sxm'))).toBeLessThan(0.03)
  })

  test('bus bandwidth is counted as the tables count it', () => {
    for (const { rows } of tables()) {
      for (const [name, ranks, size, microseconds, , bus] of rows.filter((_, index) => index % 20 === 19)) {
        const found = (size / (microseconds * 1e-6)) * busFactor(ops[name] ?? 'send', ranks)
        expect(Math.abs(found / 1e9 - bus)).toBeLessThan(0.01 * bus + 0.001)
      }
    }
  })
})

test('an all-reduce in the switches of 8 H100 reaches the bus bandwidth that a maintainer of NCCL expects, 476 GB/s', () => {
  const collective = { op: 'all-reduce', bytes: 2 ** 33 } as const
  const group = inNode('dgx-h100', 8)
  expect(collectiveCost(group, collective).algorithm).toBe('in-switch')
  expect(busBandwidth(group, collective) / 476e9).toBeGreaterThan(0.95)
  expect(busBandwidth(group, collective) / 476e9).toBeLessThan(1.05)
})

test('an all-reduce over nodes of 8 A100 with 4 HDR cards reaches what nccl-tests issue 119 reports, 84.8 to 96 GB/s', () => {
  const cluster = resolveCluster({
    accelerator: 'a100-40-sxm',
    nodes: 3,
    levels: [
      { name: 'node', fanOut: 8, link: 'nvlink-3' },
      { name: 'network', link: 'infiniband-hdr', sharedBy: 2 },
    ],
  })
  const group = groupOver(cluster, createMesh([{ name: 'dp', degree: 24 }]), ['dp'])
  const rate = busBandwidth(group, { op: 'all-reduce', bytes: 2 ** 33 })
  expect(rate).toBeGreaterThan(80e9)
  expect(rate).toBeLessThan(96e9)
})
