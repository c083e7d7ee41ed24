import { B, F, formatPacked, I, KIND_BITS, kinds, OVERLAP } from './action.js'
import { ScheduleError } from './error.js'
import { flowOf, type Schedule } from './schedule.js'

/** When each packed action of each rank runs; two that overlap start and end together. */
export interface Times {
  readonly starts: readonly Float64Array[]
  readonly ends: readonly Float64Array[]
}

/** What an event simulation needs to know of time. */
export interface Durations {
  /** Seconds of an action of that kind (F, I, W, B) and stage. */
  readonly action: (kind: number, stage: number) => number
  /** Seconds of an overlapped pair. */
  readonly pair: (forwardStage: number, backwardKind: number, backwardStage: number) => number
  /** Seconds from the end of an action to the moment when its result is on another rank. */
  readonly send: number
  /**
   * When an action starts whose rank is free from `free` on and that could start at `ready`: not sooner. Asked once for each action, in the
   * order of its rank; of two that overlap the second as if it followed the first. Absent: at `ready`.
   */
  readonly startOf?: ((rank: number, kind: number, stage: number, ready: number, free: number) => number) | undefined
}

/**
 * Runs every rank's order: F(s, i) after F(s − 1, i); I or B after the own F and after I or B(s + 1, i); W after I.
 * Each rank goes on until it waits, and is woken by the action that it waits for, so that the work is linear in the
 * number of actions. Throws `DEADLOCK` when ranks wait for each other.
 */
export function simulate(schedule: Schedule, durations: Durations): Times {
  const { orders, microbatches, stageRanks } = schedule
  const { previous, next } = flowOf(schedule)
  const cells = stageRanks.length * microbatches
  // Ends of forwards, then of input gradients; −1 until they have run.
  const done = new Float64Array(2 * cells).fill(-1)
  const waiting = new Int32Array(2 * cells).fill(-1)
  const starts = orders.map((order) => new Float64Array(order.length))
  const ends = orders.map((order) => new Float64Array(order.length))
  const position = new Int32Array(orders.length)
  const clock = new Float64Array(orders.length)
  const ready = Array.from(orders, (_, rank) => orders.length - 1 - rank)

  for (let rank = ready.pop(); rank !== undefined; rank = ready.pop()) {
    const order = orders[rank] as Int32Array
    const start = starts[rank] as Float64Array
    const end = ends[rank] as Float64Array
    let at = position[rank] as number
    let time = clock[rank] as number
    /** When an action may start, or −1 after noting what it waits for. */
    const readyAt = (code: number): number => {
      const cell = code >> KIND_BITS
      const kind = code & 7
      const stage = Math.floor(cell / microbatches)
      let own = 0
      let neighbour = -1
      if (kind === F) {
        if ((previous[stage] as number) >= 0) neighbour = cell - microbatches
      } else {
        own = done[kind === I || kind === B ? cell : cells + cell] as number
        if (own < 0) return -1
        if ((kind === I || kind === B) && (next[stage] as number) >= 0) neighbour = cells + cell + microbatches
      }
      if (neighbour < 0) return own
      const arrived = done[neighbour] as number
      if (arrived < 0) {
        waiting[neighbour] = rank
        return -1
      }
      const from = stageRanks[kind === F ? stage - 1 : stage + 1]
      return Math.max(own, from === rank ? arrived : arrived + durations.send)
    }
    const finish = (code: number, when: number) => {
      const kind = code & 7
      if (kind !== F && kind !== I && kind !== B) return
      const id = (code >> KIND_BITS) + (kind === F ? 0 : cells)
      done[id] = when
      const waiter = waiting[id] as number
      if (waiter >= 0 && waiter !== rank) ready.push(waiter)
    }
    while (at < order.length) {
      const code = order[at] as number
      let from = readyAt(code)
      if (from < 0) break
      const stage = Math.floor((code >> KIND_BITS) / microbatches)
      if (code & OVERLAP) {
        const partner = order[at + 1] as number
        const other = readyAt(partner)
        if (other < 0) break
        const behind = Math.floor((partner >> KIND_BITS) / microbatches)
        from = Math.max(time, from, other)
        from = durations.startOf?.(rank, code & 7, stage, from, time) ?? from
        // The forward goes first where the other one waits.
        const then = from + durations.action(code & 7, stage)
        const late = (durations.startOf?.(rank, partner & 7, behind, then, then) ?? then) - then
        time = from + late + durations.pair(stage, partner & 7, behind)
        start[at] = start[at + 1] = from
        end[at] = end[at + 1] = time
        finish(code, time)
        finish(partner, time)
        at += 2
      } else {
        const own = Math.max(time, from)
        start[at] = durations.startOf?.(rank, code & 7, stage, own, time) ?? own
        time = (start[at] as number) + durations.action(code & 7, stage)
        end[at++] = time
        finish(code, time)
      }
    }
    position[rank] = at
    clock[rank] = time
  }

  const stuck = orders.flatMap((order, rank) => ((position[rank] as number) < order.length ? [rank] : []))
  if (stuck.length > 0) throw deadlock(schedule, stuck, position, done)
  return { starts, ends }
}

/** Names what each rank that cannot go on waits for. */
function deadlock(schedule: Schedule, stuck: number[], position: Int32Array, done: Float64Array): ScheduleError {
  const { orders, microbatches, stageRanks } = schedule
  const { previous, next } = flowOf(schedule)
  const cells = stageRanks.length * microbatches
  const waits = stuck.map((rank) => {
    const at = position[rank] as number
    const order = orders[rank] as Int32Array
    const heads = (order[at] as number) & OVERLAP ? [order[at], order[at + 1]] : [order[at]]
    for (const code of heads as number[]) {
      const cell = code >> KIND_BITS
      const kind = code & 7
      const stage = Math.floor(cell / microbatches)
      const missing = (ofKind: string, ofStage: number) =>
        `rank ${rank} waits at action ${at + 1} (${formatPacked(code, microbatches)}) for ` +
        `${ofStage}${ofKind}${cell - stage * microbatches} of rank ${stageRanks[ofStage]}`
      if (kind === F && (previous[stage] as number) >= 0 && (done[cell - microbatches] as number) < 0) {
        return missing('F', stage - 1)
      }
      if ((kind === I || kind === B) && (done[cell] as number) < 0) return missing('F', stage)
      if (
        (kind === I || kind === B) &&
        (next[stage] as number) >= 0 &&
        (done[cells + cell + microbatches] as number) < 0
      ) {
        return missing('I', stage + 1)
      }
      if (kind !== F && kind !== I && kind !== B) return missing('I', stage)
    }
    return `rank ${rank} waits at action ${at + 1} (${kinds[(order[at] as number) & 7]})`
  })
  const listed = waits.slice(0, 8).join('; ')
  return new ScheduleError(
    'DEADLOCK',
    `The schedule ${schedule.name} deadlocks: ${listed}${waits.length > 8 ? `; ${waits.length - 8} more ranks wait` : ''}.`,
    { help: 'Move the action that is waited for before the one that waits, on its own rank.' },
  )
}
