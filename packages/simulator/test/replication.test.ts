import {
  type Axis,
  closePorts,
  composePlugins,
  corePasses,
  createMesh,
  dimSizesOf,
  type OperatorNode,
  type Program,
  rewriteItems,
  runPasses,
} from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { type BuildOptions, buildProgram, countParameters, findPreset, transformers } from '@shardloom/models'
import * as simulator from '@shardloom/simulator'
import { communicationTable, measure, replication } from '@shardloom/simulator'
import { dataParallel } from '@shardloom/strategy-dp'
import { tensorParallel } from '@shardloom/strategy-tp'
import { describe, expect, it } from 'vitest'

function plan(
  model: string,
  degrees: Record<string, number>,
  options: BuildOptions,
  uneven: 'refuse' | 'ragged' = 'refuse',
) {
  const built = buildProgram(findPreset(model), options)
  const { operators, passes, axes } = composePlugins([transformers(), dataParallel(), tensorParallel()])
  const mesh = createMesh(
    Object.entries(degrees).map(([name, degree]): Axis => {
      const factors = axes
        .find((axis) => axis.name === name)
        ?.factors?.(
          degree,
          (dim) => dimSizesOf(built, dim),
          () => 1,
        )
      return { name, degree, ...(factors && { factors }) }
    }),
  )
  const program = runPasses({ ...built, mesh, uneven }, [...passes, ...corePasses], { operators, warn: () => {} })
  return { program, operators }
}

describe('replication', () => {
  it('is the sum over every rank, visited one by one, ragged shares included', () => {
    const cases = [
      plan('tiny', { dp: 2, tp: 4 }, { phase: 'training', batch: 4, microbatches: 2, seq: 16 }),
      plan('tiny', { dp: 2, tp: 3 }, { phase: 'training', batch: 3, seq: 16 }, 'ragged'),
      plan('gpt2', { tp: 5 }, { phase: 'prefill', batch: 1, seq: 16 }, 'ragged'),
      plan('tiny-moe', { dp: 2, tp: 2 }, { phase: 'decode', batch: 2, seq: 8, steps: 3 }),
    ]
    for (const { program, operators } of cases) {
      const ranks = Array.from({ length: program.mesh.world }, (_, rank) => measure(program, operators, { rank }))
      const { flops, parameters } = replication(program, operators)
      expect(flops).toBe(ranks.reduce((sum, each) => sum + each.flops, 0n))
      expect(parameters).toBe(ranks.reduce((sum, each) => sum + each.parameters, 0n))
    }
  })

  it('one device repeats nothing; data parallelism repeats the optimizer and the weights alone', () => {
    const options = { phase: 'training', batch: 4, seq: 16 } as const
    const one = plan('tiny', {}, options)
    const alone = replication(one.program, one.operators)
    expect(alone.replicatedFlops).toBe(0n)
    expect(alone.replicatedParameters).toBe(0n)
    const four = plan('tiny', { dp: 4 }, options)
    const together = replication(four.program, four.operators)
    const total = BigInt(countParameters(findPreset('tiny')).total)
    expect(together.replicatedParameters).toBe(3n * total)
    expect(together.flops - together.replicatedFlops).toBe(alone.flops)
    // Adam costs 14 FLOPs per parameter and its square 2: three further ranks do that again, and little else.
    const optimizer = 3n * 16n * total
    expect(together.replicatedFlops).toBeGreaterThanOrEqual(optimizer)
    expect(together.replicatedFlops - optimizer).toBeLessThan(200n)
  })

  it('keys and values of 8 KV heads on 16 ranks are computed twice (Llama 3.1 8B)', () => {
    const { program, operators } = plan('llama-3.1-8b', { tp: 16 }, { phase: 'prefill', batch: 1, seq: 64 })
    const { replicatedFlops, flops } = replication(program, operators)
    const projections = 32n * 2n * 2n * 64n * 4096n * 1024n // layers × (K, V) × multiply-add × tokens × hidden × kv width
    expect(replicatedFlops).toBeGreaterThan(projections)
    expect(Number(replicatedFlops - projections) / Number(flops)).toBeLessThan(0.01) // norms and residuals
  })
})

