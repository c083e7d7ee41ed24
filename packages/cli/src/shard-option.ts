import { InvalidArgumentError } from 'commander'

/** Part `index` of `count` of what is to be done, counted from 1. */
export interface Shard {
  readonly index: number
  readonly count: number
}

/** `1/4`. */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,7})\/(\d{1,7})$/.exec(text) ?? []
  const shard = { index: Number(index), count: Number(count) }
  if (shard.index >= 1 && shard.index <= shard.count) return shard
  throw new InvalidArgumentError('Write a part and how many there are, counted from 1: 1/4 to 4/4.')
}
