import fc from 'fast-check'
import {
  checkSpec,
  isShardloomError,
  loadSpec,
  parseSpec,
  plan,
  programToJson,
  type SpecInput,
  specText,
} from 'shardloom'
import { exportLaunch, importLaunch, type LauncherName, launcherNames, launchers } from 'shardloom/launch'
import { describe, expect, test } from 'vitest'

const degree = fc.constantFrom(1, 2, 4)
const maybe = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined })

/** Objects without fields that are undefined, nor objects that are then empty. */
const tidy = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).map(([key, each]) => [key, tidy(each)] as const)
  return Object.fromEntries(
    entries.filter(
      ([, each]) => each !== undefined && !(typeof each === 'object' && each && Object.keys(each).length === 0),
    ),
  )
}

/** What a spec says once defaults are filled in; what is the same said otherwise is said one way. */
function meaning(input: unknown): unknown {
  const { seq = 8192, microbatch = 1, ...spec } = checkSpec(tidy(input))
  const { schedule = '1f1b', ...options } = spec.options
  return { ...spec, seq, microbatch, options: { ...options, schedule } }
}

/** Specs of training that several launchers can express. */
const training = (
  model: string,
  more: fc.Arbitrary<Record<string, unknown>>,
  axes: Record<string, fc.Arbitrary<number>>,
) =>
  fc
    .record({
      microbatch: fc.constantFrom(1, 2),
      slots: fc.constantFrom(4, 8),
      parallel: fc.record({ dp: degree, tp: degree, ...axes }),
      options: more,
    })
    .map(({ microbatch, slots, parallel, options }) => ({
      model,
      seq: 4096,
      microbatch,
      batch: slots * microbatch * parallel.dp,
      parallel: parallel as { dp: number; tp: number } & Record<string, number>, // the axes of `axes` too
      options,
    }))

const pipelined = <T extends { parallel: Record<string, number>; options: Record<string, unknown> }>(
  specs: fc.Arbitrary<T>,
  schedules: readonly Record<string, unknown>[],
) =>
  fc
    .tuple(specs, fc.constantFrom(...schedules))
    .map(([spec, schedule]) =>
      (spec.parallel['pp'] ?? 1) > 1 ? { ...spec, options: { ...spec.options, ...schedule } } : spec,
    )

/** Half of the specs with groups of dp that each hold all of what the stage of ZeRO divides, where launchers say so. */
const replicated = <T extends { parallel: Record<string, number>; options: Record<string, unknown> }>(
  specs: fc.Arbitrary<T>,
  stages: readonly number[],
) =>
  fc.tuple(specs, fc.boolean()).map(([spec, more]) => {
    const dp = spec.parallel['dp'] ?? 1
    if (!more || dp < 4 || !stages.includes(Number(spec.options['zero']))) return spec
    return { ...spec, parallel: { ...spec.parallel, dpReplicate: 2 } }
  })

const types = { dtype: fc.constantFrom('bf16', 'fp32'), recompute: fc.constantFrom('none', 'full') }

const megatronDense = pipelined(
  training(
    'llama-3.1-8b',
    fc.record({
      ...types,
      recompute: fc.constantFrom('none', 'selective', 'full'),
      attention: fc.constantFrom('flash', 'materialised'),
      loss: fc.constantFrom('fused', 'materialised'),
      zero: fc.constantFrom(0, 1, 2, 3),
      sequenceParallel: fc.boolean(),
      linearDtype: maybe(fc.constant('fp8')),
      dp: fc.record({ bucket: maybe(fc.constantFrom(4e6, 16e7)) }),
    }),
    { pp: degree, cp: degree },
  ),
  [{}, { schedule: 'interleaved1f1b', virtual: 2 }, { schedule: 'interleaved1f1b', virtual: 4, pp: { group: 4 } }],
).map(({ options, ...spec }) => ({
  ...spec,
  options: {
    ...options,
    // Flash attention keeps nothing of its core that could be computed again.
    ...(options.attention === 'flash' && options.recompute === 'selective' && { recompute: 'none' as const }),
    sequenceParallel: options.sequenceParallel && spec.parallel.tp > 1, // of one rank there is nothing to split
    ...((spec.parallel['cp'] ?? 1) > 1 && { sp: { attention: 'ring' } }),
  },
}))