describe('communication', () => {
  /** Shoeybi et al. 2019, section 3: two all-reduces of b·s·h per layer in forward and two in backward. */
  it('tensor parallelism of GPT-3 175B: 4 × 96 all-reduces of b·s·h', () => {
    const { program, operators } = plan('gpt3-175b', { tp: 8 }, { phase: 'training', batch: 1, seq: 2048 })
    const rows = communicationTable(program, operators).filter(
      (row) => row.region.endsWith('layer') && row.segment !== 'optimizer',
    )
    expect(rows.map((row) => [row.segment, row.op, row.count, row.payloadBytes])).toEqual([
      ['forward', 'all-reduce', 192, 2048 * 12288 * 2],
      ['backward', 'all-reduce', 192, 2048 * 12288 * 2],
    ])
    for (const row of rows) expect(row.bytesPerRank).toBe((2 * row.payloadBytes * 7) / 8)
  })

  it('of a cache that grows: each step gathers what it has grown to, and a row says the mean', () => {
    const [batch, seq, steps, layers, width] = [4, 8, 6, 2, 2 * 16]
    const { program, operators } = plan('tiny', { tp: 2 }, { phase: 'decode', batch, seq, steps })
    const read = 'decode/layer/attention/k_read'
    const whole = gatheredAfter(program, read, 'tp')
    expect(verifyProgram(whole, operators).flatMap(({ violations }) => violations)).toEqual([])
    const row = communicationTable(whole, operators).find(({ nodes }) => nodes.includes(`${read}/all-gather(tp)`))
    const [bytes, count] = [row?.payloadBytes ?? 0, row?.count ?? 0]
    expect(count).toBe(steps * layers)
    // Keys of 8 positions in the first step, of one more in each further one, of both KV heads, in 16 bits.
    const positions = Array.from({ length: steps }, (_, step) => seq + step).reduce((a, b) => a + b)
    expect(count * bytes).toBe(layers * 2 * batch * positions * width)
    expect(row?.bytesPerRank).toBe(bytes / 2)
  })
})

/** The program with a tensor that is split over one atom gathered, behind the node that makes it. */
function gatheredAfter(program: Program, id: string, atom: string): Program {
  const tensor = program.tensors.get(id)
  const from = tensor?.placement
  if (!tensor || !from?.shards.flat().includes(atom)) throw new Error(`${id} is not split over ${atom}`)
  const to = { ...from, shards: from.shards.map((list) => list.filter((each) => each !== atom)) }
  const made = `${id}/all-gather(${atom})`
  const dims = tensor.dims.join(' ')
  const gather: OperatorNode = {
    type: 'node',
    id: made,
    kind: 'communication',
    op: 'all-gather',
    rule: `${dims} -> ${dims}`,
    inputs: [id],
    outputs: [made],
    segment: 'decode',
    module: 'attention',
    communication: {
      atoms: [atom],
      from,
      to,
      reason: { tensor: id, producer: id, consumer: id, strategies: [] },
    },
  }
  const tensors = new Map(program.tensors).set(made, { ...tensor, id: made, placement: to, versionOf: id })
  const items = rewriteItems(program.items, (list) =>
    list.flatMap((item) => (item.id === id ? [item, gather] : [item])),
  )
  return { ...program, tensors, items: closePorts(items, tensors) }
}

it('the public surface', () => {
  expect(Object.keys(simulator).sort()).toEqual([
    'attentionSeconds',
    'breakdown',
    'calibrate',
    'calibrationWork',
    'changeAxis',
    'choicesOf',
    'communicationBytes',
    'communicationTable',
    'criticalPath',
    'efficiencyFields',
    'efficiencyOf',
    'efficiencyOn',
    'engineFrom',
    'engines',
    'findEngine',
    'flopClassOf',
    'grownShape',
    'hostBandwidthOf',
    'imbalance',
    'isNamed',
    'iterationsOf',
    'kernelClasses',
    'kernelNames',
    'machineOf',
    'matmulSeconds',
    'measure',
    'measureFolded',
    'memory',
    'meterOf',
    'nodeTable',
    'nodeTimes',
    'nothingKnown',
    'partCosts',
    'ranksStoodFor',
    'ranksToRun',
    'replication',
    'representatives',
    'runEvents',
    'runStep',
    'sampleOf',
    'savedTensors',
    'simulate',
    'simulateRolled',
    'stateCosts',
    'stateSampleOf',
    'stepOf',
    'ticksPerSecond',
    'unevenAtoms',
    'usualEngine',
    'workOf',
  ])
})
