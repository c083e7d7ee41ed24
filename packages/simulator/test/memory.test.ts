import { resolveCluster } from '@shardloom/cluster'
import { describe, expect, it } from 'vitest'
import { type PlannedOptions, planned } from '../../core/test/planned.js'
import { machineOf, measure, memory, simulate } from '../src/index.js'

const training = { phase: 'training', batch: 8, seq: 512, microbatches: 8 } as const

function memoryOf(
  model: string,
  build: Parameters<typeof planned>[1],
  degrees: Readonly<Record<string, number>>,
  options: PlannedOptions = {},
) {
  const { program, operators } = planned(model, build, degrees, options)
  const timeline = simulate(program, operators, machineOf(resolveCluster('dgx-h100'), program.mesh))
  const measured = timeline.ranks.map((rank) => measure(program, operators, { rank }))
  return { timeline, measured, stages: memory(program, operators, timeline) }
}

describe('a loss that is not compiled', () => {
  it('holds 12 bytes per logit in backward: log-softmax, its gradient and that of the logits in single precision', () => {
    // PyTorch's `cross_entropy(logits.float())`: backward of nll_loss and of log_softmax, whose output is saved.
    const headOf = (loss: 'fused' | 'materialised') =>
      memoryOf('gpt2', { ...training, microbatches: 1, loss }, {}).stages.flatMap(({ alive }) =>
        alive.filter(({ tensor }) => /head\/(logits|loss\.logits)$/.test(tensor)),
      )
    const logits = 8 * 512 * 50257
    const bytes = (loss: 'fused' | 'materialised') => headOf(loss).reduce((sum, each) => sum + each.bytes, 0)
    expect(bytes('materialised')).toBe(12 * logits)
    expect(bytes('fused')).toBe(4 * logits)
  })
})

describe('gradients that links cannot reduce as fast as they are made', () => {
  it.each([2, 3])('are of two layers at most with ZeRO-%i', (zero) => {
    // FSDP2: one layer's reduce-scatter is in flight while the next layer's gradients are made. One short sequence for each of 16 ranks in two
    // nodes: backward of a layer of Llama 3.1 8B is 4 · 512 · 218 million FLOPs, less than a millisecond of an H100, and reduces
    // 0.87 GB in single precision, of which half pass from node to node over eight links of 50 GB/s in more than that.
    const build = { phase: 'training', batch: 32, seq: 512, microbatches: 2 } as const
    const { stages, timeline } = memoryOf('llama-3.1-8b', build, { dp: 16 }, { dp: { zero } })
    expect(timeline.seconds).toBeGreaterThan(0.3)
    for (const { alive, most } of stages) {
      // 218 million weights a layer, 525 million of the head; in bf16 as they are made.
      const layer = 2 * 218_112_000
      for (const { tensor, count } of alive)
        if (/^backward\/layer\/.*weight$/.test(tensor)) expect(count).toBeLessThan(3)
      expect(most.working).toBeLessThan(2 * layer + 2 * 525_336_576 + 0.2e9)
    }
  })
})

