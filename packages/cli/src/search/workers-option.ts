import { availableParallelism } from 'node:os'
import { InvalidArgumentError } from 'commander'

/** How many threads work unless the user says otherwise: one for each processor that this process may use. */
export const defaultWorkers: number = availableParallelism()

/** Each thread finds out for itself what candidates share: more of them than processors only take longer. */
const mostWorkers = Math.max(16, 4 * defaultWorkers)

/** `4`: how many threads work. */
export function parseWorkers(text: string): number {
  const workers = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (workers > mostWorkers)
    throw new InvalidArgumentError(
      `This machine has ${defaultWorkers} processors, and each thread finds out for itself what all need: give at most ${mostWorkers}.`,
    )
  if (workers >= 1) return workers
  throw new InvalidArgumentError('Give a number of threads, 1 or more; 1 works without threads of its own.')
}
