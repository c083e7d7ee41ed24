import {
  bodyAt,
  checkProgram,
  definitionOf,
  dimSizes,
  flopsOfOne,
  groupSize,
  lookup,
  type OperatorNode,
  type OperatorTable,
  type Place,
  type Program,
  pipelineAtoms,
  runsAt,
  walk,
} from '@shardloom/core'
import { changeAxis, grownShape, iterationsOf } from './changes.js'
import { productOf } from './kernels.js'

/** What all ranks do and hold together in one step, and how much of it more than one device would. */
export interface Replication {
  readonly flops: bigint
  /** FLOPs that ranks repeat: along every atom that splits no dim of the operator. */
  readonly replicatedFlops: bigint
  /** FLOPs of operators that one device, too, runs again because it did not keep their results. */
  readonly recomputedFlops: bigint
  /** FLOPs, but for those, on places in buffers of experts that no token takes. */
  readonly paddedFlops: bigint
  readonly parameters: bigint
  /** Parameters held beyond one copy of each. */
  readonly replicatedParameters: bigint
}

/**
 * Sums a program over all ranks without visiting them: the shares of a dim add up to the dim, so an operator costs what
 * it costs on one device times the degrees of the atoms that do not split it. With `products` matrix products alone count to FLOPs, as those of a
 * model do in Chowdhery et al. 2022 (PaLM) and Korthikanti et al. 2022. Linear in the rolled program.
 */
export function replication(
  program: Program,
  operators: OperatorTable,
  { products = false }: { readonly products?: boolean } = {},
): Replication {
  checkProgram(program, operators)
  const { atoms } = program.mesh
  const stages = pipelineAtoms(program)
  const copies = (split: readonly string[]) =>
    atoms.reduce(
      (product, { name, degree }) =>
        split.includes(name) || stages.includes(name) ? product : product * BigInt(degree),
      1n,
    )
  const filled = filledShares(program)
  const sum = {
    flops: 0n,
    replicatedFlops: 0n,
    recomputedFlops: 0n,
    paddedFlops: 0n,
    parameters: 0n,
    replicatedParameters: 0n,
  }
  const parameters = new Map<string, { readonly instances: number; readonly at: Set<number> }>()
  walk(program.items, (node, { executions, path }) => {
    const atoms = Object.values(node.partition?.splits ?? {}).flat()
    const isCounted = !products || productOf(node, operators) !== undefined
    const flops = isCounted ? flopsOfStep(node, { executions, path }, program, operators) : 0n
    const one = flops / blocksOf(atoms, program)
    const own = path.some(({ region }) => region.axis === 'microbatch')
    const all = one * copies(atoms) * BigInt(stagesOf(node, path, program, own))
    sum.flops += all
    sum.replicatedFlops += all - one
    const share = node.density ? filled.get(node.attributes?.['capacity']) : undefined
    if (node.recompute) sum.recomputedFlops += one
    else if (share !== undefined) sum.paddedFlops += BigInt(Math.round(Number(one) * (1 - share)))
    for (const id of node.inputs) {
      const tensor = lookup(program.tensors, id)
      if (tensor.role !== 'parameter' || tensor.versionOf !== undefined) continue
      const instances = tensor.per.includes('layer') ? executions / repeatsOutside(path) : 1
      const known = parameters.get(id) ?? { instances, at: new Set() }
      parameters.set(id, known)
      for (const coordinate of coordinatesOf(node, path, program)) known.at.add(coordinate)
    }
  })
  for (const [id, { instances, at }] of parameters) {
    const { shape, placement, copies: made } = lookup(program.tensors, id)
    const elements = (sizes: readonly number[]) =>
      sizes.reduce((product, size) => product * BigInt(size), BigInt(instances))
    const held = elements(shape) * copies((placement?.shards ?? []).flat()) * BigInt(at.size)
    const model = shape.map((size, position) => (position === made?.position ? new Set(made.of).size : size))
    sum.parameters += held
    sum.replicatedParameters += held - elements(model)
  }
  return sum
}

/** How much of buffers of so many tokens for each expert tokens fill, as far as experts are loaded. */
function filledShares({ items, tensors, loads }: Program): ReadonlyMap<unknown, number> {
  const shares = new Map<unknown, number>()
  walk(items, ({ op, attributes, inputs, outputs }) => {
    const capacity = attributes?.['capacity']
    if (op !== 'dispatch' || typeof capacity !== 'number' || shares.has(capacity)) return
    const [batch = 1, seq = 1, topK = 1] = lookup(tensors, inputs[1] ?? '').shape
    const [experts = 1] = lookup(tensors, outputs[0] ?? '').shape
    const list = loads?.['experts'] ?? Array.from({ length: experts }, () => 1)
    const sum = list.reduce((all, load) => all + load, 0)
    const taken = list.map((load) => Math.min(capacity, (load / sum) * batch * seq * topK))
    shares.set(capacity, taken.reduce((all, each) => all + each, 0) / (capacity * list.length))
  })
  return shares
}

/** Inside a ring one atom may split two dims: a step computes a block on the diagonal, and the steps cover the rest. */
function blocksOf(atoms: readonly string[], { mesh }: Program): bigint {
  const again = atoms.filter((atom, index) => atoms.indexOf(atom) < index)
  return BigInt(groupSize(mesh, again))
}

type Path = Place['path']

/** How many coordinates of the pipeline run one execution of a node: a microbatch takes one direction alone. */
function stagesOf(node: OperatorNode, path: Path, program: Program, ofMicrobatch: boolean): number {
  return coordinatesOf(node, path, program, ofMicrobatch ? 0 : undefined).length
}

/** The coordinates of the pipeline that run a node; one where there is no pipeline. */
function coordinatesOf(node: OperatorNode, path: Path, program: Program, direction?: number): readonly number[] {
  const { pipeline, mesh } = program
  if (!pipeline) return [0]
  const at = path.find(({ region }) => region.axis === pipeline.over)
  const iteration = at && firstOf(at)
  const all = Array.from({ length: groupSize(mesh, pipelineAtoms(program)) }, (_, coordinate) => coordinate)
  return runsAt(pipeline, node, iteration, direction) ?? all
}

function firstOf({ region, body }: Path[number]): number {
  let iteration = 0
  while (iteration < region.extent - 1 && bodyAt(region, iteration) !== body) iteration++
  return iteration
}

/** Executions of a node that do not come from its layer: microbatches, decode steps and chunks. */
function repeatsOutside(
  path: readonly { readonly region: { readonly axis: string; readonly extent: number } }[],
): number {
  return path.reduce((product, { region }) => (region.axis === 'layer' ? product : product * region.extent), 1)
}

function flopsOfStep(
  node: OperatorNode,
  { executions, path }: Place,
  program: Program,
  operators: OperatorTable,
): bigint {
  if (node.kind === 'communication') return 0n
  const steps = iterationsOf(path, changeAxis(node, program))
  let [total, whole] = [0n, 1n]
  for (const step of steps) {
    const sizes = dimSizes(node, (id) => {
      const tensor = lookup(program.tensors, id)
      return step && tensor.growth ? { ...tensor, shape: grownShape(tensor, step) } : tensor
    })
    const [flops, of] = flopsOfOne(node, definitionOf(node, operators), sizes, step)
    total += flops * BigInt(executions / steps.length)
    whole = of
  }
  return total / whole
}
