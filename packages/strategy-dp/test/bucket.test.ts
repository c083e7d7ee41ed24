import { composePlugins, corePasses, createMesh, nodesOf, runPasses } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { buildProgram, findPreset, transformers } from '@shardloom/models'
import { communicationTable, measure } from '@shardloom/simulator'
import { type DataParallelOptions, dataParallel } from '@shardloom/strategy-dp'
import { compareRuns, runReference } from '@shardloom/testing'
import { describe, expect, it } from 'vitest'

function plan(dp: DataParallelOptions, degree: number) {
  const { operators, passes } = composePlugins([transformers(), dataParallel(dp)])
  const built = buildProgram(findPreset('tiny'), { phase: 'training', batch: 4, seq: 8, microbatches: 2 })
  const mesh = createMesh([{ name: 'dp', degree }])
  const program = runPasses({ ...built, mesh }, [...passes, ...corePasses], { operators, warn: () => {} })
  const reductions = communicationTable(program, operators).filter(
    ({ op, payloadBytes }) => (op === 'all-reduce' || op === 'reduce-scatter') && payloadBytes > 4,
  )
  return { program, operators, reductions }
}

const sums = (rows: ReturnType<typeof plan>['reductions']) => ({
  launches: rows.reduce((sum, { count }) => sum + count, 0),
  sent: rows.reduce((sum, { count, bytesPerRank }) => sum + count * bytesPerRank, 0),
})

describe('gradients in buckets', () => {
  it.each<DataParallelOptions>([{}, { reduce: 'microbatch' }, { zero: 1 }, { zero: 2 }, { zero: 3 }])(
    '%j: as many bytes in fewer reductions, and one device',
    (dp) => {
      const alone = plan(dp, 2)
      const reference = plan({}, 1)
      let before = sums(alone.reductions).launches
      for (const bucket of [1, 4000, 1e9]) {
        const { program, operators, reductions } = plan({ ...dp, bucket }, 2)
        const { launches, sent } = sums(reductions)
        expect(sent).toBe(sums(alone.reductions).sent)
        if (bucket === 1) expect(launches).toBe(before)
        else expect(launches).toBeLessThan(before)
        before = launches
        for (const { rule, violations } of verifyProgram(program, operators)) expect(violations, `${rule}`).toEqual([])
        const equivalence = compareRuns(runReference(reference.program, operators), program, operators)
        expect(equivalence.difference?.message).toBeUndefined()
      }
    },
  )

  it('a bucket waits for its last gradient, which temporal edges say', () => {
    const alone = measure(plan({ zero: 2 }, 2).program, plan({ zero: 2 }, 2).operators).edges
    const { program, operators } = plan({ zero: 2, bucket: 1e9 }, 2)
    const merged = measure(program, operators).edges
    expect(merged.temporal).toBeGreaterThan(alone.temporal)
    expect(merged.data).toBe(alone.data)
    const scatters = nodesOf(program.items).filter(({ op, fusion }) => op === 'reduce-scatter' && fusion)
    const inLayer = scatters.filter(({ id }) => id.startsWith('backward/layer'))
    expect(new Set(inLayer.map(({ fusion }) => fusion)).size).toBe(1)
    expect(inLayer.every(({ after }) => after?.length === 1)).toBe(true)
  })
})
