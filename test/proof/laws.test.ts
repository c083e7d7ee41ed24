import { regionsOf } from '@shardloom/core'
import type { ModelArchitecture } from '@shardloom/models'
import { type Block, type InitialValue, type Interpretation, interpret } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { planned } from '../../packages/core/test/planned.js'
import { architectures, dense, experts, grouped, latent, layerOf, modelOf } from './architectures.js'
import type { Degrees } from './prove.js'
import { tally } from './tally.js'

const models = (...names: string[]) => {
  const found = architectures.filter(({ name }) => names.includes(name))
  if (found.length !== names.length) throw new Error('a model of that name is missing')
  return found.map((model) => [model.name, model] as const)
}

/** A number from an index, the same everywhere. */
const hash = (index: number, below: number) => (Math.imul(index + 7, 2654435761) >>> 8) % below

function relativeError(actual: Float64Array, expected: Float64Array): number {
  expect(actual.length).toBe(expected.length)
  const scale = Math.max(...expected.map(Math.abs))
  expect(scale).toBeGreaterThan(0)
  return Math.max(...actual.map((value, index) => Math.abs(value - (expected[index] ?? 0)))) / scale
}

describe('microbatches', () => {
  const seq = 5
  const run = (model: ModelArchitecture, batch: number, microbatches: number, degrees: Degrees) => {
    const { program, operators } = planned(model, { phase: 'training', batch, seq, microbatches }, degrees)
    const initial: InitialValue = ({ id }, [microbatch = 0], index) => {
      if (id === 'inputs/tokens') return hash(microbatch * batch * seq + index, model.vocab)
      if (id === 'inputs/labels') return hash(31 + microbatch * batch * seq + index, model.vocab)
      return undefined
    }
    const done = interpret(program, operators, { initial })
    const layers = regionsOf(program.items).find(({ axis }) => axis === 'layer')?.extent ?? 0
    const values = [...program.tensors.values()].flatMap(({ id, per, body, versionOf }) => {
      const wanted = id === 'loss' || id.startsWith('gradient/') || /^optimizer\/.*(weight|gain|next)$/.test(id)
      if (!wanted || versionOf !== undefined || body !== undefined) return []
      const places = per.includes('layer') ? Array.from({ length: layers }, (_, layer) => layer) : [undefined]
      return places.map((layer) => {
        const at = new Map(layer === undefined ? [] : [['layer', layer]])
        return [`${id}@${layer}`, done.whole(id, at)] as const
      })
    })
    tally({ specs: 1, executed: Object.fromEntries(done.executed) })
    return new Map(values)
  }

  test.each(models('grouped-query attention', 'tied embeddings, biased head', 'mixture of experts'))(
    'four of two sequences are one of eight: %s',
    (_, model) => {
      const one = run(model, 8, 1, {})
      for (const [microbatches, degrees] of [
        [4, {}],
        [2, { dp: 2, tp: 2 }],
        [4, { tp: 4 }],
      ] as const) {
        const many = run(model, 8 / microbatches, microbatches, degrees)
        expect([...many.keys()].sort()).toEqual([...one.keys()].sort())
        expect(one.size).toBeGreaterThan(40)
        // The loss is a sum over tokens times one scale, so that sums over microbatches are sums over sequences.
        for (const [id, values] of one)
          expect(relativeError(many.get(id) ?? new Float64Array(), values), id).toBeLessThan(1e-9)
      }
    },
  )
})

