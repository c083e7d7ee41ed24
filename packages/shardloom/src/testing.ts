/** The kit for strategy authors: proofs of whole specs, and everything of `@shardloom/testing` that works on programs. */
export * from '@shardloom/testing'
export { expectEquivalent, type Proof, proofWork, prove, proveLoaded } from './prove.js'
export { proveServingLoaded, type ServingProof, servingProofWork } from './prove-serving.js'
export { type Shrunk, type SmallSpec, shrinkSpec } from './shrink.js'
export { isSlope, type Slope } from './slope.js'
