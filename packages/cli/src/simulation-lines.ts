import {
  cutMiddle,
  cutMiddles,
  formatBytes,
  formatCount,
  formatCounted,
  formatDifference,
  formatQuantity,
  formatSeconds,
  formatShare,
  noticeable,
  type SimulationSummary,
} from 'shardloom'
import { budgetFacts } from './budget-facts.js'
import { conventionFacts } from './convention-facts.js'
import { bar, capacity } from './quantities.js'
import { type Style, singleLine } from './style.js'
import { pairs, table, wrapped } from './table.js'

/** How many kinds of work, nodes of the critical path and tensors at the peak are printed. */
const shown = { kinds: 6, nodes: 6, tensors: 4 } as const

/** A simulation for people, within 80 columns. */
export function simulationLines(summary: SimulationSummary, style: Style): string[] {
  const { conventions, mapping } = summary
  const lines = [
    style.bold(
      `${singleLine(summary.model)} · ${summary.phase} on ${formatCount(summary.world)} × ${singleLine(conventions.accelerator)}`,
    ),
    ...pairs([
      ['cluster', singleLine(conventions.cluster)],
      ...mapping.map(({ text }, index): [string, string] => [index === 0 ? 'links' : '', singleLine(text)]),
      ['step of', batchFacts(summary)],
      [
        'conventions',
        [
          ...conventionFacts(conventions, summary.phase).map(singleLine),
          `times good for ±${Math.round(100 * conventions.error)} %`,
        ],
      ],
      ['constants', singleLine(conventions.constants)],
    ]),
    '',
    style.bold(summary.batch.steps === undefined ? 'One step' : `${formatCount(summary.batch.steps)} steps`),
    ...pairs(stepFacts(summary)),
    '',
    ...memoryLines(summary, style),
    '',
    ...pathLines(summary, style),
    '',
    style.bold('Bottleneck'),
    ...summary.bottleneck.flatMap((sentence) => wrapped(sentence, 2)),
    ...whatIfLines(summary, style),
  ]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

function batchFacts({ batch }: SimulationSummary): string[] {
  const { sequences, microbatches, seq, schedule } = batch
  return [
    `batch ${formatCount(sequences)}`,
    `seq ${formatCount(seq)}`,
    formatCounted(microbatches, 'microbatch', 'microbatches'),
    ...(schedule === undefined ? [] : [`schedule ${singleLine(schedule)}`]),
  ]
}

type Facts = [string, string | string[]][]

function stepFacts(summary: SimulationSummary): Facts {
  const { stepSeconds, bubble, budget, energyJoules, conventions, world } = summary
  const exposed = Object.entries(summary.exposedCommunicationSeconds).map(
    ([axis, seconds]) => `${axis} ${formatSeconds(seconds)} (${formatShare(seconds / stepSeconds)})`,
  )
  const tokens = (count: number) => `${formatQuantity(Math.round(count), '')}\u00a0tokens/s`
  const peak = formatQuantity(conventions.peak, 'FLOP/s')
  return [
    ['time', formatSeconds(stepSeconds)],
    ...(summary.ttftSeconds === undefined
      ? []
      : ([['TTFT', `${formatSeconds(summary.ttftSeconds)} without a queue`]] as Facts)),
    ...(summary.tpotSeconds === undefined ? [] : ([['TPOT', formatSeconds(summary.tpotSeconds)]] as Facts)),
    ['throughput', `${tokens(summary.tokensPerSecond)}, ${tokens(summary.tokensPerSecondPerRank)} per rank`],
    [
      'MFU',
      `${formatShare(summary.mfu)} of ${peak}${summary.hfu > summary.mfu ? `; HFU ${formatShare(summary.hfu)}, with what is computed again or for nothing` : ''}`,
    ],
    ...(summary.stages.length > 1
      ? ([
          [
            'bubble',
            `${formatShare(bubble.global)} of the ${summary.batch.steps === undefined ? 'step' : 'steps'}, ${formatShare(bubble.ownSpan)} inside of ${isStaged(summary) ? "a stage's" : "a rank's"} own span`,
          ],
        ] as Facts)
      : []),
    ['exposed', exposed.length > 0 ? exposed : 'no communication'],
    ...(energyJoules === undefined
      ? []
      : ([
          [
            'energy',
            `${formatQuantity(energyJoules, 'J')}, ${formatQuantity(energyJoules / summary.tokensPerStep, 'J')} per token, at rated power while busy`,
          ],
        ] as Facts)),
    ...budgetFacts(budget, world),
  ]
}

/** Whether there is a pipeline: without one, several ranks are run where their work differs. */
const isStaged = ({ memory }: SimulationSummary) => new Set(memory.perStage.map(({ stage }) => stage)).size > 1

type Alive = SimulationSummary['memory']['perStage'][number]['alive']

/** Each tensor once, largest first: what a rank has of it and what it has gathered of it are parts of memory. */
function byTensor(alive: Alive): { readonly tensor: string; readonly count: number; readonly bytes: number }[] {
  const found = new Map<string, { readonly count: number; readonly bytes: number }>()
  for (const { tensor, count, bytes } of alive) {
    const known = found.get(tensor) ?? { count: 0, bytes: 0 }
    found.set(tensor, { count: known.count + count, bytes: known.bytes + bytes })
  }
  return Array.from(found, ([tensor, each]) => ({ tensor, ...each })).sort((a, b) => b.bytes - a.bytes)
}

function memoryLines(summary: SimulationSummary, style: Style): string[] {
  const { memory, conventions } = summary
  const { peakBytes, reserveBytes, capacityBytes, fits, perStage } = memory
  const fullest = perStage.find((stage) => stage.peakBytes === peakBytes)
  const of = perStage.length > 1 ? ` of ${isStaged(summary) ? `stage ${fullest?.stage}` : `rank ${fullest?.rank}`}` : ''
  const parts = Object.entries(fullest?.parts ?? {}).filter(([, bytes]) => bytes > 0)
  const rows = [...parts.sort(([, a], [, b]) => b - a), ['kept free', reserveBytes] as const].map(([part, bytes]) => [
    part,
    formatBytes(bytes),
    formatShare(bytes / capacityBytes),
    bar(bytes / capacityBytes),
  ])
  const columns = [
    { header: 'part', align: 'left' },
    { header: 'bytes', align: 'right' },
    { header: 'of device', align: 'right' },
    { header: '', align: 'left' },
  ] as const
  const verdict = fits ? style.good('fits') : style.bad('does not fit')
  const largest = byTensor(fullest?.alive ?? [])
    .slice(0, shown.tensors)
    .map(
      ({ tensor, count, bytes }) => `${cutMiddle(singleLine(tensor), 40)} ×${formatCount(count)} ${formatBytes(bytes)}`,
    )
  const peaks = perStage.map(
    (stage) => `${isStaged(summary) ? stage.stage : stage.rank}:\u00a0${formatBytes(stage.peakBytes)}`,
  )
  const hosts = perStage.flatMap(({ host, ...stage }) => {
    const which = perStage.length > 1 ? `${isStaged(summary) ? stage.stage : stage.rank}:\u00a0` : ''
    const most = host && host.peakBytes > host.bytes ? [`at most ${formatBytes(host.peakBytes)}`] : []
    return host ? [[`${which}${formatBytes(host.bytes)} per microbatch`, ...most].join(', ')] : []
  })
  return [
    `${style.bold('Memory')}${of}, at its peak ${formatSeconds(fullest?.atSeconds ?? 0)} into the step`,
    ...table(columns, rows, style),
    `  ${formatBytes(peakBytes)} and what is kept free: ${verdict} in ${capacity(capacityBytes)}`,
    ...pairs([
      ...(largest.length > 0 ? ([['alive then', largest]] as Facts) : []),
      ...(perStage.length > 1 ? ([[isStaged(summary) ? 'all stages' : 'by rank', shortened(peaks)]] as Facts) : []),
      ...(hosts.length > 0 ? ([['in the host', shortened(hosts)]] as Facts) : []),
      ...(conventions.reserve === 'the spec'
        ? []
        : ([['kept free', "as NVIDIA's aiconfigurator does; --reserve-bytes"]] as Facts)),
    ]),
  ]
}

/** The first entries of a long list, and the last. */
function shortened(list: readonly string[]): string[] {
  return list.length <= 12 ? [...list] : [...list.slice(0, 8), '…', ...list.slice(-2)]
}

function pathLines({ criticalPath, criticalKinds, stepSeconds }: SimulationSummary, style: Style): string[] {
  const kinds = [
    { header: 'share', align: 'right' },
    { header: 'in all', align: 'right' },
    { header: 'kind of work', align: 'left' },
    { header: '', align: 'left' },
  ] as const
  const nodes = [
    { header: 'share', align: 'right' },
    { header: 'in all', align: 'right' },
    { header: 'runs', align: 'right' },
    { header: 'kernel', align: 'left' },
  ] as const
  const rest = (list: readonly { readonly share: number }[]) => list.reduce((sum, { share }) => sum + share, 0)
  const further = (list: readonly { readonly share: number }[], what: string) =>
    list.length > 0
      ? [style.dim(`  and ${formatShare(rest(list))} in ${formatCounted(list.length, `further ${what}`)}`)]
      : []
  const longest = criticalPath.slice(0, shown.nodes)
  const names = cutMiddles(
    longest.map(({ node, kernel = node }) => singleLine(kernel)),
    50,
  )
  return [
    `${style.bold('Critical path')}: what the ${formatSeconds(stepSeconds)} consist of`,
    ...table(
      kinds,
      criticalKinds
        .slice(0, shown.kinds)
        .map(({ kind, seconds, share }) => [formatShare(share), formatSeconds(seconds), kind, bar(share)]),
      style,
    ),
    ...further(criticalKinds.slice(shown.kinds), 'kind'),
    '',
    ...table(
      nodes,
      longest.map(({ count, seconds, share }, at) => [
        formatShare(share),
        formatSeconds(seconds),
        formatCount(count),
        names[at] ?? '',
      ]),
      style,
    ),
    ...further(criticalPath.slice(shown.nodes), 'kernel'),
  ]
}

/** Whether a step without communication over some axis is shorter by more than it is exposed, by a share that is worth a word. */
function savesMoreThanExposed({ whatIf, stepSeconds, exposedCommunicationSeconds }: SimulationSummary): boolean {
  const exposed = new Map(
    Object.entries(exposedCommunicationSeconds).map(([axis, seconds]) => [
      `without communication over ${axis}`,
      seconds,
    ]),
  )
  return whatIf.some(({ change, difference }) => {
    const seconds = exposed.get(change)
    return seconds !== undefined && -difference * stepSeconds > seconds + noticeable * stepSeconds
  })
}

function whatIfLines(summary: SimulationSummary, style: Style): string[] {
  const { whatIf, memory } = summary
  if (whatIf.length === 0) return []
  const columns = [
    { header: 'step', align: 'right' },
    { header: 'change', align: 'right' },
    { header: 'what if', align: 'left' },
  ] as const
  // What is said above of the step as it is holds for other machines, unless they move its peak.
  const verdict = ({ of, peakBytes, fits }: (typeof whatIf)[number]) => {
    if (fits === memory.fits && (of === 'machine' || (fits && peakBytes === memory.peakBytes))) return ''
    const bytes = formatBytes(peakBytes)
    if (!fits) return `: does not fit (${bytes})`
    return memory.fits ? `: ${bytes}` : `: fits (${bytes})`
  }
  const rows = whatIf.map((each) => [
    formatSeconds(each.stepSeconds),
    formatDifference(each.difference),
    `${each.change}${verdict(each)}`,
  ])
  const further = [
    ...(savesMoreThanExposed(summary)
      ? ['What is computed beside communication is slowed down by it: without it more is saved than is exposed.']
      : []),
    'Few changes of the plan are tried here: `shardloom search --changes` tries all degrees.',
  ].flatMap((text) => wrapped(text, 2))
  return [
    '',
    `${style.bold('What if')}, one change at a time, simulated again`,
    ...table(columns, rows, style),
    ...further.map((line) => style.dim(line)),
  ]
}
