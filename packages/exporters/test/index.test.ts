import * as exporters from '@shardloom/exporters'
import * as dot from '@shardloom/exporters/dot'
import * as json from '@shardloom/exporters/json'
import * as mermaid from '@shardloom/exporters/mermaid'
import { expect, test } from 'vitest'

test('the exports are these', () => {
  expect(Object.keys(exporters).sort()).toEqual([
    'createView',
    'cutMiddle',
    'edgeStyles',
    'formatBytes',
    'formatCount',
    'formatDifference',
    'formatFlops',
    'formatMesh',
    'formatQuantity',
    'formatSeconds',
    'formatShare',
    'levels',
    'measures',
    'mermaidOf',
    'nodeShapes',
    'readableLimits',
    'themes',
    'toDot',
    'toGraphlib',
    'toJsonText',
    'toMermaid',
    'writeDot',
    'writeDotGraph',
  ])
  expect(Object.keys(dot).sort()).toEqual(['toDot', 'writeDot', 'writeDotGraph'])
  expect(Object.keys(json).sort()).toEqual(['toJsonText'])
  expect(Object.keys(mermaid).sort()).toEqual(['mermaidOf', 'toMermaid'])
})