describe('prefill, then decode', () => {
  const [batch, prompt, steps] = [2, 4, 5]
  const cases: readonly (readonly [string, ModelArchitecture, number | undefined])[] = [
    ['grouped-query attention', modelOf('g', { layer: layerOf(grouped, dense) }), undefined],
    [
      'learned positions',
      modelOf('p', { layer: layerOf({ ...grouped, rotary: false }, dense) }, { learnedPositions: 9 }),
      undefined,
    ],
    // The prompt is longer than the window, and the steps go around the ring more than once.
    ['a window with a ring of slots', modelOf('w', { layer: layerOf({ ...grouped, window: 3 }, experts) }), 3],
    ['a window that the prompt does not fill', modelOf('v', { layer: layerOf({ ...grouped, window: 6 }, dense) }), 6],
    ['latent attention', modelOf('l', { layer: layerOf({ ...latent, queryRank: 6 }, dense) }), undefined],
  ]
  const device: readonly Degrees[] = [{}, { tp: 2 }, { dp: 2, tp: 2 }, { tp: 4 }]

  describe.each(cases)('%s', (_, model, reach) => {
    const tokens = Array.from({ length: batch }, (_, sequence) =>
      Array.from({ length: prompt }, (_, position) => hash(11 * sequence + position, model.vocab)),
    )
    const prefill = (given: readonly (readonly number[])[], degrees: Degrees) => {
      const seq = given[0]?.length ?? 0
      const { program, operators } = planned(model, { phase: 'prefill', batch, seq }, degrees)
      const run = interpret(program, operators, {
        initial: ({ id }, _at, index) => {
          if (id === 'inputs/tokens') return given[Math.floor(index / seq)]?.[index % seq]
          return id === 'inputs/positions' ? index : undefined
        },
      })
      tally({ specs: 1, executed: Object.fromEntries(run.executed) })
      return { program, run, next: [...run.whole('prefill/head/sample')] }
    }
    const longer = (given: readonly (readonly number[])[], next: readonly number[]) =>
      given.map((sequence, index) => [...sequence, next[index] ?? -1])

    test.each(device.map((degrees) => [JSON.stringify(degrees), degrees] as const))(
      'each step samples what a prefill of all tokens so far does, on %s',
      (_name, degrees) => {
        const expected: number[][] = []
        let known: readonly (readonly number[])[] = tokens
        for (let step = 0; step <= steps; step++) {
          const { next } = prefill(known, {})
          expected.push(next)
          known = longer(known, next)
        }
        const first = prefill(tokens, degrees)
        expect(first.next).toEqual(expected[0])
        const { program, operators } = planned(model, { phase: 'decode', batch, seq: prompt + 1, steps }, degrees)
        const start = cachesOf(first.run, model, reach)
        let filled = 0
        const decoded = interpret(program, operators, {
          initial: (tensor, at, index) => {
            if (tensor.id === 'inputs/tokens') return first.next[index]
            if (tensor.id === 'inputs/positions') return prompt + (at[0] ?? 0)
            if (tensor.role !== 'cache') return undefined
            filled++
            return start(tensor.id, at[0] ?? 0, tensor.shape, index)
          },
        })
        expect(filled).toBeGreaterThan(0)
        const sampled = Array.from({ length: steps }, (_, step) => [
          ...decoded.whole('decode/head/sample', new Map([['decode_step', step]])),
        ])
        expect(sampled).toEqual(expected.slice(1))
        const caches = [...program.tensors.keys()].filter((id) => id.startsWith('cache.after/'))
        expect(caches.length).toBeGreaterThan(1)
        expectSameReplicas(decoded.blocks('tokens'))
        for (const id of caches)
          for (const layer of [0, 1]) expectSameReplicas(decoded.blocks(id, new Map([['layer', layer]])))
        tally({ specs: 1, executed: Object.fromEntries(decoded.executed) })
      },
    )
  })

  /** Ranks that hold the same positions hold the same values. */
  function expectSameReplicas(blocks: readonly Block[]): void {
    const first = new Map<string, Block>()
    for (const block of blocks) {
      const key = block.positions.map((each) => each.join()).join(';')
      expect(block.values).toEqual((first.get(key) ?? block).values)
      first.set(key, first.get(key) ?? block)
      expect(block.values.every(Number.isFinite)).toBe(true)
    }
  }

  /**
   * What decoding starts with: the position p of a sequence stands in slot p mod slots. `shape` is that of the first
   * step, whose own token it counts.
   */
  function cachesOf(run: Interpretation, model: ModelArchitecture, reach: number | undefined) {
    expect(model.order.runs[0]?.count).toBe(2)
    return (id: string, layer: number, shape: readonly number[], index: number): number => {
      const written = `prefill/layer/attention/${id.slice(id.lastIndexOf('/') + 1)}_write`
      const whole = run.whole(written, new Map([['layer', layer]]))
      const [, slots = 1, ...rest] = shape
      expect(slots).toBe(Math.min(prompt + 1, reach ?? prompt + 1))
      const width = rest.reduce((product, size) => product * size, 1)
      const [sequence, slot] = [Math.floor(index / (slots * width)), Math.floor(index / width) % slots]
      // The latest position before the first step's own that has this slot.
      const position = Array.from({ length: prompt }, (_, each) => each).findLast((each) => each % slots === slot)
      if (position === undefined) return Number.NaN
      return whole[(sequence * prompt + position) * width + (index % width)] ?? Number.NaN
    }
  }
})
