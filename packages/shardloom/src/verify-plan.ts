import { nodesOf, type Program, type RuleReport, regionsOf, type Violation } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { checkPlan, type Plan } from './plan.js'
import type { ServingPlan } from './serving.js'

/** What `shardloom verify --json` prints. */
export interface Verification {
  readonly schema: 'shardloom.verify/1'
  readonly rules: readonly RuleReport[]
  /** Whether no rule is violated. */
  readonly ok: boolean
}

/**
 * Checks a plan against the verifier's rules and those of its plugins; of serving both phases, and what passes between
 * them.
 */
export function verifyPlan(plan: Plan | ServingPlan): Verification {
  const serving = typeof plan === 'object' && plan !== null && 'prefill' in plan
  const rules = serving ? rulesOfServing(plan) : rulesOf(plan)
  return { schema: 'shardloom.verify/1', rules, ok: rules.every((rule) => rule.violations.length === 0) }
}

function rulesOf(plan: Plan): RuleReport[] {
  checkPlan(plan)
  return verifyProgram(plan.program, plan.operators, plan.rules)
}

function rulesOfServing(plan: ServingPlan): RuleReport[] {
  const later = rulesOf(plan.decode)
  const between = checksBetween(plan)
  return rulesOf(plan.prefill).map((report) => {
    const parts = [report, later.find(({ rule }) => rule === report.rule)].filter((each) => each !== undefined)
    const more = between.filter(({ rule }) => rule === report.rule)
    return {
      ...report,
      checked: parts.reduce((sum, { checked }) => sum + checked, more.length),
      violations: [...parts.flatMap(({ violations }) => violations), ...more.flatMap(({ broken }) => broken ?? [])],
    }
  })
}

interface Checked {
  readonly rule: number
  readonly broken?: Violation | undefined
}

/** The rules that concern both programs: 2 and 4, of what passes from pool to pool, and 6, that they share no node. */
function checksBetween({ pools, prefill, decode, transfer }: ServingPlan): Checked[] {
  const passing = ({ items }: Program) => nodesOf(items).filter(({ communication }) => communication?.pool)
  const [sends, recvs] = [passing(prefill.program), passing(decode.program)]
  const known = new Set(nodesOf(prefill.program.items).map(({ id }) => id))
  const reads = new Map(recvs.map((node) => [node.inputs[0], node]))
  const sent = new Map(sends.map((node) => [node.inputs[0], node]))
  const check = (rule: number, holds: boolean, node: string, message: string, help: string): Checked => ({
    rule,
    broken: holds ? undefined : { node, message, help },
  })
  const begins = regionsOf(decode.program.items).flatMap(({ id, ports }) =>
    ports.flatMap((port) => (port.kind === 'carry' && pools === 2 ? [{ id, initial: port.initial }] : [])),
  )
  return [
    ...begins.map(({ id, initial }) => {
      const outside = decode.program.tensors.get(initial)
      const holds = outside?.role !== 'cache' || outside.versionOf !== undefined
      const message = `\`${id}\` begins with \`${initial}\`, which the pool of prefill holds.`
      return check(2, holds, id, message, 'Receive it before the first step.')
    }),
    ...sends.map(({ id, inputs }) => {
      const met = transfer.some(({ from, to }) => from.tensor === inputs[0] && reads.has(to.tensor))
      return check(4, met, id, `\`${id}\` sends what decode does not receive.`, 'Let a recv of decode take it.')
    }),
    ...recvs.map(({ id, inputs }) => {
      const met = transfer.some(({ from, to }) => to.tensor === inputs[0] && sent.has(from.tensor))
      return check(4, met, id, `\`${id}\` receives what prefill does not send.`, 'Let a send of prefill hand it on.')
    }),
    ...nodesOf(decode.program.items).map(({ id }) =>
      check(6, !known.has(id), id, `\`${id}\` stands in prefill and in decode.`, 'Plan each phase on its own.'),
    ),
  ]
}