const megatronExperts = fc
  .tuple(
    training('mixtral-8x7b', fc.record({ zero: fc.constantFrom(0, 1) }), { ulysses: fc.constantFrom(1, 2) }),
    fc.constantFrom(1, 2, 4),
    fc.boolean(),
  )
  .map(([spec, ep, wide]) => {
    const ranks = spec.parallel.dp * spec.parallel.tp * (spec.parallel['ulysses'] ?? 1)
    const expertTp = wide && ranks % (ep * spec.parallel.tp) === 0 ? spec.parallel.tp : 1
    return { ...spec, parallel: { ...spec.parallel, ...(ranks % ep === 0 && ep > 1 && { ep, expertTp }) } }
  })

const torchtitanSpecs = pipelined(
  training('llama-3.1-8b', fc.record({ ...types, linearDtype: maybe(fc.constant('fp8')) }), { pp: degree, cp: degree }),
  [
    {},
    { schedule: 'gpipe' },
    { schedule: 'interleaved1f1b', virtual: 4 },
    { schedule: 'zbv' },
    { schedule: 'interleaved-zb1p', virtual: 2 },
  ],
).chain((spec) =>
  fc.constantFrom('use', 'keep').map((gather) => {
    const { dp, tp, cp = 1 }: { dp: number; tp: number; cp?: number } = spec.parallel
    const sharded = dp * cp > 1
    return {
      ...spec,
      options: {
        ...spec.options,
        sequenceParallel: tp > 1,
        ...(sharded && { zero: 3, dp: { gather: gather === 'use' ? undefined : gather } }),
      },
    }
  }),
)

const torchtitanExperts = fc
  .tuple(
    training('deepseek-v3', fc.record({ recompute: fc.constantFrom('none', 'full') }), {}),
    fc.constantFrom(2, 4, 8),
    fc.boolean(),
  )
  .map(([spec, ep, wide]) => {
    const { dp, tp } = spec.parallel
    const expertTp = wide ? tp : 1
    const fits = (dp * tp) % (ep * expertTp) === 0
    const options = { ...spec.options, sequenceParallel: tp > 1, ...(dp > 1 && { zero: 3 }) }
    return { ...spec, parallel: { ...spec.parallel, ...(fits && { ep, expertTp }) }, options }
  })

const deepspeedSpecs = training(
  'llama-3.1-8b',
  fc.record({
    ...types,
    zero: fc.constantFrom(0, 1, 2, 3),
    dp: fc.record({ bucket: maybe(fc.constantFrom(4e6, 16e7)), reduceDtype: maybe(fc.constant('bf16')) }),
  }),
  { ulysses: degree },
).map(({ seq: _, ...spec }) => spec)

const engineOptions = (engine: string | undefined) =>
  fc.record({
    weightDtype: maybe(fc.constant('fp8')),
    cacheDtype: maybe(fc.constant('fp8')),
    serving: fc.record({
      engine: fc.constant(engine),
      memoryFraction: maybe(fc.constantFrom(0.8, 0.95)),
      scheduler: fc.record({
        maxTokens: maybe(fc.constantFrom(2048, 16384)),
        maxSequences: fc.constantFrom(8, 64),
        blockTokens: maybe(fc.constantFrom(16, 64)),
      }),
    }),
  })

const engines = (engine: string | undefined) =>
  fc
    .record({
      model: fc.constantFrom('llama-3.1-70b', 'deepseek-v3'),
      tp: degree,
      pp: fc.constantFrom(1, 2),
      dp: degree,
      experts: fc.constantFrom('number', 'width'),
      options: engineOptions(engine),
    })
    .map(({ model, tp, pp, dp, experts, options }) => {
      const shared = model === 'deepseek-v3'
      const ranks = tp * dp
      const layout = experts === 'number' ? { ep: ranks } : dp > 1 ? { expertTp: ranks } : {}
      const { maxSequences } = options.serving.scheduler
      return {
        model,
        phase: 'serving',
        seq: 4096,
        batch: maxSequences * dp,
        parallel: {
          tp,
          pp,
          ...(engine === undefined && { dcp: tp }),
          ...(shared ? { dp, ...layout } : { replicas: dp }),
        },
        ...(engine === undefined && shared && dp > 1 && pp > 1 && { order: ['tp', 'pp', 'dp'] }),
        // The checkpoint of DeepSeek-V3 holds eight bits, and engines serve what it holds.
        options: { ...options, ...(shared && { weightDtype: 'fp8' }) },
      }
    })

