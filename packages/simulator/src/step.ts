import type { OperatorTable, Program } from '@shardloom/core'
import { breakdown, type RankBreakdown } from './breakdown.js'
import type { Machine } from './machine.js'
import { memory, type PeakMemory } from './memory.js'
import { simulateRolled } from './rolled.js'
import { simulate, type Timeline } from './simulate.js'
import { ticksPerSecond } from './ticks.js'

/** What a step comes to, on one rank of every stage: as much of a timeline as takes no list of all nodes. */
export interface Step {
  readonly seconds: number
  readonly ranks: readonly RankStep[]
}

/** One rank of a step. */
export interface RankStep extends RankBreakdown {
  /** When its last node ends. */
  readonly finish: number
  /** Seconds in which each stream is busy. */
  readonly busy: Readonly<Record<string, number>>
  readonly memory: PeakMemory
}

/**
 * Runs a program on a machine in one step and says what that comes to, without a list of all nodes where that can be. The same as
 * {@link simulate} and {@link stepOf}, in the time that the different blocks of a step take. Throws what `simulate` throws.
 */
export function runStep(program: Program, operators: OperatorTable, machine: Machine): Step {
  return (
    simulateRolled(program, operators, machine) ?? stepOf(simulate(program, operators, machine), program, operators)
  )
}

/** Reads off a timeline what the step comes to. */
export function stepOf(timeline: Timeline, program: Program, operators: OperatorTable): Step {
  const { graph, times, ranks, seconds } = timeline
  const streams = new Map(ranks.map((rank) => [rank, { finish: 0, busy: new Map<string, number>() }]))
  for (let node = 0; node < graph.nodeCount; node++) {
    const stream = timeline.streamOf(node)
    const [start, end] = [times.start[node] ?? 0, times.end[node] ?? 0]
    const of = streams.get(graph.rankOf(node))
    if (stream === 'none' || start === end || !of) continue
    of.busy.set(stream, (of.busy.get(stream) ?? 0) + end - start)
    of.finish = Math.max(of.finish, end)
  }
  const stages = breakdown(timeline, program.mesh)
  const held = memory(program, operators, timeline)
  return {
    seconds,
    ranks: stages.flatMap((stage): RankStep[] => {
      const own = held.find(({ rank }) => rank === stage.rank)
      if (!own) return []
      const { peakBytes, atSeconds, parts, most } = own
      const { finish = 0, busy = new Map<string, number>() } = streams.get(stage.rank) ?? {}
      return [
        {
          ...stage,
          finish: finish / ticksPerSecond,
          busy: Object.fromEntries([...busy].map(([stream, ticks]) => [stream, ticks / ticksPerSecond])),
          memory: { peakBytes, atSeconds, parts, most },
        },
      ]
    }),
  }
}
