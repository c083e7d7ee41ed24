import { composePlugins, corePasses, createMesh, nodesOf, runPasses } from '@shardloom/core'
import { unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import { buildProgram, findPreset, transformers } from '@shardloom/models'
import { type DataParallelOptions, dataParallel } from '@shardloom/strategy-dp'
import { compareRuns, runReference } from '@shardloom/testing'
import { describe, expect, it } from 'vitest'

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

/** The layers of backward in the order of the graph that wait for a reduction of another one, and which. */
function waits({ program }: ReturnType<typeof plan>) {
  const graph = unroll(program)
  const of = (node: number) => graph.templates[graph.template[node] ?? 0]
  const layerOf = (node: number) => graph.iterationsOf(node).find(({ axis }) => axis === 'layer')?.iteration ?? -1
  return Array.from({ length: graph.nodeCount }, (_, node) => node).flatMap((node) => {
    const sources = Array.from(graph.edgeSource.subarray(graph.edgeStart[node], graph.edgeStart[node + 1]))
    if (of(node)?.segment !== 'backward' || of(node)?.kind !== 'compute') return []
    return sources
      .filter((source) => of(source)?.op === 'reduce-scatter' && layerOf(source) !== layerOf(node))
      .map((source) => ({ layer: layerOf(node), reduced: layerOf(source) }))
  })
}

describe('gradients that wait for their reduction', () => {
  const reference = () => {
    const { program, operators } = plan({}, 1)
    return runReference(program, operators)
  }

  it.each([2, 3])('ZeRO-%i: a layer begins when the layer two before it is reduced, as in FSDP2', (zero) => {
    const planned = plan({ zero }, 2)
    // Backward runs from the last layer to the first; the first two of a microbatch wait for nothing.
    const order = Array.from({ length: layers - 2 }, (_, index) => layers - 3 - index)
    const expected = order.map((layer) => ({ layer, reduced: layer + 2 }))
    expect(waits(planned)).toEqual([...expected, ...expected])
    for (const { rule, violations } of verifyProgram(planned.program, planned.operators))
      expect(violations, `${rule}`).toEqual([])
    expect(compareRuns(reference(), planned.program, planned.operators).difference?.message).toBeUndefined()
  })

  it.each([0, 1])('ZeRO-%i: what is kept whole until the end of the step waits for nothing', (zero) => {
    const { program } = plan({ zero }, 2)
    expect(nodesOf(program.items).every(({ after }) => after === undefined)).toBe(true)
  })
})
