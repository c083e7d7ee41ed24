import type { OperatorDefinition } from '@shardloom/core'

/** All ranks along the atoms of the node's `barrier` wait for each other. */
export const barrier: OperatorDefinition = { name: 'barrier', kind: 'control', execute: () => [] }
