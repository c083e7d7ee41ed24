import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { memory, simulate } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { loadSpec, type SpecInput, simulateLoaded, summarise, summariseSimulation, timedPlan } from '../src/index.js'
import { machineOfSpec } from '../src/simulate-plan.js'

const folder = process.env['SHARDLOOM_REFERENCE']

interface Reference {
  readonly inputs: Readonly<Record<'L' | 'h' | 'a' | 's' | 'V' | 'tp' | 'pp' | 'micro_batch', number>> & {
    readonly vpp: number | null
  }
  readonly params_12Lh2_times_18_over_tp_pp_GiB: number
  readonly korthikanti_activation_first_stage_GiB: Readonly<Record<string, number>>
}

const settings = {
  none_tp: { sequenceParallel: false, recompute: 'none' },
  seq: { sequenceParallel: true, recompute: 'none' },
  sel: { sequenceParallel: false, recompute: 'selective' },
  seqsel: { sequenceParallel: true, recompute: 'selective' },
  full: { sequenceParallel: false, recompute: 'full' },
  no_parallel: { sequenceParallel: false, recompute: 'none' },
} as const

/** A run of the paper, with as few microbatches as fill its pipeline: what is in flight at once depends on no more. */
function specOf({ L, h, a, s, V, pp, vpp, micro_batch, ...inputs }: Reference['inputs'], name: string): SpecInput {
  const { sequenceParallel, recompute } = settings[name as keyof typeof settings] // a key of theirs
  const tp = name === 'no_parallel' ? 1 : inputs.tp
  const rates = { embd_pdrop: 0.1, attn_pdrop: 0.1, resid_pdrop: 0.1 }
  return {
    model: { model_type: 'gpt2', n_embd: h, n_head: a, n_layer: L, n_positions: s, vocab_size: V, ...rates },
    cluster: { accelerator: 'a100-80-sxm', nodes: Math.ceil((tp * pp) / 8) },
    batch: micro_batch * (vpp === null ? pp : 2 * pp),
    microbatch: micro_batch,
    seq: s,
    parallel: { tp, pp },
    options: {
      attention: 'materialised',
      sequenceParallel,
      recompute,
      ...(pp > 1 && { schedule: vpp === null ? '1f1b' : 'interleaved1f1b' }),
      ...(pp > 1 && vpp !== null && { virtual: vpp }),
    },
  }
}

describe.skipIf(!folder)('activations of the first stage over time (Korthikanti et al. 2022, sections 4 and 5)', () => {
  const read = () => readFileSync(join(folder ?? '', 'reference', 'memory-formulas.json'), 'utf8')
  const models: readonly (readonly [string, Reference])[] = folder ? Object.entries(JSON.parse(read()).models) : []
  const cases = models.flatMap(([model, each]) => Object.keys(settings).map((name) => [model, name, each] as const))

  it.each(cases)('%s, %s: at most what the paper says, to the byte', async (_, name, { inputs, ...reference }) => {
    const loaded = await loadSpec(specOf(inputs, name))
    const plan = timedPlan(loaded)
    const { program, operators } = plan
    const timeline = simulate(program, operators, machineOfSpec(loaded, plan))
    const [first] = memory(program, operators, { ...timeline, ranks: [0] })
    const activations = summarise(plan, { rank: 0 }).activations
    const most = first?.most.activations ?? 0
    expect(most).toBe(activations?.peak.bytes)
    // The paper leaves out what lies before and behind the layers: on the first stage the mask behind the tables, of each
    // microbatch that is in flight in the first chunk.
    const { pp, vpp } = inputs
    const inFlight = pp === 1 ? 1 : vpp === null ? pp : 2 * pp
    const expected = Math.round((reference.korthikanti_activation_first_stage_GiB[name] ?? 0) * 2 ** 30)
    expect(most - inFlight * (activations?.outsideBytes ?? 0)).toBe(expected)
    // Of the weights both count 12 Lh² (equation 6 of the paper has the rest), with 18 bytes: 2 of a weight, 4 of its gradient,
    // 12 of Adam's state. The reference leaves out what follows: biases, gains and tables, of which tp splits some.
    const { L, h, s, V } = inputs
    const tp = name === 'no_parallel' ? 1 : inputs.tp
    const { parameters = 0, gradients = 0, optimizer = 0 } = first?.most ?? {}
    const perLayer = (3 * h + 4 * h) / tp + 2 * h + 4 * h
    const rest = (L / pp) * perLayer + (V * h) / tp + s * h + (pp === 1 ? 2 * h : 0)
    const matrices = Math.round((reference.params_12Lh2_times_18_over_tp_pp_GiB * 2 ** 30 * inputs.tp) / tp)
    expect(parameters + gradients + optimizer).toBe(matrices + 18 * rest)
  })
})

