import {
  bodyCounts,
  describePlacement,
  lookup,
  type OperatorTable,
  type Program,
  type Region,
  regionsOf,
  walk,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { meterOf, savedTensors } from '@shardloom/simulator'
import { type PeakSaved, peakSaved } from './in-flight.js'
import type { Plan } from './plan.js'
import { isSecondDirection } from './reason.js'

/** What one rank keeps for backward, of one microbatch. */
export interface ActivationSummary {
  /** All layers and what is outside of them, in the rank's own memory. */
  readonly bytes: number
  /** Per kind of layer, which of the model's there are, by depth, how many, and what each of them keeps. */
  readonly layers: readonly {
    readonly layer: string
    readonly depths: readonly { readonly first: number; readonly last: number }[]
    readonly count: number
    readonly bytes: number
  }[]
  readonly outsideBytes: number
  /**
   * Parameters that stay as forward gathered them, once for all microbatches; no activations. With `gather: keep` those that
   * backward reads again; with `step` all that are gathered before the first microbatch.
   */
  readonly gatheredBytes: number
  /** Of all microbatches that are in flight at once, in the rank's own memory. */
  readonly peak: PeakSaved
  /** What waits in host memory. */
  readonly hostBytes: number
  /** The same of all microbatches that are in flight at once. */
  readonly hostPeakBytes: number
  readonly saved: readonly {
    /** The tensor as its producer made it, and the version of it that is kept. */
    readonly tensor: string
    readonly version: string
    readonly placement: string
    /** Of one layer, or outside of all. */
    readonly bytes: number
    /** The kind of layer, where there are several. */
    readonly layer?: string
    readonly perLayer: boolean
    /** Whether it waits in host memory. */
    readonly host: boolean
  }[]
}

/** Sums what forward leaves in memory for backward; undefined for a phase without one. */
export function activationsOf({ program: whole, operators }: Plan, rank: number): ActivationSummary | undefined {
  if (whole.phase !== 'training') return undefined
  const program = programOf(whole, rank)
  // A microbatch takes one of two directions.
  const found = savedTensors(whole, operators, { rank })
  const isGathered = (id: string) => lookup(program.tensors, id).role === 'parameter'
  const all = found.filter(({ version }) => !isSecondDirection(version) && !isGathered(version))
  const kept = all.filter(({ host }) => !host)
  const region = regionsOf(program.items).find(({ axis }) => axis === 'layer')
  const counts = region ? bodyCounts(region) : []
  const sum = (list: typeof all) => list.reduce((total, { bytes }) => total + bytes, 0)
  const layersOf = (list: typeof all) => {
    const inside = list.filter(({ per }) => per.includes('layer'))
    return (region?.bodies ?? []).flatMap(({ name, items }, index) => {
      const count = counts[index] ?? 0
      const own = inside.filter(({ body = name }) => body === name)
      const depths = runsOf(region, index)
      return count > 0 && items.length > 0 ? [{ layer: name, depths, count, bytes: sum(own) }] : []
    })
  }
  const inAll = (list: ReturnType<typeof layersOf>) =>
    list.reduce((total, { count, bytes }) => total + count * bytes, 0)
  const layers = layersOf(kept)
  const outsideBytes = sum(kept.filter(({ per }) => !per.includes('layer')))
  return {
    bytes: outsideBytes + inAll(layers),
    layers,
    outsideBytes,
    gatheredBytes: gatheredBytes(whole, operators, rank, new Set(found.map(({ version }) => version))),
    peak: peakSaved(
      whole,
      rank,
      found.filter(({ host }) => !host),
    ),
    hostBytes: inAll(layersOf(all.filter(({ host }) => host))),
    hostPeakBytes: peakSaved(
      whole,
      rank,
      found.filter(({ host }) => host),
    ).bytes,
    saved: all.map(({ tensor, version, bytes, per, body, host }) => ({
      tensor,
      version,
      placement: describePlacement(lookup(program.tensors, version)),
      bytes,
      ...(body !== undefined && { layer: body }),
      perLayer: per.includes('layer'),
      host,
    })),
  }
}

/** Bytes of the parameters that forward gathers for the whole step, or that backward finds as forward gathered them. */
function gatheredBytes(whole: Program, operators: OperatorTable, rank: number, found: ReadonlySet<string>): number {
  const program = programOf(whole, rank)
  const meter = meterOf(whole, operators, rank)
  let sum = 0
  walk(program.items, ({ segment, communication, outputs: [output = ''] }, { executions, path }) => {
    const tensor = program.tensors.get(output)
    if (segment !== 'forward' || !communication || tensor?.role !== 'parameter') return
    const microbatches = path.find(({ region }) => region.axis === 'microbatch')
    if (microbatches && !found.has(output)) return
    const repeats = microbatches ? (bodyCounts(microbatches.region)[microbatches.body] ?? 1) : 1
    if (executions > 0) sum += (meter.bytes(tensor) * executions) / repeats
  })
  return sum
}

/** The runs of iterations that a body of a region is chosen for. */
function runsOf(region: Region | undefined, body: number): { readonly first: number; readonly last: number }[] {
  let next = 0
  return (region?.select ?? []).flatMap((run) => {
    const first = next
    next += run.count
    return run.body === body ? [{ first, last: next - 1 }] : []
  })
}
