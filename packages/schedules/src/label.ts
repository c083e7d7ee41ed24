import { type Action, F, KIND_BITS, OVERLAP, unpackAction } from './action.js'
import type { Schedule } from './schedule.js'
import type { TimedSchedule } from './time.js'

/** What is drawn of one action, or of two that overlap. */
export interface Slice {
  /** `F5`, with a letter from b on for the further chunks of its rank (`F5b`); two that overlap have two. */
  readonly labels: readonly string[]
  readonly kinds: readonly number[]
  readonly actions: readonly Action[]
  readonly start: number
  readonly end: number
}

const letters = ['F', 'I', 'W', 'B']

/** What gives the slices of a rank of a timed schedule, in order. */
export function slicer(timed: TimedSchedule): (rank: number) => Slice[] {
  const suffixes = chunkSuffixes(timed.schedule)
  return (rank) => slicesOf(timed, rank, suffixes)
}

function slicesOf({ schedule, starts, ends }: TimedSchedule, rank: number, suffixes: readonly string[]): Slice[] {
  const order = schedule.orders[rank] as Int32Array
  const label = (code: number) => {
    const cell = code >> KIND_BITS
    const stage = Math.floor(cell / schedule.microbatches)
    return `${letters[code & 7]}${cell - stage * schedule.microbatches}${suffixes[stage]}`
  }
  const actionOf = (code: number) => unpackAction(code & ~OVERLAP, schedule.microbatches)
  const slices: Slice[] = []
  for (let at = 0; at < order.length; at++) {
    const code = order[at] as number
    const start = starts[rank]?.[at] as number
    const end = ends[rank]?.[at] as number
    if (code & OVERLAP) {
      const partner = order[++at] as number
      const actions = [actionOf(code), actionOf(partner)]
      slices.push({ labels: [label(code), label(partner)], kinds: [F, partner & 7], actions, start, end })
    } else {
      slices.push({ labels: [label(code)], kinds: [code & 7], actions: [actionOf(code)], start, end })
    }
  }
  return slices
}

/** Nothing for the first chunk of a rank, then b, c, … */
function chunkSuffixes({ stageRanks, ranks }: Schedule): string[] {
  const count = new Int32Array(ranks)
  return Array.from(stageRanks, (rank) => {
    const chunk = count[rank] as number
    count[rank] = chunk + 1
    return chunk === 0 ? '' : chunk < 26 ? String.fromCharCode(97 + chunk) : `.${chunk}`
  })
}

/** Which of the kinds F, I, W, B (as numbers) a schedule holds. */
export function kindsIn({ orders }: Schedule): Set<number> {
  const found = new Set<number>()
  for (const order of orders) for (const code of order) found.add(code & 7)
  return found
}

/** A time that is not negative: whole numbers as they are, others with three significant digits. */
export function figure(value: number): string {
  return String(Number.isInteger(value) && value < 1e6 ? value : Number(value.toPrecision(3)))
}

/** The share of all ranks' time in which they do not compute, of the whole makespan. */
export function idleShare({ idle, makespan, schedule }: TimedSchedule): number {
  const total = idle.global.reduce((sum, each) => sum + each, 0)
  return makespan > 0 ? total / (makespan * schedule.ranks) : 0
}
