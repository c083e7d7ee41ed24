import { nodesOf } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { BuildOptions } from '@shardloom/models'
import { sequenceParallel } from '@shardloom/strategy-sp'
import { describe, expect, test } from 'vitest'
import { architectures, dense, grouped, layerOf, modelOf } from './architectures.js'
import { phases, prove } from './prove.js'
import { and } from './strategies.js'

const dcp = and(sequenceParallel())
const build: BuildOptions = { ...phases.decode, batch: 2 }
const model = modelOf('one KV head', { layer: layerOf({ ...grouped, kvHeads: 1 }, dense) })

test.each([[{ tp: 2, dcp: 2 }], [{ tp: 4, dcp: 2 }], [{ tp: 4, dcp: 4 }]])('%j', (degrees) => {
  const proven = prove(model, build, degrees, dcp)
  expect(verifyProgram(proven.program, proven.operators).flatMap(({ violations }) => violations)).toEqual([])
  for (const n of nodesOf(proven.program.items)) if (n.communication) console.log(n.id, n.op, n.communication.atoms, n.communication.reduction)
})
