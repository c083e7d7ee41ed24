import { composePlugins, corePasses, createMesh, nodesOf, runPasses } from '@shardloom/core'
import { buildProgram, findPreset, transformers } from '@shardloom/models'
import { measure, meterOf, replication } from '@shardloom/simulator'
import { dataParallel } from '@shardloom/strategy-dp'
import { expertParallel } from '@shardloom/strategy-ep'
import { expect, test } from 'vitest'

/** T tokens with k of E experts each, over hidden h: a list of choices is no loop of its own. */
test('what carries tokens to experts and back costs k elements per token, not k²', () => {
  const [batch, seq] = [4, 16]
  const model = findPreset('tiny-moe')
  const { ffn } = model.layers['layer'] ?? Object.values(model.layers)[0] ?? {}
  if (ffn?.kind !== 'moe') throw new Error('tiny-moe has no experts')
  const { operators, passes } = composePlugins([transformers(), dataParallel(), expertParallel()])
  const build = (mesh = createMesh([])) =>
    runPasses({ ...buildProgram(model, { phase: 'training', batch, seq }), mesh }, [...passes, ...corePasses], {
      operators,
      warn: () => {},
    })
  const program = build()
  const meter = meterOf(program, operators)
  const flops = (op: string) =>
    Number(meter.node(nodesOf(program.items).find((node) => node.op === op) ?? never(op)).flops)
  const chosen = batch * seq * ffn.topK * model.hidden
  expect(ffn.topK).toBeGreaterThan(1)
  // A weighted sum multiplies and adds; its gradients scale by a weight, and multiply and sum over h for each weight.
  expect(flops('combine')).toBe(2 * chosen)
  expect(flops('combine_gradient')).toBe(chosen)
  expect(flops('combine_weight_gradient')).toBe(2 * chosen)
  // Handing a token on is no arithmetic; its gradients from k experts are added up.
  expect(flops('dispatch')).toBe(0)
  expect(flops('dispatch_gradient')).toBe(chosen)
  // Softmax over the scores: five operations for each expert and token, however many are chosen.
  expect(flops('router')).toBe(5 * batch * seq * ffn.experts)
  const over = build(createMesh([{ name: 'dp', degree: 4 }]))
  const ranks = [0, 1, 2, 3].map((rank) => measure(over, operators, { rank }).flops)
  expect(ranks.reduce((sum, each) => sum + each, 0n)).toBe(replication(over, operators).flops)
})

function never(op: string): never {
  throw new Error(`no ${op}`)
}
