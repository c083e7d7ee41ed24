/**
 * Facts from outside: closed forms with numbers, and the times of another simulator. The tables are found through the
 * environment variable SHARDLOOM_REFERENCE.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Algorithm, type CollectiveOp, collectiveSeconds, flatGroup } from '@shardloom/cluster'
import { describe, expect, test } from 'vitest'

const folder = process.env['SHARDLOOM_REFERENCE']

interface NumericCase {
  readonly p: number
  readonly S: number
  readonly alphaSeconds: number
  readonly bandwidthBytesPerSecond: number
  readonly seconds: Readonly<Record<string, number>>
}

const names: Readonly<Record<string, readonly [CollectiveOp, Algorithm]>> = {
  'AllReduce ring': ['all-reduce', 'ring'],
  'AllReduce recursive halving and doubling': ['all-reduce', 'halving-doubling'],
  'AllReduce double binary tree, pipelined': ['all-reduce', 'tree'],
  'AllGather ring': ['all-gather', 'ring'],
  'ReduceScatter ring': ['reduce-scatter', 'ring'],
  'AllToAll pairwise, full bisection': ['all-to-all', 'pairwise'],
  'Broadcast binomial tree': ['broadcast', 'tree'],
  'SendRecv direct': ['send', 'direct'],
}

describe.skipIf(!folder)('collectives.json', () => {
  const read = () => JSON.parse(readFileSync(join(folder ?? '', 'hardware/collectives.json'), 'utf8'))

  test('every numeric check is hit to 1e-12', () => {
    const cases: readonly NumericCase[] = read().numericChecks.cases
    expect(cases.length).toBeGreaterThanOrEqual(4)
    for (const { p, S, alphaSeconds, bandwidthBytesPerSecond, seconds } of cases) {
      const group = flatGroup(p, { bandwidth: bandwidthBytesPerSecond, latency: alphaSeconds })
      expect(Object.keys(seconds).sort()).toEqual(Object.keys(names).sort())
      for (const [name, expected] of Object.entries(seconds)) {
        const [op, algorithm] = names[name] ?? ['send', 'direct']
        // The table counts an all-to-all by the buffer of one rank.
        const bytes = op === 'all-to-all' ? S * p : S
        const found = collectiveSeconds(group, { op, bytes, algorithm })
        expect(Math.abs(found / expected - 1), `${name}, ${p} ranks, ${S} bytes`).toBeLessThan(1e-12)
      }
    }
  })
})

describe.skipIf(!folder)('the golden ring times of ASTRA-sim', () => {
  // The run: 1 MiB in four parts, each of which pays 500 ns on a link and 10 ns at its end; GB of 2^30 bytes. What a rank adds
  // takes 120 ns per 64 KiB, and a collective 40 ns before its first step.
  const link = { bandwidth: 50 * 2 ** 30, latency: 4 * 510e-9 }
  const constants = { launch: 40e-9, reduceBandwidth: 65536 / 120e-9 }
  const ops = ['all-reduce', 'reduce-scatter', 'all-gather', 'all-to-all'] as const

  test('all twelve are hit to 0.15 %', () => {
    const text = readFileSync(join(folder ?? '', 'reference/chakra.md'), 'utf8')
    const golden = text.slice(text.indexOf('Golden ring times'))
    const times = [...golden.matchAll(/\b\d{2,3},\d{3}\b/g)].map(([match]) => Number(match.replace(',', '')))
    expect(times).toHaveLength(12)
    for (const [index, nanoseconds] of times.entries()) {
      const ranks = [4, 8, 16][Math.floor(index / 4)] ?? 0
      const op = ops[index % 4] ?? 'all-reduce'
      // There the size of an all-gather and of an all-to-all is what one rank brings.
      const bytes = 2 ** 20 * (op === 'all-gather' || op === 'all-to-all' ? ranks : 1)
      const found = collectiveSeconds(flatGroup(ranks, link, constants), { op, bytes, algorithm: 'ring' })
      expect(Math.abs((found * 1e9) / nanoseconds - 1), `${op}, ${ranks} ranks`).toBeLessThan(1.5e-3)
    }
  })
})
