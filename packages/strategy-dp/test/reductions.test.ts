import {
  actionsOf,
  composePlugins,
  coordinateOf,
  corePasses,
  createMesh,
  nodesOf,
  type Program,
  runPasses,
} from '@shardloom/core'
import { unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import { buildProgram, findPreset, transformers } from '@shardloom/models'
import { type DataParallelOptions, dataParallel } from '@shardloom/strategy-dp'
import { compareRuns, runReference } from '@shardloom/testing'
import { describe, expect, it } from 'vitest'
import { planned as pipelined } from '../../core/test/planned.js'

const layers = 5
const microbatches = 2
const tiny = findPreset('tiny')
const model = { ...tiny, order: { runs: tiny.order.runs.map((run) => ({ ...run, count: layers })) } }

function plan(dp: DataParallelOptions, degree: number) {
  const { operators, passes } = composePlugins([transformers(), dataParallel(dp)])
  const built = buildProgram(model, { phase: 'training', batch: 8, seq: 8, microbatches })
  const mesh = createMesh([{ name: 'dp', degree }])
  const program = runPasses({ ...built, mesh }, [...passes, ...corePasses], { operators, warn: () => {} })
  return { program, operators }
}

/** What of a rank waits in backward for a reduction of something else, in the order in which it runs, and for which: by microbatch and layer. */
function waits(program: Program, rank = 0) {
  const graph = unroll(program, { ranks: [rank] })
  const of = (node: number) => graph.templates[graph.template[node] ?? 0]
  const name = (node: number) => {
    const at = new Map(graph.iterationsOf(node).map(({ axis, iteration }) => [axis, iteration]))
    const module = of(node)?.id.includes('embedding') ? 'embedding' : 'head'
    return `${at.get('microbatch')} ${at.get('layer') ?? module}`
  }
  return Array.from({ length: graph.nodeCount }, (_, node) => node).flatMap((node) => {
    const sources = Array.from(graph.edgeSource.subarray(graph.edgeStart[node], graph.edgeStart[node + 1]))
    if (of(node)?.segment !== 'backward' || of(node)?.kind !== 'compute') return []
    const reduced = sources.filter((source) => of(source)?.op === 'reduce-scatter').map(name)
    return [...new Set(reduced)].filter((source) => source !== name(node)).map((source) => [name(node), source])
  })
}

/** What backward comes to, each with what is two before it. */
const twoBefore = (order: readonly string[]) => order.slice(2).map((each, index) => [each, order[index]])

describe('gradients that wait for their reduction', () => {
  const reference = () => {
    const { program, operators } = plan({}, 1)
    return runReference(program, operators)
  }

  it.each([2, 3])('ZeRO-%i: a layer begins when what is two before it is reduced, as in FSDP2', (zero) => {
    const planned = plan({ zero }, 2)
    // FSDP2 knows what it has reduced last over all of backward, and does not forget it where that of the next microbatch begins.
    const order = [0, 1].flatMap((microbatch) =>
      ['head', 4, 3, 2, 1, 0, 'embedding'].map((each) => `${microbatch} ${each}`),
    )
    expect(waits(planned.program)).toEqual(twoBefore(order))
    for (const { rule, violations } of verifyProgram(planned.program, planned.operators))
      expect(violations, `${rule}`).toEqual([])
    expect(compareRuns(reference(), planned.program, planned.operators).difference?.message).toBeUndefined()
  })

  it.each(['1f1b', 'interleaved1f1b', 'zbh1', 'dualpipe'])('in a pipeline the order is that of %s', (schedule) => {
    const build = { phase: 'training', batch: 16, seq: 8, microbatches: 4 } as const
    const options = {
      pp: { schedule, ...(schedule === 'interleaved1f1b' && { virtual: 2 }) },
      dp: { zero: 2 },
    } as object
    const { program } = pipelined(
      { ...tiny, order: { runs: [{ layer: 'layer', count: 4 }] } },
      build,
      { pp: 2, dp: 2 },
      options,
    )
    for (const rank of [0, 3]) {
      const order = (program.pipeline ? actionsOf(program.pipeline, coordinateOf(program, rank)) : [])
        .filter(({ kind }) => kind === 'B' || kind === 'W')
        .flatMap(({ chunk, microbatch }) => {
          const { from = 0, to = 0 } = program.pipeline?.chunks[chunk] ?? {}
          const layers = Array.from({ length: to - from }, (_, index) => `${to - 1 - index}`)
          const all = [...(to === 4 ? ['head'] : []), ...layers, ...(from === 0 ? ['embedding'] : [])]
          return all.map((each) => `${microbatch} ${each}`)
        })
      expect(order.length).toBeGreaterThan(8)
      expect(waits(program, rank)).toEqual(twoBefore(order))
    }
  })

  it.each([0, 1])('ZeRO-%i: what is kept whole until the end of the step waits for nothing', (zero) => {
    const { program } = plan({ zero }, 2)
    expect(nodesOf(program.items).every(({ after }) => after === undefined)).toBe(true)
  })
})
