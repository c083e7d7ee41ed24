import {
  type Item,
  type Kernel,
  type OperatorDefinition,
  type OperatorNode,
  type Pass,
  type Plugin,
  type Program,
  rewriteItems,
} from '@shardloom/core'
import { describe, expect, test } from 'vitest'
import { loadSpec, planLoaded } from '../src/plan.js'
import type { SpecInput } from '../src/spec-schema.js'
import { expectEquivalent, prove, shrinkSpec } from '../src/testing.js'
import { verifyPlan } from '../src/verify-plan.js'

const spec: SpecInput = { model: 'tiny', batch: 4, seq: 16, parallel: { dp: 2, tp: 2 } }

/** A plugin that changes nodes of the finished plan. */
function changing(
  change: (node: OperatorNode, program: Program) => OperatorNode | null,
  tensors = (program: Program) => program.tensors,
): Plugin {
  const pass: Pass = {
    name: 'spoil/change-nodes',
    phase: 'schedule',
    run(program) {
      if (program.notes['spoiled'] === true) return program
      const items = rewriteItems(program.items, (list) =>
        list.flatMap((item): Item[] => (item.type === 'node' ? (change(item, program) ?? []) : item) as Item[]).flat(),
      )
      return { ...program, items, tensors: tensors(program), notes: { ...program.notes, spoiled: true } }
    },
  }
  return { name: 'spoil', passes: [pass] }
}

/** A plugin whose operator stands behind every feed-forward network's last projection, from the start. */
function operating(definition: OperatorDefinition): Plugin {
  const pass: Pass = {
    name: 'behind/insert-operator',
    phase: 'build',
    run(program) {
      if (program.notes['inserted'] === true) return program
      const tensors = new Map(program.tensors)
      const items = rewriteItems(program.items, (list) =>
        list.flatMap((item): Item[] => {
          if (item.type === 'node' && item.inputs.includes('forward/layer/ffn/down'))
            return [
              {
                ...item,
                inputs: item.inputs.map((id) => (id === 'forward/layer/ffn/down' ? 'forward/layer/ffn/behind' : id)),
              },
            ]
          if (item.id !== 'forward/layer/ffn/down' || item.type !== 'node') return [item]
          const made = tensors.get(item.id)
          if (made) tensors.set('forward/layer/ffn/behind', { ...made, id: 'forward/layer/ffn/behind' })
          const dims = 'batch seq hidden'
          const node = { ...item, id: 'forward/layer/ffn/behind', op: definition.name, rule: `${dims} -> ${dims}` }
          return [item, { ...node, inputs: [item.id], outputs: [node.id] }]
        }),
      )
      return { ...program, tensors, items, notes: { ...program.notes, inserted: true } }
    },
  }
  return { name: 'behind', operators: [definition], passes: [pass] }
}

const halve = (factor: number): OperatorDefinition => ({
  name: 'halve',
  linear: 'each',
  execute: ([x = new Float64Array()]) => [x.map((value) => value / 2)],
  derivative: (node) => [
    {
      op: 'times',
      name: 'input',
      rule: node.rule,
      inputs: [{ gradient: 0 }],
      of: [...node.inputs],
      attributes: { factor },
    },
  ],
})
const times: OperatorDefinition = {
  name: 'times',
  linear: 'each',
  execute: ([x = new Float64Array()], { node }) => [x.map((value) => value * Number(node.attributes?.['factor']))],
}
const withTimes = (plugin: Plugin): Plugin => ({ ...plugin, operators: [...(plugin.operators ?? []), times] })

describe('a step that leaves its results where the next one does not find them', () => {
  test('an update on halves of a parameter that every rank reads whole is refuted, and breaks rule 2', async () => {
    // ZeRO-1 without its all-gather: each of two ranks updates half of the rows.
    const updates = (node: OperatorNode) => node.op === 'adam' && node.rule.startsWith('hidden ')
    const halves = changing(
      (node) => (updates(node) ? { ...node, partition: { splits: { hidden: ['dp'] }, partial: {}, by: {} } } : node),
      (program) => {
        const halved = new Set([...rewritten(program)])
        return new Map(
          [...program.tensors].map(([id, tensor]) => {
            const shards = tensor.shape.map((_, position) => (position === 0 ? ['dp'] : []))
            return [id, halved.has(id) ? { ...tensor, placement: { shards, partial: {} } } : tensor]
          }),
        )
      },
    )
    const rewritten = (program: Program) => {
      const made: string[] = []
      rewriteItems(program.items, (list) => {
        for (const item of list) if (item.type === 'node' && updates(item)) made.push(...item.outputs)
        return list
      })
      return made
    }
    const access = { plugins: [halves] }
    const only = { ...spec, parallel: { dp: 2 } }
    const proof = await prove(only, access)
    expect(proof.difference?.message).toMatch(
      /^`optimizer\/.*` .*is left placed hidden\/dp, where the end of the step wants it/,
    )
    const rules = verifyPlan(planLoaded(await loadSpec(only, access))).rules
    const second = rules.find(({ rule }) => rule === 2)?.violations.map(({ message }) => message)
    expect(second?.some((message) => /The next step reads .* placed replicate; it ends as 0\/dp/.test(message))).toBe(
      true,
    )
  })

  test('a loss that no rank holds whole is refuted', async () => {
    const partial = changing(
      (node) =>
        node.id === 'loss/all-reduce(dp)' || /loss.*all-reduce/.test(node.id)
          ? null
          : node.op === 'report'
            ? { ...node, inputs: ['loss'] }
            : node,
      (program) => {
        const report = program.tensors.get('optimizer/report')
        const terms = { shards: [], partial: { dp: 'sum' as const } }
        return report ? new Map(program.tensors).set(report.id, { ...report, placement: terms }) : program.tensors
      },
    )
    const proof = await prove({ ...spec, parallel: { dp: 2 } }, { plugins: [partial] })
    expect(proof.proven).toBe(false)
    expect(proof.violations.map(({ message }) => message).join()).toMatch(
      /`optimizer\/report` is recorded as partial\(sum\)\/dp, but/,
    )
  })
})

