import { once } from 'node:events'
import { type Command, InvalidArgumentError } from 'commander'
import {
  chromeTrace,
  clusterNames,
  engines,
  formatBytes,
  formatCounted,
  type LoadedSpec,
  type Simulation,
  servingEngineNames,
  servingSimulationWork,
  simulateLoaded,
  simulationSummaryWork,
  summariseServingSimulation,
} from 'shardloom'
import type { Call, Io } from './io.js'
import { printJson, printLines, printNote, printWarnings, withProgress } from './output.js'
import { UsageError } from './report-error.js'
import { servingHelp } from './serving-help.js'
import { servingSimulationLines } from './serving-lines.js'
import { simulationLines } from './simulation-lines.js'
import { addSpecFlags, type Flags, loadFrom, phaseFlags } from './spec-flags.js'
import { wrapped } from './table.js'
import { checkWritable, writeWhole } from './write-file.js'

/** `shardloom simulate`: one step of a plan in time, on a cluster. */
export function addSimulate(program: Command, { io }: Call): void {
  const command = program
    .command('simulate [spec]')
    .description('Run one step of a plan in time on a cluster, and say what it waits for.')
    .option('--json', 'print one JSON document (shardloom.simulate/1)')
    .option('--slowdown <rank=factor...>', 'ranks that compute slower than the others, such as 5=1.3', slowdownOf)
    .option('--what-if', 'simulate again with one change at a time')
    .option('--trace <path>', 'write the timeline, every event, for Perfetto or chrome://tracing')
    .addHelpText('after', () =>
      [
        ...known('Clusters for --cluster (or a file, or an object)', clusterNames()),
        ...known('Engines for --engine (one step)', Object.keys(engines)),
        ...known('Engines for --serving-engine (the phase serving)', servingEngineNames()),
        ...servingHelp(),
        '\nExample:\n  shardloom simulate --model llama-3.1-8b --cluster dgx-h100 --tp 8 --batch 8',
      ].join('\n'),
    )
    .action(async (specPath: string | undefined, flags: Flags) => {
      const loaded = await loadFrom(io, specPath, flags)
      if (loaded.spec.phase === 'serving') return serve(io, loaded, flags)
      if (typeof flags.trace === 'string') await checkWritable(io, flags.trace)
      const { slowdown } = flags as { readonly slowdown?: Record<number, number> } // slowdownOf
      const simulation = simulateLoaded(loaded, slowdown && { engine: { slowdown } })
      if (typeof flags.trace === 'string') {
        if (flags.trace !== '-') announce(io, flags.trace, simulation.timeline.graph.nodeCount)
        const size = await writeTrace(io, flags.trace, simulation)
        if (flags.trace !== '-') printNote(io, traceNote(flags.trace, size))
      }
      if (flags.trace === '-') return
      const summary = await withProgress(io, simulationSummaryWork(simulation, { whatIf: flags.whatIf === true }))
      if (flags.json === true) return printJson(io, summary)
      const assumed = summary.conventions.fitted ? [] : [`kernels are timed with ${summary.conventions.constants}`]
      printWarnings(io, [...summary.warnings, ...assumed])
      printLines(io, (style) => simulationLines(summary, style))
    })
  addSpecFlags(command)
}

/** How large a trace is. */
interface TraceSize {
  readonly events: number
  readonly bytes: number
}

async function writeTrace(io: Io, path: string, { timeline, timed, memory }: Simulation): Promise<TraceSize> {
  let [lines, bytes] = [0, 0]
  await writeWhole(io, path, async (stream) => {
    for (const chunk of chromeTrace(timeline, timed.program, { memory })) {
      lines += chunk.split('\n').length - 1
      bytes += Buffer.byteLength(chunk)
      if (!stream.write(chunk)) await once(stream, 'drain')
    }
  })
  // Each event has a line, after the first and before the last.
  return { events: lines - 2, bytes }
}

/** Bytes from which on a trace is slow to open. */
const largeTrace = 100e6

/** Bytes of a node of the unrolled graph in a trace, in the mean of large ones: its event, and its share of transfers and memory. */
const bytesPerNode = 250

/** Says of a trace that takes a while to write about how large it becomes. */
function announce(io: Io, path: string, nodes: number): void {
  if (nodes * bytesPerNode < largeTrace) return
  printNote(io, `writing ${path}: about ${formatBytes(Number((nodes * bytesPerNode).toPrecision(1)))}`)
}

/** What a trace has, and where it is large how to get a smaller one. */
export function traceNote(path: string, { events, bytes }: TraceSize): string {
  const has = `${path} has the timeline, ${formatCounted(events, 'event')} in ${formatBytes(bytes)}: open it in ui.perfetto.dev or chrome://tracing`
  if (bytes < largeTrace) return has
  return `${has}. A smaller --batch, of some microbatches more than stages, shows the same in less; \`--trace - | gzip\` packs it for ui.perfetto.dev`
}

/** A heading and names below it, for the help. */
function known(heading: string, names: readonly string[]): string[] {
  return [`\n${heading}:`, ...wrapped(`${names.join(', ')}.`, 2)]
}

/** `5=1.3`, added to what came before it. */
function slowdownOf(text: string, before: Readonly<Record<number, number>> = {}): Record<number, number> {
  const [, rank, factor] = /^(\d+)=(\d+(?:\.\d+)?)$/.exec(text) ?? []
  if (rank === undefined || factor === undefined)
    throw new InvalidArgumentError('Give a rank and how many times as long it computes, such as 5=1.3.')
  if (Number(factor) === 1)
    throw new InvalidArgumentError(`Rank ${rank} at a factor of 1 is as fast as the others: nothing changes.`)
  if (Object.hasOwn(before, Number(rank)))
    throw new InvalidArgumentError(
      `Rank ${rank} has a factor already, ${before[Number(rank)]}: give one for each rank.`,
    )
  return { ...before, [Number(rank)]: Number(factor) }
}

/** Serves the load of a spec and prints what clients see. */
async function serve(io: Io, loaded: LoadedSpec, flags: Flags): Promise<void> {
  for (const flag of ['trace', 'whatIf', 'slowdown'] as const) {
    if (flags[flag] === undefined) continue
    const name = { trace: '--trace', whatIf: '--what-if', slowdown: '--slowdown' }[flag]
    throw new UsageError(
      `${name} shows one step, and serving is many.`,
      `Leave it out, or simulate one phase: ${phaseFlags}.`,
    )
  }
  const found = summariseServingSimulation(await withProgress(io, servingSimulationWork(loaded)))
  const summary = { ...found, warnings: [...(loaded.warnings ?? []), ...found.warnings] }
  if (flags.json === true) return printJson(io, summary)
  printWarnings(io, summary.warnings)
  printLines(io, (style) => servingSimulationLines(summary, style))
}
