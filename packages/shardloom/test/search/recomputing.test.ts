import { describe, expect, test } from 'vitest'
import { loadSpec, simulateLoaded } from '../../src/index.js'
import { questionOf } from '../../src/search/ask.js'
import { type Model, peakBytesOf } from '../../src/search/estimate.js'
import { Pipelines } from '../../src/search/pipelines.js'
import { Recomputing, withAgain } from '../../src/search/recomputing.js'
import { loadedOf } from '../../src/search/serving-spec.js'
import type { Leaf } from '../../src/search/step-nodes.js'
import { isMiss, specOfStep } from '../../src/search/step-points.js'
import { StepTree } from '../../src/search/step-tree.js'
import { draws } from './random-leaves.js'

const part = (F: number, B: number, keptBytes: number, workingBytes: number) => ({
  seconds: { F, B, I: 0, W: 0 },
  kernels: { F, B, I: 0, W: 0 },
  keptBytes,
  deferredBytes: 0,
  workingBytes,
  cacheBytes: 0,
  copies: {},
  links: {},
})
const state = (bytes: number) => ({
  bytes,
  gradientBytes: bytes / 8,
  updateSeconds: 0,
  links: [],
  gatherSeconds: 0,
  reduceSeconds: 0,
  spreadSeconds: 0,
  gatheredBytes: 0,
  reducedBytes: 0,
  keptBytes: 0,
})

/** A random model of layers of one kind or two, which keep much or recompute. */
function randomModel(draw: () => number, kinds: readonly string[]) {
  const of = (from: number, to: number) => from + draw() * (to - from)
  const own = kinds.map((kind) => [kind, of(1, 3), of(5, 20)] as const)
  const ends = [['first', part(0.1, 0.3, 0, 1)] as const, ['last', part(of(0, 2), of(0, 4), 3, 2)] as const]
  const none = own.map(([kind, F, kept]) => [kind, part(F, 2 * F, kept, kept / 4)] as const)
  const full = own.map(([kind, F, kept]) => [kind, part(F, 3 * F, kept / 10, kept)] as const)
  const states = [...kinds, 'first', 'last'].map((name) => [name, state(of(4, 12))] as const)
  return {
    none: { parts: new Map([...ends, ...none]), sendBytes: 0 },
    full: { parts: new Map([...ends, ...full]), sendBytes: 0 },
    states: new Map(states),
  }
}