describe('a cross-entropy by single operators', () => {
  const [batch, seq] = [2, 512]
  // In backward of PyTorch's `cross_entropy` what forward saved, the gradient of the labels' logits and that of all, in four bytes; with a
  // divided vocabulary (`torch/distributed/tensor/parallel/loss.py`) the exponential too. Logits of two bytes count as activations.
  it.each([
    [1, 3 * 4 - 2],
    [2, 4 * 4 - 2],
  ])('on %i ranks works in %i bytes for each logit', async (tp, bytes) => {
    const loaded = await loadSpec({
      model: 'llama-3.1-8b',
      cluster: 'dgx-h100',
      batch,
      microbatch: batch,
      seq,
      parallel: { tp },
      options: { loss: 'materialised', recompute: 'full' },
    })
    const plan = timedPlan(loaded)
    const timeline = simulate(plan.program, plan.operators, machineOfSpec(loaded, plan))
    const [first] = memory(plan.program, plan.operators, timeline)
    expect((first?.most.working ?? 0) / ((batch * seq * 128_256) / tp)).toBeCloseTo(bytes, 1)
  })
})

// Llama 3.1 8B: 8 KV heads of 128, keys and values, 2 bytes, 32 layers: 131,072 bytes per position and sequence.
describe('the KV cache is as long as it gets', () => {
  it.each([
    [{ phase: 'decode', batch: 8, seq: 1024, steps: 65 }, 8 * 1088],
    [{ phase: 'decode', batch: 8, microbatch: 2, seq: 1024, steps: 65, parallel: { pp: 2, tp: 2 } }, (8 * 1088) / 4],
    [{ phase: 'decode', batch: 8, seq: 1024, steps: 65, parallel: { tp: 8, dcp: 1 } }, 1088],
    [{ phase: 'prefill', batch: 2, seq: 1024, options: { prefill: { chunk: 256 } } }, 2 * 1024],
  ] as const)('%j holds %i positions', async (fields, positions) => {
    const loaded = await loadSpec({ model: 'llama-3.1-8b', cluster: 'dgx-h100', ...fields })
    const { perStage } = summariseSimulation(simulateLoaded(loaded)).memory
    for (const { most } of perStage) expect(most.cache).toBe(positions * 131_072)
  })
})

// Halves of a batch are places in what the whole batch has: they take turns, and hold together what it holds.
describe('layers in halves hold what whole ones hold', () => {
  it.each([
    [{ phase: 'decode', batch: 64, seq: 2048, steps: 3, parallel: { tp: 8 } }],
    [{ phase: 'prefill', batch: 8, seq: 2048, parallel: { tp: 8 }, options: { prefill: { chunk: 512 } } }],
    [{ phase: 'prefill', batch: 8, seq: 2048, parallel: { tp: 8 }, options: { prefill: { cached: 1024 } } }],
    [{ batch: 8, microbatch: 2, seq: 2048, parallel: { tp: 4, dp: 2 }, options: { recompute: 'full' } }],
  ] as const)('%j', async (fields) => {
    const peakOf = async (interleave: 'none' | 'all') => {
      const spec: SpecInput = { model: 'llama-3.1-8b', cluster: 'dgx-h100', ...fields }
      const loaded = await loadSpec({ ...spec, options: { ...spec.options, interleave } })
      return summariseSimulation(simulateLoaded(loaded)).memory.peakBytes
    }
    expect((await peakOf('all')) / (await peakOf('none'))).toBeCloseTo(1, 2)
  })
})

// Leviathan, Kalman and Matias 2023, section 3.4: what is rejected is computed all the same, and is nobody's token.
it('drafts that are rejected count to hardware FLOPs alone', async () => {
  const of = async (decode: object) => {
    const fields = { phase: 'decode', batch: 8, seq: 4096, parallel: { tp: 2 }, options: { decode } } as const
    const loaded = await loadSpec({ model: 'llama-3.1-8b', cluster: 'dgx-h100', ...fields })
    return summariseSimulation(simulateLoaded(loaded))
  }
  const [plain, one] = [await of({}), await of({ draft: 3, keep: 1 })]
  expect(one.mfu / one.tokensPerSecond / (plain.mfu / plain.tokensPerSecond)).toBeCloseTo(1, 1)
  expect(one.hfu / one.mfu).toBeCloseTo(4, 5)
})
