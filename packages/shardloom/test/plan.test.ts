import { isShardloomError, nodesOf, type Plugin, type ShardloomError } from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  explain,
  loadSpec,
  type PlanAccess,
  plan,
  planLoaded,
  programToJson,
  type SpecInput,
  summarise,
  verifyPlan,
} from '../src/index.js'

const tiny = { model: 'tiny', batch: 8, seq: 16 } as const

async function errorOf(input: SpecInput, access: PlanAccess = {}): Promise<ShardloomError> {
  const error: unknown = await plan(input, access).then(
    () => undefined,
    (cause: unknown) => cause,
  )
  if (isShardloomError(error)) return error
  throw error ?? new Error('nothing was thrown')
}

describe('planning', () => {
  test('states the mesh with the innermost axis of `order` last', async () => {
    const { program } = await plan({ ...tiny, parallel: { dp: 4, tp: 2 } })
    expect(program.mesh).toMatchObject({ world: 8, atoms: [{ name: 'dp' }, { name: 'tp' }] })
    const turned = await plan({ ...tiny, parallel: { dp: 4, tp: 2 }, order: ['dp', 'tp'] })
    expect(turned.program.mesh.atoms.map((atom) => atom.name)).toEqual(['tp', 'dp'])
  })

  test('every phase keeps every rule', async () => {
    for (const phase of ['training', 'prefill', 'decode'] as const) {
      for (const model of ['tiny', 'tiny-moe']) {
        const planned = await plan({ ...tiny, model, phase, parallel: { dp: 2, tp: 2 } })
        const violations = verifyPlan(planned).rules.flatMap((rule) => rule.violations)
        expect(violations, `${model} ${phase}`).toEqual([])
      }
    }
  })

  test('on one rank nothing is communicated', async () => {
    const planned = await plan(tiny)
    expect(summarise(planned).communication).toEqual([])
    expect(summarise(planned).nodes.communication).toBe(0)
  })

  test('the same spec gives the same program, and a loaded spec can be planned again', async () => {
    const loaded = await loadSpec({ ...tiny, parallel: { tp: 2 } })
    const [first, second] = [planLoaded(loaded), planLoaded(loaded)]
    expect(JSON.stringify(programToJson(first.program))).toBe(JSON.stringify(programToJson(second.program)))
  })

  test('layer ranges of a selector get a body of their own', async () => {
    const { program } = await plan({ ...tiny, parallel: { tp: 2 }, options: { tp: { where: { layers: '1' } } } })
    const text = JSON.stringify(programToJson(program))
    expect(text).toContain('forward/layer-1/')
    expect(text).toContain('all-reduce')
    expect(text).not.toContain('forward/layer-0/attention/out/all-reduce')
  })
})

describe('the laws of the batch', () => {
  test('training: batch = dp · microbatch · microbatches', async () => {
    const planned = await plan({ ...tiny, batch: 24, microbatch: 3, parallel: { dp: 2 } })
    expect(summarise(planned).batch.microbatches).toBe(4)
    expect(planned.program.tensors.get('inputs/tokens')?.shape).toEqual([6, 16])
  })

  test('a batch that does not divide names batches and degrees that would', async () => {
    const error = await errorOf({ ...tiny, batch: 10, parallel: { dp: 4 } })
    expect(error.message).toBe(
      'Cannot split a batch of 10 sequences over dp · microbatch = 4 · 1 = 4: it does not divide.',
    )
    expect(error.help).toBe('Use batch 8 or 12, or dp 1, 2, 5 or 10.')
    const prefill = await errorOf({ ...tiny, batch: 3, phase: 'prefill', parallel: { dp: 4 } })
    expect(`${prefill.message} ${prefill.help}`).toBe(
      'Cannot split a batch of 3 sequences over dp 4: it does not divide. Use batch 4, or dp 1 or 3.',
    )
  })

  test('a field that the phase does not use is refused', async () => {
    expect((await errorOf({ ...tiny, steps: 2 })).message).toBe(
      '`steps` is 2, but only decode has it; the phase is training.',
    )
  })

  test.each(['prefill', 'decode'] as const)(
    '%s runs all sequences at once unless `microbatch` says how many',
    async (phase) => {
      const spec = { ...tiny, batch: 24, phase, parallel: { dp: 2 } }
      expect(summarise(await plan(spec)).batch.microbatches).toBe(1)
      const planned = await plan({ ...spec, microbatch: 3 })
      expect(summarise(planned).batch.microbatches).toBe(4)
      const [region] = planned.program.items
      expect(region).toMatchObject({ type: 'region', axis: 'microbatch', order: 'parallel', extent: 4 })
      const cache = [...planned.program.tensors.values()].find(({ role }) => role === 'cache')
      expect(cache).toMatchObject({ per: ['microbatch', 'layer'] })
      expect(cache?.shape.slice(0, 2)).toEqual([6, 16])
      const error = await errorOf({ ...spec, microbatch: 5 })
      expect(`${error.message} ${error.help}`).toContain('batch of 24 sequences over dp · microbatch = 2 · 5 = 10')
    },
  )

  test('a degree that does not divide a dim names those that would', async () => {
    const error = await errorOf({ ...tiny, parallel: { tp: 3 } })
    expect(error.code).toBe('INDIVISIBLE')
    expect(error.help).toMatch(/^Use 1, 2/)
  })
})

