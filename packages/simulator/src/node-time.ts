import { collectiveOps, collectiveSeconds, type Group } from '@shardloom/cluster'
import {
  axesOf,
  lookup,
  nodesOf,
  type OperatorNode,
  type OperatorTable,
  type Place,
  type Program,
  pipelineAtoms,
} from '@shardloom/core'
import { partLike, programOf } from '@shardloom/core/unroll'
import { communicationBytes } from './communication-table.js'
import { type KernelTraits, kernelCost, sumsOf } from './kernel-cost.js'
import {
  choicesOf,
  type Kernel,
  type KernelChoices,
  type KnownKernels,
  kernelsOf,
  leavingByPorts,
  productOf,
  type Readers,
  readersOf,
} from './kernels.js'
import type { Machine } from './machine.js'
import { type Meter, meterOf } from './meter.js'
import { routingOf, unitsReached } from './routing.js'

/** Where a node runs: on the cores, on the links of some axes, between device and host, or nowhere. */
export type Stream = 'compute' | 'copy' | 'none' | `${string} links`

/** What one execution of a node costs on one rank. */
export interface NodeTime {
  readonly stream: Stream
  /** In iteration `step` of the axis along which its operands grow. Seconds. */
  readonly seconds: (step: number) => number
  /** That axis, or undefined. */
  readonly grows: string | undefined
}

export const nothing: NodeTime = { stream: 'none', seconds: () => 0, grows: undefined }

/**
 * What each node of one rank's part of a program takes. Nodes of one kernel (`fusion`) take their time together, at the last of
 * them: `leads` gives for each of the others the node that ends when it does.
 */
export interface NodeTimes {
  readonly times: ReadonlyMap<string, NodeTime>
  readonly leads: ReadonlyMap<string, string>
  /** The place of each node in program order. */
  readonly order: ReadonlyMap<string, number>
  /** What communicates between stages, other than transfers: how many take part depends on the rank's place in the pipeline. */
  readonly between: readonly Kernel[]
}

/** What is known of ranks that differ in nothing but their place in the pipeline: times of kernels, and of parts that are alike. */
export interface KnownTimes {
  readonly kernels: Map<string, NodeTime>
  readonly parts: Map<Program, NodeTimes>
  readonly bodies: KnownKernels
}

/** Times the nodes of one rank. Throws `NO_PEAK` for matmuls of a type that the accelerator lacks. Linear in the program. */
export function nodeTimes(
  whole: Program,
  operators: OperatorTable,
  machine: Machine,
  rank: number,
  { kernels: known, parts, bodies }: KnownTimes = { kernels: new Map(), parts: new Map(), bodies: new Map() },
): NodeTimes {
  const program = programOf(whole, rank)
  const like = partLike(whole, rank)
  const alike = parts.get(like)
  // Inside of a loop over layers those that take part are others for each layer.
  if (alike?.between.every(({ place }) => place.path.length === 0)) {
    const meter = meterOf(program, operators, rank)
    if (alike.between.length === 0) return alike
    const times = new Map(alike.times)
    for (const { nodes, lead } of alike.between)
      times.set(lead.id, remembered(communicationTime(nodes, payloadOfAll(nodes, program, meter), program, machine)))
    return { ...alike, times }
  }
  const plan = kernelPlan(program, operators, choicesOf(whole, machine.engine), bodies)
  const stages = pipelineAtoms(whole)
  const between: Kernel[] = []
  const recall: Recall = {
    // How many take part in communication between stages depends on the place.
    time(kernel, find) {
      const { nodes, lead } = kernel
      const isShared = !lead.communication?.atoms.some((atom) => stages.includes(atom)) || isTransfer(lead)
      if (!isShared) {
        between.push(kernel)
        return find()
      }
      const key = nodes.length === 1 ? lead.id : nodes.map(({ id }) => id).join(' ')
      const time = known.get(key) ?? find()
      known.set(key, time)
      return time
    },
    payload: (_, find) => find(),
  }
  const times = timesOfKernels(plan, { program, operators, machine, rank }, recall)
  const all = { times, leads: plan.leads, order: plan.order, between }
  if (!parts.has(like)) parts.set(like, all)
  return all
}

