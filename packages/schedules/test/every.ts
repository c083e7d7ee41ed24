import { makeSchedule, type Schedule, scheduleNames } from '@shardloom/schedules'

/** One schedule of every name for p ranks and m microbatches, p and m even and m ≥ 2p. */
export function everySchedule(ranks: number, microbatches: number): Schedule[] {
  return scheduleNames().map((name) => makeSchedule(name, { ranks, microbatches }))
}

/** The largest of some numbers. */
export const most = (values: readonly number[]) => Math.max(...values)

/** What a function throws, or undefined. */
export function thrown(
  run: () => unknown,
): { code?: string; message: string; help?: string; name: string } | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return error as { code?: string; message: string; name: string }
  }
}
