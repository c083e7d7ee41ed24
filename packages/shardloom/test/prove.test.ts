import { type Item, type Pass, type Plugin, type Program, rewriteItems, withPreferences } from '@shardloom/core'
import { presetNames } from '@shardloom/models'
import { describe, expect, test } from 'vitest'
import slices from '../../../test/fixtures/outside-strategy/index.js'
import { loadSpec } from '../src/plan.js'
import type { SpecInput } from '../src/spec-schema.js'
import { expectEquivalent, prove, shrinkSpec } from '../src/testing.js'

const phases = ['training', 'prefill', 'decode'] as const

/** Runs a pass on the finished plan, as a strategy that rewrites communication would. */
function rewriting(name: string, rewrite: (program: Program) => Program): Plugin {
  const pass: Pass = {
    name: `${name}/rewrite-plan`,
    phase: 'schedule',
    run: (program) =>
      program.notes[name] === true ? program : { ...rewrite(program), notes: { ...program.notes, [name]: true } },
  }
  return { name, passes: [pass] }
}

/** Takes the nodes out whose id matches; who read their results reads what they read. */
function without(program: Program, id: RegExp): Program {
  const instead = new Map<string, string>()
  const items = rewriteItems(program.items, (list) =>
    list.flatMap((item): Item[] => {
      if (item.type === 'node' && id.test(item.id)) {
        instead.set(item.outputs[0] ?? '', item.inputs[0] ?? '')
        return []
      }
      const read = (tensor: string) => instead.get(tensor) ?? tensor
      if (item.type === 'node') return [{ ...item, inputs: item.inputs.map(read) }]
      const ports = item.ports.map((port) =>
        port.kind === 'carry' ? { ...port, initial: read(port.initial), next: port.next.map(read) } : port,
      )
      return [{ ...item, ports }]
    }),
  )
  return { ...program, items }
}

describe.each(phases)('the plans of all presets, %s', (phase) => {
  test.each(presetNames())('%s is proven, by a small plan that is the large one but for its sizes', async (model) => {
    for (const parallel of [{ tp: 4, dp: 2 }, { tp: 3 }, { tp: 2, dp: 3 }]) {
      const proof = await prove({
        model,
        phase,
        parallel,
        batch: 6 * (parallel.dp ?? 1),
        options: { uneven: 'ragged' },
      })
      expect(proof.difference?.message).toBeUndefined()
      expect(proof.unlike).toEqual([])
      expect(proof.proven).toBe(true)
      expect(proof.worst.error).toBeLessThan(1e-9)
      expect(proof.compared).toBeGreaterThan(30)
    }
  })
})

describe('large specs', () => {
  test.each<[string, SpecInput]>([
    ['more ranks than KV heads', { model: 'llama-3.1-405b', parallel: { tp: 16, dp: 64 }, batch: 2048 }],
    ['far more', { model: 'llama-3.1-8b', parallel: { tp: 32, dp: 64 }, batch: 2048 }],
    [
      'keys gathered',
      { model: 'llama-3.1-8b', parallel: { tp: 16 }, options: { tp: { keyValueGradients: 'gather' } } },
    ],
    [
      'overlap',
      {
        model: 'llama-3.1-8b',
        batch: 16,
        parallel: { dp: 2, tp: 4 },
        options: { sequenceParallel: true, tp: { overlap: 4 } },
      },
    ],
    [
      'overlap in decode',
      {
        model: 'mixtral-8x7b',
        phase: 'decode',
        batch: 12,
        seq: 64,
        parallel: { tp: 2 },
        options: { tp: { overlap: 3 } },
      },
    ],
    ['sums deferred', { model: 'llama-3.1-8b', parallel: { tp: 16 }, options: { tp: { keyValueGradients: 'defer' } } }],
    ['one module', { model: 'mixtral-8x7b', parallel: { tp: 8 }, options: { tp: { where: { module: 'moe' } } } }],
  ])('%s: the same splits and communication on at most 64 ranks', async (_, spec) => {
    const proof = await prove(spec)
    expect(proof.unlike).toEqual([])
    expect(proof.equal).toBe(true)
    expect(proof.ranks).toBeLessThanOrEqual(64)
    expect(proof.executed.some(({ kind }) => kind === 'communication')).toBe(true)
  })

  test.each([
    ['llama-3.1-405b', '3-7', [6], '2-3'],
    ['llama-3.1-405b', 125, [3], '2-2'],
    ['gpt-oss-120b', ['0-5', '12-35'], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], '0-3,8-11'],
  ])(
    '%s with layers %s chosen: each stretch of layers keeps two of each kind',
    async (model, layers, counts, moved) => {
      const spec: SpecInput = { model, parallel: { tp: 8 }, batch: 4, options: { tp: { where: { layers } } } }
      const { loaded, unlike } = shrinkSpec(await loadSpec(spec))
      expect(loaded.architecture.order.runs.map(({ count }) => count)).toEqual(counts)
      expect([loaded.spec.options.tp.where?.layers].flat().join()).toBe(moved)
      expect(unlike).toEqual([])
      expect((await prove(spec)).equal).toBe(true)
    },
  )

  test('sizes only shrink, and windows keep within the sequence what was within it', async () => {
    const { loaded, shrunk } = shrinkSpec(
      await loadSpec({ model: 'gpt-oss-120b', parallel: { tp: 8, dp: 4 }, seq: 4096 }),
    )
    expect(shrunk.filter(({ from, to }) => to >= from)).toEqual([])
    const windows = Object.values(loaded.architecture.layers).map(({ attention }) =>
      attention.kind === 'grouped' ? attention.window : undefined,
    )
    expect(windows[0]).toBeLessThan(loaded.spec.seq)
    expect(windows[1]).toBeUndefined()
  })
})

