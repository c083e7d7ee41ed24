import { B, F, I, KIND_BITS, OVERLAP, RECV_B, RECV_F, SEND_B, SEND_F, W } from './action.js'
import { type Flow, flowOf, type Schedule } from './schedule.js'
import { type Costs, timeSchedule } from './time.js'

/** A schedule and per rank its computations, sends and receives in one order, packed as in {@link Schedule.orders}. */
export interface TransferLists {
  readonly schedule: Schedule
  readonly lists: readonly Int32Array[]
}

/** Per rank a list that grows. */
class Lists {
  readonly lists: number[][]
  readonly #schedule: Schedule
  readonly #flow: Flow

  constructor(schedule: Schedule) {
    this.#schedule = schedule
    this.#flow = flowOf(schedule)
    this.lists = schedule.orders.map(() => [])
  }

  /** The send of what a computation made and the receive of it, or undefined when no other rank needs it. */
  sendAfter(code: number): { send: number; receive: number; to: number } | undefined {
    const { microbatches, stageRanks } = this.#schedule
    const kind = code & 7
    if (kind === W) return undefined
    const cell = code >> KIND_BITS
    const stage = Math.floor(cell / microbatches)
    const neighbour = (kind === F ? this.#flow.next : this.#flow.previous)[stage] as number
    if (neighbour < 0 || stageRanks[neighbour] === stageRanks[stage]) return undefined
    const there = kind === F ? cell + microbatches : cell - microbatches
    return {
      send: (cell << KIND_BITS) | (kind === F ? SEND_F : SEND_B),
      receive: (there << KIND_BITS) | (kind === F ? RECV_F : RECV_B),
      to: stageRanks[neighbour] as number,
    }
  }

  /** The receive that a computation needs, or undefined when its operand is made on its own rank. */
  receiveBefore(code: number): number | undefined {
    const { microbatches, stageRanks } = this.#schedule
    const kind = code & 7
    if (kind === W) return undefined
    const cell = code >> KIND_BITS
    const stage = Math.floor(cell / microbatches)
    const neighbour = (kind === F ? this.#flow.previous : this.#flow.next)[stage] as number
    if (neighbour < 0 || stageRanks[neighbour] === stageRanks[stage]) return undefined
    return (cell << KIND_BITS) | (kind === F ? RECV_F : RECV_B)
  }

  /** Appends a computation, or two that overlap, then for each result the send here and the receive there. */
  run(rank: number, codes: readonly number[]): void {
    this.lists[rank]?.push(...codes)
    for (const code of codes) {
      const sent = this.sendAfter(code)
      if (!sent) continue
      this.lists[rank]?.push(sent.send)
      this.lists[sent.to]?.push(sent.receive)
    }
  }

  result(): TransferLists {
    return { schedule: this.#schedule, lists: this.lists.map((list) => Int32Array.from(list)) }
  }
}

/** The action at a place of an order, with its partner when it overlaps. */
const stepAt = (order: Int32Array, at: number): number[] =>
  (order[at] as number) & OVERLAP ? [order[at] as number, order[at + 1] as number] : [order[at] as number]

/**
 * Gives each rank the sends and receives that the schedule needs, so that they run even when each rank has one stream
 * that works through its list in order and blocks: the schedule is run once, and whenever a computation's result leaves
 * its rank, the send goes to the end of this rank's list and the receive, at the same moment, to the end of the other's.
 * All lists then follow one total order.
 *
 * Without costs the moments are PyTorch's: rounds in which every rank that can go on runs one action, rank 0 first. With
 * costs they are the ends of the actions of {@link timeSchedule}.
 */
export function sendsAndReceives(schedule: Schedule, costs?: Costs): TransferLists {
  return costs ? inTimeOrder(schedule, costs) : inRounds(schedule)
}

function inRounds(schedule: Schedule): TransferLists {
  const { orders, stageRanks, microbatches } = schedule
  const { previous, next } = flowOf(schedule)
  const cells = stageRanks.length * microbatches
  const done = new Uint8Array(2 * cells)
  const position = new Int32Array(orders.length)
  const building = new Lists(schedule)
  const isReady = (code: number) => {
    const cell = code >> KIND_BITS
    const stage = Math.floor(cell / microbatches)
    const kind = code & 7
    if (kind === F) return (previous[stage] as number) < 0 || done[cell - microbatches] === 1
    if (kind === W) return done[cells + cell] === 1
    return done[cell] === 1 && ((next[stage] as number) < 0 || done[cells + cell + microbatches] === 1)
  }
  let left = orders.reduce((sum, order) => sum + order.length, 0)
  for (let progress = true; left > 0; ) {
    if (!progress) timeSchedule(schedule) // names the ranks that wait for each other
    progress = false
    for (const [rank, order] of orders.entries()) {
      const at = position[rank] as number
      if (at >= order.length) continue
      const codes = stepAt(order, at)
      if (!codes.every(isReady)) continue
      building.run(rank, codes)
      for (const code of codes) {
        const kind = code & 7
        if (kind === F) done[code >> KIND_BITS] = 1
        if (kind === I || kind === B) done[cells + (code >> KIND_BITS)] = 1
      }
      position[rank] = at + codes.length
      left -= codes.length
      progress = true
    }
  }
  return building.result()
}

function inTimeOrder(schedule: Schedule, costs: Costs): TransferLists {
  const { ends } = timeSchedule(schedule, costs)
  // Where actions cost nothing, ends alone do not say what depends on what; ends of equal costs do.
  const unit = timeSchedule(schedule).ends
  const moments: { rank: number; at: number; end: number; step: number }[] = []
  for (const [rank, order] of schedule.orders.entries()) {
    for (let at = 0; at < order.length; at += (order[at] as number) & OVERLAP ? 2 : 1) {
      moments.push({ rank, at, end: ends[rank]?.[at] as number, step: unit[rank]?.[at] as number })
    }
  }
  moments.sort((a, b) => a.end - b.end || a.step - b.step || a.rank - b.rank)
  const building = new Lists(schedule)
  for (const { rank, at } of moments) building.run(rank, stepAt(schedule.orders[rank] as Int32Array, at))
  return building.result()
}

/**
 * The lists that come first to mind: each receive just before the computation that needs it, each send just after the one
 * that makes it. Most schedules hang on them when sends block; {@link checkTransfers} shows where.
 */
export function programOrder(schedule: Schedule): TransferLists {
  const building = new Lists(schedule)
  for (const [rank, order] of schedule.orders.entries()) {
    const list = building.lists[rank] as number[]
    for (let at = 0; at < order.length; ) {
      const codes = stepAt(order, at)
      for (const code of codes) {
        const receive = building.receiveBefore(code)
        if (receive !== undefined) list.push(receive)
      }
      list.push(...codes)
      for (const code of codes) {
        const sent = building.sendAfter(code)
        if (sent) list.push(sent.send)
      }
      at += codes.length
    }
  }
  return building.result()
}

/**
 * Merges each input gradient that is followed at once by its own weight gradient into a full backward, as PyTorch does
 * before it runs an order.
 */
export function mergeBackwards(schedule: Schedule): Schedule {
  const orders = schedule.orders.map((order) => {
    const merged: number[] = []
    for (let at = 0; at < order.length; at++) {
      const code = order[at] as number
      const splits = (code & 7) === I && order[at + 1] === code - I + W && !((order[at - 1] ?? 0) & OVERLAP)
      merged.push(splits ? code - I + B : code)
      if (splits) at++
    }
    return Int32Array.from(merged)
  })
  return { ...schedule, orders }
}
