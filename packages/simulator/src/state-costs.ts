import { type CollectiveOp, collectiveOps } from '@shardloom/cluster'
import {
  lookup,
  type OperatorNode,
  type OperatorTable,
  type Place,
  type Program,
  regionsOf,
  type Tensor,
  walk,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { communicationBytes } from './communication-table.js'
import { choicesOf, type KnownKernels } from './kernels.js'
import { LocalSizes } from './local-sizes.js'
import type { Machine } from './machine.js'
import { storedAs } from './measure.js'
import { meterOf } from './meter.js'
import { isOfState, type KernelPlan, kernelPlan, linksOf, timesOfKernels } from './node-time.js'
import { representatives } from './ranks.js'
import { partsOf } from './sample.js'
import { layerOf } from './sample-memory.js'
import { type KnownSizes, nothingKnown, SizedKernels } from './sized-kernels.js'

/** A collective over parameters or gradients. */
export interface StateMove {
  readonly op: CollectiveOp
  readonly atoms: readonly string[]
  /** The stream that it keeps busy, see {@link linksOf}. */
  readonly links: string
  /** Logical to the group. */
  readonly bytes: number
  /** What a rank holds of what it reads, in the type of that. */
  readonly readBytes: number
  /** In forward or backward of each microbatch; once per step before the first of them, before the update, or behind it. */
  readonly when: 'F' | 'B' | 'before forward' | 'before update' | 'behind update'
  /** Whether it is of experts, which lie on other ranks than what all tokens pass. */
  readonly isOfExperts: boolean
}

/** What a rank holds of a part of a model all through the step, and what the update of it takes. Bytes and seconds. */
export interface StateCost {
  parameterBytes: number
  gradientBytes: number
  optimizerBytes: number
  updateSeconds: number
  readonly moves: StateMove[]
  /** What the bytes are made of, by how it is divided. */
  readonly shares: StateShare[]
}

/** What of one kind of state is divided alike. */
export interface StateShare {
  readonly field: 'parameterBytes' | 'gradientBytes' | 'optimizerBytes'
  readonly isOfExperts: boolean
  /** In how many shares. */
  readonly parts: number
  /** Of one share. */
  bytes: number
}

/** A part of a model as one rank of a sample has it: what it stores, what it communicates of that, and what updates it. */
interface SampledState {
  readonly part: string
  readonly stored: { readonly field: Stored; readonly tensor: string }[]
  /** Whether each microbatch has it, or the step once. */
  readonly moves: { readonly node: OperatorNode; readonly isRepeated: boolean }[]
  readonly updates: string[]
}

type Stored = NonNullable<ReturnType<typeof storedAs>>

/** What of the state of a small program no size changes, so that it can be measured in others. */
export interface StateSample {
  readonly ranks: readonly {
    readonly program: Program
    readonly plan: KernelPlan
    readonly states: readonly SampledState[]
    readonly sizes: LocalSizes
    readonly kernels: SizedKernels
  }[]
}

/**
 * Finds what the parts of a model store: a layer of each kind, what stands before (`first`) and behind (`last`) the layers, and what the
 * end has beside that because the start of the model, which reads it too, is on another stage (`tied`). Linear in the rolled program.
 */
export function stateSampleOf(whole: Program, operators: OperatorTable, machine: Machine): StateSample {
  const named = partsOf(whole)
  const standing = new Map<string, string>()
  const readBefore = new Set<string>()
  const ranks = representatives(whole).map((rank) => {
    const program = programOf(whole, rank)
    const plan = kernelPlan(program, operators, choicesOf(whole, machine.engine), noneOf(program))
    /** Parameters by the parts of this rank that read them. */
    const readBy = new Map<string, string>()
    walk(program.items, (node) => {
      const part = named.get(node.id)
      if (part === undefined) return
      for (const id of node.inputs)
        if (lookup(program.tensors, id).role === 'parameter') readBy.set(parameterOf(id, program), part)
    })
    const seen = new Set<string>()
    const states = new Map<string, SampledState>()
    walk(program.items, (node, place) => {
      const own = partOf(node, place, named, readBy, program)
      if (own === undefined) return
      const body = bodyOf(place)
      const isTied = [...node.inputs, node.updates ?? ''].some((id) => readBefore.has(parameterOf(id, program)))
      const part = isTied && body === undefined ? 'tied' : own
      // Of a kind of layer one body of one rank stands for all; what is outside of layers, each rank has for itself.
      if (body !== undefined) {
        const known = standing.get(part) ?? `${rank} ${body}`
        standing.set(part, known)
        if (known !== `${rank} ${body}`) return
      }
      const state = states.get(part) ?? { part, stored: [], moves: [], updates: [] }
      states.set(part, state)
      for (const id of node.inputs) {
        const field = storedAs(lookup(program.tensors, id), node)
        if (!field || seen.has(id)) continue
        seen.add(id)
        state.stored.push({ field, tensor: id })
      }
      if (isOfState(node, program)) state.moves.push({ node, isRepeated: isRepeated(place) })
      else if (node.segment === 'optimizer') state.updates.push(node.id)
    })
    for (const id of readBy.keys()) readBefore.add(id)
    // Of layers of a kind those that do not stand for all need not be timed.
    const updates = new Set(Array.from(states.values(), (state) => state.updates).flat())
    const kernels = plan.kernels.filter(({ lead }) => updates.has(lead.id) && !lead.communication)
    const updating = { ...plan, kernels }
    const sizes = new LocalSizes(whole, rank)
    return {
      program,
      plan: updating,
      states: [...states.values()],
      sizes,
      kernels: new SizedKernels(updating, program, { whole, rank, sizes }),
    }
  })
  return { ranks }
}

/** What each part of a sample's model costs in the sizes of `whole`, which differs from it in degrees and sizes alone. */
export function stateCosts(
  { ranks }: StateSample,
  whole: Program,
  operators: OperatorTable,
  machine: Machine,
  known: KnownSizes = nothingKnown(),
): ReadonlyMap<string, StateCost> {
  const costs = new Map<string, StateCost>()
  const numbers = representatives(whole)
  const { mesh, tensors } = whole
  ranks.forEach(({ program: part, plan, states, sizes, kernels }, place) => {
    const rank = numbers[place] ?? 0
    const program = { ...part, mesh, tensors }
    const meter = meterOf(program, operators, rank)
    const times = timesOfKernels(
      plan,
      { program, operators, machine, rank },
      kernels.recall(sizes.growths(mesh, 1), known),
    )
    for (const { part: name, stored, moves, updates } of states) {
      const cost = costs.get(name) ?? {
        parameterBytes: 0,
        gradientBytes: 0,
        optimizerBytes: 0,
        updateSeconds: 0,
        moves: [],
        shares: [],
      }
      costs.set(name, cost)
      for (const { field, tensor } of stored) {
        const own = lookup(tensors, tensor)
        const bytes = meter.bytes(own)
        cost[field] += bytes
        const atoms = own.placement?.shards.flat() ?? []
        const parts = mesh.atoms.reduce((all, { name, degree }) => (atoms.includes(name) ? all * degree : all), 1)
        addShare(cost.shares, { field, isOfExperts: isOfExperts(own), parts, bytes })
      }
      for (const { node, isRepeated } of moves) {
        const { payload } = communicationBytes(node, program, meter)
        const readBytes = node.inputs.reduce((sum, id) => sum + meter.bytes(lookup(tensors, id)), 0)
        cost.moves.push(moveOf(node, program, { bytes: payload, readBytes, isRepeated }))
      }
      for (const id of updates) cost.updateSeconds += times.get(id)?.seconds(0) ?? 0
    }
  })
  return costs
}

/** No kernels of bodies that update nothing: of these nobody asks. */
function noneOf({ items }: Program): KnownKernels {
  const bodies = regionsOf(items).flatMap((region) => region.bodies.map((body) => body.items))
  const others = bodies.filter((body) => !body.some((item) => item.type === 'node' && item.segment === 'optimizer'))
  return new Map(others.map((body) => [body, []]))
}

function addShare(shares: StateShare[], share: StateShare): void {
  const { field, isOfExperts, parts, bytes } = share
  const known = shares.find((each) => each.field === field && each.isOfExperts === isOfExperts && each.parts === parts)
  if (known) known.bytes += bytes
  else shares.push(share)
}

const isOfExperts = ({ dims }: Tensor) => dims.includes('experts')

/** The body of a loop over layers that a place is in. */
function bodyOf({ path }: Place): string | undefined {
  const at = path.find(({ region }) => region.axis === 'layer')
  return at?.region.bodies[at.body]?.name
}

/** Whether a place is in the loop over microbatches. */
const isRepeated = ({ path }: Place) => path.some(({ region }) => region.axis === 'microbatch')

/** The part of the model that a node of a microbatch or of the update belongs to. */
function partOf(
  node: OperatorNode,
  place: Place,
  named: ReadonlyMap<string, string>,
  readBy: ReadonlyMap<string, string>,
  program: Program,
): string | undefined {
  const own = named.get(node.id) ?? layerOf(place)
  if (own !== undefined) return own
  for (const id of [node.updates ?? '', ...node.inputs, ...node.outputs]) {
    const found = readBy.get(parameterOf(id, program))
    if (found !== undefined) return found
  }
  return undefined
}

/** The parameter that a tensor is, or is the gradient of. */
function parameterOf(id: string, { tensors }: Program): string {
  return (tensors.get(id)?.versionOf ?? id).replace(/^(optimizer\/)?gradient\//, '')
}

function moveOf(
  node: OperatorNode,
  program: Program,
  { bytes, readBytes, isRepeated }: Pick<StateMove, 'bytes' | 'readBytes'> & { readonly isRepeated: boolean },
): StateMove {
  const { op, communication, segment, inputs } = node
  const moved = lookup(program.tensors, inputs[0] ?? '')
  const isGradient = moved.role === 'gradient'
  const first = isRepeated ? 'F' : 'before forward'
  return {
    op: collectiveOps.find((each) => each === op) ?? 'send',
    atoms: communication?.atoms ?? [],
    links: linksOf(node, program),
    bytes,
    readBytes,
    isOfExperts: isOfExperts(moved),
    when: segment === 'forward' ? first : segment === 'backward' ? 'B' : isGradient ? 'before update' : 'behind update',
  }
}