describe('a strategy from outside', () => {
  const spec: SpecInput = { model: 'tiny', batch: 4, seq: 32, parallel: { tp: 2, slices: 2 } }

  test.each(phases.slice(0, 2))('is proven in %s', async (phase) => {
    const proof = await expectEquivalent({ ...spec, phase }, { plugins: [slices()] })
    expect(proof.mesh).toMatchObject({ slices: 2 })
  })

  test.each(['batch', 'head_dim', 'group', 'hidden', 'kv_rank'])(
    'that splits `%s` on four ranks is proven',
    async (dim) => {
      const pass: Pass = {
        name: 'other/split-dim',
        phase: 'partition',
        run: (program) =>
          withPreferences(program, [{ strategy: 'other', axis: 'other', class: 'feature', dims: [dim] }]),
      }
      const other: Plugin = { name: 'other', axes: [{ name: 'other', description: `splits ${dim}` }], passes: [pass] }
      const model = dim === 'kv_rank' ? 'deepseek-v3' : 'llama-3.1-8b'
      const spec: SpecInput = { model, batch: 8, microbatch: 4, seq: 512, parallel: { other: 4 } }
      const proof = await expectEquivalent(spec, { plugins: [other] })
      expect(proof.ranks).toBe(4)
      expect(proof.executed.some(({ kind }) => kind === 'communication')).toBe(true)
    },
  )

  test('that loses a reduction is refuted, with the first operator whose numbers are wrong', async () => {
    const broken = rewriting('lossy', (program) => without(program, /attention\/out\/all-reduce\(tp\)$/))
    const failed = expectEquivalent({ ...spec, parallel: { tp: 2 } }, { plugins: [broken] })
    await expect(failed).rejects.toThrow(
      /layer\/attention\/residual` \(add, microbatch 0, layer 0\) is the first to differ/,
    )
    await expect(failed).rejects.toMatchObject({ code: 'NOT_EQUIVALENT' })
  })

  test('that loses a gather is refuted, with the elements that a rank lacks', async () => {
    const broken = rewriting('lossy', (program) => without(program, /forward.*all-gather\(slices\)$/))
    const proof = await prove({ ...spec, parallel: { slices: 2 } }, { plugins: [slices(), broken] })
    expect(proof.equal).toBe(false)
    expect(proof.difference?.message).toMatch(/^Rank 0 runs `forward\/layer\/attention\/score` and lacks positions \d+/)
  })

  test('with an operator that nobody can run is told how to make it run', async () => {
    const doubling: Plugin = {
      name: 'double',
      operators: [{ name: 'double', linear: [[0]] }],
      passes: [
        {
          name: 'double/loss',
          phase: 'build',
          run(program) {
            const loss = program.tensors.get('loss')
            if (!loss || program.tensors.has('twice')) return program
            const node: Item = {
              type: 'node',
              id: 'twice',
              kind: 'compute',
              op: 'double',
              rule: '. -> .',
              inputs: ['loss'],
              outputs: ['twice'],
              segment: 'optimizer',
              module: '',
            }
            return {
              ...program,
              tensors: new Map(program.tensors).set('twice', { ...loss, id: 'twice' }),
              items: [...program.items, node],
            }
          },
        },
      ],
    }
    await expect(prove({ ...spec, parallel: { tp: 2 } }, { plugins: [doubling] })).rejects.toMatchObject({
      code: 'NO_SEMANTICS',
      subject: 'twice',
      help: expect.stringContaining('execute: (operands, context) => results'),
    })
  })
})
