import type { RuleReport } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { Plan } from './plan.js'

/** What `shardloom verify --json` prints. */
export interface Verification {
  readonly schema: 'shardloom.verify/1'
  readonly rules: readonly RuleReport[]
  /** Whether no rule is violated. */
  readonly ok: boolean
}

/** Checks a plan against the verifier's rules and those of its plugins. */
export function verifyPlan(plan: Plan): Verification {
  const rules = verifyProgram(plan.program, plan.operators, plan.rules)
  return { schema: 'shardloom.verify/1', rules, ok: rules.every((rule) => rule.violations.length === 0) }
}
