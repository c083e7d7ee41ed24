import { nodesOf, type OperatorNode, type Program, rewriteItems } from '@shardloom/core'
import { firstViolation, verifyProgram } from '@shardloom/core/verify'
import type { BuildOptions, ModelArchitecture } from '@shardloom/models'
import { compareRuns, type Mutation, mutationReport, mutations } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { type PlannedOptions, planned } from '../../packages/core/test/planned.js'
import { replaceNode } from '../../packages/testing/src/mutate.js'
import { Recording } from '../../packages/testing/src/recording.js'
import { dense, experts, grouped, latent, layerOf, modelOf } from './architectures.js'
import { type Degrees, prove, referenceOf } from './prove.js'
import { again, and, context, sequence, ulysses } from './strategies.js'
import { tally } from './tally.js'

const training: BuildOptions = { phase: 'training', batch: 4, seq: 4, microbatches: 2 }
const prefill: BuildOptions = { phase: 'prefill', batch: 4, seq: 4 }
const decode: BuildOptions = { phase: 'decode', batch: 4, seq: 4, steps: 2 }
const small = { ...grouped, heads: 4, headDim: 2 }
const llama = modelOf('small, dense', { layer: layerOf({ ...small, bias: { qkv: true, out: true } }, dense) })
const mixture = modelOf(
  'small, mixture, tied',
  {
    layer: layerOf(
      { ...small, kvHeads: 1, qkNorm: 'head' },
      { ...experts, shared: { count: 1, intermediate: 4, gate: true } },
    ),
  },
  { tiedEmbeddings: true },
)
const mla = modelOf('small, latent', { layer: layerOf({ ...latent, heads: 4, queryRank: 6 }, dense) })

interface Case {
  readonly model: ModelArchitecture
  readonly build: BuildOptions
  readonly degrees: Degrees
  readonly options?: PlannedOptions
}

const cases: Readonly<Record<string, Case>> = {
  'dense, training, dp 2 × tp 4': { model: llama, build: training, degrees: { dp: 2, tp: 4 } },
  'dense, training, keys and values gathered': {
    model: llama,
    build: training,
    degrees: { tp: 4 },
    options: { tp: { keyValueGradients: 'gather' } },
  },
  'mixture, training, dp 2 × tp 2': { model: mixture, build: training, degrees: { dp: 2, tp: 2 } },
  'latent, training, two axes on the batch': {
    model: mla,
    build: { ...training, microbatches: 1 },
    degrees: { dp: 2, again: 2 },
    options: and(again),
  },
  'dense, training, tensor and sequence parallel': {
    model: llama,
    build: { ...training, microbatches: 1 },
    degrees: { dp: 2, tp: 2 },
    options: and(sequence),
  },
  'dense, training, context parallel': {
    model: llama,
    build: { ...training, microbatches: 1 },
    degrees: { cp: 2, tp: 2 },
    options: and(context),
  },
  'dense, training, Ulysses': {
    model: llama,
    build: { ...training, microbatches: 1 },
    degrees: { dp: 2, ulysses: 2 },
    options: and(ulysses),
  },
  'dense, training, ZeRO-1': { model: llama, build: training, degrees: { dp: 2, tp: 2 }, options: { dp: { zero: 1 } } },
  'mixture, training, ZeRO-3': {
    model: mixture,
    build: { ...training, batch: 3, microbatches: 1 },
    degrees: { dp: 3 },
    options: { dp: { zero: 3 } },
  },
  'dense, training, hybrid sharding': {
    model: llama,
    build: { ...training, microbatches: 1 },
    degrees: { dp: 4 },
    options: { dp: { zero: 3, dpReplicate: 2 } },
  },
  'latent, prefill': { model: mla, build: prefill, degrees: { dp: 2, tp: 2 } },
  'dense, decode': { model: llama, build: decode, degrees: { dp: 2, tp: 4 } },
}

/**
 * Why a mutation that runs to the same numbers does so. The maximum of equal values, or over ranks that repeat each
 * other, is the maximum; a rank that exchanges elements with more ranks than it must meets the same elements there.
 */
function whyHarmless({ kind, node, change }: Omit<Mutation, 'program'>, program: Program): string {
  const { communication, op } = nodesOf(program.items).find(({ id }) => id === node) ?? {}
  const moves = op === 'all-gather' || op === 'all-to-all'
  if (kind === 'duplicated' && communication?.reduction === 'max') return 'the maximum of equal values'
  if (kind === 'duplicated' && op === 'all-gather') return 'gathers what every rank has'
  const more = change.startsWith(`over ${communication?.atoms.join('.')}.`)
  if (kind === 'misgrouped' && more && moves) return 'exchanges with more ranks than it must'
  if (kind === 'misgrouped' && more && communication?.reduction === 'max') return 'the maximum of ranks that repeat'
  return 'not understood'
}

