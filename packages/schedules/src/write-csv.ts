import { formatStep, OVERLAP } from './action.js'
import { type Schedule, stepsOf } from './schedule.js'
import { simulate } from './simulate.js'
import type { TransferLists } from './transfers.js'

/** How a CSV is written. */
export interface WriteOptions {
  /** Leaves fields empty where a rank waits, every action being one field wide, so that columns are steps. */
  readonly idle?: boolean
}

/** Writes a schedule in PyTorch's form: one line per rank, one action per field. */
export function writeSchedule(schedule: Schedule, { idle = false }: WriteOptions = {}): string {
  if (!idle) return lines(schedule.orders.map((_, rank) => stepsOf(schedule, rank).map(formatStep)))
  const { starts } = simulate(schedule, { action: () => 1, pair: () => 1, send: 0 })
  return lines(
    schedule.orders.map((order, rank) => {
      const fields: string[] = []
      const steps = stepsOf(schedule, rank)
      let at = 0
      for (const step of steps) {
        while (fields.length < (starts[rank]?.[at] as number)) fields.push('')
        fields.push(formatStep(step))
        at += (order[at] as number) & OVERLAP ? 2 : 1
      }
      return fields
    }),
  )
}

/** Writes lists with their sends and receives in PyTorch's form. */
export function writeTransferLists({ schedule, lists }: TransferLists): string {
  const { microbatches } = schedule
  return lines(lists.map((_, rank) => stepsOf({ orders: lists, microbatches }, rank).map(formatStep)))
}

const lines = (rows: string[][]) => rows.map((fields) => `${fields.join(',')}\n`).join('')
