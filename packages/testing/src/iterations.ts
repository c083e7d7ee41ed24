import type { Tensor } from '@shardloom/core'

/** The iteration of every region axis around a place. */
export type Iterations = ReadonlyMap<string, number>

/** Names the value of a tensor in an iteration. */
export function keyOf({ per, id }: Tensor, iterations: Iterations): string {
  let key = ''
  for (const axis of per) {
    const iteration = iterations.get(axis)
    if (iteration === undefined) throw new Error(`\`${id}\` has one value per ${axis}: say which`)
    key += `${iteration},`
  }
  return key
}

/** The iterations around a region over `axis`. */
export function withoutAxis(iterations: Iterations, axis: string): Iterations {
  return new Map([...iterations].filter(([each]) => each !== axis))
}
