import { composePlugins, corePasses, createMesh, nodesOf, runPasses } from '@shardloom/core'
import { edgeKinds, unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import { buildProgram, findPreset, transformers } from '@shardloom/models'
import { measure } from '@shardloom/simulator'
import { type DataParallelOptions, dataParallel } from '@shardloom/strategy-dp'
import { compareRuns, runReference } from '@shardloom/testing'
import { describe, expect, it } from 'vitest'

const layers = 5
const microbatches = 2
/** What waits for gradients to be reduced, see `reductions.test`: all but the first two, of layers, the head and the embedding. */
const bounded = (layers + 2) * microbatches - 2
const tiny = findPreset('tiny')
const model = { ...tiny, order: { runs: tiny.order.runs.map((run) => ({ ...run, count: layers })) } }

function plan(dp: DataParallelOptions, degree: number) {
  const { operators, passes } = composePlugins([transformers(), dataParallel(dp)])
  const built = buildProgram(model, { phase: 'training', batch: 12, seq: 8, microbatches })
  const mesh = createMesh([{ name: 'dp', degree }])
  const warnings: string[] = []
  const program = runPasses({ ...built, mesh }, [...passes, ...corePasses], {
    operators,
    warn: (warning) => warnings.push(warning),
  })
  return { program, operators, warnings, edges: measure(program, operators).edges }
}

/** Each gather of a layer's parameters, with the layers that it waits for. */
function gathers({ program }: ReturnType<typeof plan>) {
  const graph = unroll(program)
  const layerOf = (node: number) => graph.iterationsOf(node).find(({ axis }) => axis === 'layer')?.iteration
  return Array.from({ length: graph.nodeCount }, (_, node) => node).flatMap((node) => {
    const { op, segment } = graph.templates[graph.template[node] ?? 0] ?? {}
    const layer = layerOf(node)
    if (op !== 'all-gather' || layer === undefined || segment === 'optimizer') return []
    const waits: (number | undefined)[] = []
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      const source = graph.edgeSource[edge] ?? 0
      expect(edgeKinds[graph.edgeKind[edge] ?? 0]).toBe('temporal') // a parameter comes from outside
      waits.push(layerOf(source))
    }
    return [{ segment, layer, waits }]
  })
}

describe('parameters gathered ahead', () => {
  const single = plan({}, 1)
  const reference = runReference(single.program, single.operators)
  const free = [2, 3, 4].map((degree) => [degree, plan({ zero: 3, prefetch: layers }, degree)] as const)

  it.each([0, 1, 2])(
    '%i layers: no gather runs before the layer so far ahead, and numbers are those of one device',
    (prefetch) => {
      for (const [degree, unbound] of free) {
        const bound = plan({ zero: 3, prefetch }, degree)
        const found = gathers(bound)
        expect(found.map(({ segment, layer }) => [segment, layer])).toEqual(
          gathers(unbound).map(({ segment, layer, waits }) => {
            expect(waits).toEqual([])
            return [segment, layer]
          }),
        )
        for (const { segment, layer, waits } of found) {
          // Layer i − prefetch begins when the one before it is done; backward runs the other way.
          const done = segment === 'forward' ? layer - prefetch - 1 : layer + prefetch + 1
          expect(waits).toEqual(done >= 0 && done < layers ? [done] : [])
        }
        // Seven matrices and two gains a layer, gathered in forward and in backward.
        expect(bound.edges.temporal).toBe(BigInt(9 * 2 * (layers - prefetch - 1) * microbatches + bounded))
        expect(bound.edges.data).toBe(unbound.edges.data)
        for (const { rule, violations } of verifyProgram(bound.program, bound.operators))
          expect(violations, `${rule}`).toEqual([])
        const run = compareRuns(reference, bound.program, bound.operators)
        expect(run.difference?.message).toBeUndefined()
      }
    },
  )

  it('is one layer where nothing else is said, as FSDP has it (Zhao et al. 2023, section 3.4)', () => {
    expect(gathers(plan({ zero: 3 }, 2))).toEqual(gathers(plan({ zero: 3, prefetch: 1 }, 2)))
    expect(gathers(plan({ zero: 3 }, 2)).some(({ waits }) => waits.length > 0)).toBe(true)
  })

  it('backward finds what forward gathered and kept', () => {
    const { edges } = plan({ zero: 3, gather: 'keep', prefetch: 1 }, 2)
    expect(edges.temporal).toBe(BigInt(9 * (layers - 2) * microbatches + bounded))
  })

  it('as many as there are layers is no bound, which is said', () => {
    const { warnings, program } = plan({ zero: 3, prefetch: layers - 1 }, 2)
    expect(warnings).toEqual(['`prefetch: 4` changes nothing: no parameter is gathered so many layers ahead'])
    expect(nodesOf(program.items).some(({ op, after }) => op === 'all-gather' && after !== undefined)).toBe(false)
  })

  it('is refused where no parameter is divided, and of half a layer', () => {
    for (const zero of [0, 1, 2])
      expect(() => dataParallel({ zero, prefetch: 1 })).toThrow(/^`prefetch: 1` and `zero: \d` contradict each other/)
    expect(() => dataParallel({ zero: 3, prefetch: 0.5 })).toThrow('`prefetch` is 0.5.')
  })
})
