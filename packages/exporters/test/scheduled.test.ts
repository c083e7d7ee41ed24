import type { Program } from '@shardloom/core'
import { edgeKinds, unroll } from '@shardloom/core/unroll'
import { createView, toDot, type UnrollAxis, type View } from '@shardloom/exporters'
import { type BuildOptions, findPreset } from '@shardloom/models'
import { describe, expect, test } from 'vitest'
import { planned } from '../../core/test/planned.js'

const tiny = findPreset('tiny')
const layered = (count: number) => ({
  ...tiny,
  order: { ...tiny.order, runs: tiny.order.runs.map((run) => ({ ...run, count })) },
})
const limit = { nodes: 1e5, edges: 1e6 }
const training = (microbatches: number): BuildOptions => ({
  phase: 'training',
  batch: 2 * microbatches,
  seq: 16,
  microbatches,
})

/** Iterations of axes that are not unrolled have no place in a name. */
function nameOf(id: string, axes: readonly string[]): string {
  return id.replace(/\[([^\]]*)\]$/, (_, all: string) => {
    const kept = all.split(',').filter((each) => axes.includes(each.split('=')[0] ?? ''))
    return kept.length > 0 ? `[${kept.join(',')}]` : ''
  })
}

/** `rank 0/a temporal rank 0/b` for each edge of a picture that leads to no collective's bar. */
function drawn(view: View): Set<string> {
  const inside = view.edges.filter(({ from, to }) => from.startsWith('rank ') && to.startsWith('rank '))
  return new Set(inside.map(({ from, to, kind }) => `${from} ${kind} ${to}`))
}

/** The same edges of the unrolled graph of core, of which a temporal one beside data says nothing new. */
function unrolled(program: Program, ranks: readonly number[], axes: readonly string[]): Set<string> {
  const graph = unroll(program, { ranks, axes: [...new Set([...axes, 'layer'])] })
  const name = (node: number) => `rank ${graph.rankOf(node)}/${nameOf(graph.idOf(node), axes)}`
  const transfers = (node: number) => ['send', 'recv'].includes(graph.templates[graph.template[node] ?? 0]?.op ?? '')
  const bar = (node: number) => graph.templates[graph.template[node] ?? 0]?.communication && !transfers(node)
  const found = new Set<string>()
  for (let node = 0; node < graph.nodeCount; node++) {
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      const source = graph.edgeSource[edge] ?? 0
      if (bar(node) || bar(source)) continue
      found.add(`${name(source)} ${edgeKinds[graph.edgeKind[edge] ?? 0]} ${name(node)}`)
    }
  }
  return new Set(
    [...found].filter((edge) => !found.has(edge.replace(' temporal ', ' data ')) || !edge.includes(' temporal ')),
  )
}

const between = (edges: Set<string>) => [...edges].filter((edge) => edge.includes(' communication ')).sort()

const pipelines: [string, number, number, BuildOptions, string | undefined][] = [
  ['gpipe', 2, 4, training(4), 'gpipe'],
  ['1f1b', 4, 5, training(4), '1f1b'],
  ['zbh1', 2, 3, training(3), 'zbh1'],
  ['zbv', 2, 8, training(4), 'zbv'],
  ['interleaved1f1b', 2, 4, training(4), 'interleaved1f1b'],
  ['dualpipe', 2, 4, training(4), 'dualpipe'],
  ['prefill', 3, 4, { phase: 'prefill', batch: 6, seq: 16, microbatches: 3 }, undefined],
  ['decode', 2, 4, { phase: 'decode', batch: 6, seq: 16, microbatches: 3, steps: 3 }, undefined],
]
const axesAlike: readonly UnrollAxis[][] = [
  [],
  ['microbatch'],
  ['decode_step'],
  ['layer'],
  ['microbatch', 'decode_step'],
  ['layer', 'microbatch'],
  ['layer', 'microbatch', 'decode_step'],
]

describe.each(pipelines)('a pipeline of %s', (_, pp, layers, build, schedule) => {
  const { program, operators } = planned(layered(layers), build, { pp }, schedule ? { pp: { schedule } } : {})
  const ranks = Array.from({ length: pp }, (_, rank) => rank)

  test.each(axesAlike)('drawn by %s %s %s has each send lead to its recv', (...axes) => {
    const given = axes.filter((axis) => axis !== undefined)
    const view = createView(program, operators, { level: 'operator', unroll: [...given, 'rank'], limit })
    const reference = between(unrolled(program, ranks, given))
    expect(reference.length).toBeGreaterThan(0)
    expect(between(drawn(view))).toEqual(reference)
  })

  test('drawn by layer, microbatch, step and rank is the unrolled graph', () => {
    const axes: UnrollAxis[] = ['layer', 'microbatch', 'decode_step']
    const view = createView(program, operators, { level: 'operator', unroll: [...axes, 'rank'], limit })
    expect([...drawn(view)].sort()).toEqual([...unrolled(program, ranks, axes)].sort())
  })
})

