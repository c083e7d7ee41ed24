import { prove } from 'shardloom/testing'
import { expect, test } from 'vitest'
import { proofLines } from '../src/proof-lines.js'
import { styleOf } from '../src/style.js'

test('gradients that are no slope are refuted, even where no parameter alone is to blame', async () => {
  const proof = await prove({ model: 'tiny', batch: 2, seq: 4, parallel: { tp: 2 } })
  const slope = { error: 1e-3, tolerance: 1e-7, parameters: [] }
  const text = proofLines({ ...proof, proven: false, slope }, styleOf(process.stdout, process.env)).join('\n')
  expect(text).toContain('Not proven: gradients are not the slope of the loss')
  expect(text).toMatch(/between the loss and the\s+parameters\./)
  expect(text).not.toContain('in part')
})
