import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Axis, composePlugins, corePasses, createMesh, dimSizesOf, type Program, runPasses } from '@shardloom/core'
import {
  buildProgram,
  type GroupedAttention,
  type Layer,
  type ModelArchitecture,
  transformers,
} from '@shardloom/models'
import { communicationTable } from '@shardloom/simulator'
import { dataParallel } from '@shardloom/strategy-dp'
import { type SequenceParallelOptions, sequenceParallel } from '@shardloom/strategy-sp'
import { tensorParallel } from '@shardloom/strategy-tp'

/** Where the tables of the executed prototype are; undefined: tests of them are skipped. */
export const reference = process.env['SHARDLOOM_REFERENCE']

const bias = { qkv: false, out: false }
const attention: GroupedAttention = { kind: 'grouped', heads: 4, kvHeads: 2, headDim: 4, bias, rotary: true }
const dense = { kind: 'dense', intermediate: 8, activation: 'swiglu', bias: false } as const

/** The shapes of the executed prototype: batch 4, seq 8, hidden 8, two queries per KV head, head_dim 4, ffn 8, vocab 16. */
export function grouped(kvHeads: number, more: Partial<GroupedAttention> = {}): ModelArchitecture {
  return modelOf({ ...attention, heads: 2 * kvHeads, kvHeads, ...more })
}

/** Four experts, two for each token, and no dense layer. */
export const mixture = modelOf(attention, {
  kind: 'moe',
  experts: 4,
  topK: 2,
  intermediate: 8,
  activation: 'swiglu',
  bias: false,
  routerBias: false,
  correctionBias: false,
})

/** Latent attention of two heads over ranks of 4. */
export const latent = modelOf({
  kind: 'latent',
  heads: 2,
  queryRank: 4,
  kvRank: 4,
  nopeDim: 4,
  ropeDim: 4,
  valueDim: 4,
})

function modelOf(attention: Layer['attention'], ffn: Layer['ffn'] = dense): ModelArchitecture {
  return {
    schema: 'shardloom.model/1',
    name: 'prototype',
    family: 'llama',
    hidden: 8,
    vocab: 16,
    tiedEmbeddings: false,
    norm: { kind: 'rms', bias: false },
    layers: { layer: { attention, ffn, residual: 'sequential', norms: 'pre' } },
    order: { runs: [{ layer: 'layer', count: 2 }] },
  }
}

/** Plans one training step (or another phase) on the axes given, outermost first. */
export function planned(
  model: ModelArchitecture,
  degrees: Readonly<Record<string, number>>,
  options: SequenceParallelOptions = {},
  phase: Program['phase'] = 'training',
) {
  const built = buildProgram(model, { phase, batch: 4, seq: 8, gradientDtype: 'bf16' })
  const composition = composePlugins([transformers(), dataParallel(), tensorParallel(), sequenceParallel(options)])
  const axes = Object.entries(degrees).map(([name, degree]): Axis => {
    const axis = composition.axes.find((each) => each.name === name)
    const factors = axis?.factors?.(
      degree,
      (dim) => dimSizesOf(built, dim),
      (other) => degrees[other] ?? 1,
    )
    return { name, degree, ...(factors && { factors }) }
  })
  const context = { operators: composition.operators, warn: () => {} }
  const within = axes.filter(({ name }) => composition.axes.some((axis) => axis.name === name && axis.within))
  const mesh = createMesh(
    axes.filter((axis) => !within.includes(axis)),
    within,
  )
  const program = runPasses({ ...built, mesh }, [...composition.passes, ...corePasses], context)
  return { program, operators: composition.operators }
}

/** Nodes of one body and the bytes that they send together, by place, kind and axes. */
export type Rows = Readonly<Record<string, readonly [nodes: number, bytes: number]>>

/** What a plan communicates, but for the two numbers of the step's report. */
export function communicationOf({ program, operators }: ReturnType<typeof planned>): Rows {
  const rows: Record<string, readonly [number, number]> = {}
  for (const { region, op, axes, nodes, bytesPerRank, payloadBytes, segment } of communicationTable(
    program,
    operators,
  )) {
    if (segment === 'optimizer' && payloadBytes <= 4) continue
    const direction = segment === 'forward' ? 'fwd' : 'bwd'
    const key = `${direction} ${region.endsWith('layer') ? 'layer' : 'outside'} ${op} ${axes.join('.')}`
    const [count, bytes] = rows[key] ?? [0, 0]
    rows[key] = [count + nodes.length, bytes + nodes.length * bytesPerRank]
  }
  return rows
}

/** The rows of one case of the prototype's tables, its atoms renamed to ours. */
export function expectedRows(title: string, names: Readonly<Record<string, string>> = {}, part = 't2'): Rows {
  const text = readFileSync(join(reference ?? '', 'design/prototype/expected-communication.txt'), 'utf8')
  const tables = text.split('#### ').find((each) => each.startsWith(`${part}\n`)) ?? ''
  const table = tables.split('\n## ').find((each) => each.startsWith(`${title}  mesh`)) ?? ''
  const rows: Record<string, readonly [number, number]> = {}
  for (const line of table.split('\n')) {
    const found = /^ {2}(fwd|bwd) (\S+) ([a-z-]+)(?:\(max\))? over (\S+) +x(\d+) bytes=(\d+)/.exec(line)
    if (!found) continue
    const [, direction, place, op, over = '', count, bytes] = found
    const axes = over.split('.').map((atom) => names[atom] ?? atom)
    const whole = axes.every((axis) => axis.includes('.')) && axes.length > 1 ? [axes[0]?.split('.')[0]] : axes
    const key = `${direction} ${place === 'layer' ? 'layer' : 'outside'} ${op} ${whole.join('.')}`
    const [nodes, sum] = rows[key] ?? [0, 0]
    rows[key] = [nodes + Number(count), sum + Number(bytes)]
  }
  return rows
}
