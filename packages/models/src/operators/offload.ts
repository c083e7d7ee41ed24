import type { OperatorDefinition } from '@shardloom/core'
import { same } from '../kernels/attention.js'
import { sameOnnx } from '../onnx/attention.js'

/** Copies a tensor from the rank's memory to its host's. Bytes are those of the rank's own memory. */
export const offload: OperatorDefinition = {
  name: 'offload',
  kind: 'memory',
  linear: [[0]],
  execute: same,
  onnx: sameOnnx,
  bytes: (_, { operand }) => ({ read: operand(0), written: 0n }),
}

/** Copies it back. */
export const reload: OperatorDefinition = {
  name: 'reload',
  kind: 'memory',
  linear: [[0]],
  execute: same,
  onnx: sameOnnx,
  bytes: (_, { result }) => ({ read: 0n, written: result(0) }),
}