/** What of the kernels of a rank does not depend on sizes. */
export interface KernelPlan {
  readonly kernels: readonly Kernel[]
  readonly readers: Readers
  readonly leaving: ReadonlySet<string>
  /** See {@link KernelContext}. */
  readonly sums: ReadonlyMap<string, number>
  readonly traits: Map<Kernel, KernelTraits>
  readonly leads: ReadonlyMap<string, string>
  readonly order: ReadonlyMap<string, number>
}

/** Finds which nodes of a rank's part run together. */
export function kernelPlan(
  program: Program,
  operators: OperatorTable,
  choices: KernelChoices,
  bodies: KnownKernels,
): KernelPlan {
  const readers = readersOf(program)
  const kernels = kernelsOf(program, operators, choices, readers, bodies)
  const leads = new Map<string, string>()
  for (const { nodes, lead } of kernels) for (const node of nodes) if (node !== lead) leads.set(node.id, lead.id)
  const order = new Map(nodesOf(program.items).map(({ id }, index) => [id, index]))
  const traits = new Map<Kernel, KernelTraits>()
  return { kernels, readers, leaving: leavingByPorts(program), sums: sumsOf(program), traits, leads, order }
}

/** What was found before: the time of a kernel, what a communication node is about. */
export interface Recall {
  readonly time: (kernel: Kernel, find: () => NodeTime) => NodeTime
  readonly payload: (kernel: Kernel, find: () => number) => number
}

/** The times of the nodes of a rank's part `program`, in its sizes. */
export function timesOfKernels(
  { kernels, readers, leaving, sums, traits, leads }: KernelPlan,
  part: {
    readonly program: Program
    readonly operators: OperatorTable
    readonly machine: Machine
    readonly rank: number
  },
  recall: Recall,
): ReadonlyMap<string, NodeTime> {
  const { program, operators, machine, rank } = part
  let made: Meter | undefined
  const meter = () => {
    made ??= meterOf(program, operators, rank)
    return made
  }
  const times = new Map<string, NodeTime>()
  for (const id of leads.keys()) times.set(id, nothing)
  const cost = kernelCost({ program, operators, meter, machine, readers, leaving, sums, traits })
  for (const kernel of kernels) {
    const { nodes, lead } = kernel
    const find = () => {
      if (!lead.communication) return remembered(cost(kernel))
      const payload = recall.payload(kernel, () => payloadOfAll(nodes, program, meter()))
      return remembered(communicationTime(nodes, payload, program, machine))
    }
    times.set(lead.id, recall.time(kernel, find))
  }
  hideFused(kernels, times, program, operators, machine)
  return times
}

function payloadOfAll(nodes: readonly OperatorNode[], program: Program, meter: Meter): number {
  return nodes.reduce((sum, each) => sum + communicationBytes(each, program, meter).payload, 0)
}

const isTransfer = ({ op }: OperatorNode) => op === 'send' || op === 'recv'

/** Finds the seconds of each step once. */
function remembered(time: NodeTime): NodeTime {
  const known: number[] = []
  return { ...time, seconds: (step) => (known[step] ??= time.seconds(step)) }
}

/** The axes over which a node communicates. */
export function axesAlong(
  { atoms, reason }: NonNullable<OperatorNode['communication']>,
  { mesh }: Pick<Program, 'mesh'>,
): string[] {
  return axesOf(mesh, atoms, reason.strategies)
}

/** Whether a node moves parameters or their gradients. */
export function isOfState({ communication, segment, inputs: [id = ''] }: OperatorNode, { tensors }: Program): boolean {
  if (!communication) return false
  const { role, dims } = lookup(tensors, id)
  return role === 'parameter' || role === 'gradient' || (segment === 'optimizer' && dims.length > 0)
}

/**
 * The stream of what a node communicates, beside kernels and over links of its own: one for activations and one for parameters and gradients of each axis, as
 * frameworks have process groups of their own for what ranks share (`fully_shard` of PyTorch, the data-parallel group of Megatron-LM).
 */
export function linksOf(node: OperatorNode, program: Program): `${string} links` {
  const { communication } = node
  const axes = communication ? axesAlong(communication, program).join('·') : ''
  return isOfState(node, program) ? `${axes} state links` : `${axes} links`
}

