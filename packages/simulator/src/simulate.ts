import { type OperatorTable, type Program, ShardloomError } from '@shardloom/core'
import { type UnrolledGraph, unroll } from '@shardloom/core/unroll'
import { runEvents, type Times } from './event-loop.js'
import type { Machine } from './machine.js'
import type { Stream } from './node-time.js'
import { gated, prepare } from './prepare.js'
import { ranksToRun } from './ranks.js'
import { ticksPerSecond } from './ticks.js'

/** A program run in time: each node of the ranks that differ. */
export interface Timeline {
  readonly graph: UnrolledGraph
  /** The ranks that were run, which all others are like. */
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
  const ranks = ranksToRun(program, operators, machine)
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
