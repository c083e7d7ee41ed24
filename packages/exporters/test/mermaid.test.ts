import { createView, mermaidOf, toMermaid, type ViewOptions } from '@shardloom/exporters'
import fc from 'fast-check'
import { JSDOM } from 'jsdom'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { hostileTexts, hostileView } from './hostile.js'
import { operators, prefillProgram, trainingProgram } from './program.js'

let parse: (text: string) => Promise<unknown>

beforeAll(async () => {
  const { window } = new JSDOM('')
  vi.stubGlobal('window', window)
  vi.stubGlobal('document', window.document)
  const { default: mermaid } = await import('mermaid')
  parse = (text) => mermaid.parse(text)
})

const prefill = prefillProgram()
const training = trainingProgram()
const everything: readonly ViewOptions[] = [
  ...(['phase', 'stage', 'layer', 'module', 'operator'] as const).map((level) => ({ level })),
  { unroll: ['rank'] },
  { unroll: ['layer', 'microbatch'], level: 'layer' },
]

describe.each([
  ['prefill', prefill],
  ['training', training],
])('%s', (_, program) => {
  test.each(everything)('mermaid reads what was written: %j', async (options) => {
    const text = toMermaid(program, operators, options)
    expect(await parse(text)).toMatchObject({ diagramType: 'flowchart-v2' })
  })
})

test('every node and edge is written once', () => {
  const view = createView(prefill, operators)
  const lines = mermaidOf(view, { legend: false }).split('\n')
  expect(lines.filter((line) => /:::(compute|communication|control|memory)$/.test(line)).length).toBe(view.nodes.length)
  expect(lines.filter((line) => / (-->|==>|-\.->)/.test(line)).length).toBe(view.edges.length)
  expect(lines.filter((line) => line.trim().startsWith('subgraph')).length).toBe(view.clusters.length)
})

test('beyond 60 nodes a coarser level is taken, and the title says so', async () => {
  const text = toMermaid(training, operators, { unroll: ['layer', 'microbatch'] })
  expect(text.split('\n')[1]).toMatch(/level has|all have/)
  await parse(text)
})

test('the title is one line that can be read; what it leaves out stands in the legend, and whole without one', () => {
  const [, title = '', ...lines] = toMermaid(training, operators, { level: 'layer' }).split('\n')
  expect(title).toBe('title: "training · layers · toy · dp 2, tp 2"')
  expect(lines.filter((line) => line.includes('numbers per rank'))).toEqual([
    'accDescr: toy · dp 2, tp 2 · bf16 · seq 64 · causal FLOPs whole · numbers per rank',
    expect.stringContaining('<br/>bf16 · seq 64 · causal FLOPs whole · numbers per rank"]:::unseen'),
  ])
  expect(toMermaid(training, operators, { level: 'layer', legend: false })).toContain('numbers per rank"\n---')
})

test('whatever limit is asked for, the text stays below what mermaid takes', async () => {
  const many = trainingProgram({ layers: 60, microbatches: 20, name: 'x'.repeat(4000) })
  const text = toMermaid(many, operators, { unroll: ['layer', 'microbatch'], limit: { nodes: 1e9, edges: 1e9 } })
  expect(text.length).toBeLessThan(50_000)
  expect(text.split('\n').filter((line) => / (-->|==>|-\.->)/.test(line)).length).toBeLessThan(500)
  await parse(text)
})

test('links that keep the legend in its place are not drawn', () => {
  const text = toMermaid(training, operators, { level: 'layer' })
  const links = text.split('\n').flatMap((line) => line.match(/ (-->|<-->|==>|<==>|-\.->|<-\.->|~~~)(?= |\|)/g) ?? [])
  const unseen = links.flatMap((link, index) => (link === ' ~~~' ? [index] : []))
  expect(unseen.length).toBeGreaterThan(0)
  expect(text).toContain(`linkStyle ${unseen.join(',')} stroke-width:0px`)
})

describe('hostile labels', () => {
  test('never break the text and never become markup', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(hostileTexts, { minLength: 3, maxLength: 3 }),
        async ([title = '', label = '', id = '']) => {
          const text = mermaidOf(hostileView(title, label, id))
          await parse(text)
          expect(text.replaceAll('<br/>', '')).not.toMatch(/<|%%|`|javascript:|^\s*click /m)
        },
      ),
      { numRuns: 200 },
    )
  })

  test('are entities, so that they show as they were given', () => {
    const text = mermaidOf(hostileView('t', '<a href="x">1.</a>', 'x'))
    expect(text).toContain('#60;a href=#34;x#34;#62;1.#60;/a#62;')
  })

  test('a model name reaches the title as plain words', () => {
    const text = toMermaid(prefillProgram({ name: '"]; click a "javascript:x" %%{init}%%' }), operators, {
      level: 'phase',
    })
    expect(text.split('\n')[1]).toMatch(/^title: "[^"\\`%{}<>]*"$/)
  })
})