function communicationTime(
  nodes: readonly OperatorNode[],
  payload: number,
  program: Program,
  machine: Machine,
): NodeTime {
  const [node] = nodes
  const communication = node?.communication
  // What a recv takes is the time of its send.
  if (!node || !communication || node.op === 'recv') return nothing
  const { atoms } = communication
  const axes = axesAlong(communication, program)
  const { blocking, free } = machine.engine
  if (free.includes(axes.join('·')) || axes.every((axis) => free.includes(axis))) return nothing
  const all = machine.group(atoms)
  const group = machine.engine.dispatch === 'per-node' ? dispatching(all, node, program) : all
  const op = collectiveOps.find((each) => each === node.op) ?? 'send'
  const seconds = payload === 0 ? 0 : collectiveSeconds(group, { op, bytes: payload })
  // What forward saved can be gathered again ahead of its use, whatever blocks.
  const isFresh = lookup(program.tensors, node.inputs[0] ?? '').role !== 'activation' || isOf(node, program)
  const isBlocking = isFresh && axes.some((axis) => blocking.includes(axis))
  const stream: Stream = isBlocking ? 'compute' : linksOf(node, program)
  return { stream, seconds: () => seconds, grows: undefined }
}

/**
 * Takes from collectives what runs inside of the matmuls beside them, in kernels that do both: their share, but no more than these take.
 * An all-gather runs with the products that read what it gathers, others with those that make what they reduce. An all-to-all waits for
 * both, and runs beside another microbatch in the same layer: with an even share of its products.
 */
function hideFused(
  kernels: readonly Kernel[],
  times: Map<string, NodeTime>,
  { mesh }: Program,
  operators: OperatorTable,
  { engine: { fused } }: Machine,
): void {
  if (Object.values(fused).every((share) => share === 0)) return
  const products = new Map<string, NodeTime[]>()
  const layers = new Map<Place, { readonly products: NodeTime[]; exchanges: number }>()
  for (const { nodes, lead, place } of kernels) {
    const time = times.get(lead.id)
    const layer = layers.get(place) ?? { products: [], exchanges: 0 }
    layers.set(place, layer)
    if (lead.op === 'all-to-all') layer.exchanges++
    if (!time || !nodes.some((node) => productOf(node, operators))) continue
    layer.products.push(time)
    for (const id of nodes.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]))
      products.set(id, [...(products.get(id) ?? []), time])
  }
  for (const { nodes, lead, place } of kernels) {
    const { communication } = lead
    const time = times.get(lead.id)
    if (!communication || !time) continue
    const share = Math.max(
      0,
      ...axesOf(mesh, communication.atoms, communication.reason.strategies).map((axis) => fused[axis] ?? 0),
    )
    if (share === 0) continue
    const ids = nodes.flatMap(({ op, inputs, outputs }) => (op === 'all-gather' ? outputs : inputs))
    const beside = ids.flatMap((id) => products.get(id) ?? [])
    const layer = lead.op === 'all-to-all' ? layers.get(place) : undefined
    const room = (step: number) =>
      layer
        ? layer.products.reduce((sum, { seconds }) => sum + seconds(step), 0) / layer.exchanges
        : Math.max(0, ...beside.map(({ seconds }) => seconds(step)))
    const seconds = (step: number) => time.seconds(step) - Math.min(share * time.seconds(step), room(step))
    times.set(lead.id, remembered({ ...time, seconds }))
  }
}

/**
 * The group of an all-to-all in which a token goes once to each node, and from there once to each rank that has experts of it, and
 * comes back summed (DeepSeek-AI 2024, section 3.2.2). Other groups as they are.
 */
function dispatching(group: Group, { op, outputs: [id = ''] }: OperatorNode, program: Program): Group {
  const tensor = lookup(program.tensors, id)
  const routing = op === 'all-to-all' && tensor.density ? routingOf(program, tensor) : undefined
  if (!routing) return group
  let units = group.size
  const levels = group.levels.map((level) => {
    const share = unitsReached(routing, units) / routing.copies
    units /= level.members
    return { ...level, bandwidth: level.bandwidth / share }
  })
  return { ...group, levels }
}

/** Whether what a node reads is made in its own segment. */
function isOf({ inputs, segment }: OperatorNode, { tensors }: Program): boolean {
  return inputs.some((id) => lookup(tensors, id).id.startsWith(`${segment}/`))
}
