import * as exporters from '@shardloom/exporters'
import * as charts from '@shardloom/exporters/charts'
import * as dot from '@shardloom/exporters/dot'
import * as graphml from '@shardloom/exporters/graphml'
import * as json from '@shardloom/exporters/json'
import * as mermaid from '@shardloom/exporters/mermaid'
import * as svg from '@shardloom/exporters/svg'
import * as tables from '@shardloom/exporters/tables'
import { expect, test } from 'vitest'

test('the exports are these', () => {
  expect(Object.keys(exporters).sort()).toEqual([
    'createView',
    'cutMiddle',
    'cutMiddles',
    'edgeStyles',
    'formatBytes',
    'formatCount',
    'formatCounted',
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
    'unrollAxes',
    'writeDot',
    'writeDotGraph',
  ])
  expect(Object.keys(charts).sort()).toEqual([
    'axisOf',
    'bandNames',
    'cardSize',
    'criticalNodes',
    'edgeKinds',
    'levelLabelAt',
    'memoryPanel',
    'readableOn',
    'scheduleChart',
    'scheduleFlows',
    'sliceKey',
    'sliceNames',
    'slicePaint',
    'slicesOf',
    'stripFills',
    'stripParts',
    'tickText',
    'ticksOf',
    'ticksPerSecond',
    'timelineRows',
    'unitOf',
  ])
  expect(Object.keys(dot).sort()).toEqual(['toDot', 'writeDot', 'writeDotGraph'])
  expect(Object.keys(json).sort()).toEqual(['toJsonText'])
  expect(Object.keys(svg).sort()).toEqual([
    'memorySvg',
    'paretoSvg',
    'placeView',
    'placedSvg',
    'reportPage',
    'scheduleSvg',
    'timelineSvg',
    'timelinesSvg',
    'toSvg',
    'viewSvg',
  ])
  expect(Object.keys(graphml).sort()).toEqual(['graphml'])
  expect(Object.keys(tables).sort()).toEqual(['csvLine', 'tableCsv', 'tableJson', 'tableNames'])
  expect(Object.keys(mermaid).sort()).toEqual(['mermaidOf', 'toMermaid'])
})
