import type { Program } from '@shardloom/core'
import { graphml } from '@shardloom/exporters/graphml'
import { measure } from '@shardloom/simulator'
import fc from 'fast-check'
import { JSDOM } from 'jsdom'
import { describe, expect, test } from 'vitest'
import { hostileTexts } from './hostile.js'
import { operators, prefillProgram, trainingProgram } from './program.js'

const { DOMParser } = new JSDOM().window

function parse(text: string): Document {
  const document = new DOMParser().parseFromString(text, 'application/xml')
  expect(document.querySelector('parsererror')?.textContent).toBeUndefined()
  return document
}

const all = (document: Document, tag: string): Element[] => [...document.getElementsByTagName(tag)]
const at = (element: Element, name: string): string => element.getAttribute(name) ?? ''

/** The data of a node or an edge by key. */
const dataOf = (element: Element): Map<string, string> =>
  new Map([...element.children].map((data) => [at(data, 'key'), data.textContent ?? '']))

/** What the schema of GraphML asks for (graphdrawing.org, graphml.xsd), and the types that keys promise. */
function check(document: Document): void {
  const keys = new Map(all(document, 'key').map((key) => [at(key, 'id'), key]))
  for (const key of keys.values()) {
    expect(['node', 'edge']).toContain(at(key, 'for'))
    expect(['boolean', 'int', 'long', 'float', 'double', 'string']).toContain(at(key, 'attr.type'))
  }
  const ids = [...all(document, 'node'), ...all(document, 'edge'), ...all(document, 'graph')].map((each) =>
    at(each, 'id'),
  )
  expect(new Set(ids).size).toBe(ids.length)
  for (const id of ids) expect(id).toMatch(/^[\w.-]+$/) // xs:NMTOKEN
  const nodes = new Set(all(document, 'node').map((node) => at(node, 'id')))
  for (const edge of all(document, 'edge')) {
    expect(nodes.has(at(edge, 'source'))).toBe(true)
    expect(nodes.has(at(edge, 'target'))).toBe(true)
  }
  for (const element of [...all(document, 'node'), ...all(document, 'edge')]) {
    for (const [id, value] of dataOf(element)) {
      const key = keys.get(id)
      expect(key && at(key, 'for')).toBe(element.tagName)
      if (key && at(key, 'attr.type') !== 'string') expect(value).toMatch(/^-?\d+$/)
    }
  }
  const [graph] = all(document, 'graph')
  expect(graph && at(graph, 'parse.nodes')).toBe(String(nodes.size))
  expect(graph && at(graph, 'parse.edges')).toBe(String(all(document, 'edge').length))
}

const written = (program: Program, options?: Parameters<typeof graphml>[2]) =>
  [...graphml(program, operators, options)].join('')

describe('graphml', () => {
  test.each([
    ['rolled', {}],
    ['layer by layer', { unroll: ['layer'] }],
    ['unrolled, all ranks', { unroll: ['layer', 'microbatch'], ranks: [0, 1, 2, 3] }],
  ])('%s, it is what the schema asks for', (_, options) => {
    const program = trainingProgram()
    check(parse(written(program, options)))
    expect(written(program, options)).toBe(written(trainingProgram(), options))
  })

  test('work of the nodes of a rank is that of the rank, rolled and unrolled', () => {
    for (const program of [prefillProgram(), trainingProgram()]) {
      const { flops, bytesRead, bytesWritten, nodes } = measure(program, operators)
      for (const options of [{}, { unroll: ['layer'] }, { unroll: ['layer', 'microbatch'] }]) {
        const rows = all(parse(written(program, options)), 'node').map(dataOf)
        const sum = (key: string, of = rows) => of.reduce((total, row) => total + BigInt(row.get(key) ?? 0), 0n)
        expect(sum('flops')).toBe(flops)
        expect(sum('count')).toBe(Object.values(nodes).reduce((a, b) => a + b, 0n))
        // Of sums over iterations the first writes and the others add, of which a node of each has the mean.
        const [bytes, exact] = [sum('bytes'), bytesRead + bytesWritten]
        expect(Number(exact - bytes)).toBeGreaterThanOrEqual(0)
        expect(Number(exact - bytes)).toBeLessThan(rows.length)
      }
    }
  })

  test('the members of a collective are a chain', () => {
    const program = trainingProgram({ dp: 4, tp: 4 })
    const ranks = Array.from({ length: 16 }, (_, rank) => rank)
    const document = parse(written(program, { ranks }))
    const rankOf = new Map(all(document, 'node').map((node) => [at(node, 'id'), dataOf(node).get('rank')]))
    const between = all(document, 'edge').filter(
      (edge) => rankOf.get(at(edge, 'source')) !== rankOf.get(at(edge, 'target')),
    )
    const collectives = all(document, 'node').filter((node) => dataOf(node).get('groupSize') !== undefined)
    expect(collectives.length).toBeGreaterThan(0)
    expect(between.length).toBeGreaterThan(0)
    expect(between.length).toBeLessThan(collectives.length)
    for (const edge of between) expect(dataOf(edge).get('edgeKind')).toBe('communication')
  })

  test('hostile names come back as they were, but for characters that XML forbids', () => {
    fc.assert(
      fc.property(hostileTexts, (name) => {
        const desc = all(parse(written({ ...prefillProgram(), name })), 'desc')[0]?.textContent
        expect(desc).toBe(name.replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '\u{fffd}'))
      }),
      { numRuns: 60 },
    )
    const nasty = 'a]]>b "c" \'d\' <e> &amp; \u0000\u0007\ud800\r\n🧵ä\u202e'
    expect(all(parse(written({ ...prefillProgram(), name: nasty })), 'desc')[0]?.textContent).toBe(
      'a]]>b "c" \'d\' <e> &amp; \ufffd\ufffd\ufffd\r\n🧵ä\u202e',
    )
  })

  test('more nodes than the limit are refused before any is written', () => {
    const text = graphml(trainingProgram({ layers: 5000, microbatches: 4000 }), operators, {
      unroll: ['layer', 'microbatch'],
    })
    expect(() => text.next()).toThrow(expect.objectContaining({ code: 'UNROLL_SIZE' }))
  })
})
