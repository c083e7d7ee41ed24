import { coordinateOf, findAxis, type OperatorTable, type Program, rankAt, ShardloomError } from '@shardloom/core'
import { type UnrolledGraph, unroll } from '@shardloom/core/unroll'
import { runEvents, type Times } from './event-loop.js'
import type { Machine } from './machine.js'
import type { Stream } from './node-time.js'
import { gated, prepare } from './prepare.js'
import { ticksPerSecond } from './ticks.js'

/** A program run in time: each node of one rank of every stage. */
export interface Timeline {
  readonly graph: UnrolledGraph
  /** The ranks that were run: one for each coordinate of the pipeline, which all ranks with that coordinate are like. */
  readonly ranks: readonly number[]
  /** Per node picoseconds from the start of the step; the node that its start waited for. */
  readonly times: Times
  /** Names of streams, by the numbers of {@link streamOf}. */
  readonly streams: readonly Stream[]
  readonly streamOf: (node: number) => Stream
  /** Seconds of one step. */
  readonly seconds: number
}

/**
 * Runs a program on a machine, event by event, in one step: every node of every iteration. Throws `NO_PEAK`, `UNROLL_SIZE`, and
 * `DEADLOCK` where nodes wait for each other.
 */
export function simulate(program: Program, operators: OperatorTable, machine: Machine): Timeline {
  const ranks = representatives(program)
  const graph = unroll(program, { ranks })
  const prepared = prepare(graph, program, operators, machine)
  const { streams, stream } = prepared
  const times = runEvents(gated(prepared))
  if (times.ran < graph.nodeCount) throw deadlock(graph, times)
  return {
    graph,
    ranks,
    times,
    streams,
    streamOf: (node) => streams[stream[graph.template[node] ?? 0] ?? -1] ?? 'none',
    seconds: times.makespan / ticksPerSecond,
  }
}

/** The first rank of each coordinate of the pipeline. */
export function representatives(program: Program): number[] {
  const { mesh, pipeline } = program
  const axis = pipeline && findAxis(mesh, pipeline.axis)
  if (!axis) return [0]
  const found = new Map<number, number>()
  const coordinates = axis.atoms.reduce<ReadonlyMap<string, number>[]>(
    (list, atom) => {
      const degree = mesh.atoms.find(({ name }) => name === atom)?.degree ?? 1
      return list.flatMap((at) => Array.from({ length: degree }, (_, index) => new Map(at).set(atom, index)))
    },
    [new Map()],
  )
  for (const at of coordinates) {
    const rank = rankAt(mesh, at)
    found.set(coordinateOf(program, rank), rank)
  }
  return [...found].sort(([a], [b]) => a - b).map(([, rank]) => rank)
}

function deadlock(graph: UnrolledGraph, { status }: Times): ShardloomError {
  const stuck = Array.from({ length: graph.ranks.length }, (_, index) => graph.ranks[index] ?? 0).flatMap((rank) => {
    for (let node = 0; node < graph.nodeCount; node++)
      if (graph.rankOf(node) === rank && status[node] !== 3) return [`rank ${rank} at ${graph.idOf(node)}`]
    return []
  })
  return new ShardloomError('DEADLOCK', `These wait for each other: ${stuck.slice(0, 4).join('; ')}.`, {
    help: '`verify` says which rule the program breaks.',
  })
}
