import { resolveAccelerator } from '@shardloom/cluster'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attentionSeconds, efficiencyOf, type MatmulShape, matmulSeconds, type Rates } from '../src/index.js'

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

/**
 * The twelve products of a layer in Transformer Engine's benchmark (its documentation, GEMM profiling: 15,872 tokens, hidden size 4096,
 * operands cast before): 31.97 ms in bf16 and 16.79 ms in FP8 on an H200 NVL (835 and 1,671 TFLOP/s), 13.10 and 6.81 ms on a B300.
 */
describe('the products of a layer', () => {
  const tokens = 15_872
  const layers: readonly (readonly [number, number])[] = [
    [4096, 12_288],
    [4096, 4096],
    [4096, 16_384],
    [16_384, 4096],
  ]
  const products = layers.flatMap(([k, n]): MatmulShape[] => [
    { batch: 1, m: tokens, n, k },
    { batch: 1, m: tokens, n: k, k: n },
    { batch: 1, m: k, n, k: tokens },
  ])
  const layerSeconds = (name: string, peak: number, cores: number, size: 1 | 2) => {
    const { memoryBandwidth } = resolveAccelerator(name)
    const { values: efficiency } = efficiencyOf({ name })
    const own: Rates = {
      peak,
      sustained: size === 1 ? efficiency.matmul8 : efficiency.matmul,
      memory: efficiency.memory * memoryBandwidth,
      reading: efficiency.reading * memoryBandwidth,
      cores,
      efficiency,
    }
    return products.reduce((sum, shape) => {
      const { m, n, k } = shape
      return sum + matmulSeconds(shape, { all: size * (m * k + k * n) + 2 * m * n, written: 2 * m * n }, own)
    }, 0)
  }

  it.each([
    ['bf16', 2, 835e12, 2250e12, 31.97 / 13.1],
    ['FP8', 1, 1671e12, 4500e12, 16.79 / 6.81],
  ] as const)(
    'take as many times as long on an H200 NVL as on a B300 in %s as measured',
    (_, size, hopper, b300, ratio) => {
      const predicted = layerSeconds('h200-sxm', hopper, 132, size) / layerSeconds('b300-sxm', b300, 148, size)
      expect(Math.abs(predicted / ratio - 1)).toBeLessThan(0.05)
    },
  )
})

describe('the time of fused attention', () => {
  const scores = 2 ** 30
  /** FLOP/s with heads of `head`, where those of 128 reach `known`. */
  const speed = (name: string, isGradient: boolean, known: number, head: number) => {
    const { peak, exponentialPeak } = resolveAccelerator(name)
    const flops = (isGradient ? 5 : 2) * 2 * head * scores
    const own = { peak: peak.bf16 ?? 0, exponentialPeak, share: known / (peak.bf16 ?? 1) }
    return flops / attentionSeconds({ flops, exponentials: scores, isGradient }, own)
  }

  // Shah et al. 2024, figures 5 and 6, without a mask: forward on 16,384 tokens, backward on 2,048; Dao-AILab/flash-attention, pull request
  // 2605, on 1,024.
  it.each([
    ['cuDNN, H100', 'h100-sxm', false, 595e12, 413e12],
    ['FlashAttention-3, H100', 'h100-sxm', false, 648e12, 497e12],
    ['backward of cuDNN, H100', 'h100-sxm', true, 465e12, 395e12],
    ['backward of FlashAttention-3, H100', 'h100-sxm', true, 501e12, 422e12],
    ['cuDNN, Blackwell', 'gb200', false, 1428e12, 980e12],
  ])(
    'comes within 12 %% of what %s reaches with heads of 64, from what it reaches with 128',
    (_, name, isGradient, known, measured) => {
      expect(speed(name, isGradient, known, 128)).toBeCloseTo(known, -9)
      expect(Math.abs(speed(name, isGradient, known, 64) / measured - 1)).toBeLessThan(0.12)
    },
  )

  it('never shrinks with its products or its exponentials, nor falls below either', () => {
    const amount = fc.double({ min: 1, max: 1e18, noNaN: true })
    const share = fc.double({ min: 0.01, max: 1, noNaN: true })
    fc.assert(
      fc.property(amount, amount, amount, share, fc.boolean(), (flops, exponentials, more, share, isGradient) => {
        const of = { peak: 989e12, exponentialPeak: 3.9e12, share }
        const seconds = attentionSeconds({ flops, exponentials, isGradient }, of)
        expect(attentionSeconds({ flops: flops + more, exponentials, isGradient }, of)).toBeGreaterThanOrEqual(seconds)
        expect(attentionSeconds({ flops, exponentials: exponentials + more, isGradient }, of)).toBeGreaterThanOrEqual(
          seconds,
        )
        expect(seconds * (1 + 1e-9)).toBeGreaterThanOrEqual(exponentials / of.exponentialPeak)
      }),
    )
  })
})
