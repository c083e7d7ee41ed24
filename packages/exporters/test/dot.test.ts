import { createView, toDot, type View, type ViewOptions, writeDot, writeDotGraph } from '@shardloom/exporters'
import fc from 'fast-check'
import graphlibDot from 'graphlib-dot'
import { describe, expect, test } from 'vitest'
import { hasGraphviz, render } from './graphviz.js'
import { hostileTexts, hostileView } from './hostile.js'
import { operators, prefillProgram, trainingProgram } from './program.js'

const prefill = prefillProgram()
const training = trainingProgram()
const everything: readonly ViewOptions[] = [
  ...(['phase', 'stage', 'layer', 'module', 'operator'] as const).map((level) => ({ level })),
  { unroll: ['rank'] },
  { unroll: ['layer', 'microbatch'], level: 'layer' },
  { where: { module: 'ffn' } },
  { where: { layers: 0 }, unroll: ['layer'] },
]

function textOf(view: View): string {
  const chunks: string[] = []
  writeDot(view, (chunk) => chunks.push(chunk))
  return chunks.join('')
}

/** Nodes and edges of the picture itself, as graphlib-dot reads them: without clusters, legend and unseen edges. */
function readBack(text: string) {
  const graph = graphlibDot.read(text)
  const nodes = graph.nodes().filter((id) => !id.startsWith('cluster ') && !id.startsWith('legend '))
  const edges = graph.edges().filter((edge) => graph.edge(edge)?.style !== 'invis' && !edge.v.startsWith('legend '))
  return { graph, nodes, edges }
}

describe.each([
  ['prefill', prefill],
  ['training', training],
])('%s', (_, program) => {
  test.each(everything)('graphlib-dot reads back what was written: %j', (options) => {
    const view = createView(program, operators, options)
    const { graph, nodes, edges } = readBack(textOf(view))
    expect(nodes.sort()).toEqual(view.nodes.map((node) => node.id).sort())
    expect(edges.map((edge) => `${edge.v} ${edge.w}`).sort()).toEqual(
      view.edges.map((edge) => `${edge.from} ${edge.to}`).sort(),
    )
    expect(graph.nodes().filter((id) => id.startsWith('cluster ')).length).toBe(
      view.clusters.length + (view.legend.length > 1 ? 1 : 0),
    )
  })
})

test('a node named as a word of DOT, quotes and backslashes survive', () => {
  const words = ['node', 'Graph', 'edge', 'strict', 'a\\', 'a"b', 'a\nb', '100%', 'ä', '<b>']
  const chunks: string[] = []
  writeDotGraph(
    {
      name: 'graph',
      nodes: words.map((id) => ({ id, label: id })),
      edges: words.map((id) => ({ from: 'node', to: id })),
    },
    (chunk) => chunks.push(chunk),
  )
  const graph = graphlibDot.read(chunks.join(''))
  expect(graph.nodeCount()).toBe(words.length)
  expect(graph.edgeCount()).toBe(words.length)
  expect(graph.nodes()).toEqual([
    '%6eode',
    '%47raph',
    '%65dge',
    '%73trict',
    'a%5c',
    'a%22b',
    'a%0ab',
    '100%25',
    'ä',
    '%3cb%3e',
  ])
})

test('a large graph comes in chunks, none of them huge', () => {
  const sizes: number[] = []
  const ids = Array.from({ length: 20_000 }, (_, index) => `layer/${index}`)
  writeDotGraph(
    {
      nodes: ids.map((id) => ({ id, kind: 'communication' as const })),
      edges: ids.map((id) => ({ from: id, to: 'layer/0', kind: 'temporal' as const })),
    },
    (chunk) => sizes.push(chunk.length),
  )
  expect(sizes.length).toBeGreaterThan(10)
  expect(Math.max(...sizes)).toBeLessThan(70_000)
})

test('a graph beyond the readable size is written coarser, and says so', () => {
  const text = toDot(prefill, operators, { limit: { nodes: 10, edges: 300 } })
  expect(text).toContain('module level shown: operator level has 14 nodes')
})

test('the dark theme changes colours only', () => {
  const strip = (text: string) => text.replace(/#[0-9A-F]{6}/g, '#')
  expect(strip(toDot(training, operators, { theme: 'dark' }))).toBe(strip(toDot(training, operators)))
})

describe('hostile labels', () => {
  test('never break the text and never become markup', () => {
    fc.assert(
      fc.property(fc.array(hostileTexts, { minLength: 3, maxLength: 3 }), ([title = '', label = '', id = '']) => {
        const view = hostileView(title, label, id)
        const text = textOf(view)
        const { nodes, edges } = readBack(text)
        expect(nodes.length).toBe(view.nodes.length)
        expect(edges.length).toBe(view.edges.length)
        expect(text).not.toMatch(/<(?!-)|label=</)
        expect(text.replace(/\\[nl]/g, '')).not.toContain('\\')
      }),
    )
  })

  test('stand in the picture as they were given', { skip: !hasGraphviz() }, () => {
    const label = 'a"b \\n \\N <b>&lt;</b> &#92;'
    const svg = render(textOf(hostileView('t', label, 'x')))
    expect(svg).toContain('a&quot;b \\n \\N &lt;b&gt;&amp;lt;&lt;/b&gt; &amp;#92;'.slice(0, 10))
    expect(svg).not.toContain('<b>')
  })
})

describe.skipIf(!hasGraphviz())('Graphviz', () => {
  test.each(everything)('draws every node: %j', (options) => {
    const view = createView(training, operators, options)
    const svg = render(textOf(view))
    const drawn = [...svg.matchAll(/<g id="[^"]*" class="node">/g)].length
    const samples = view.legend.filter((entry) => entry.type === 'node').length
    const legend = view.legend.length > 1 ? samples + (samples < view.legend.length ? 1 : 0) : 0
    expect(drawn).toBe(view.nodes.length + legend)
    // Unseen edges are drawn as nothing.
    expect(svg.match(/class="edge"/g)).toHaveLength(view.edges.length)
  })
})
