import { describe, expect, test } from 'vitest'
import { loadSpec, type SpecInput } from '../../src/index.js'
import { questionOf } from '../../src/search/ask.js'
import { errorsOf, sizes } from './random-leaves.js'

const h100 = (nodes: number) => ({ accelerator: 'h100-sxm', nodes, perNode: 8 })
const cases: readonly (readonly [string, number, SpecInput])[] = [
  ['prefill of llama-3.1-8b', 8, { model: 'llama-3.1-8b', cluster: h100(1), phase: 'prefill', batch: 16, seq: 4096 }],
  ['prefill of mixtral-8x7b', 16, { model: 'mixtral-8x7b', cluster: h100(2), phase: 'prefill', batch: 16, seq: 4096 }],
  ['decode of llama-3.1-70b', 16, { model: 'llama-3.1-70b', cluster: h100(2), phase: 'decode', batch: 64, seq: 8192 }],
  ['decode of mixtral-8x7b', 16, { model: 'mixtral-8x7b', cluster: h100(2), phase: 'decode', batch: 128, seq: 4096 }],
]

const count = 30

describe.each(cases)('%s on %i ranks', (_, ranks, spec) => {
  test('what the analytic model says is near to what the event simulation says', async () => {
    const loaded = await loadSpec(spec)
    const { time, memory } = errorsOf(loaded, questionOf(loaded, { ranks }), count)
    expect(time).toHaveLength(count)
    expect(sizes(time).median).toBeLessThan(0.001)
    expect(sizes(time).worst).toBeLessThan(0.02)
    expect(sizes(memory).worst).toBeLessThan(0.001)
  })
})
