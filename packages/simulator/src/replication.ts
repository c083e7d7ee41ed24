import {
  definitionOf,
  dimSizes,
  lookup,
  type OperatorNode,
  type OperatorTable,
  type Program,
  parseRule,
  walk,
} from '@shardloom/core'
import { grownShape } from './measure.js'

/** What all ranks do and hold together in one step, and how much of it more than one device would. */
export interface Replication {
  readonly flops: bigint
  /** FLOPs that ranks repeat: along every atom that splits no dim of the operator. */
  readonly replicatedFlops: bigint
  readonly parameters: bigint
  /** Parameters held beyond one copy of each. */
  readonly replicatedParameters: bigint
}

/**
 * Sums a program over all ranks without visiting them: the shares of a dim add up to the dim, so an operator costs what
 * it costs on one device times the degrees of the atoms that do not split it. Linear in the rolled program.
 */
export function replication(program: Program, operators: OperatorTable): Replication {
  const { atoms } = program.mesh
  const copies = (split: readonly string[]) =>
    atoms.reduce((product, atom) => (split.includes(atom.name) ? product : product * BigInt(atom.degree)), 1n)
  const sum = { flops: 0n, replicatedFlops: 0n, parameters: 0n, replicatedParameters: 0n }
  const seen = new Set<string>()
  walk(program.items, (node, { executions, path }) => {
    const steps = path.find(({ region }) => region.axis === 'decode_step')?.region.extent ?? 1
    const one = flopsOfOne(node, executions, steps, program, operators)
    const all = one * copies(Object.values(node.partition?.splits ?? {}).flat())
    sum.flops += all
    sum.replicatedFlops += all - one
    for (const id of node.inputs) {
      const tensor = lookup(program.tensors, id)
      if (tensor.role !== 'parameter' || tensor.versionOf !== undefined || seen.has(id)) continue
      seen.add(id)
      const instances = tensor.per.includes('layer') ? executions / repeatsOutside(path) : 1
      const whole = tensor.shape.reduce((product, size) => product * BigInt(size), BigInt(instances))
      const held = whole * copies((tensor.placement?.shards ?? []).flat())
      sum.parameters += held
      sum.replicatedParameters += held - whole
    }
  })
  return sum
}

/** Executions of a node that do not come from its layer: microbatches and decode steps. */
function repeatsOutside(
  path: readonly { readonly region: { readonly axis: string; readonly extent: number } }[],
): number {
  return path.reduce((product, { region }) => (region.axis === 'layer' ? product : product * region.extent), 1)
}

function flopsOfOne(
  node: OperatorNode,
  executions: number,
  steps: number,
  program: Program,
  operators: OperatorTable,
): bigint {
  if (node.kind === 'communication') return 0n
  const { flops = 0 } = definitionOf(node, operators)
  const rule = parseRule(node.rule)
  const perPoint = typeof flops === 'function' ? flops(node, rule) : flops
  const [share, whole] = node.density ?? [1, 1]
  const grows = [...node.inputs, ...node.outputs].some((id) => lookup(program.tensors, id).growth)
  const rounds = grows ? steps : 1
  let total = 0n
  for (let step = 0; step < rounds; step++) {
    const sizes = dimSizes(node, (id) => {
      const tensor = lookup(program.tensors, id)
      return step && tensor.growth ? { ...tensor, shape: grownShape(tensor, step) } : tensor
    })
    const points = rule.space.reduce((product, dim) => product * BigInt(sizes.get(dim) ?? 1), BigInt(perPoint))
    total += (points * BigInt(share) * BigInt(executions / rounds)) / BigInt(whole)
  }
  return total
}