const cases: readonly [LauncherName, string, fc.Arbitrary<object>][] = [
  ['megatron', 'dense', replicated(megatronDense, [1, 2, 3])],
  ['megatron', 'with experts', megatronExperts],
  ['torchtitan', 'dense', replicated(torchtitanSpecs, [3])],
  ['torchtitan', 'with experts', torchtitanExperts],
  ['deepspeed', 'dense', replicated(deepspeedSpecs, [3])],
  ['vllm', 'with and without experts', engines(undefined)],
  ['sglang', 'with and without experts', engines('sglang')],
]

describe('there and back', () => {
  test.each(cases)('%s, %s: a spec comes back as it was', async (name, _, specs) => {
    await fc.assert(
      fc.asyncProperty(specs, async (spec) => {
        const loaded = await loadSpec(tidy(spec))
        const { text } = exportLaunch(loaded, name)
        const model = name === 'deepspeed' ? loaded.spec.model : undefined
        const back = await importLaunch(name, text, { ...(model !== undefined && { model }) })
        expect(meaning(back.spec)).toEqual(meaning(spec))
        expect(exportLaunch(await loadSpec(back.spec), name).text).toBe(text)
      }),
      { numRuns: 100 },
    )
  })

  test.each(launcherNames)('%s: the program is the same', async (name) => {
    const train = {
      batch: 16,
      seq: 4096,
      parallel: { dp: 4, tp: 4 },
      options: { zero: 3, sequenceParallel: name !== 'deepspeed' },
    }
    const parallel = { dp: 4, tp: 2, ep: 8 }
    const serve = { phase: 'serving', batch: 64, seq: 4096, parallel, options: { weightDtype: 'fp8' } }
    const input =
      name === 'vllm' || name === 'sglang' ? { model: 'deepseek-v3', ...serve } : { model: 'llama-3.1-8b', ...train }
    const [there, loaded] = [input as SpecInput, await loadSpec(input)]
    const { spec } = await importLaunch(name, exportLaunch(loaded, name).text, { model: loaded.spec.model })
    const phase = there.phase === 'serving' ? 'prefill' : there.phase
    const programs = [there, { ...spec, batch: there.batch, seq: there.seq }].map(async (each) => {
      const { serving: __, ...options } = each.options ?? {}
      const made = await plan({ ...each, options, phase } as SpecInput)
      return JSON.stringify(programToJson(made.program))
    })
    const [before, after] = await Promise.all(programs)
    expect(after === before).toBe(true)
  })

  test('a spec as YAML is the spec', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(megatronDense, megatronExperts, engines('sglang')), async (input) => {
        const { spec } = await loadSpec(tidy(input))
        expect(parseSpec(specText(spec))).toEqual(spec)
      }),
      { numRuns: 50 },
    )
  })
})

describe('models in the flags of Megatron-LM', () => {
  test.each([
    'gpt2',
    'gpt3-175b',
    'llama-2-7b',
    'llama-2-70b',
    'llama-3.1-405b',
    'mixtral-8x7b',
    'deepseek-v3',
    'qwen3-8b',
    'qwen3-235b-a22b',
  ])('%s comes back', async (model) => {
    const { text } = exportLaunch(await loadSpec({ model }), 'megatron')
    expect((await importLaunch('megatron', text)).spec.model).toBe(model)
    // Megatron-LM's NullTokenizer counts one token more than it is told, for the end of a document; rows are padded from there.
    const rows = (await loadSpec({ model })).architecture.vocab
    expect(text).toContain(`--tokenizer-type NullTokenizer \\\n  --vocab-size ${rows - 1} `)
    // Of sizes that no preset has, an object of the same shape.
    const other = text.replace(/--vocab-size \d+/, '--vocab-size 1233')
    const { spec } = await importLaunch('megatron', other)
    const [made, known] = [await loadSpec(spec), await loadSpec({ model })]
    expect({ ...made.architecture, name: '', family: '', vocab: 0 }).toEqual({
      ...known.architecture,
      name: '',
      family: '',
      vocab: 0,
    })
    expect(made.architecture.vocab).toBe(1234)
  })

  test.each([['gpt-oss-120b', 'kinds of attention']])('%s is refused', async (model, why) => {
    const loaded = await loadSpec({ model })
    expect(() => exportLaunch(loaded, 'megatron')).toThrow(why)
  })
})

