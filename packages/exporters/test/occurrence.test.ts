import type { EdgeKind, Program } from '@shardloom/core'
import { edgeKinds, unroll } from '@shardloom/core/unroll'
import { describe, expect, test } from 'vitest'
import { countOccurrences, expand } from '../src/occurrence.js'
import { prefillProgram, trainingProgram } from './program.js'

const axes = new Set(['layer', 'microbatch'])

function ours(program: Program): string[] {
  const { occurrences, dependencies } = expand(program, { axes, keep: Number.POSITIVE_INFINITY })
  const name = (index: number) => {
    const { node, path } = occurrences[index] ?? { node: { id: '' }, path: [] }
    const at = path.map(({ region, run }) => `${region.axis}=${run.first}`).join(',')
    return at ? `${node.id}[${at}]` : node.id
  }
  return dependencies.map(({ from, to, kind }) => `${name(from)} ${kind} ${name(to)}`)
}

function theirs(program: Program): string[] {
  const graph = unroll(program, { axes: [...axes] })
  const found = new Set<string>()
  for (let node = 0; node < graph.nodeCount; node++) {
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      const kind: EdgeKind = edgeKinds[graph.edgeKind[edge] ?? 0] ?? 'data'
      found.add(`${graph.idOf(graph.edgeSource[edge] ?? 0)} ${kind} ${graph.idOf(node)}`)
    }
  }
  return [...found]
}

describe.each([
  ['prefill', prefillProgram()],
  ['prefill with one layer', prefillProgram({ layers: 1 })],
  ['training', trainingProgram()],
  ['training of one layer and one microbatch', trainingProgram({ layers: 1, microbatches: 1 })],
])('%s', (_, program) => {
  test('drawn iteration by iteration it has the nodes and edges of the unrolled program', () => {
    expect(ours(program).sort()).toEqual(theirs(program).sort())
    expect(expand(program, { axes, keep: Number.POSITIVE_INFINITY }).occurrences.length).toBe(
      unroll(program, { axes: [...axes] }).nodeCount,
    )
  })

  test('the size of the picture is known before it is drawn', () => {
    for (const some of [new Set<string>(), new Set(['layer']), axes]) {
      const drawn = expand(program, { axes: some, keep: Number.POSITIVE_INFINITY }).occurrences.length
      expect(countOccurrences(program, some)).toBe(drawn)
    }
  })
})
