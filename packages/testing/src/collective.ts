import type { Communication, Mesh, OperatorNode } from '@shardloom/core'
import { groupOf } from '@shardloom/core'
import { assemble, type Block, combine, take } from './block.js'

/** What a communication node does for one group of ranks. */
export interface Exchange {
  readonly node: OperatorNode
  readonly communication: Communication
  /** The ranks of the group, ascending. */
  readonly members: readonly number[]
  /** What each member contributes, under the placement that the node takes. */
  readonly given: readonly Block[]
  /** The positions that each member gets, under the placement that the node makes. */
  readonly wanted: readonly (readonly Int32Array[])[]
}

/** Why a group could not do what its node says. */
export interface Broken {
  readonly why: string
}

/**
 * Runs a collective on the buffers of one group. A member's result depends on what the members give and nothing else.
 */
export function exchange(each: Exchange): readonly Block[] | Broken {
  const { node, communication, given, wanted } = each
  if (node.op === 'broadcast') {
    const [root] = given
    return root ? parts(root, wanted) : []
  }
  if (node.op === 'all-reduce' || node.op === 'reduce-scatter') {
    if (communication.reduction === 'lse' && given.some((block) => !block.logSumExp))
      return { why: 'its members give no log-sum-exp weights; their kernel must return `{ values, logSumExp }`' }
    const whole = combine(given, communication.reduction ?? 'sum')
    if (!whole) return { why: 'its members hold different parts of the tensor, which cannot be added up' }
    return parts(whole, wanted)
  }
  const results: Block[] = []
  for (const positions of wanted) {
    const result = assemble(given, positions)
    if (!result) return { why: 'its members together lack elements that one of them is to get' }
    results.push(result)
  }
  return results
}

function parts(whole: Block, wanted: readonly (readonly Int32Array[])[]): readonly Block[] | Broken {
  const results = wanted.map((positions) => take(whole, positions))
  const complete = results.filter((result): result is Block => 'values' in result)
  return complete.length === results.length
    ? complete
    : { why: 'its members together lack elements that one of them is to get' }
}

/** The groups of a mesh over some atoms, each ascending; every rank is in one. */
export function groupsOver(mesh: Mesh, atoms: readonly string[]): number[][] {
  const groups: number[][] = []
  const seen = new Set<number>()
  for (let rank = 0; rank < mesh.world; rank++) {
    if (seen.has(rank)) continue
    const group = groupOf(mesh, rank, atoms)
    for (const member of group) seen.add(member)
    groups.push(group)
  }
  return groups
}