describe('what a spec asks for', () => {
  test('a cluster is laid under the ranks, and one that is too small is refused with what would do', async () => {
    const cluster = { preset: 'dgx-h100', nodes: 1 }
    const { links } = summarise(await plan({ ...tiny, batch: 8, cluster, parallel: { tp: 2, dp: 4 } }))
    expect(links?.map(({ text }) => text)).toEqual([
      'dp 4: 4 in node (NVLink 4 + NVSwitch)',
      'tp 2: 2 in node (NVLink 4 + NVSwitch)',
    ])
    const error = await errorOf({ ...tiny, batch: 16, cluster, parallel: { dp: 16 } })
    expect([error.code, error.help]).toEqual(['CLUSTER_SIZE', expect.stringContaining('nodes: 2')])
  })

  test('asking for nothing is accepted', async () => {
    const options = { zero: 0, sequenceParallel: false, recompute: 'none' } as const
    await expect(plan({ ...tiny, parallel: { pp: 1, ep: 1 }, options })).resolves.toBeDefined()
  })

  test('names that nobody knows are refused with the nearest', async () => {
    expect((await errorOf({ ...tiny, parallel: { tpp: 1 } })).help).toMatch(/^Did you mean `parallel\.tp`\? /)
    expect((await errorOf({ ...tiny, options: { attentoin: 'flash' } })).help).toBe('Did you mean `options.attention`?')
    expect((await errorOf({ ...tiny, order: ['tp', 'dpp'] })).help).toBe('Did you mean `dp`?')
    expect((await errorOf({ ...tiny, order: ['tp', 'tp'] })).message).toBe('`order` names the axis `tp` twice.')
  })
})

describe('recompute', () => {
  const attention = 'materialised' as const
  const planned = (recompute: NonNullable<SpecInput['options']>['recompute'], more = {}) =>
    plan({ ...tiny, ...more, options: { attention, recompute } })

  test('by layers: each range has a body of its own', async () => {
    const { program, spec } = await planned({ full: { layers: '0' }, selective: { layers: 1 } })
    const again = nodesOf(program.items).filter((node) => node.recompute)
    const bodies = new Set(again.map(({ id }) => id.split('/')[1]))
    expect(bodies).toEqual(new Set(['layer-0', 'layer-1']))
    expect(program.notes).toMatchObject({ recompute: 'full and selective' })
    expect(summarise(await plan(spec)).conventions.recompute).toEqual({
      full: { layers: '0' },
      selective: { layers: 1 },
    })
  })

  test('the summary says what is kept, and what is computed again', async () => {
    const { hidden } = (await planned('none')).architecture
    const [none, selective, full] = await Promise.all(
      (['none', 'selective', 'full'] as const).map(async (each) => summarise(await planned(each))),
    )
    const kept = [none, selective, full].map((summary) => summary?.activations?.layers[0]?.bytes ?? 0)
    // The input of a layer alone: one sequence · tokens · hidden, in 16 bits.
    expect(kept[2]).toBe(1 * 16 * hidden * 2)
    expect(kept[0]).toBeGreaterThan(kept[1] ?? 0)
    expect(kept[1]).toBeGreaterThan(kept[2] ?? 0)
    expect(none?.allRanks.recomputedFlops).toBe(0)
    expect(full?.allRanks.recomputedFlops).toBeGreaterThan(selective?.allRanks.recomputedFlops ?? 0)
    for (const { activations } of [none, selective, full].flatMap((each) => each ?? [])) {
      const { bytes = 0, layers = [], outsideBytes = 0, saved = [] } = activations ?? {}
      const inside = layers.reduce((sum, layer) => sum + layer.count * layer.bytes, 0)
      expect(inside + outsideBytes).toBe(bytes)
      expect(saved.filter(({ perLayer }) => !perLayer).reduce((sum, each) => sum + each.bytes, 0)).toBe(outsideBytes)
    }
  })

  test('a node that runs again says whose result it makes', async () => {
    const explanation = explain(await planned('full'), 'backward/layer/attention/q')
    expect(explanation.recomputes).toBe('forward/layer/attention/q')
    expect(explanation.text[0]).toBe('It runs `forward/layer/attention/q` again, because its result was not kept.')
  })

  test('what would change nothing is refused', async () => {
    const flash = { ...tiny, options: { recompute: 'selective' as const } }
    expect(await errorOf(flash)).toMatchObject({ code: 'RECOMPUTE' })
    expect((await errorOf(flash)).help).toBe('Set `attention: materialised`, or recompute `full` or `none`.')
    expect(await errorOf({ ...tiny, phase: 'decode', options: { recompute: 'full' } })).toMatchObject({
      code: 'RECOMPUTE',
    })
    expect((await errorOf({ ...tiny, options: { recompute: 'some' as 'full' } })).message).toContain(
      '`options.recompute`',
    )
  })
})