describe('a small plan that is not the plan of the spec', () => {
  test('proves nothing of it, and says where they differ', async () => {
    const atFullSize = changing((node, { tensors }) => {
      const long = (tensors.get('inputs/tokens')?.shape[1] ?? 0) >= 1000
      const { communication } = node
      return long && communication?.reduction
        ? { ...node, communication: { ...communication, reduction: 'max' } }
        : node
    })
    const large: SpecInput = { model: 'llama-3.1-8b', batch: 4, parallel: { dp: 2, tp: 2 } }
    const proof = await prove(large, { plugins: [atFullSize] })
    expect([proof.equal, proof.proven]).toEqual([true, false])
    expect(proof.unlike).toContain('forward/layer/attention/out/all-reduce(tp)')
    await expect(expectEquivalent(large, { plugins: [atFullSize] })).rejects.toThrow(/is not the plan of the spec/)
  })

  test('a sliding window that decoding outgrows is outgrown in the small plan, too', async () => {
    const decode: SpecInput = {
      model: 'gpt-oss-120b',
      phase: 'decode',
      seq: 120,
      steps: 60,
      batch: 4,
      parallel: { tp: 2 },
    }
    const { loaded } = shrinkSpec(await loadSpec(decode))
    const [sliding] = Object.values(loaded.architecture.layers)
    const window = sliding?.attention.kind === 'grouped' ? (sliding.attention.window ?? 0) : 0
    expect(window).toBeGreaterThanOrEqual(loaded.spec.seq)
    expect(window).toBeLessThan(loaded.spec.seq + loaded.spec.steps - 1)
  })

  test('a selector of layers beyond the last is one of none', async () => {
    const proof = await prove({
      model: 'gpt2',
      batch: 2,
      parallel: { tp: 2 },
      options: { tp: { where: { layers: '100' } } },
    })
    expect(proof.proven).toBe(true)
    expect(proof.warnings.join()).toMatch(/selector .*matches no operator/)
  })
})

describe('gradients against the slope of the loss', () => {
  test('a right derivative is proven', async () => {
    const proof = await expectEquivalent(spec, { plugins: [withTimes(operating(halve(0.5)))] })
    expect(proof.slope?.error).toBeLessThan(1e-9)
  })

  test('a wrong derivative is refuted, with the parameters that it would train wrongly', async () => {
    const wrong = withTimes(operating(halve(7)))
    const proof = await prove(spec, { plugins: [wrong] })
    expect([proof.equal, proof.proven]).toEqual([true, false])
    expect(proof.slope?.parameters).toContain('layer/ffn/down/weight')
    expect(proof.slope?.parameters).not.toContain('head/weight')
    await expect(expectEquivalent(spec, { plugins: [wrong] })).rejects.toThrow(/is not the slope of the loss/)
  })

  test.each<[string, OperatorDefinition['derivative']]>([
    ['none', undefined],
    ['one without terms', () => []],
    ['one of a tensor that does not exist', () => [{ alias: 0, of: 'zzz' }]],
  ])('a derivative that cuts the way to the loss is refused: %s', async (_, derivative) => {
    const { derivative: __, ...rest } = halve(0.5)
    const plugin = operating({ ...rest, ...(derivative && { derivative }) })
    await expect(prove(spec, { plugins: [plugin] })).rejects.toMatchObject({
      code: 'NO_DERIVATIVE',
      subject: 'forward/layer/ffn/behind',
      help: expect.stringContaining('`derivative` with a term for each operand'),
    })
  })
})

describe('kernels from outside', () => {
  const kernel = (execute: unknown) => withTimes(operating({ ...halve(0.5), execute: execute as Kernel })) // also what is none

  test.each([
    ['nothing', () => undefined, 'it returns undefined, not a list of results'],
    ['a plain list', () => [[1, 2]], 'result 0 is an Array, not a Float64Array'],
    ['too many', ([x]: Float64Array[]) => [x, x], 'it returns 2 results, but its rule'],
    [
      'too few elements',
      () => [new Float64Array(1)],
      /result 0 has 1 elements, but its shape on rank 0 is \d+×\d+×\d+/,
    ],
  ])('that return %s are named', async (_, execute, message) => {
    const failed = prove(spec, { plugins: [kernel(execute)] })
    await expect(failed).rejects.toThrow(message)
    await expect(failed).rejects.toMatchObject({ code: 'KERNEL', subject: 'forward/layer/ffn/behind' })
  })

  test('that write into their operands change nobody else’s', async () => {
    const writing = kernel(([x = new Float64Array()]: Float64Array[]) => {
      x.forEach((value, index) => {
        x[index] = value / 2
      })
      return [x]
    })
    expect((await prove(spec, { plugins: [writing] })).proven).toBe(true)
  })

  test('that make no numbers prove nothing', async () => {
    const infinite = kernel(([x = new Float64Array()]: Float64Array[]) => [x.map(() => Number.POSITIVE_INFINITY)])
    expect((await prove(spec, { plugins: [infinite] })).equal).toBe(false)
  })
})
