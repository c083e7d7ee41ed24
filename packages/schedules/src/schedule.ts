import { type Action, KIND_BITS, OVERLAP, type Step, unpackAction } from './action.js'

/**
 * A pipeline schedule: for each of p ranks the order of its actions. It says nothing of time; `timeSchedule` does.
 *
 * A stage belongs to one rank. In a schedule of two directions (DualPipe) the first half of the stages is the model from
 * its first position to its last for the first half of the microbatches, and the second half of the stages is the same
 * model again for the other microbatches, so that every position lies on two ranks.
 */
export interface Schedule {
  readonly name: string
  /** p: how many ranks the pipeline has. */
  readonly ranks: number
  /** m: how many microbatches a step has, of both directions together. */
  readonly microbatches: number
  /** v: how many stages the rank with most stages holds. */
  readonly virtual: number
  /** How many directions microbatches flow in: 2 in DualPipe, where each stage sees half of the microbatches. */
  readonly directions: 1 | 2
  /** The rank of each stage. */
  readonly stageRanks: Int32Array
  /**
   * Per rank its actions in order, packed: `(stage · m + microbatch) · 16 + kind`, the kinds being F 0, I 1, W 2, B 3,
   * SEND_F 4, RECV_F 5, SEND_B 6, RECV_B 7; 8 is added to a forward that overlaps with the backward after it.
   * {@link stepsOf} reads them as objects.
   */
  readonly orders: readonly Int32Array[]
}

/** How stages lie on ranks: looped (chunk c of rank r is stage c·p + r), V-shaped (r and 2p − 1 − r), or as a CSV says. */
export function loopedRanks(ranks: number, virtual: number): Int32Array {
  return Int32Array.from({ length: ranks * virtual }, (_, stage) => stage % ranks)
}

/** The V shape: rank r holds the stages r and 2p − 1 − r. */
export function foldedRanks(ranks: number): Int32Array {
  return Int32Array.from({ length: 2 * ranks }, (_, stage) => Math.min(stage, 2 * ranks - 1 - stage))
}

/** The actions of one rank as objects. Each call makes new ones. */
export function stepsOf(schedule: Pick<Schedule, 'orders' | 'microbatches'>, rank: number): Step[] {
  const { orders, microbatches } = schedule
  const order = orders[rank] ?? new Int32Array()
  const steps: Step[] = []
  for (let index = 0; index < order.length; index++) {
    const code = order[index] ?? 0
    const action = unpackAction(code, microbatches)
    if (code & OVERLAP) {
      // A packed overlapping action is an F, and what follows it is its B or I: every maker of orders keeps to that.
      const forward = action as Action<'F'>
      const backward = unpackAction(order[++index] ?? 0, microbatches) as Action<'B' | 'I'>
      steps.push({ kind: 'OVERLAP_F_B', forward, backward })
    } else {
      steps.push(action)
    }
  }
  return steps
}

/** Where a stage stands in the flow of its microbatches: the stages before and after it, −1 at either end. */
export interface Flow {
  readonly previous: Int32Array
  readonly next: Int32Array
  /** The first and the number of microbatches that each stage sees. */
  readonly firstMicrobatch: Int32Array
  readonly perStage: number
}

/** The neighbours of every stage. */
export function flowOf(schedule: Pick<Schedule, 'stageRanks' | 'directions' | 'microbatches'>): Flow {
  const stages = schedule.stageRanks.length
  const positions = stages / schedule.directions
  const perStage = schedule.microbatches / schedule.directions
  return {
    previous: Int32Array.from({ length: stages }, (_, stage) => (stage % positions === 0 ? -1 : stage - 1)),
    next: Int32Array.from({ length: stages }, (_, stage) => (stage % positions === positions - 1 ? -1 : stage + 1)),
    firstMicrobatch: Int32Array.from({ length: stages }, (_, stage) => Math.floor(stage / positions) * perStage),
    perStage,
  }
}

/** Appends packed actions to an order whose greatest length is known. */
export class OrderWriter {
  readonly #codes: Int32Array
  readonly #microbatches: number
  #length = 0

  constructor(capacity: number, microbatches: number) {
    this.#codes = new Int32Array(capacity)
    this.#microbatches = microbatches
  }

  /** Appends one action; `kind` is a number of `action.ts`, with OVERLAP when the next action overlaps with it. */
  add(kind: number, stage: number, microbatch: number): void {
    this.#codes[this.#length++] = ((stage * this.#microbatches + microbatch) << KIND_BITS) | kind
  }

  /** What was appended. */
  order(): Int32Array {
    return this.#codes.slice(0, this.#length)
  }
}
