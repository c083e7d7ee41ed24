import * as surface from '@shardloom/cluster'
import { expect, test } from 'vitest'

test('the public surface', () => {
  expect(Object.keys(surface).sort()).toEqual([
    'acceleratorNames',
    'busBandwidth',
    'busFactor',
    'candidates',
    'clusterNames',
    'clusterSources',
    'collectiveCost',
    'collectiveOps',
    'collectiveSeconds',
    'fitWorld',
    'flatGroup',
    'groupOver',
    'linkNames',
    'linkSources',
    'mapAxes',
    'parseBytes',
    'resolveAccelerator',
    'resolveCluster',
    'resolveLink',
    'sources',
    'unitSizes',
  ])
})
