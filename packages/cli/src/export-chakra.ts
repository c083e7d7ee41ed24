import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { formatBytes, type LoadedSpec, type Plan, ShardloomError } from 'shardloom'
import { traceLoaded } from 'shardloom/chakra'
import type { Io } from './io.js'
import { UsageError } from './report-error.js'
import type { Shard } from './shard-option.js'
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

const outHelp = 'Say where: `--out traces/llama` writes traces/llama.0.et and so on.'

/** What was written. */
export interface ChakraReport {
  readonly plan: Plan
  readonly files: number
  readonly bytes: number
  readonly ranks: readonly [first: number, last: number]
}

/**
 * Writes the execution traces of a plan, one file for each rank, and with the first of them the communicators. Throws `OUTPUT`, and
 * `CHAKRA` for plans that traces cannot hold.
 */
export async function writeChakra(io: Io, loaded: LoadedSpec, request: ChakraRequest): Promise<ChakraReport> {
  const { out, memory, scheduleAsData } = request
  if (out === '-') throw new UsageError('Chakra traces are one file for each rank.', outHelp)
  const traces = traceLoaded(loaded, { memory, scheduleAsData })
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
  return { plan: traces.plan, files: last - first + 1 + (first === 0 ? 1 : 0), bytes, ranks: [first, last] }
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

/** The line that says what was written. */
export const chakraLine = ({ files, bytes, ranks: [first, last] }: Omit<ChakraReport, 'plan'>, out: string) =>
  `${files} files, ${formatBytes(bytes)}: ranks ${first} to ${last} as ${out}.<rank>.et`