describe('every way to spoil communication is caught, and what changes a number is caught by running it', () => {
  test.each(Object.entries(cases))('%s', (_, { model, build, degrees, options = {} }) => {
    const { program, operators } = prove(model, build, degrees, options)
    const report = mutationReport(referenceOf(model, build), program, operators)
    const { byKind, harmless, missed, ...mutations } = report
    tally({ mutations })
    expect(missed).toEqual([])
    expect(mutations.verifier).toBe(mutations.made)
    expect(mutations.interpreter + harmless.length).toBe(mutations.made)
    expect(byKind.dropped.interpreter).toBe(byKind.dropped.made)
    expect(byKind.dropped.made).toBe(nodesOf(program.items).filter(({ communication }) => communication).length)
    expect(harmless.map((each) => whyHarmless(each, program))).not.toContain('not understood')
    // Where parameters are gathered, most nodes are all-gathers, which may run twice and with more ranks.
    expect(harmless.length).toBeLessThan(mutations.made / (options.dp?.zero ? 5 : 10))
  })

  test('what a mutant has in common with its program need not run again', () => {
    const { model, build, degrees } = cases['dense, decode'] as Case // it stands above
    const { program, operators } = planned(model, build, degrees)
    const recording = new Recording()
    const recorded = (each: Program) => compareRuns(referenceOf(model, build), each, operators, { recording })
    recorded(program)
    recording.close()
    const plain = (each: Program) => compareRuns(referenceOf(model, build), each, operators)
    for (const { program: mutant, node, change } of mutations(program)) {
      const [recordedRun, plainRun] = [recorded(mutant), plain(mutant)]
      expect(recordedRun.difference, `${node} ${change}`).toEqual(plainRun.difference)
      expect([recordedRun.compared, recordedRun.executed]).toEqual([plainRun.compared, plainRun.executed])
    }
  })

  test('the loss, the norm, the optimizer and both directions are among them', () => {
    const communication = Object.values(cases).flatMap(({ model, build, degrees, options }) =>
      nodesOf(planned(model, build, degrees, options).program.items).filter((node) => node.communication),
    )
    const segments = new Set(communication.map(({ segment }) => segment))
    expect([...segments].sort()).toEqual(['backward', 'decode', 'forward', 'optimizer', 'prefill'])
    const readers = communication.map(({ communication: each }) => each?.reason.consumer)
    expect(readers).toContain('optimizer/report')
    expect(readers).toContain('optimizer/norm')
    expect(readers.filter((id) => id?.startsWith('optimizer/layer/')).length).toBeGreaterThan(5)
    const kinds = new Set(communication.map(({ op }) => op))
    expect([...kinds].sort()).toEqual(['all-gather', 'all-reduce', 'all-to-all', 'reduce-scatter'])
  })
})

describe('what changes no number when it is run in 64 bits is refused by the verifier', () => {
  const names = ['dense, training, tensor and sequence parallel', 'mixture, training, ZeRO-3', 'dense, decode'] as const
  test.each(names)('%s', (name) => {
    const { model, build, degrees, options = {} } = cases[name] as Case // it stands above
    const { program, operators } = planned(model, build, degrees, options)
    const spoilt: [change: string, mutant: Program][] = []
    for (const node of nodesOf(program.items)) {
      if (!node.communication) continue
      const made = program.tensors.get(node.outputs[0] ?? '')
      if (!made) throw new Error(`${node.id} makes nothing`)
      const tensors = new Map(program.tensors).set(made.id, { ...made, dtype: 'fp8' })
      spoilt.push([`${node.id} makes fp8`, { ...program, tensors }])
      for (const segment of ['forward', 'backward', 'optimizer', 'prefill'] as const)
        if (segment !== node.segment)
          spoilt.push([`${node.id} in ${segment}`, replaceNode(program, node, [{ ...node, segment }])])
    }
    expect(spoilt.length).toBeGreaterThan(10)
    expect(spoilt.filter(([, mutant]) => !firstViolation(mutant, operators)).map(([change]) => change)).toEqual([])
  })
})