describe('a schedule', () => {
  const schedules = ['gpipe', '1f1b', 'zbh1']
  const views = (level: 'operator' | 'stage', unroll: readonly UnrollAxis[]) =>
    schedules.map((schedule) => {
      const { program, operators } = planned(layered(4), training(4), { pp: 2 }, { pp: { schedule } })
      return createView(program, operators, { level, unroll, limit })
    })

  test.each([
    ['operator', ['layer', 'microbatch', 'rank']],
    ['stage', ['microbatch']],
    ['stage', ['microbatch', 'rank']],
  ] as const)('at %s level, by %s, orders what is drawn', (level, unroll) => {
    const pictures = views(level, unroll)
    const orders = pictures.map(({ edges }) => JSON.stringify(edges.filter(({ kind }) => kind === 'temporal')))
    expect(new Set(orders).size).toBe(schedules.length)
    for (const [index, { edges, subtitle }] of pictures.entries()) {
      expect(subtitle).toContain(`schedule ${schedules[index]}`)
      expect(edges.some(({ kind }) => kind === 'temporal')).toBe(true)
    }
  })

  test('of 1F1B is that of the paper: the first of two stages runs F F B F B F B B, the last F B in turn', () => {
    const { program, operators } = planned(layered(4), training(4), { pp: 2 }, { pp: { schedule: '1f1b' } })
    const view = createView(program, operators, { level: 'stage', unroll: ['microbatch'], limit })
    const cards = (stage: number) =>
      view.nodes
        .filter(({ id }) => id.startsWith(`stage ${stage}/microbatch`))
        .map(({ id }) =>
          id.replace(/^.*microbatch\[(\d)\]\/(forward|backward)$/, (_, m, at) => `${at === 'forward' ? 'F' : 'B'}${m}`),
        )
    expect(cards(0).join(' ')).toBe('F0 F1 B0 F2 B1 F3 B2 B3')
    expect(cards(1).join(' ')).toBe('F0 B0 F1 B1 F2 B2 F3 B3')
  })

  test('is named in the caption of every picture of a pipeline, and gives no two of them the same text', () => {
    const texts = schedules.map((schedule) => {
      const { program, operators } = planned(layered(4), training(4), { pp: 2 }, { pp: { schedule } })
      return toDot(program, operators, { level: 'layer' })
    })
    expect(new Set(texts).size).toBe(schedules.length)
    texts.forEach((text, index) => expect(text).toContain(`schedule ${schedules[index]}`))
  })
})

describe('decode stage by stage and step by step', () => {
  const { program, operators } = planned(
    layered(4),
    { phase: 'decode', batch: 4, seq: 16, microbatches: 2, steps: 3 },
    { pp: 2 },
  )
  const view = createView(program, operators, {
    level: 'stage',
    unroll: ['microbatch', 'decode_step', 'rank'],
    limit,
  })

  test('a token goes to the next step of its batch, once, and from the last step nowhere', () => {
    const card = (rank: number, batch: number, step: number) =>
      `rank ${rank}/microbatch[${batch}]/decode_step[${step}]/decode`
    const tokens = view.edges.filter(({ kind, from }) => kind === 'communication' && from.startsWith('rank 1'))
    const expected = [0, 1].flatMap((batch) =>
      [0, 1].map((step) => `${card(1, batch, step)} → ${card(0, batch, step + 1)}`),
    )
    expect(tokens.map(({ from, to }) => `${from} → ${to}`).sort()).toEqual(expected.sort())
    // Four sequences in each batch, one token of four bytes for each.
    expect(new Set(tokens.map(({ label }) => label?.replaceAll('\u00a0', ' ')))).toEqual(new Set(['1 × 16 B']))
  })

  test('has no circle', () => {
    const waiting = new Set(view.nodes.map(({ id }) => id))
    for (let before = -1; before !== waiting.size; ) {
      before = waiting.size
      for (const id of [...waiting])
        if (!view.edges.some(({ from, to }) => to === id && waiting.has(from))) waiting.delete(id)
    }
    expect([...waiting]).toEqual([])
  })
})