describe('memory over time', () => {
  const inFlight = (schedule: string) => {
    const run = (build: Parameters<typeof planned>[1]) =>
      memoryOf('gpt2', build, { pp: 4 }, { pp: { schedule } }).stages.map(({ most }) => most.activations)
    const one = run({ ...training, microbatches: 1 })
    return run(training).map((bytes, stage) => bytes / (one[stage] ?? 1))
  }

  it('has as many microbatches in flight as the schedule', () => {
    // Narayanan et al. 2021, section 2.2: min(m, p − r), and all of them with GPipe.
    expect(inFlight('1f1b')).toEqual([4, 3, 2, 1])
    expect(inFlight('gpipe')).toEqual([8, 8, 8, 8])
    // Qi et al. 2023, section 2.3: p on every rank until W. What I alone reads goes with I, and p − r stay until then.
    inFlight('zbh1').forEach((ratio, stage) => {
      expect(ratio).toBeGreaterThanOrEqual(4 - stage)
      expect(ratio).toBeLessThanOrEqual(4)
    })
  })

  const cases = [
    ['gpt2', training, { pp: 4 }, { pp: { schedule: '1f1b' } }],
    ['gpt2', training, { pp: 2 }, { pp: { schedule: 'zbh1' } }],
    ['gpt2', training, { pp: 2 }, { pp: { schedule: 'dualpipe' } }],
    ['llama-3.1-8b', { ...training, microbatches: 2 }, { dp: 2, tp: 2 }, { dp: { zero: 1 } }],
    ['llama-3.1-8b', { ...training, microbatches: 2 }, { dp: 4 }, { dp: { zero: 3 } }],
    ['llama-3.1-8b', { ...training, microbatches: 2 }, { tp: 4 }, { models: { recompute: 'full' } }],
    ['mixtral-8x7b', { phase: 'prefill', batch: 4, seq: 512 }, { dp: 4, ep: 4 }, {}],
    ['llama-3.1-8b', { phase: 'decode', batch: 8, seq: 512, steps: 2 }, { tp: 4 }, {}],
  ] as const
  it.each(cases)('%s %j on %j, %j: parts add up, nothing is negative, all that came has gone', (...args) => {
    const { stages, timeline, measured } = memoryOf(...args)
    stages.forEach(({ parts, most, peakBytes, atSeconds, alive, curve }, stage) => {
      const passing = Object.values(curve.parts)
      const totals = [...curve.seconds].map((_, at) => passing.reduce((sum, list) => sum + (list[at] ?? 0), 0))
      const fixed = parts.parameters + parts.optimizer + parts.cache
      expect(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0)).toBe(peakBytes)
      expect(totals.reduce((top, total) => Math.max(top, total), 0) + fixed).toBe(peakBytes)
      expect(alive.reduce((sum, { bytes }) => sum + bytes, 0) + fixed).toBe(peakBytes)
      for (const list of passing) {
        expect(list.every((bytes) => bytes >= 0)).toBe(true)
        expect(list.at(-1)).toBe(0)
      }
      expect(atSeconds).toBeLessThan(timeline.seconds)
      // What the optimizer reads was there at once, and is what a plan counts.
      expect(most.gradients).toBe(Number(measured[stage]?.gradientBytes))
    })
  })

  it.each([
    // DeepSeek-AI 2024, section 2.1.1: 512 + 64 elements per token and layer, in each of 61 layers, whatever their FFN.
    ['deepseek-v3', { tp: 8 }, 61 * (512 + 64) * 2 * 512],
    // OpenAI 2025: of 36 layers every second attends to 128 positions; 8 heads for keys and for values of 64 elements.
    ['gpt-oss-120b', { tp: 8 }, 18 * 2 * 64 * 2 * (512 + 128)],
  ])('the cache of %s is counted once for each layer, of whatever kind', (model, degrees, bytes) => {
    const { stages } = memoryOf(model, { phase: 'decode', batch: 1, seq: 512 }, degrees)
    expect(stages.map(({ parts }) => parts.cache)).toEqual([bytes])
  })

  it('of a node is there: no less than the operands and results of the largest', () => {
    const { stages } = memoryOf('llama-3.1-8b', { ...training, microbatches: 8 }, { tp: 2 })
    // The logits of a microbatch and their gradients, which stand beside them: 512 tokens, half of the vocabulary, 2 bytes.
    const logits = 512 * (128256 / 2) * 2
    expect((stages[0]?.most.working ?? 0) + (stages[0]?.most.activations ?? 0)).toBeGreaterThan(2 * logits)
  })

  it('with ZeRO 3 holds gathered parameters for as long as they are used, no more than asked ahead', () => {
    const options = (prefetch: number) => ({ dp: { zero: 3, prefetch } }) as const
    const build = { ...training, microbatches: 1 } as const
    const [one, two] = [1, 2].map((ahead) => memoryOf('llama-3.1-8b', build, { dp: 8 }, options(ahead)).stages[0])
    // Llama 3 report, table 3: 4096 wide, 8 of 32 heads for keys, 14336 inside; two bytes.
    const layer = 2 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    expect(one?.most.buffers).toBeGreaterThanOrEqual(layer)
    expect((two?.most.buffers ?? 0) - (one?.most.buffers ?? 0)).toBeLessThanOrEqual(1.01 * layer)
  })
})