describe('speculative decoding', () => {
  const spec = { ...tiny, phase: 'decode', batch: 4, steps: 3 } as const

  test.each([0, 0.5, 0.8, 1])(
    'a share of %d accepted: each drafted token counts if all before it are right',
    async (share) => {
      const { batch } = summarise(await plan({ ...spec, options: { decode: { draft: 4, acceptance: share } } }))
      const expected = [0, 1, 2, 3, 4].reduce((sum, tokens) => sum + share ** tokens, 0)
      expect(batch.expected).toBeCloseTo(expected, 12)
      expect(batch).toMatchObject({ draft: 4, keep: Math.round(expected) })
    },
  )

  test('steps verify all drafted tokens, write their keys and values, and move on by those that are kept', async () => {
    const { program } = await plan({ ...spec, options: { decode: { draft: 4, keep: 2 } } })
    const nodes = nodesOf(program.items)
    expect(nodes.find(({ op }) => op === 'accept')).toMatchObject({ kind: 'control' })
    for (const { attributes } of nodes.filter(({ op }) => op === 'cache_write'))
      expect(attributes).toMatchObject({ position: 15, advance: 2, rollback: 3 })
    expect(program.tensors.get('decode/cache/layer/attention/k')).toMatchObject({ growth: { by: 2 } })
  })

  test.each([
    [{ draft: 0 }, 'SPEC_VALUE', /1 to/],
    [{ keep: 2 }, 'SPEC_VALUE', /Set `options.decode.draft`/],
    [{ draft: 2, keep: 4 }, 'OPTION', /Use 1 to 3/],
    [
      { draft: 2, keep: 2, acceptance: 0.5 },
      'OPTION',
      /decode.keep.*decode.acceptance.*Leave `options.decode.keep` out/,
    ],
    [{ draft: 2, acceptance: 1.5 }, 'SPEC_VALUE', /from 0 to 1/],
  ])('%j is refused with what works', async (decode, code, text) => {
    const error = await errorOf({ ...spec, options: { decode } })
    expect(error.code).toBe(code)
    expect(`${error.message} ${error.help}`).toMatch(text)
    expect((await errorOf({ ...tiny, options: { decode: { draft: 2 } } })).message).toContain('but only decode has it')
  })
})

test('options that say the same twice are refused with both names', async () => {
  const staged = { ...tiny, batch: 8, parallel: { pp: 2 } } as const
  const both = await errorOf({ ...staged, options: { pp: { layers: [1, 1], balance: 'even' } } })
  expect(both.code).toBe('OPTION')
  expect(both.message).toMatch(/`options.pp.layers`.*`options.pp.balance`/)
  const csv = '0F0,0B0'
  for (const more of [{ virtual: 2 }, { pp: { group: 2 } }]) {
    const error = await errorOf({ ...staged, options: { schedule: 'own.csv', ...more } }, { readText: async () => csv })
    expect(error.code).toBe('OPTION')
    expect(error.message).toMatch(/`options.schedule` is a file.*`options.(virtual|pp.group)` would change nothing/)
  }
})

describe('an axis that nobody brings', () => {
  const known = 'dp, tp, pp, cp, ulysses, dcp, ep, expertTp, replicas'
  const further = 'Further axes come with a plugin: name it in `plugins`, or with --plugin.'
  const plugin = (axis: string) => ({ plugins: [{ name: axis, axes: [{ name: axis, description: 'of a test' }] }] })

  test.each([
    ['rows', [], `Known here: ${known}. ${further}`],
    ['vp', [], `Did you mean \`parallel.dp\`? ${further}`],
    ['rows', ['sq'], `Known here: sq, ${known}. ${further}`],
    ['sqq', ['sq'], 'Did you mean `parallel.sq`?'],
    // As near to `tp` and `dp` as to the plugin's.
    ['xp', ['vp'], 'Did you mean `parallel.vp`?'],
  ])('%s with the axes %j of plugins', async (typed, axes, help) => {
    const access = axes.map(plugin)[0] ?? {}
    const error = await plan({ ...tiny, parallel: { [typed]: 2 } }, access).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'SPEC_KEY', subject: `parallel.${typed}`, help })
  })

  test('of options, too, none is listed twice', async () => {
    const help = (await errorOf({ ...tiny, options: { zzzzzzzz: 1 } })).help ?? ''
    const names = help.replace(/^Known here: |\.$/g, '').split(', ')
    expect(names).toContain('attention')
    expect(new Set(names).size).toBe(names.length)
  })
})