describe('what no rule about placements can see is caught by running it', () => {
  const square = modelOf('square', { layer: layerOf(small, { ...dense, intermediate: 8 }) })
  const plan = (model: ModelArchitecture, degrees: Degrees) => {
    const { program, operators } = prove(model, training, degrees)
    const find = (id: string): OperatorNode => {
      const found = nodesOf(program.items).find((node) => node.id === id)
      if (!found) throw new Error(`no node ${id}`)
      return found
    }
    const expectCaught = (mutant: Program) => {
      expect(verifyProgram(mutant, operators).flatMap(({ violations }) => violations)).toEqual([])
      const { difference } = compareRuns(referenceOf(model, training), mutant, operators)
      expect(difference).toBeDefined()
      return difference
    }
    const edit = (id: string, change: Partial<OperatorNode>) =>
      replaceNode(program, find(id), [{ ...find(id), ...change }])
    return { program, find, edit, expectCaught }
  }

  test('Adam with the gradient of another parameter of the same shape', () => {
    const { find, edit, expectCaught } = plan(llama, { dp: 2, tp: 2 })
    const [own, other] = [find('optimizer/layer/ffn/gate/weight'), find('optimizer/layer/ffn/up/weight')]
    const inputs = [other.inputs[0] ?? '', ...own.inputs.slice(1)]
    expect(inputs).not.toEqual(own.inputs)
    expect(expectCaught(edit(own.id, { inputs }))?.node).toBe(own.id)
  })

  test('Adam with the moments of another parameter', () => {
    const { find, edit, expectCaught } = plan(llama, { dp: 2, tp: 2 })
    const [own, other] = [find('optimizer/layer/ffn/gate/weight'), find('optimizer/layer/ffn/up/weight')]
    const inputs = own.inputs.map((id, index) => (index === 2 ? (other.inputs[2] ?? '') : id))
    expect(expectCaught(edit(own.id, { inputs }))?.node).toBe(own.id)
  })

  test('a parameter that is not updated', () => {
    const { program, find, expectCaught } = plan(llama, { dp: 2, tp: 2 })
    for (const id of ['optimizer/final_norm/gain', 'optimizer/layer/attention/k/weight'])
      expect(expectCaught(replaceNode(program, find(id), []))?.tensor).toContain(id)
  })

  test('a product with the transposed weight, in forward and backward alike', () => {
    const { program, find, expectCaught } = plan(square, { dp: 2 })
    const name = 'forward/layer/ffn/gate'
    const turned = rewriteItems(program.items, (items) =>
      items.map((item) =>
        item.type === 'node' && (item.id === name || item.differentiates === name)
          ? { ...item, rule: item.rule.replace('hidden ffn', 'ffn hidden') }
          : item,
      ),
    )
    expect(find(name).rule).toContain('hidden ffn')
    expect(expectCaught({ ...program, items: turned })?.node).toBe(name)
  })

  test.each([
    ['a sum of gradients', 'backward/layer/attention/norm.sum'],
    ['the squared norm', 'optimizer/norm'],
  ])('%s without one of its terms', (_, id) => {
    const { find, edit, expectCaught } = plan(llama, { dp: 2 })
    const { inputs, rule } = find(id)
    const [operands = '', result = ''] = rule.split(' -> ')
    const fewer = `${operands.split(', ').slice(1).join(', ')} -> ${result}`
    expect(expectCaught(edit(id, { inputs: inputs.slice(1), rule: fewer }))?.node).toBe(id)
  })

  test('a sum over layers whose term is missing', () => {
    const { program, expectCaught } = plan(llama, { dp: 2 })
    const items = program.items.map((item) => {
      if (item.id !== 'optimizer/norms' || item.type !== 'region') return item
      const [lost] = item.ports.flatMap((port) => (port.kind === 'reduce' ? [port.result] : []))
      expect(lost).toBeDefined()
      const ports = item.ports.map((port) =>
        port.kind === 'reduce' && port.result === lost ? { ...port, inner: port.inner.map(() => null) } : port,
      )
      return { ...item, ports }
    })
    expect(expectCaught({ ...program, items })?.message).toMatch(/has no value/)
  })

  test('another scale of the scores', () => {
    const { find, edit, expectCaught } = plan(llama, { tp: 2 })
    const id = 'forward/layer/attention/softmax'
    expect(expectCaught(edit(id, { attributes: { ...find(id).attributes, scale: 1 } }))?.node).toBe(id)
  })

  test('a loop over one microbatch too few', () => {
    const { program, expectCaught } = plan(llama, { dp: 2 })
    const items = program.items.map((item) =>
      item.id === 'microbatches' && item.type === 'region'
        ? { ...item, extent: 1, select: [{ body: 0, count: 1 }] }
        : item,
    )
    expectCaught({ ...program, items })
  })
})