describe('what a launcher cannot express is named', () => {
  const base = { model: 'llama-3.1-8b', batch: 64, parallel: { dp: 4 } }
  test.each<[LauncherName, object, string]>([
    ['megatron', { phase: 'decode' }, 'phase'],
    ['megatron', { parallel: { pp: 2 }, options: { schedule: 'zbh1' } }, 'options.schedule'],
    ['megatron', { options: { barriers: true } }, 'options.barriers'],
    ['megatron', { options: { tp: { where: { module: 'ffn' } } } }, 'options.tp.where.module'],
    ['megatron', { order: ['dp', 'tp', 'pp'], parallel: { dp: 2, tp: 2 } }, 'order'],
    ['megatron', { parallel: { dp: 4, replicas: 2 } }, 'parallel.replicas'],
    ['torchtitan', { options: { zero: 1 } }, 'options.zero'],
    ['torchtitan', { parallel: { tp: 2 } }, 'options.sequenceParallel'],
    ['torchtitan', { parallel: { pp: 2 }, options: { schedule: 'vhalf' } }, 'options.schedule'],
    ['torchtitan', { parallel: { ulysses: 2 } }, 'parallel.ulysses'],
    ['deepspeed', { parallel: { cp: 2 } }, 'parallel.cp'],
    ['deepspeed', { parallel: { pp: 2 }, options: { zero: 3 } }, 'options.zero'],
    ['vllm', { phase: 'training' }, 'phase'],
    ['vllm', { phase: 'serving' }, 'parallel.dp'],
    ['vllm', { phase: 'serving', parallel: { cp: 2 } }, 'parallel.cp'],
    ['vllm', { phase: 'serving', model: 'mixtral-8x7b', parallel: { dp: 4, ep: 2 } }, 'parallel.ep'],
    ['vllm', { phase: 'serving', parallel: {}, options: { serving: { engine: 'sglang' } } }, 'options.serving.engine'],
    [
      'vllm',
      { phase: 'serving', parallel: {}, options: { serving: { decode: { parallel: { tp: 2 } } } } },
      'options.serving.decode',
    ],
    ['sglang', { phase: 'serving', parallel: { dcp: 2, tp: 2 } }, 'parallel.dcp'],
  ])('%s: %j', async (name, more, subject) => {
    const loaded = await loadSpec({ ...base, ...more })
    try {
      exportLaunch(loaded, name)
      expect.unreachable()
    } catch (error) {
      if (!isShardloomError(error)) throw error
      expect([error.code, error.subject]).toEqual(['LAUNCHER', subject])
      expect(error.message).toContain(subject)
      expect(error.help).toBeTruthy()
    }
  })

  test.each<[LauncherName, number]>([
    ['torchtitan', 3],
    ['deepspeed', 1],
  ])('%s: with all that stands below it', async (name, zero) => {
    const options = { zero, recompute: { full: { layers: '0-3' } } }
    const loaded = await loadSpec({ ...base, options })
    expect(() => exportLaunch(loaded, name)).toThrow('`options.recompute` is {"full":{"layers":"0-3"}}')
  })

  test('what is lost without harm is noted', async () => {
    const loaded = await loadSpec({ ...base, options: { causal: 'halved' }, tokens: 1e9 })
    expect(exportLaunch(loaded, 'megatron').notes).toEqual(['nothing there says `tokens`, `options.causal`'])
  })

  test("a plugin's own flags are written, and without them its axis is refused", async () => {
    const axes = [{ name: 'vp', description: 'splits the vocabulary' }]
    const spec = { ...base, parallel: { dp: 4, vp: 2 } }
    const mute = await loadSpec(spec, { plugins: [{ name: 'vocab', axes }] })
    expect(() => exportLaunch(mute, 'megatron')).toThrow('parallel.vp')
    const launchFlags = (launcher: string, degreeOf: (axis: string) => number) =>
      launcher === 'megatron' ? { 'vocab-parallel-size': degreeOf('vp') } : undefined
    const told = await loadSpec(spec, { plugins: [{ name: 'vocab', axes, launchFlags }] })
    expect(exportLaunch(told, 'megatron').text).toContain('--vocab-parallel-size 2')
    expect(exportLaunch(told, 'megatron').text).toContain('--nproc-per-node 8 --nnodes 1 ')
    expect(() => exportLaunch(told, 'deepspeed')).toThrow('parallel.vp')
  })
})

test('every launcher says whose names it uses', () => {
  expect(launcherNames).toEqual(Object.keys(launchers))
  for (const { title, version } of Object.values(launchers)) expect(`${title} ${version}`).toMatch(/\w .*\d/)
})
