import {
  actionsOf,
  bodyAt,
  type Chunk,
  chunksOf,
  coordinateOf,
  lookup,
  nodesOf,
  type Program,
  regionsOf,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import type { SavedTensor } from '@shardloom/simulator'
import { isSecondDirection } from './reason.js'

/** The most that a rank keeps for backward at one time. */
export interface PeakSaved {
  /** Microbatches whose activations it holds at once, each of one chunk: with several chunks per rank they count one by one. */
  readonly inFlight: number
  /** How many chunks of the pipeline the rank has. */
  readonly chunks: number
  /** Bytes of all that is in flight, at the time when they are most. */
  readonly bytes: number
}

/**
 * Follows a rank's schedule: what forward of a microbatch saved in a chunk is held until its weights' gradients are there (W,
 * or B), as its tensors are read until then. Without a pipeline a microbatch is done before the next one begins. `saved` are
 * the rank's tensors in its own memory. Linear in the actions.
 */
export function peakSaved(program: Program, rank: number, saved: readonly SavedTensor[]): PeakSaved {
  const { pipeline } = program
  const all: Chunk = { from: 0, to: Number.POSITIVE_INFINITY, rank: 0 }
  const bytesOf = bytesOfChunk(program, rank, saved)
  if (!pipeline) return { inFlight: 1, chunks: 1, bytes: bytesOf(all, 0, true, true) }
  const bytes = Array.from({ length: pipeline.directions }, (_, direction) => {
    const chunks = chunksOf(pipeline, direction)
    return chunks.map((chunk, at) => bytesOf(chunk, direction, at === 0, at === chunks.length - 1))
  }).flat()
  const coordinate = coordinateOf(program, rank)
  const peak = { inFlight: 0, bytes: 0 }
  const held = { inFlight: 0, bytes: 0 }
  for (const { kind, chunk } of actionsOf(pipeline, coordinate)) {
    if (kind === 'I') continue
    const sign = kind === 'F' ? 1 : -1
    held.inFlight += sign
    held.bytes += sign * (bytes[chunk] ?? 0)
    peak.inFlight = Math.max(peak.inFlight, held.inFlight)
    peak.bytes = Math.max(peak.bytes, held.bytes)
  }
  return { ...peak, chunks: pipeline.chunks.filter((chunk) => chunk.rank === coordinate).length }
}

/** What one microbatch leaves in a chunk: in its layers, and outside of them where it is the first or the last. */
function bytesOfChunk(whole: Program, rank: number, saved: readonly SavedTensor[]) {
  const program = programOf(whole, rank)
  const nodes = new Map(nodesOf(program.items).map((node) => [node.id, node]))
  const region = regionsOf(whole.items).find(({ axis }) => axis === 'layer')
  return ({ from, to }: Chunk, direction: number, first: boolean, last: boolean): number => {
    let sum = 0
    for (const { version, bytes, per, body, readers } of saved) {
      // The second of two directions has tensors of its own.
      if (isSecondDirection(version) !== (direction === 1)) continue
      if (lookup(program.tensors, version).role === 'parameter') continue
      if (!per.includes('layer')) {
        const stages = readers.flatMap((id) => nodes.get(id)?.stages ?? [])
        const here = (first && stages.includes('first')) || (last && stages.includes('last'))
        if (here || (first && last && stages.length === 0)) sum += bytes
        continue
      }
      for (let layer = from; region && layer < Math.min(to, region.extent); layer++)
        if (body === undefined || region.bodies[bodyAt(region, layer)]?.name === body) sum += bytes
    }
    return sum
  }
}