describe('under Σtᵢ + (m − 1)·max t nothing is better than what is chosen', () => {
  const layerKinds = [
    ['a', 'a', 'a', 'a', 'a', 'a', 'a'],
    ['a', 'b', 'b', 'a', 'b', 'b'],
  ]
  test.each(layerKinds)('of layers %s %s %s %s %s %s', (...layers) => {
    const draw = draws(layers.length)
    const ranks = 3
    const pipeline = new Pipelines().of('1f1b', ranks, 1, 6)
    if (typeof pipeline === 'string') throw new Error(pipeline)
    const { inFlight, microbatches } = pipeline
    const stepOf = (times: readonly number[]) =>
      times.reduce((sum, each) => sum + each, 0) + (microbatches - 1) * Math.max(...times)
    let mixed = 0
    for (let round = 0; round < 60; round++) {
      const { none, full, states } = randomModel(draw, [...new Set(layers)])
      /** What a rank takes and holds of these layers, of which `again` recompute. */
      const rankOf = (rank: number, first: number, end: number, again: ReadonlySet<number>) => {
        const ends = [...(rank === 0 ? ['first'] : []), ...(rank === ranks - 1 ? ['last'] : [])]
        const own = layers.slice(first, end).map((kind, at) => ({ kind, from: again.has(first + at) ? full : none }))
        const all = [...own, ...ends.map((kind) => ({ kind, from: none }))]
        const costs = all.map(({ kind, from }) => ({ kind, cost: from.parts.get(kind) ?? part(0, 0, 0, 0) }))
        const seconds = costs.reduce((sum, { cost }) => sum + cost.seconds.F + cost.seconds.B, 0)
        const kept = Math.max(...(inFlight[rank] ?? []).map(({ kept: [kept = 0] }) => kept))
        const working = Math.max(...costs.map(({ cost }) => cost.workingBytes))
        const bytes = costs.reduce((sum, { kind, cost }) => {
          const times = ends.includes(kind) ? 1 : kept
          return sum + times * cost.keptBytes + (states.get(kind)?.bytes ?? 0) * (1 + 1 / 8)
        }, working)
        return { seconds, bytes }
      }
      const room = 60 + draw() * 250
      /** The least time of a rank that fits, over all sets of its layers. */
      const best = (rank: number, first: number, end: number) => {
        let least = Number.POSITIVE_INFINITY
        for (let set = 0; set < 2 ** (end - first); set++) {
          const again = new Set(
            Array.from({ length: end - first }, (_, at) => first + at).filter((at) => set & (1 << (at - first))),
          )
          const { seconds, bytes } = rankOf(rank, first, end, again)
          if (bytes <= room) least = Math.min(least, seconds)
        }
        return least
      }
      let least = Number.POSITIVE_INFINITY
      for (let one = 1; one < layers.length - 1; one++)
        for (let two = one + 1; two < layers.length; two++)
          least = Math.min(least, stepOf([best(0, 0, one), best(1, one, two), best(2, two, layers.length)]))

      const model = {
        ...withAgain(none, full, [...new Set(layers)]),
        states,
        microbatches,
        contention: 0,
        blocking: false,
        prefetch: { layers: 1, apart: true },
        divided: 'nothing',
      }
      const recomputing = new Recomputing(pipeline, layers, model as Model, room)
      const borders = recomputing.borders()
      expect(borders === undefined).toBe(least === Number.POSITIVE_INFINITY)
      if (!borders) continue
      const { stages, counts } = recomputing.within(borders)
      const count = counts.flat().reduce((sum, each) => sum + each, 0)
      if (count > 0 && count < layers.length) mixed++
      expect(peakBytesOf(pipeline, stages)).toBeLessThanOrEqual(room)
      expect(stepOf(stages.map(({ forward, input }) => forward + input))).toBeCloseTo(least, 9)
      // With other borders each rank by itself has as little to do as fits.
      const even = [0, 2, 4, layers.length]
      const within = recomputing.within(even)
      within.stages.forEach(({ forward, input }, rank) => {
        const fitting = best(rank, even[rank] as number, even[rank + 1] as number)
        if (fitting < Number.POSITIVE_INFINITY) expect(forward + input).toBeCloseTo(fitting, 9)
      })
    }
    expect(mixed).toBeGreaterThan(5)
  })
})

describe('a stage recomputes as many layers as memory demands', async () => {
  const cluster = { preset: 'dgx-a100', nodes: 8 }
  const loaded = await loadSpec({ model: 'gpt3-175b', cluster, batch: 64, seq: 2048 })
  const question = questionOf(loaded, {})
  const tree = new StepTree(loaded, question)
  const degrees = { tp: 8, pp: 8, zero: 0, sequenceParallel: true }
  const cases = [
    { schedule: '1f1b', virtual: 1, split: 'even', microbatch: 4 },
    { schedule: '1f1b', virtual: 1, split: 'balanced', microbatch: 8 },
    { schedule: 'interleaved1f1b', virtual: 3, split: 'even', microbatch: 4 },
  ]
  test.each(cases)('%j', (own) => {
    const [none, some, full] = ['none', 'stages', 'full'].map((recompute) => {
      const leaf = tree.leafOf({ ...degrees, ...own, recompute })
      if (!leaf) throw new Error('the space has no such point')
      return { leaf, point: tree.judge(leaf) }
    }) as [Found, Found, Found]
    expect(none.point).toMatchObject({ rule: own.split === 'even' ? 'memory' : 'split' })
    expect(some.point).not.toHaveProperty('rule')
    if (!isMiss(full.point)) expect(some.point.score).toBeLessThan(full.point.score)
    const chosen = specOfStep(tree, question, some.point)
    expect(chosen.options?.recompute).toMatchObject({ full: { layers: expect.any(Array) } })
    const { step } = simulateLoaded(loadedOf(loaded, chosen))
    const peak = Math.max(...step.ranks.map(({ memory }) => memory.peakBytes))
    const { seconds, bytes } = tree.figures(some.leaf)
    expect(Math.abs(seconds / step.seconds - 1)).toBeLessThan(0.03)
    expect(Math.abs(bytes / peak - 1)).toBeLessThan(0.03)
    const { capacityBytes, reserveBytes } = tree.paceAt(64)
    expect(bytes).toBeLessThanOrEqual(capacityBytes - reserveBytes)
  })
})

interface Found {
  readonly leaf: Leaf
  readonly point: ReturnType<StepTree['judge']>
}
