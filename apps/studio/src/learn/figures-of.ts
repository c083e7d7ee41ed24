import type { Measured } from './lesson.js'

/** Bytes that rank 0 sends in a step in collectives over an axis, or over the parts of one. */
export function sentBytes({ summary }: Measured, axis: string): number {
  return summary.communication
    .filter(({ axes }) => axes.some((each) => each === axis || each.startsWith(`${axis}.`)))
    .reduce((sum, { count, bytesPerRank }) => sum + count * bytesPerRank, 0)
}

/** Bytes that rank 0 sends in a step in operations of one kind. */
export function sentBy({ summary }: Measured, op: string): number {
  return summary.communication
    .filter((row) => row.op === op)
    .reduce((sum, { count, bytesPerRank }) => sum + count * bytesPerRank, 0)
}

/** Executions of an operation on rank 0 in a step. */
export function timesOf({ summary }: Measured, op: string): number {
  return summary.communication.filter((row) => row.op === op).reduce((sum, { count }) => sum + count, 0)
}

/** Seconds of a step in which nothing is computed because communication over an axis, or parts of one, has not ended. */
export function exposedSeconds({ figures }: Measured, axis: string): number {
  return Object.entries(figures.exposedCommunicationSeconds)
    .filter(([each]) => each === axis || each.startsWith(`${axis}.`))
    .reduce((sum, [, seconds]) => sum + seconds, 0)
}

/** The parts of memory at the peak of the stage that holds most. Bytes. */
export function partsAtPeak({ figures }: Measured) {
  const [first, ...others] = figures.memory.perStage
  if (!first) throw new Error('internal error: a step without a stage')
  return others.reduce((most, each) => (each.peakBytes > most.peakBytes ? each : most), first).parts
}

/** The most that any stage keeps of activations. Bytes. */
export function activationBytes({ figures }: Measured): number {
  return Math.max(...figures.memory.perStage.map(({ most }) => most.activations))
}

/** Bytes that rank 0 reads in a step, weights and KV cache among them. */
export function readBytes({ summary }: Measured): number {
  return summary.perRank.bytesRead
}

/** Whether two quantities are the same within a share of the second. */
export function near(value: number, other: number, share = 0.03): boolean {
  return Math.abs(value - other) <= share * Math.abs(other)
}
