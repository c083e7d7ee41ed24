import { collectiveSeconds } from '@shardloom/cluster'
import { findAxis, type Mesh } from '@shardloom/core'
import type { Machine, StateCost } from '@shardloom/simulator'
import { addMove, type StateLinks } from './link-loads.js'
import type { Stored } from './place.js'

/** What a part of a model costs in parameters, gradients and optimizer state. Bytes and seconds. */
export interface PartState {
  /** There all through the step; gradients, in shares where these are shared, from the first backward on. */
  readonly bytes: number
  readonly gradientBytes: number
  readonly updateSeconds: number
  /** Of collectives of each microbatch. */
  readonly links: readonly Readonly<StateLinks>[]
  /** Collectives once per step: before the first microbatch, before the update and behind it. */
  readonly gatherSeconds: number
  readonly reduceSeconds: number
  readonly spreadSeconds: number
  /** What is whole for a while of what is stored in shares: parameters, and gradients until they are reduced. */
  readonly gatheredBytes: number
  readonly reducedBytes: number
  /** What backward of each microbatch finds as forward gathered it. */
  readonly keptBytes: number
}

/** What a rank has of a part all through the step. Bytes. */
export type StoredBytes = Pick<PartState, 'bytes' | 'gradientBytes'>

/**
 * What a rank of `mesh` stores at least of each part, told from ranks that share nothing: those of a stage together have all of it,
 * each group of copies for itself but of experts, which may lie once on all copies. Exact where sizes can be divided.
 */
export function leastStored(
  costs: ReadonlyMap<string, StateCost>,
  { zero, replicate }: Stored,
  mesh: Mesh,
): ReadonlyMap<string, StoredBytes> {
  const degree = (axis: string) => findAxis(mesh, axis)?.degree ?? 1
  const ranks = mesh.world / degree('pp') / degree('replicas')
  const from = { optimizerBytes: 1, gradientBytes: 2, parameterBytes: 3 }
  return new Map(
    Array.from(costs, ([part, { shares }]) => {
      let [bytes, gradientBytes] = [0, 0]
      for (const { field, isOfExperts, parts, bytes: whole } of shares) {
        const groups = isOfExperts ? 1 : replicate
        const least = zero < from[field] ? whole : Math.min(whole, (whole * parts * groups) / ranks)
        if (field === 'gradientBytes') gradientBytes += least
        else bytes += least
      }
      return [part, { bytes, gradientBytes }]
    }),
  )
}

/** The state of each part, whose collectives run over the links of `machine`. */
export function stateAt(costs: ReadonlyMap<string, StateCost>, machine: Machine): ReadonlyMap<string, PartState> {
  const moves = Array.from(costs.values(), (each) => each.moves).flat()
  // Of an embedding backward reads nothing.
  const isKept = !moves.some(({ op, when }) => when === 'B' && op === 'all-gather')
  return new Map(
    Array.from(costs, ([part, cost]) => {
      const seconds = { 'before forward': 0, 'before update': 0, 'behind update': 0 }
      const links = new Map<string, StateLinks>()
      let [gatheredBytes, reducedBytes, stayingBytes, keptBytes] = [0, 0, 0, 0]
      for (const move of cost.moves) {
        const { atoms, op, when, bytes, readBytes } = move
        const group = machine.group(atoms)
        if (group.size === 1 || bytes <= 0) continue
        const taken = collectiveSeconds(group, { op, bytes })
        if (when === 'before forward') stayingBytes += bytes
        if (when === 'F' && isKept && part !== 'first') keptBytes += bytes
        if (when === 'F') gatheredBytes += bytes
        if (when === 'B' && op === 'reduce-scatter') reducedBytes += readBytes
        if (when === 'F' || when === 'B') addMove(links, move, taken)
        else seconds[when] += taken
      }
      const state: PartState = {
        bytes: cost.parameterBytes + cost.optimizerBytes + stayingBytes,
        gradientBytes: cost.gradientBytes,
        updateSeconds: cost.updateSeconds,
        links: [...links.values()],
        gatherSeconds: seconds['before forward'],
        reduceSeconds: seconds['before update'],
        spreadSeconds: seconds['behind update'],
        gatheredBytes,
        reducedBytes,
        keptBytes,
      }
      return [part, state]
    }),
  )
}
