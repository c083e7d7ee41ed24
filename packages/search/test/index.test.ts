import * as search from '@shardloom/search'
import { expect, test } from 'vitest'

test('the public surface', () => {
  expect(Object.keys(search).sort()).toEqual([
    'BestList',
    'Front',
    'balanceEqualLayers',
    'balanceStages',
    'compareCandidates',
    'emptyAnswer',
    'explore',
    'factorisations',
    'keepMiss',
    'layerSums',
    'mergeAnswers',
    'nearlyKept',
    'sortMisses',
  ])
})
