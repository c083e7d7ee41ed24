import { F, I, KIND_BITS, W } from '../action.js'
import { foldedRanks, type Schedule } from '../schedule.js'

const period = 6

/**
 * V-Half and V-Min (Qi et al. 2024, "Pipeline Parallelism with Controllable Memory"): a V of 2p stages whose building
 * block repeats every six slots and holds half, or a third, of the activations of 1F1B. The block is unrolled once per
 * microbatch, weight gradients take the free slots first in, first out. In that order each action then goes to the
 * earliest free moment that its dependencies and the rank's peak in the unrolled pattern allow.
 */
export function controllableMemory(name: 'vhalf' | 'vmin', p: number, m: number): Schedule {
  const lanes = Array.from({ length: p }, (_, rank) => new Lane(blockOf(name, p, rank), rank, p, m))
  const done = new Int32Array(4 * p * m).fill(-1)
  for (let slot = 0, left = p; left > 0; slot++) {
    for (const lane of lanes) if (lane.left > 0 && lane.placeSlot(slot, done) === 0) left--
  }
  const orders = lanes.map((lane) => lane.order())
  return { name, ranks: p, microbatches: m, virtual: 2, directions: 1, stageRanks: foldedRanks(p), orders }
}

/** The slots of F of chunk 0, F of chunk 1, I of chunk 1 and I of chunk 0 on a rank, as the authors' code has them. */
function blockOf(name: 'vhalf' | 'vmin', p: number, rank: number): readonly number[] {
  if (name === 'vmin') {
    const extra = p % 3 === 0 ? 2 : 0
    return [rank, 2 * p - rank - 1, 2 * p + extra + rank, 4 * p + extra - rank - 1]
  }
  const extra = p % 2 === 0 ? 3 : 0
  return [2 * rank, 3 * p - rank - 2, 3 * p + extra + 2 * rank - 1, 6 * p + extra - rank - 2]
}

/** One rank: its unrolled pattern, and the moments to which its actions have gone so far. */
class Lane {
  /** How many forwards and input gradients of the pattern have no moment yet. */
  left: number
  readonly #block: readonly number[]
  /** Which of the block's four actions the slots of one period hold, −1 for none. */
  readonly #phase = new Int32Array(period).fill(-1)
  readonly #stages: readonly number[]
  readonly #m: number
  readonly #cells: number
  readonly #peak: number
  /** The packed action of each moment, −1 for none, and the activations held after it. */
  #taken: Int32Array
  #held: Int32Array
  #end = -1
  /** Weight gradients that are due, as cells, first in, first out. */
  readonly #due: Int32Array
  #dueCount = 0
  #weights = 0
  #forwards = 0

  constructor(block: readonly number[], rank: number, p: number, m: number) {
    this.#block = block
    for (const [index, slot] of block.entries()) this.#phase[slot % period] = index
    const far = 2 * p - 1 - rank
    this.#stages = [rank, far, far, rank]
    this.#m = m
    this.#cells = 2 * p * m
    this.left = 4 * m
    this.#due = new Int32Array(2 * m)
    this.#taken = new Int32Array(period * (m + 2 * p)).fill(-1)
    this.#held = new Int32Array(this.#taken.length)
    this.#peak = this.#patternPeak()
  }

  /** The most activations that the unrolled pattern holds, from F until W. */
  #patternPeak(): number {
    let held = 0
    let due = 0
    let peak = 0
    for (let slot = 0, left = 4 * this.#m; left > 0; slot++) {
      const index = this.#actionAt(slot)
      if (index < 0) {
        if (due > 0) {
          due--
          held--
        }
        continue
      }
      left--
      if (index > 1) due++
      else peak = Math.max(peak, ++held)
    }
    return peak
  }

  /** Which of the block's actions stands in a slot of the unrolled pattern, or −1. */
  #actionAt(slot: number): number {
    const index = this.#phase[slot % period] as number
    if (index < 0) return -1
    const first = this.#block[index] as number
    return slot >= first && (slot - first) / period < this.#m ? index : -1
  }

  /** Gives a moment to what the pattern has in `slot`; returns how many forwards and input gradients are left. */
  placeSlot(slot: number, done: Int32Array): number {
    const index = this.#actionAt(slot)
    if (index < 0) {
      // Once no forward is left nothing waits for memory, and input gradients go first.
      if (this.#weights < this.#dueCount && this.#forwards < 2 * this.#m) this.#placeWeight(done)
      return this.left
    }
    const microbatch = (slot - (this.#block[index] as number)) / period
    const cell = (this.#stages[index] as number) * this.#m + microbatch
    if (index < 2) {
      this.#forwards++
      done[cell] = this.#place(F, cell, cell < this.#m ? 0 : (done[cell - this.#m] as number) + 1)
    } else {
      const after = cell >= this.#cells - this.#m ? -1 : (done[this.#cells + cell + this.#m] as number)
      done[this.#cells + cell] = this.#place(I, cell, Math.max(done[cell] as number, after) + 1)
      this.#due[this.#dueCount++] = cell
    }
    if (--this.left === 0) while (this.#weights < this.#dueCount) this.#placeWeight(done)
    return this.left
  }

  #placeWeight(done: Int32Array): void {
    const cell = this.#due[this.#weights++] as number
    this.#place(W, cell, (done[this.#cells + cell] as number) + 1)
  }

  /** Takes the first free moment from `earliest` on; a forward also waits for the last moment that is full. */
  #place(kind: number, cell: number, earliest: number): number {
    let moment = earliest
    if (kind === F) {
      let full = this.#end
      while (full >= moment && (this.#held[full] as number) < this.#peak) full--
      moment = Math.max(moment, full + 1)
    }
    while (moment < this.#taken.length && (this.#taken[moment] as number) >= 0) moment++
    if (moment >= this.#taken.length) this.#grow(moment)
    this.#taken[moment] = (cell << KIND_BITS) | kind
    while (this.#end < moment) {
      this.#end++
      this.#held[this.#end] = this.#end > 0 ? (this.#held[this.#end - 1] as number) : 0
    }
    const change = kind === F ? 1 : kind === W ? -1 : 0
    if (change !== 0) for (let at = moment; at <= this.#end; at++) this.#held[at] = (this.#held[at] as number) + change
    return moment
  }

  #grow(moment: number): void {
    const taken = new Int32Array(2 * moment + 1).fill(-1)
    const held = new Int32Array(taken.length)
    taken.set(this.#taken)
    held.set(this.#held)
    this.#taken = taken
    this.#held = held
  }

  order(): Int32Array {
    return this.#taken.filter((code) => code >= 0)
  }
}
