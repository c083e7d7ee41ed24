import { availableParallelism } from 'node:os'
import { InvalidArgumentError } from 'commander'

/** How many threads work unless the user says otherwise: one for each processor that this process may use. */
export const defaultWorkers: number = availableParallelism()

/** `4`: how many threads work. */
export function parseWorkers(text: string): number {
  const workers = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (workers >= 1) return workers
  throw new InvalidArgumentError('Give a number of threads, 1 or more; 1 works without threads of its own.')
}
