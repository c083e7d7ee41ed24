import { programFromJson } from '@shardloom/core'
import { createView, toGraphlib, toJsonText } from '@shardloom/exporters'
import graphlib from 'graphlib'
import { expect, test } from 'vitest'
import { operators, prefillProgram, trainingProgram } from './program.js'

test.each([prefillProgram(), trainingProgram()])('the JSON text reads back as the same program', (program) => {
  const text = toJsonText(program)
  expect(text.endsWith('}\n')).toBe(true)
  expect(programFromJson(JSON.parse(text))).toEqual(program)
  expect(toJsonText(program, 0).split('\n').length).toBe(2)
})

test('graphlib reads the view: nodes in their clusters, edges by kind', () => {
  const view = createView(trainingProgram(), operators)
  const graph = graphlib.json.read(JSON.parse(JSON.stringify(toGraphlib(view))))
  expect(graph.nodeCount()).toBe(view.nodes.length + view.clusters.length)
  expect(graph.edgeCount()).toBe(view.edges.length)
  for (const node of view.nodes)
    expect(graph.parent(node.id)).toBe(node.cluster === undefined ? undefined : `cluster ${node.cluster}`)
  const [edge] = view.edges
  expect(graph.edge({ v: edge?.from ?? '', w: edge?.to ?? '', name: edge?.kind })).toMatchObject({ kind: edge?.kind })
})
