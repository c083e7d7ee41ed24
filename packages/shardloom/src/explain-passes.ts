import { nodesOf, type Program } from '@shardloom/core'
import { checkPlan, type Plan } from './plan.js'

/** What one pass changed. Nodes and tensors are those of the rolled program. */
export interface PassExplanation {
  readonly pass: string
  readonly phase: string
  /** The program after the pass is the very object that went in. */
  readonly unchanged: boolean
  readonly nodes: { readonly added: number; readonly removed: number; readonly changed: number }
  readonly tensors: { readonly added: number; readonly removed: number; readonly changed: number }
  readonly preferences: number
  /** The first few nodes that it added. */
  readonly examples: readonly string[]
}

/** What `shardloom explain --passes --json` prints. */
export interface PassesExplanation {
  readonly schema: 'shardloom.explain/1'
  readonly passes: readonly PassExplanation[]
}

/** Says of every pass, in the order in which they ran, what it changed. */
export function explainPasses(plan: Plan): PassesExplanation {
  checkPlan(plan)
  const passes = plan.log.map(({ pass, before, after }): PassExplanation => {
    const nodes = difference(nodeMap(before), nodeMap(after))
    const tensors = difference(before.tensors, after.tensors)
    return {
      pass: pass.name,
      phase: pass.phase,
      unchanged: before === after,
      nodes: counts(nodes),
      tensors: counts(tensors),
      preferences: after.preferences.length - before.preferences.length,
      examples: nodes.added.slice(0, 3),
    }
  })
  return { schema: 'shardloom.explain/1', passes }
}

interface Difference {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  readonly changed: readonly string[]
}

function nodeMap(program: Program): ReadonlyMap<string, unknown> {
  return new Map(nodesOf(program.items).map((node) => [node.id, node]))
}

function difference(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): Difference {
  return {
    added: [...after.keys()].filter((id) => !before.has(id)),
    removed: [...before.keys()].filter((id) => !after.has(id)),
    changed: [...after].flatMap(([id, value]) => {
      const known = before.get(id)
      return known === undefined || known === value || JSON.stringify(known) === JSON.stringify(value) ? [] : [id]
    }),
  }
}

function counts({ added, removed, changed }: Difference) {
  return { added: added.length, removed: removed.length, changed: changed.length }
}
