import { once } from 'node:events'
import type { Command } from 'commander'
import {
  chromeTrace,
  cutMiddle,
  formatBytes,
  formatCount,
  formatQuantity,
  type LoadedSpec,
  type SimulationSummary,
  simulateLoaded,
  simulateServingLoaded,
  summariseServingSimulation,
  summariseSimulation,
} from 'shardloom'
import { duration, percent } from './duration.js'
import { type Finish, printJson, printLines, printWarnings } from './output.js'
import { UsageError } from './report-error.js'
import { servingSimulationLines } from './serving-lines.js'
import { addSpecFlags, type Flags, loadFrom } from './spec-flags.js'
import { type Style, singleLine } from './style.js'
import { pairs, table, wrapped } from './table.js'
import { writeWhole } from './write-file.js'

/** `shardloom simulate`: one step of a plan in time, on a cluster. */
export function addSimulate(program: Command, _finish: Finish): void {
  const command = program
    .command('simulate [spec]')
    .description('Run a step of a plan in time on a cluster, or serve requests with it.')
    .option('--json', 'print one JSON document (shardloom.simulate/1)')
    .option('--what-if', 'simulate again with one change at a time')
    .option('--trace <path>', 'write the timeline for Perfetto or chrome://tracing')
    .addHelpText('after', '\nExample:\n  shardloom simulate --model llama-3.1-8b --cluster dgx-h100 --tp 8 --batch 8')
    .action(async (specPath: string | undefined, flags: Flags) => {
      const loaded = await loadFrom(specPath, flags)
      if (loaded.spec.phase === 'serving') return serve(loaded, flags)
      const simulation = simulateLoaded(loaded)
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

/** Serves the load of a spec and prints what clients see. */
function serve(loaded: LoadedSpec, flags: Flags): void {
  for (const flag of ['trace', 'whatIf'] as const) {
    if (flags[flag] === undefined) continue
    const name = { trace: '--trace', whatIf: '--what-if' }[flag]
    throw new UsageError(
      `${name} shows one step, and serving is many.`,
      'Leave it out, or simulate the phase prefill or decode.',
    )
  }
  const summary = summariseServingSimulation(simulateServingLoaded(loaded))
  if (flags.json === true) return printJson(summary)
  printLines((style) => servingSimulationLines(summary, style))
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
      ...(summary.ttftSeconds === undefined
        ? []
        : [['first token', duration(summary.ttftSeconds)] as [string, string]]),
      ...(summary.tpotSeconds === undefined ? [] : [['per token', duration(summary.tpotSeconds)] as [string, string]]),
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
