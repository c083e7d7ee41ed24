import type { EdgeKind, Program } from '@shardloom/core'
import { type Item, notBefore, type Region } from '@shardloom/core'
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

/** Every operator that stands directly in layers waits for the layer `distance` before its own. */
function waiting(program: Program, ahead: number): Program {
  const wait = (items: readonly Item[], around?: Region): Item[] =>
    items.map((item) => {
      if (item.type === 'node') return around?.axis === 'layer' ? { ...item, after: notBefore(around, ahead) } : item
      return { ...item, bodies: item.bodies.map((body) => ({ ...body, items: wait(body.items, item) })) }
    })
  return { ...program, items: wait(program.items) }
}

describe.each([
  ['prefill', prefillProgram()],
  ['prefill that waits for the layer before', waiting(prefillProgram(), 0)],
  ['training that waits for two layers before', waiting(trainingProgram({ layers: 5 }), 1)],
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

test('an order between iterations goes around the loop where they are drawn as one', () => {
  const program = waiting(trainingProgram({ layers: 9 }), 1)
  const drawn = (axes: readonly string[], keep: number) => {
    const { occurrences, dependencies } = expand(program, { axes: new Set(axes), keep })
    const name = (index: number) => {
      const { node, path } = occurrences[index] ?? { node: { id: '' }, path: [] }
      const { run } = path.find(({ region }) => region.axis === 'layer') ?? { run: { first: 0, last: 0 } }
      return `${node.id} ${run.first}-${run.last}`
    }
    const forward = dependencies.filter(({ from, kind }) => kind === 'temporal' && name(from).startsWith('forward'))
    return [...new Set(forward.map(({ from, to, returns }) => `${name(from)} ${name(to)} ${returns}`))]
  }
  const [rolled = ''] = drawn([], 1)
  expect(rolled).toMatch(/^(forward\S+) 0-8 \1 0-8 true$|^forward\S+ 0-8 forward\S+ 0-8 true$/)
  // Layers 0, 1, 2–7 and 8: layer 2 waits for 0, 3 for 1, the others of the middle for each other, and 8 for 6.
  const ends = drawn(['layer'], 3).map((text) => text.replaceAll(/forward\S+ /g, ''))
  expect([...new Set(ends)].sort()).toEqual(['0-0 2-7 false', '1-1 2-7 false', '2-7 2-7 true', '2-7 8-8 false'])
})
