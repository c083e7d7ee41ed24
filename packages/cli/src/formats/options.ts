import { InvalidArgumentError, Option } from 'commander'
import { parseRank } from '../rank-option.js'
import { parseShard } from '../shard-option.js'

/** `--part`: of serving, which program. */
export const partOption = new Option('--part <phase>', 'of serving, which phase is written').choices([
  'prefill',
  'decode',
])

/** `--ranks a..b`. */
export const ranksOption = new Option(
  '--ranks <a..b>',
  'the ranks that --unroll rank draws, or chakra writes, both included',
).argParser(parseRanks)

/** `--shard i/n`. */
export const shardOption = new Option('--shard <i/n>', 'part i of n of the ranks, counted from 1').argParser(parseShard)

function parseRanks(text: string): [number, number] {
  const [first = '', last = '', ...rest] = text.split('..')
  const ranks: [number, number] = [parseRank(first), parseRank(last || first)]
  if (rest.length === 0 && ranks[0] <= ranks[1]) return ranks
  throw new InvalidArgumentError('Write two ranks such as 0..3, the smaller first.')
}
