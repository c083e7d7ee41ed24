import { definitionOf, type OperatorNode, walk } from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import type { Plan } from './plan.js'

/** Control nodes of one kind that one rank runs. */
export interface ControlSummary {
  readonly op: string
  /** Executions per step. */
  readonly count: number
  /** What they decide or wait for, and why; empty where their operator does not say. */
  readonly reason: string
  /** The nodes of the rolled program that are counted here. */
  readonly nodes: readonly string[]
}

/** What a node decides or waits for, in its operator's words; empty where it has none. */
export function controlReason({ operators, program }: Plan, node: OperatorNode): string {
  return definitionOf(node, operators).describes?.(node, program) ?? ''
}

/** The control nodes that a rank runs, those alike joined, in program order. */
export function controlOf(plan: Plan, rank: number): ControlSummary[] {
  const rows = new Map<string, ControlSummary>()
  walk(programOf(plan.program, rank).items, (node, { executions }) => {
    if (node.kind !== 'control' || executions === 0) return
    const reason = controlReason(plan, node)
    const key = JSON.stringify([node.op, reason])
    const { count = 0, nodes = [] } = rows.get(key) ?? {}
    rows.set(key, { op: node.op, count: count + executions, reason, nodes: [...nodes, node.id] })
  })
  return [...rows.values()]
}
