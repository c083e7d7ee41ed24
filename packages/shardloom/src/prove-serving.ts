import { finish, type Work } from '@shardloom/core'
import type { LoadedSpec } from './plan.js'
import { type Proof, proofWork } from './prove.js'
import { planServingLoaded, servingSpecs } from './serving.js'
import { verifyPlan } from './verify-plan.js'

/** What running both phases of serving showed; what `shardloom prove --json` prints of it. */
export interface ServingProof {
  readonly schema: 'shardloom.prove/1'
  readonly phase: 'serving'
  /** Whether both phases are proven and no rule is violated by what passes between them. */
  readonly proven: boolean
  readonly prefill: Proof
  readonly decode: Proof
  /** What the verifier finds in the full plan, the transfer of the cache included. */
  readonly violations: Proof['violations']
}

/** Proves both phases of a loaded spec of serving, each by itself, and checks what passes between them. */
export function proveServingLoaded(loaded: LoadedSpec): ServingProof {
  return finish(servingProofWork(loaded))
}

/** {@link proveServingLoaded} as work that can be stopped between its runs. */
export function* servingProofWork(loaded: LoadedSpec): Work<ServingProof> {
  const specs = servingSpecs(loaded)
  const violations = verifyPlan(planServingLoaded(loaded)).rules.flatMap((rule) => rule.violations)
  const prefill = yield* proofWork(specs.prefill)
  const decode = yield* proofWork(specs.decode)
  const proven = prefill.proven && decode.proven && violations.length === 0
  return { schema: 'shardloom.prove/1', phase: 'serving', proven, prefill, decode, violations }
}
