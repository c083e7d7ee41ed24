import { toDot, toMermaid, type ViewOptions } from '@shardloom/exporters'
import { expect, test } from 'vitest'
import { operators, prefillProgram, trainingProgram } from './program.js'

const pictures: readonly (readonly [string, ReturnType<typeof prefillProgram>, ViewOptions])[] = [
  ['prefill-operator', prefillProgram(), { level: 'operator' }],
  ['training-layer', trainingProgram(), { level: 'layer' }],
  ['training-ranks', trainingProgram({ microbatches: 1, layers: 1, dp: 1 }), { level: 'operator', unroll: ['rank'] }],
]

test.each(pictures)('%s looks as it did', async (name, program, options) => {
  await expect(toDot(program, operators, options)).toMatchFileSnapshot(`golden/${name}.dot`)
  await expect(toMermaid(program, operators, options)).toMatchFileSnapshot(`golden/${name}.mmd`)
})
