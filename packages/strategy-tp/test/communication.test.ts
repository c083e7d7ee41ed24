import { type Axis, composePlugins, corePasses, createMesh, dimSizesOf, type Program, runPasses } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { buildProgram, type ModelArchitecture, transformers } from '@shardloom/models'
import { communicationTable, measure } from '@shardloom/simulator'
import { dataParallel } from '@shardloom/strategy-dp'
import { type TensorParallelOptions, tensorParallel } from '@shardloom/strategy-tp'
import { describe, expect, it } from 'vitest'

/** The shapes of the executed prototype: batch 4, seq 8, hidden 8, two KV heads of two queries each, head_dim 4, ffn 8, vocab 16. */
const tiny: ModelArchitecture = {
  schema: 'shardloom.model/1',
  name: 'prototype',
  family: 'llama',
  hidden: 8,
  vocab: 16,
  tiedEmbeddings: false,
  norm: { kind: 'rms', bias: false },
  layers: {
    layer: {
      attention: { kind: 'grouped', heads: 4, kvHeads: 2, headDim: 4, bias: { qkv: false, out: false }, rotary: true },
      ffn: { kind: 'dense', intermediate: 8, activation: 'swiglu', bias: false },
      residual: 'sequential',
      norms: 'pre',
    },
  },
  order: { runs: [{ layer: 'layer', count: 2 }] },
}

function planned(degrees: Record<string, number>, options: TensorParallelOptions = {}, model = tiny) {
  const built = buildProgram(model, { phase: 'training', batch: 4, seq: 8, gradientDtype: 'bf16' })
  const composition = composePlugins([transformers(), dataParallel(), tensorParallel(options)])
  const axes = Object.entries(degrees).map(([name, degree]): Axis => {
    const factors = composition.axes
      .find((axis) => axis.name === name)
      ?.factors?.(
        degree,
        (dim) => dimSizesOf(built, dim),
        () => 1,
      )
    return { name, degree, ...(factors && { factors }) }
  })
  const context = { operators: composition.operators, warn: () => {} }
  const program = runPasses({ ...built, mesh: createMesh(axes) }, [...composition.passes, ...corePasses], context)
  return { program, operators: composition.operators }
}

/** Communication by segment, place, kind and axes: how many nodes of one body, and the bytes that they send together. */
function summary({ program, operators }: ReturnType<typeof planned>): Record<string, readonly [number, number]> {
  const rows: Record<string, readonly [number, number]> = {}
  for (const row of communicationTable(program, operators)) {
    const atoms = row.axes.join('.')
    const inLayer = row.region.endsWith('layer')
    const key = `${row.segment} ${inLayer ? 'layer' : 'outside'} ${row.op} ${atoms}`
    const [count, bytes] = rows[key] ?? [0, 0]
    rows[key] = [count + row.nodes.length, bytes + row.nodes.length * row.bytesPerRank]
  }
  return rows
}

/**
 * Counts and bytes per rank (2-byte elements, 4-byte loss statistics) as an execution of the same layers on virtual ranks
 * gave them, where every loss, gradient and parameter equalled one device's.
 */
describe('the communication of an executed prototype', () => {
  it('tensor parallel over 2', () => {
    expect(summary(planned({ tp: 2 }))).toEqual({
      'forward outside all-reduce tp': [4, 512 + 128 + 256],
      'forward layer all-reduce tp': [2, 1024],
      'backward outside all-reduce tp': [1, 512],
      'backward layer all-reduce tp': [2, 1024],
      'optimizer outside all-reduce tp': [1, 4],
    })
  })

  it('data parallel over 2', () => {
    const plan = planned({ dp: 2 })
    expect(summary(plan)).toEqual({
      'optimizer layer all-reduce dp': [9, 1184],
      'optimizer outside all-reduce dp': [4, 272 + 256 + 4],
    })
  })

  it('grouped queries, 4 ranks on 2 KV heads: key and value gradients reduced at once', () => {
    const rows = summary(planned({ tp: 4 }))
    expect(rows['forward layer all-reduce tp']).toEqual([2, 1536])
    expect(rows['forward outside all-reduce tp']).toEqual([4, 768 + 192 + 384])
    expect(rows['backward outside all-reduce tp']).toEqual([1, 768])
    expect(rows['backward layer all-reduce tp']).toEqual([1, 768])
    expect(rows['backward layer all-reduce tp.1']).toEqual([3, 1024])
    expect(rows['backward layer all-reduce tp.0']).toEqual([1, 512])
  })

  it('grouped queries: the sum deferred to the weight gradients', () => {
    const rows = summary(planned({ tp: 4 }, { keyValueGradients: 'defer' }))
    expect(rows['forward layer all-reduce tp']).toEqual([2, 1536])
    expect(rows['backward layer all-reduce tp']).toEqual([2, 1536])
    const weights = [rows['backward layer all-reduce tp.1'], rows['optimizer layer all-reduce tp.1']].filter(Boolean)
    expect(weights).toEqual([[2, 128]])
  })

  it('grouped queries: projections split inside each head, keys and values gathered', () => {
    const rows = summary(planned({ tp: 4 }, { keyValueGradients: 'gather' }))
    expect(rows['forward layer all-gather tp.1']).toEqual([2, 256])
    expect(rows['forward layer all-reduce tp']).toEqual([2, 1536])
    expect(rows['backward layer all-reduce tp']).toEqual([2, 1536])
    expect(rows['backward layer all-gather tp.1']).toEqual([1, 128])
    expect(rows['backward layer all-reduce tp.1']).toEqual([1, 256])
    expect(rows['backward layer reduce-scatter tp.1']).toEqual([1, 128])
  })
})

describe('laws', () => {
  const nodes = (program: Program) => JSON.stringify(program.items)

  it('degree 1 adds no node', () => {
    expect(communicationTable(planned({ tp: 1, dp: 1 }).program, planned({}).operators)).toEqual([])
    expect(nodes(planned({ tp: 1, dp: 1 }).program)).toBe(nodes(planned({}).program))
  })

  it('every gradient is reduced over dp exactly once, and the payload is the bytes of the local gradients', () => {
    for (const tp of [1, 2, 4]) {
      const { program, operators } = planned({ dp: 2, tp })
      const gradients = communicationTable(program, operators)
        .filter((row) => row.axes.includes('dp'))
        .flatMap((row) =>
          row.nodes.map((node) => ({
            node,
            tensor: row.reason.tensor,
            count: row.count / row.nodes.length,
            bytes: row.payloadBytes,
          })),
        )
        .filter(({ node }) => node.includes('gradient/'))
      const parameters = [...program.tensors.values()].filter((tensor) => tensor.role === 'parameter')
      expect(gradients).toHaveLength(parameters.length)
      const total = gradients.reduce((sum, { bytes, count }) => sum + bytes * count, 0)
      const { parameterBytes } = measure(program, operators)
      expect(total).toBe(Number(parameterBytes))
    }
  })

  it('every plan verifies', () => {
    for (const tp of [1, 2, 4]) {
      for (const dp of [1, 2, 4]) {
        for (const keyValueGradients of ['reduce', 'defer', 'gather'] as const) {
          const { program, operators } = planned({ dp, tp }, { keyValueGradients })
          for (const report of verifyProgram(program, operators)) expect(report.violations, report.name).toEqual([])
        }
      }
    }
  })
})
