import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { efficiencyOf, type MatmulShape, matmulSeconds, type Rates } from '../src/index.js'

const { values: efficiency } = efficiencyOf({ name: 'a100-80-sxm' })
/** A100 80 GB SXM: 312 TFLOP/s in 16 bits, 2,039 GB/s, 108 streaming multiprocessors (NVIDIA 2021, datasheet). */
const rates: Rates = {
  peak: 312e12,
  sustained: efficiency.matmul,
  memory: efficiency.memory * 2.039e12,
  reading: efficiency.reading * 2.039e12,
  cores: 108,
  efficiency,
}

const secondsOf = (shape: MatmulShape) => {
  const { batch, m, n, k } = shape
  const written = 2 * batch * m * n
  return matmulSeconds(shape, { all: written + 2 * batch * (m * k + k * n), written }, rates)
}

describe('the time of a matmul', () => {
  const size = fc.integer({ min: 1, max: 20_000 })
  const shape = fc.record({ batch: fc.integer({ min: 1, max: 64 }), m: size, n: size, k: size })

  it('never shrinks with a size', () => {
    fc.assert(
      fc.property(shape, fc.constantFrom('batch', 'm', 'n', 'k' as const), size, (a, dim, more) => {
        expect(secondsOf({ ...a, [dim]: a[dim as keyof MatmulShape] + more })).toBeGreaterThanOrEqual(secondsOf(a))
      }),
      { numRuns: 2000 },
    )
  })

  it('is never less than that of its FLOPs at peak, or of its bytes', () => {
    fc.assert(
      fc.property(shape, (a) => {
        const { batch, m, n, k } = a
        const seconds = secondsOf(a)
        expect(seconds).toBeGreaterThanOrEqual((2 * batch * m * n * k) / rates.peak)
        expect(seconds).toBeGreaterThanOrEqual((2 * batch * (m * k + k * n + m * n)) / rates.reading)
      }),
      { numRuns: 500 },
    )
  })

  it('of a large one comes near the best that was measured on an A100, 86.9 % of the peak (Bekman 2024, ML Engineering)', () => {
    const n = 16_384
    const share = (2 * n ** 3) / secondsOf({ batch: 1, m: n, n, k: n }) / rates.peak
    expect(share).toBeGreaterThan(0.82)
    expect(share).toBeLessThan(0.869)
  })

  it('of one row is that of reading the weights', () => {
    const seconds = secondsOf({ batch: 1, m: 1, n: 8192, k: 8192 })
    expect(seconds * rates.reading).toBeCloseTo(2 * (8192 * 8192 + 2 * 8192), -4)
  })
})
