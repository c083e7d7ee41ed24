import { axesOf, nodesOf, type OperatorNode } from '@shardloom/core'
import { type CriticalNode, choicesOf, type Engine, flopClassOf, kernelClasses } from '@shardloom/simulator'
import type { Plan } from './plan.js'

/** What a share of the step's length is spent on: one kind of work, or one collective over the same axes. */
export interface CriticalKind {
  readonly kind: string
  readonly seconds: number
  /** Of the step. */
  readonly share: number
}

const classes = {
  linear: 'matrix products',
  attention: 'attention',
  head: 'output head',
  other: 'element-wise operators',
} as const

/** The kind of offloads and reloads. */
export const hostCopies = 'copies to and from the host'

/** Adds up a critical path by kinds of work, the longest first. */
export function criticalKinds(
  path: readonly CriticalNode[],
  { program, operators }: Plan,
  engine: Pick<Engine, 'kernels' | 'traffic'>,
): CriticalKind[] {
  const kernels = kernelClasses(program, operators, choicesOf(program, engine))
  const nodes = new Map(nodesOf(program.items).map((node) => [node.id, node]))
  const kindOf = (node: OperatorNode | undefined) => {
    if (!node) return classes.other
    if (node.communication)
      return `${node.op} over ${axesOf(program.mesh, node.communication.atoms, node.communication.reason.strategies).join('·')}`
    if (node.op === 'offload' || node.op === 'reload') return hostCopies
    if (node.recompute) return 'work that backward does again'
    return node.segment === 'optimizer' ? 'optimizer' : classes[kernels.get(node.id) ?? flopClassOf(node, operators)]
  }
  const kinds = new Map<string, { seconds: number; share: number }>()
  for (const { node, seconds, share } of path) {
    const kind = kindOf(nodes.get(node))
    const known = kinds.get(kind) ?? { seconds: 0, share: 0 }
    kinds.set(kind, { seconds: known.seconds + seconds, share: known.share + share })
  }
  return [...kinds]
    .map(([kind, sums]) => ({ kind, ...sums }))
    .sort((a, b) => b.seconds - a.seconds || (a.kind < b.kind ? -1 : 1))
}