test('whatever spec is given, nothing but a ShardloomError is thrown', async () => {
  const small = fc.oneof(fc.integer({ min: 1, max: 6 }), fc.jsonValue())
  const spec = fc.record(
    {
      phase: fc.oneof(fc.constantFrom('training', 'prefill', 'decode'), fc.jsonValue()),
      batch: small,
      microbatch: small,
      steps: small,
      seq: small,
      parallel: fc.oneof(fc.record({ tp: small, dp: small }, { requiredKeys: [] }), fc.jsonValue()),
      options: fc.oneof(
        fc.record({ tp: fc.jsonValue(), attention: fc.constantFrom('flash', 'materialised') }),
        fc.jsonValue(),
      ),
      order: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  const survives = async (input: object) => {
    const error: unknown = await loadSpec({ model: 'tiny', ...input })
      .then(planLoaded)
      .then(
        () => undefined,
        (cause: unknown) => cause,
      )
    if (error !== undefined && !isShardloomError(error)) throw error
  }
  await fc.assert(fc.asyncProperty(spec, survives), { numRuns: 200 })
})

describe('plugins', () => {
  const splitExperts: Plugin = {
    name: 'mine',
    axes: [{ name: 'width', description: 'splits the feed-forward width' }],
    passes: [
      {
        name: 'mine/split-width',
        phase: 'partition',
        run: (program) =>
          program.preferences.some((preference) => preference.strategy === 'mine')
            ? program
            : {
                ...program,
                preferences: [
                  ...program.preferences,
                  { strategy: 'mine', axis: 'width', class: 'feature', dims: ['ffn'] },
                ],
              },
      },
    ],
  }

  test('bring an axis whose communication is derived', async () => {
    const planned = await plan({ ...tiny, parallel: { width: 2 } }, { plugins: [splitExperts] })
    const summary = summarise(planned)
    expect(summary).toMatchObject({ mesh: { width: 2 }, world: 2 })
    expect(summary.communication.some((row) => row.axes.join() === 'width' && row.op === 'all-reduce')).toBe(true)
    expect(verifyPlan(planned).ok).toBe(true)
  })

  test('two plugins that claim one axis are refused, both named', async () => {
    const error = await errorOf(tiny, { plugins: [{ name: 'other', axes: [{ name: 'tp', description: '' }] }] })
    expect(error.message).toContain('`tp` and `other`')
  })

  test('are imported by the host, made with their options and checked', async () => {
    const made: unknown[] = []
    const factory = (options: unknown) => {
      made.push(options)
      const schema = {
        type: 'object',
        properties: { depth: { type: 'integer', minimum: 1 }, levels: { type: 'array', items: { type: 'integer' } } },
        additionalProperties: false,
      }
      return { name: 'deep', axes: [{ name: 'deep', description: 'nothing' }], options: schema }
    }
    const importPlugin = async () => ({ default: factory })
    await plan(
      { ...tiny, plugins: ['./deep.js'], options: { deep: { depth: 2 } }, parallel: { deep: 1 } },
      { importPlugin },
    )
    expect(made).toEqual([{}, { depth: 2 }])
    const wrong = await errorOf({ ...tiny, plugins: ['./deep.js'], options: { deep: { depth: 0 } } }, { importPlugin })
    expect(wrong.code).toBe('OPTIONS_VALUE')
    expect(wrong.message).toBe('`depth` is 0, but it must be at least 1.')
    const list = await errorOf({ ...tiny, plugins: ['./deep.js'], options: { deep: { levels: 3 } } }, { importPlugin })
    expect(list.message).toBe('`levels` is 3, but it must be a list.')
    const unknown = await errorOf({ ...tiny, plugins: ['./deep.js'], options: { deep: { dept: 1 } } }, { importPlugin })
    expect(unknown.help).toBe('Did you mean `depth`?')
  })

  test.each([
    [{ default: 3 }, /^This is not a plugin/],
    [{ a: 1, b: 2 }, /has no default export/],
    [null, /has no default export/],
    [{ default: () => null }, /^This is not a plugin/],
    [
      {
        default: () => {
          throw new Error('no licence')
        },
      },
      /could not be made: no licence/,
    ],
  ])('a module that holds none is refused: %o', async (namespace, message) => {
    const error = await errorOf({ ...tiny, plugins: ['./bad.js'] }, { importPlugin: () => namespace })
    expect(error.message).toMatch(message)
  })

  test('without a way to import, naming one is refused', async () => {
    expect((await errorOf({ ...tiny, plugins: ['./a.js'] })).code).toBe('NO_ACCESS')
  })
})
