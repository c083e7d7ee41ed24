import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { withPreferences } from '@shardloom/core'
import type { ModelArchitecture, Recompute } from '@shardloom/models'
import { savedTensors } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'

interface Sizes {
  readonly L: number
  readonly h: number
  readonly a: number
  readonly s: number
  readonly V: number
}

/** A GPT as the paper has it: layer norms, biases, one head of keys per head of queries, a network four times as wide. */
function gpt({ L, h, a, s, V }: Sizes, dropout = 0.1): ModelArchitecture {
  return {
    schema: 'shardloom.model/1',
    name: 'gpt',
    family: 'gpt',
    hidden: h,
    vocab: V,
    tiedEmbeddings: true,
    norm: { kind: 'layer', bias: true },
    learnedPositions: s,
    dropout,
    layers: {
      layer: {
        attention: {
          kind: 'grouped',
          heads: a,
          kvHeads: a,
          headDim: h / a,
          bias: { qkv: true, out: true },
          rotary: false,
        },
        ffn: { kind: 'dense', intermediate: 4 * h, activation: 'gelu', bias: true },
        residual: 'sequential',
        norms: 'pre',
      },
    },
    order: { runs: [{ layer: 'layer', count: L }] },
  }
}

/** Sequence parallelism on the axis of tensor parallelism, wherever that names nothing. */
const sequence = {
  name: 'sequence',
  passes: [
    {
      name: 'sequence/split',
      phase: 'partition' as const,
      run: (program: Parameters<typeof withPreferences>[0]) =>
        withPreferences(program, [
          {
            strategy: 'sequence',
            axis: 'tp',
            class: 'token',
            dims: ['seq'],
            where: {
              name: [
                'tokens',
                'positions',
                'sum',
                'norm',
                'residual',
                'out_bias',
                'down_bias',
                'out_dropout',
                'dropout',
              ],
              except: { module: 'attention', name: 'dropout' },
            },
          },
        ]),
    },
  ],
}

/** Bytes of one layer and microbatch on one rank. */
function bytesOf(sizes: Sizes, b: number, t: number, sp: boolean, recompute: Recompute, dropout = 0.1): number {
  const build = { phase: 'training', batch: b, seq: sizes.s, attention: 'materialised' } as const
  const plugins = sp ? { plugins: (list: readonly object[]) => [...list, sequence] as never } : {}
  const { program, operators } = planned(gpt(sizes, dropout), build, { tp: t }, { models: { recompute }, ...plugins })
  const inLayers = savedTensors(program, operators).filter(({ per }) => per.includes('layer'))
  return inLayers.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** Korthikanti et al. 2022, table 2, per sbh: what one layer keeps. */
const formulas: readonly (readonly [string, boolean, Recompute, (t: number, scores: number) => number])[] = [
  ['tensor parallel', false, 'none', (t, scores) => 10 + 24 / t + (5 * scores) / t],
  ['tensor and sequence parallel', true, 'none', (t, scores) => (34 + 5 * scores) / t],
  ['tensor parallel, selective', false, 'selective', (t) => 10 + 24 / t],
  ['tensor and sequence parallel, selective', true, 'selective', (t) => 34 / t],
  ['tensor parallel, full', false, 'full', () => 2],
  // The paper keeps the input whole on every rank; the sharded version is there as well, and smaller.
  ['tensor and sequence parallel, full', true, 'full', (t) => 2 / t],
]

describe('activations of a GPT layer (Korthikanti et al. 2022, table 2)', () => {
  const [a, h, s, b] = [12, 48, 24, 3]
  it.each(formulas)('%s', (_, sp, recompute, formula) => {
    for (const t of [1, 2, 3, 4]) {
      const bytes = bytesOf({ L: 2, h, a, s, V: 96 }, b, t, sp, recompute)
      expect(bytes, `t = ${t}`).toBe(s * b * h * formula(t, (a * s) / h))
    }
  })

  it('without dropout three masks, and the probabilities after them, are not kept', () => {
    const sizes = { L: 2, h, a, s, V: 96 }
    const without = bytesOf(sizes, b, 1, false, 'none', 0)
    expect(bytesOf(sizes, b, 1, false, 'none') - without).toBe(s * b * h * (1 + 1 + ((1 + 2) * a * s) / h))
  })

  it('with flash attention neither scores nor masks of probabilities are kept', () => {
    const build = { phase: 'training', batch: b, seq: s } as const
    const { program, operators } = planned(gpt({ L: 2, h, a, s, V: 96 }), build, {})
    const kept = savedTensors(program, operators).filter(({ per }) => per.includes('layer'))
    expect(kept.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(34 * s * b * h)
  })
})

const folder = process.env['SHARDLOOM_REFERENCE']

interface Reference {
  readonly inputs: Sizes & {
    readonly tp: number
    readonly pp: number
    readonly vpp: number | null
    readonly micro_batch: number
  }
  readonly korthikanti_activation_first_stage_GiB: Readonly<Record<string, number>>
}

describe.skipIf(!folder)('the first stage of the models of the paper', () => {
  const read = () => readFileSync(join(folder ?? '', 'reference', 'memory-formulas.json'), 'utf8')
  const models: readonly (readonly [string, Reference])[] = folder ? Object.entries(JSON.parse(read()).models) : []
  const settings = {
    none_tp: [false, 'none'],
    seq: [true, 'none'],
    sel: [false, 'selective'],
    seqsel: [true, 'selective'],
    full: [false, 'full'],
  } as const

  it.each(models)('%s, to the byte', (_, { inputs, korthikanti_activation_first_stage_GiB: expected }) => {
    const { tp, pp, vpp, micro_batch: b } = inputs
    // Section 4.2.3: as many microbatches in flight as stages, and a share more of them with interleaving.
    const layers = inputs.L * (vpp === null ? 1 : 1 + (pp - 1) / (pp * vpp))
    const gibibytes = (bytes: number) => (bytes * layers) / 2 ** 30
    for (const [name, [sp, recompute]] of Object.entries(settings))
      expect(gibibytes(bytesOf(inputs, b, tp, sp, recompute)), name).toBeCloseTo(expected[name] ?? 0, 9)
    expect(gibibytes(bytesOf(inputs, b, 1, false, 'none'))).toBeCloseTo(expected['no_parallel'] ?? 0, 9)
  })
})

describe('a policy per operator', () => {
  it('keeps what it names and the input of the layer, and nothing that others read beside backward', () => {
    // torchtitan of December 2024, `_get_custom_policy`: every second matrix product and attention. Backward does not read the last.
    const kept = ['q', 'v', 'gate', 'down', 'score', 'softmax', 'context']
    const savedOf = (border: 'saved' | 'again') => {
      const recompute = { full: { except: { name: kept } }, border } as const
      const { program, operators } = planned(
        'llama-3.1-8b',
        { phase: 'training', batch: 1, seq: 512 },
        {},
        { models: { recompute } },
      )
      return savedTensors(program, operators)
        .filter(({ per }) => per.includes('layer'))
        .map(({ tensor }) => tensor.replace(/.*\//, ''))
    }
    expect(new Set(savedOf('again'))).toEqual(new Set(['x', 'q', 'v', 'context', 'gate']))
    // Around a region that is checkpointed, what the products outside of it read is saved in the place of what they make.
    expect(savedOf('saved')).toEqual(expect.arrayContaining(['activation', 'norm', 'q_rotary', 'k_rotary']))
  })
})
