import { Option } from 'commander'
import { formatBytes, isShardloomError, ShardloomError } from 'shardloom'
import type { ChakraTraces } from 'shardloom/chakra'
import { UsageError } from '../report-error.js'
import type { Shard } from '../shard-option.js'
import { type Flags, loadFrom, phaseFlags } from '../spec-flags.js'
import { writeWhole } from '../write-file.js'
import { type ExportFormat, type FormatCall, writeChunks } from './format.js'
import { ranksOf, ranksOption, shardOption } from './options.js'

/** Files that are written without being asked for by their ranks. */
const mostFiles = 65_536

/**
 * Execution traces, one file for each rank, `<out>.<rank>.et`, and with rank 0 the communicators, `<out>.groups.json`. Throws
 * `OUTPUT`, `CHAKRA` for plans that traces cannot hold, and `CHAKRA_SIZE` for more files than anybody means.
 */
export const chakra: ExportFormat = {
  title: 'Chakra traces',
  options: [
    ranksOption,
    shardOption,
    new Option('--memory-nodes', 'chakra: write memory nodes; without, they become dependencies'),
    new Option('--schedule-as-data', 'chakra: order of the schedule among data dependencies too'),
  ],
  help: `
Of chakra, --out NAME writes NAME.<rank>.et for each rank, and with rank 0
the communicators, NAME.groups.json.`,
  make: async (call) => {
    const { io, specPath, flags, out } = call
    if (out === '-')
      throw new UsageError(
        'Chakra traces are one file for each rank.',
        'Say where: `--out traces/llama` writes traces/llama.0.et and so on.',
      )
    const loaded = await loadFrom(io, specPath, flags)
    if (loaded.spec.phase === 'serving') throw new UsageError('Serving is two programs.', `Choose one: ${phaseFlags}.`)
    const { traceLoaded } = await import('shardloom/chakra') // its protobuf library is loaded only for this
    const traces = traceLoaded(loaded, {
      memory: flags.memoryNodes === true,
      scheduleAsData: flags.scheduleAsData === true,
    })
    refuseMany(flags, traces)
    const ranks = chosenRanks(flags, traces.world)
    const { files, bytes } = await writeTraces(call, traces, ranks)
    const notice = `${files} files, ${formatBytes(bytes)}: ranks ${ranks[0]} to ${ranks[1]} as ${out}.<rank>.et`
    return { warnings: traces.plan.warnings, notice, report: { files, bytes, ranks } }
  },
}

type Ranks = readonly [first: number, last: number]

async function writeTraces({ io, out }: FormatCall, traces: ChakraTraces, [first, last]: Ranks) {
  const written = { files: 0, bytes: 0 }
  const write = (path: string, parts: Iterable<Uint8Array | string>) => {
    written.files++
    return writeWhole(io, path, (stream) => writeChunks(stream, counted(parts)))
  }
  function* counted(parts: Iterable<Uint8Array | string>) {
    for (const part of parts) {
      written.bytes += part.length
      yield part
    }
  }
  for (let rank = first; rank <= last; rank++) {
    await write(`${out}.${rank}.et`, traces.trace(rank)).catch((cause) => {
      if (!isShardloomError(cause) || rank === first) throw cause
      const { code, message, subject = out } = cause
      const help = `The ranks ${first} to ${rank - 1} are written and complete; the rest is \`--ranks ${rank}..${last}\`.`
      throw new ShardloomError(code, message, { subject, help, cause })
    })
  }
  if (first === 0) await write(`${out}.groups.json`, traces.groups())
  return written
}

/** The ranks that are asked for: a range, or a share of all. */
function chosenRanks(flags: Flags, world: number): Ranks {
  const [from, to] = ranksOf(flags, world)
  const shard = flags.shard as Shard | undefined // parseShard
  if (!shard) return [from, to]
  const size = to - from + 1
  const at = (parts: number) => from + Math.floor((size * parts) / shard.count)
  const [first, next] = [at(shard.index - 1), at(shard.index)]
  if (first < next) return [first, next - 1]
  throw new UsageError(`Part ${shard.index} of ${shard.count} has no rank: there are ${size}.`, 'Use fewer parts.')
}

/** Refuses to fill a disk unasked: nobody means that many files who does not say which. Throws `CHAKRA_SIZE`. */
function refuseMany(flags: Flags, traces: ChakraTraces): void {
  const { world } = traces
  if (world <= mostFiles || flags.ranks !== undefined || flags.shard !== undefined) return
  let each = 0
  for (const part of traces.trace(0)) each += part.length
  const size = formatBytes(each * world)
  throw new ShardloomError('CHAKRA_SIZE', `Chakra traces would be ${world} files, about ${size}.`, {
    subject: '--ranks',
    help: `Choose some ranks, such as \`--ranks 0..7\`, or write a part, such as \`--shard 1/64\`; \`--ranks 0..${world - 1}\` writes all.`,
  })
}
