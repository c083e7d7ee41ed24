import * as search from '@shardloom/search'
import { expect, test } from 'vitest'

test('the public surface', () => {
  expect(Object.keys(search).sort()).toEqual([
    'BestList',
    'Front',
    'balanceStages',
    'compareCandidates',
    'emptyAnswer',
    'explore',
    'factorisations',
    'layerSums',
    'mergeAnswers',
  ])
})
