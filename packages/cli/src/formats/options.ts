import { InvalidArgumentError, Option } from 'commander'
import { ShardloomError, type UnrollAxis, unrollAxes } from 'shardloom'
import { parseRank, rankOption } from '../rank-option.js'
import { parseShard } from '../shard-option.js'
import type { Flags } from '../spec-flags.js'

/** `--part`: of serving, which program. */
export const partOption = new Option('--part <phase>', 'of serving, which phase is written').choices([
  'prefill',
  'decode',
])

/** `--rank r`. */
export const shownRank = rankOption().default(undefined, '0, or all stages of a pipeline')

/** `--unroll axis,...`. */
export const unrollOption = new Option('--unroll <axes>', `any of ${unrollAxes.join(',')}`).argParser(parseUnroll)

/** `--limit n`. */
export const limitOption = new Option(
  '--limit <nodes>',
  'nodes beyond which a coarser picture is drawn, and graphml refuses',
).argParser(parseLimit)

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

/** What `--ranks` says, all ranks where it says nothing. Throws `RANK` for one that the mesh does not have. */
export function ranksOf(flags: Flags, world: number): readonly [first: number, last: number] {
  const [from, to] = (flags.ranks as [number, number] | undefined) ?? [0, world - 1] // parseRanks
  if (to < world) return [from, to]
  throw new ShardloomError('RANK', `There is no rank ${to}: the mesh has ${world}.`, {
    subject: '--ranks',
    help: `Use ranks up to ${world - 1}.`,
  })
}

function parseUnroll(text: string): UnrollAxis[] {
  return text.split(',').map((name) => {
    const axis = unrollAxes.find((each) => each === name.trim())
    if (axis) return axis
    throw new InvalidArgumentError(`Allowed are ${unrollAxes.join(', ')}, joined by commas.`)
  })
}

function parseLimit(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('A limit is a whole number from 1 to 999999999.')
}
