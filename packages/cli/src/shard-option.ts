import { InvalidArgumentError } from 'commander'

/** Part `index` of `count` of what is to be done, counted from 0, as array jobs of SLURM and Kubernetes number theirs. */
export interface Shard {
  readonly index: number
  readonly count: number
}

/** `0/4`. */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,7})\/(\d{1,7})$/.exec(text) ?? []
  if (index !== undefined && Number(index) < Number(count)) return { index: Number(index), count: Number(count) }
  throw new InvalidArgumentError('Write a part and how many there are, counted from 0: 0/4 to 3/4.')
}
