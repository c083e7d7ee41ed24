import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { chakraTraces } from '@shardloom/exporters/chakra'
import { InvalidArgumentError } from 'commander'
import { clusterOf, formatBytes, type LoadedSpec, machineOfSpec, type Plan, ShardloomError } from 'shardloom'
import type { Io } from './io.js'
import { UsageError } from './report-error.js'
import { writeWhole } from './write-file.js'

/** Which traces are written, and what is in them. */
export interface ChakraRequest {
  /** Files are `<out>.<rank>.et`, and the communicators `<out>.groups.json`. */
  readonly out: string
  readonly ranks: readonly [first: number, last: number] | undefined
  readonly shard: Shard | undefined
  readonly memory: boolean
  readonly scheduleAsData: boolean
}

/** Part `index` of `count` of the ranks, counted from 0. */
export interface Shard {
  readonly index: number
  readonly count: number
}

/** What was written. */
export interface ChakraReport {
  readonly files: number
  readonly bytes: number
  readonly ranks: readonly [first: number, last: number]
}

/**
 * Writes the execution traces of a plan, one file for each rank, and with the first of them the communicators. Throws `OUTPUT`, and
 * `CHAKRA` for plans that traces cannot hold.
 */
export async function writeChakra(io: Io, plan: Plan, loaded: LoadedSpec, request: ChakraRequest): Promise<ChakraReport> {
  const { out, memory, scheduleAsData } = request
  if (out === '-')
    throw new UsageError('Chakra traces are one file for each rank.', 'Say where: `--out traces/llama` writes traces/llama.0.et and so on.')
  const { program, operators } = plan
  const machine = plan.cluster && machineOfSpec(loaded, plan)
  const traces = chakraTraces(program, operators, { memory, scheduleAsData, ...(machine && { machine }) })
  const [first, last] = ranksOf(request, traces.world)
  let bytes = 0
  const write = (path: string, parts: Iterable<Uint8Array | string>) =>
    writeWhole(io, path, async (stream) => {
      for (const part of parts) {
        bytes += part.length
        await put(stream, part)
      }
    })
  for (let rank = first; rank <= last; rank++) await write(`${out}.${rank}.et`, traces.trace(rank))
  if (first === 0) await write(`${out}.groups.json`, traces.groups())
  return { files: last - first + 1 + (first === 0 ? 1 : 0), bytes, ranks: [first, last] }
}

async function put(stream: Writable, part: Uint8Array | string): Promise<void> {
  if (!stream.write(part)) await once(stream, 'drain')
}

/** The ranks that are asked for: a range, or a share of all. */
function ranksOf({ ranks, shard }: ChakraRequest, world: number): readonly [number, number] {
  const [from, to] = ranks ?? [0, world - 1]
  if (to >= world)
    throw new ShardloomError('RANK', `There is no rank ${to}: the mesh has ${world}.`, {
      subject: '--ranks',
      help: `Use ranks up to ${world - 1}.`,
    })
  if (!shard) return [from, to]
  const size = to - from + 1
  const at = (index: number) => from + Math.floor((size * index) / shard.count)
  const [first, next] = [at(shard.index), at(shard.index + 1)]
  if (first < next) return [first, next - 1]
  throw new UsageError(`Part ${shard.index} of ${shard.count} has no rank: there are ${size}.`, 'Use fewer parts.')
}

/** `0/4`. */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,7})\/(\d{1,7})$/.exec(text) ?? []
  if (index !== undefined && Number(index) < Number(count)) return { index: Number(index), count: Number(count) }
  throw new InvalidArgumentError('Write a part and how many there are, counted from 0: 0/4 to 3/4.')
}

/** The line that says what was written. */
export const chakraLine = ({ files, bytes, ranks: [first, last] }: ChakraReport, out: string) =>
  `${files} files, ${formatBytes(bytes)}: ranks ${first} to ${last} as ${out}.<rank>.et`
