import { once } from 'node:events'
import { type Command, InvalidArgumentError } from 'commander'
import {
  chromeTrace,
  cutMiddle,
  formatBytes,
  formatCount,
  formatQuantity,
  type SimulationSummary,
  simulateLoaded,
  summariseSimulation,
} from 'shardloom'
import { type Finish, printJson, printLines, printWarnings } from './output.js'
import { addSpecFlags, type Flags, loadFrom } from './spec-flags.js'
import { type Style, singleLine } from './style.js'
import { pairs, table, wrapped } from './table.js'
import { writeWhole } from './write-file.js'

/** `shardloom simulate`: one step of a plan in time, on a cluster. */
export function addSimulate(program: Command, _finish: Finish): void {
  const command = program
    .command('simulate [spec]')
    .description('Run one step of a plan in time on a cluster, and say what it waits for.')
    .option('--json', 'print one JSON document (shardloom.simulate/1)')
    .option('--slowdown <rank=factor...>', 'ranks that compute slower than the others, such as 5=1.3', slowdownOf)
    .option('--what-if', 'simulate again with one change at a time')
    .option('--trace <path>', 'write the timeline for Perfetto or chrome://tracing')
    .addHelpText('after', '\nExample:\n  shardloom simulate --model llama-3.1-8b --cluster dgx-h100 --tp 8 --batch 8')
    .action(async (specPath: string | undefined, flags: Flags) => {
      const { slowdown } = flags as { readonly slowdown?: Record<number, number> } // slowdownOf
      const simulation = simulateLoaded(await loadFrom(specPath, flags), slowdown && { engine: { slowdown } })
      if (typeof flags.trace === 'string') {
        const { timeline, timed, memory } = simulation
        await writeWhole(flags.trace, async (stream) => {
          for (const chunk of chromeTrace(timeline, timed.program.mesh, { memory }))
            if (!stream.write(chunk)) await once(stream, 'drain')
        })
      }
      if (flags.trace === '-') return
      const summary = summariseSimulation(simulation, { whatIf: flags.whatIf === true })
      if (flags.json === true) return printJson(summary)
      const assumed = summary.conventions.fitted ? [] : [`kernels are timed with ${summary.conventions.constants}`]
      printWarnings([...summary.warnings, ...assumed])
      printLines((style) => simulationLines(summary, style))
    })
  addSpecFlags(command)
}

/** `5=1.3`, added to what came before it. */
function slowdownOf(text: string, before: Readonly<Record<number, number>> = {}): Record<number, number> {
  const [, rank, factor] = /^(\d+)=(\d+(?:\.\d+)?)$/.exec(text) ?? []
  if (rank === undefined || factor === undefined)
    throw new InvalidArgumentError('Give a rank and how many times as long it computes, such as 5=1.3.')
  return { ...before, [rank]: Number(factor) }
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`
/** Seconds with three digits: `13.8 s`, `412 ms`, `38.1 µs`. */
function duration(seconds: number): string {
  if (seconds >= 1 || seconds === 0) return formatQuantity(seconds, 's')
  const [scaled, unit] = seconds >= 1e-3 ? [seconds * 1e3, 'ms'] : [seconds * 1e6, 'µs']
  return `${Number(scaled.toPrecision(3))}\u00a0${unit}`
}

/** The stage that holds most, what it holds, and whether it fits. */
function memoryText({ peakBytes, reserveBytes, capacityBytes, fits, perStage }: SimulationSummary['memory']): string[] {
  const fullest = perStage.find((stage) => stage.peakBytes === peakBytes)
  const parts = Object.entries(fullest?.parts ?? {}).filter(([, bytes]) => bytes > 0)
  const of = perStage.length > 1 ? ` on stage ${fullest?.stage}` : ''
  const verdict = fits ? 'fits' : 'does not fit'
  return [
    `${formatBytes(peakBytes)} at most${of}: ${verdict} in ${formatBytes(capacityBytes)} with ${formatBytes(reserveBytes)} kept free`,
    ...parts.sort(([, a], [, b]) => b - a).map(([name, bytes]) => `${name} ${formatBytes(bytes)}`),
  ]
}

/** How many nodes of the critical path are printed. */
const shownNodes = 8

function simulationLines(summary: SimulationSummary, style: Style): string[] {
  const { conventions, mapping, bubble, exposedCommunicationSeconds, stepSeconds, criticalPath, whatIf } = summary
  const exposed = Object.entries(exposedCommunicationSeconds).map(
    ([axis, seconds]) => `${axis} ${duration(seconds)} (${percent(seconds / stepSeconds)})`,
  )
  const hasBubble = summary.stages.length > 1
  const columns = [
    { header: 'share', align: 'right' },
    { header: 'in all', align: 'right' },
    { header: 'runs', align: 'right' },
    { header: 'node', align: 'left' },
  ] as const
  const rest = criticalPath.slice(shownNodes).reduce((sum, { share }) => sum + share, 0)
  const rows = criticalPath
    .slice(0, shownNodes)
    .map(({ node, count, seconds, share }) => [
      percent(share),
      duration(seconds),
      formatCount(count),
      cutMiddle(singleLine(node), 50),
    ])
  const lines = [
    style.bold(
      `${singleLine(summary.model)} · ${summary.phase} on ${formatCount(summary.world)} × ${conventions.accelerator}`,
    ),
    ...pairs([
      ['cluster', singleLine(conventions.cluster)],
      ...mapping.map(({ text }, index): [string, string] => [index === 0 ? 'links' : '', singleLine(text)]),
      ['conventions', `attention ${conventions.attention}, causal FLOPs ${conventions.causal}, ${conventions.dtype}`],
    ]),
    '',
    style.bold('One step'),
    ...pairs([
      ['time', duration(stepSeconds)],
      [
        'tokens',
        `${formatQuantity(Math.round(summary.tokensPerSecond), '')}/s, ${formatQuantity(Math.round(summary.tokensPerSecondPerRank), '')}/s per rank`,
      ],
      [
        'MFU',
        `${percent(summary.mfu)}${summary.hfu > summary.mfu ? `, HFU ${percent(summary.hfu)} with what is computed again` : ''}`,
      ],
      ...(hasBubble
        ? [
            [
              'bubble',
              `${percent(bubble.global)} of the step, ${percent(bubble.ownSpan)} inside of a stage's own span`,
            ] as [string, string],
          ]
        : []),
      ['exposed', exposed.length > 0 ? exposed : 'no communication'],
      ['memory', memoryText(summary.memory)],
      ...(summary.energyJoules === undefined
        ? []
        : [['energy', `${formatQuantity(summary.energyJoules, 'J')} at rated power`] as [string, string]]),
    ]),
    '',
    style.bold('Critical path'),
    ...table(columns, rows, style),
    ...(rest > 0 ? [style.dim(`  and ${percent(rest)} in shorter parts`)] : []),
  ]
  const changes = whatIf.map(({ change, stepSeconds: other }) => {
    const difference = other / stepSeconds - 1
    return `${change}: ${duration(other)} (${difference <= 0 ? '−' : '+'}${percent(Math.abs(difference))})`
  })
  const ifs = changes.length > 0 ? ['', style.bold('What if'), ...changes.flatMap((each) => wrapped(each, 2))] : []
  return [...lines, ...ifs].map((line) => line.replaceAll('\u00a0', ' '))
}
