import type { Command } from 'commander'
import {
  cutMiddle,
  type EdgeKind,
  formatCount,
  formatCounted,
  formatFlops,
  formatMesh,
  formatQuantity,
  formatWholeBytes,
  type NodeKind,
  type PlanSummary,
  presetNames,
  type ServingSummary,
  summarise,
  summariseServing,
} from 'shardloom'
import { communicationLines, controlLines } from './communication-lines.js'
import { conventionFacts } from './convention-facts.js'
import type { Call } from './io.js'
import { printJson, printLines, printWarnings } from './output.js'
import { rankOption } from './rank-option.js'
import { addSpecFlags, type Flags, planFrom, repeatedArguments } from './spec-flags.js'
import { type Style, singleLine } from './style.js'
import { flow, pairs, table, terminalWidth, wrapped } from './table.js'

/** `shardloom plan`: one rank's share of a step, and the communication that it takes part in. */
export function addPlan(program: Command, { args, io }: Call): void {
  const command = program
    .command('plan [spec]')
    .description('Plan a spec and say what one rank does in one step.')
    .option('--json', 'print one JSON document (shardloom.plan/1)')
    .addOption(rankOption())
    .option('--fold', 'count nodes and edges of the rolled program instead of the unrolled one')
    .addHelpText('after', () =>
      [
        '\nPresets for --model:',
        ...flow(`${presetNames().join(', ')}.`.split(' '), ' ', 2).map((line) => `  ${line}`),
        '\nExample:\n  shardloom plan --model llama-3.1-8b --tp 2 --dp 2 --batch 8',
      ].join('\n'),
    )
    .action(async (specPath: string | undefined, flags: Flags) => {
      const planned = await planFrom(io, specPath, flags)
      const options = { rank: Number(flags.rank ?? 0), fold: flags.fold === true }
      const repeated = repeatedArguments(args)
      if (!('program' in planned)) {
        const summary = summariseServing(planned, options)
        if (flags.json === true) return printJson(io, summary)
        printWarnings(io, [...new Set([...summary.prefill.warnings, ...summary.decode.warnings])])
        return printLines(io, (style) => servingLines(summary, repeated, style))
      }
      const summary = summarise(planned, options)
      if (flags.json === true) return printJson(io, summary)
      printWarnings(io, summary.warnings)
      printLines(io, (style) => planLines(summary, repeated, style))
    })
  addSpecFlags(command)
}

/** The summary for people, within 80 columns. */
export function planLines(summary: PlanSummary, args: readonly string[], style: Style): string[] {
  return plainSpaces([...phaseLines(summary, style), ...nextLines(summary, args, style)])
}

/** Both phases of serving, and what passes between them. */
function servingLines(summary: ServingSummary, args: readonly string[], style: Style): string[] {
  const { prefill, decode } = summary
  return plainSpaces([
    ...phaseLines(prefill, style),
    '',
    ...phaseLines(decode, style),
    '',
    ...transferLines(summary, style),
    ...nextLines(prefill, args, style),
  ])
}

const plainSpaces = (lines: readonly string[]) => lines.map((line) => line.replaceAll('\u00a0', ' '))

/** The KV cache on its way from prefill to decode. */
function transferLines({ pools, transfer, total, decode }: ServingSummary, style: Style): string[] {
  const where = pools === 1 ? 'One pool' : 'Two pools'
  const head = style.bold(
    `${where}, KV cache of one batch of decode (${formatCount(decode.batch.sequences)} sequences)`,
  )
  if (transfer.length === 0)
    return [head, style.dim('  Every rank holds already what it goes on with: nothing passes.')]
  const columns = [
    { header: 'cache', align: 'left' },
    { header: 'layers', align: 'right' },
    { header: 'blocks per layer', align: 'right' },
    { header: 'per layer', align: 'right' },
    { header: 'in all', align: 'right' },
  ] as const
  const rows = transfer.flatMap((row) => [
    [
      cutMiddle(singleLine(row.cache), 30),
      formatCount(row.layers),
      formatCount(row.blocksPerLayer),
      formatWholeBytes(row.bytesPerLayer),
      formatWholeBytes(row.bytes),
    ],
    ...wrapped(singleLine(`positions ${row.positions[0]} to ${row.positions[1] - 1}; ${row.from} → ${row.to}`), 6).map(
      (line) => [line],
    ),
  ])
  const steps = total.prefillSteps > 1 ? `, from ${formatCount(total.prefillSteps)} steps of prefill` : ''
  const most = `A rank sends at most ${formatWholeBytes(total.mostSent)} and receives at most ${formatWholeBytes(total.mostReceived)}.`
  return [
    head,
    ...table(columns, rows, style),
    ...wrapped(`${formatWholeBytes(total.bytes)} in all${steps}. ${most}`, 2),
  ]
}

function phaseLines(summary: PlanSummary, style: Style): string[] {
  return [
    ...headLines(summary, style),
    '',
    style.bold(`Rank ${summary.rank}, ${stepsText(summary)}${summary.folded ? ', nodes and edges folded' : ''}`),
    ...rankLines(summary, style),
    ...allRanksLines(summary, style),
    '',
    ...communicationLines(summary, style),
    ...controlLines(summary, style),
  ]
}

/** The command that explains the first row, and where all ids are; what came from standard input cannot be repeated. */
function nextLines({ communication }: PlanSummary, args: readonly string[], style: Style): string[] {
  if (args.includes('-')) return []
  const first = communication[0]?.nodes[0]
  const call = ['shardloom explain', first === undefined ? '--passes' : `'${first}'`, ...args].map(singleLine)
  const lines = flow(call, ' ', 8)
  const ends = lines.map((line, index) => (index < lines.length - 1 ? `${line} \\` : line))
  const ids = '      all others: shardloom plan --json lists them in communication[].nodes'
  return [
    '',
    ...ends.map((line, index) => (index === 0 ? `${style.dim('next')}  ${line}` : `        ${line}`)),
    ...(first === undefined ? [] : [style.dim(ids)]),
  ]
}

function stepsText({ batch }: PlanSummary): string {
  return batch.steps > 1 ? `${formatCount(batch.steps)} steps together` : 'one step'
}

function headLines({ model, mesh, world, phase, batch, conventions, links = [] }: PlanSummary, style: Style): string[] {
  const ranks = formatCounted(world, 'rank')
  const active =
    model.activeParameters === model.parameters ? '' : `, ${quantity(model.activeParameters)} active per token`
  const microbatches = batch.microbatches > 1 ? `, ${formatCount(batch.microbatches)} microbatches` : ''
  const steps = batch.steps > 1 ? `, ${formatCount(batch.steps)} steps` : ''
  const drafted = batch.draft ? ` and ${formatCount(batch.draft)} drafted` : ''
  const tokens =
    phase === 'decode'
      ? `1 new token each${drafted} after ${formatCount(batch.seq - 1)}`
      : `${formatCount(batch.seq)} tokens`
  const cached = batch.cached ? `, ${formatCount(batch.cached)} of them cached` : ''
  const chunks = batch.chunk ? `, in chunks of ${formatCount(batch.chunk)}` : ''
  const expected = batch.expected ? `, ${batch.expected.toFixed(2)} expected` : ''
  const kept = batch.keep ? `, ${formatCount(batch.keep)} kept in a step${expected}` : ''
  return [
    style.bold(`${singleLine(model.name).slice(0, terminalWidth - 12)} · ${phase}`),
    ...pairs([
      ['parameters', `${quantity(model.parameters)}${active}`],
      ['mesh', world === 1 ? ranks : `${formatMesh(mesh, world)} = ${ranks}`],
      ...links.map(({ text }, index): [string, string] => [index === 0 ? 'links' : '', singleLine(text)]),
      ['batch', `${formatCount(batch.sequences)} × ${tokens}${cached}${chunks}${microbatches}${kept}${steps}`],
      ['conventions', conventionFacts(conventions, phase).join(', ')],
    ]),
  ]
}

type Depths = NonNullable<PlanSummary['pipeline']>['layers']

/** Which stage a rank is, and its layers: `2 of 0–3`, `layers 16–23`, `order 1f1b`. */
function stageTexts({ stage, stages, schedule, layers }: NonNullable<PlanSummary['pipeline']>): string[] {
  const held = layers.length ? `layers ${depthsText(layers)}` : 'no layers'
  return [`${stage} of 0–${stages - 1}`, held, `order ${schedule}`]
}

/** Layers by depth, such as `0–2, 5`; of many runs the rest is counted. */
function depthsText(depths: Depths): string {
  const runs: { first: number; last: number }[] = []
  for (const { first, last } of [...depths].sort((a, b) => a.first - b.first)) {
    const before = runs.at(-1)
    if (before && before.last + 1 === first) before.last = last
    else runs.push({ first, last })
  }
  const texts = runs.map(({ first, last }) => (first === last ? String(first) : `${first}–${last}`))
  const more = texts.length > 8 ? `, and ${texts.length - 8} more ranges` : ''
  return texts.slice(0, 8).join(', ') + more
}

function rankLines({ perRank, activations, nodes, edges, pipeline }: PlanSummary, style: Style): string[] {
  const kinds: readonly NodeKind[] = ['compute', 'communication', 'control', 'memory']
  const edgeKinds: readonly EdgeKind[] = ['data', 'temporal', 'communication']
  const shares = Object.entries(perRank.flopsByClass)
    .filter(([, flops]) => flops > 0)
    .map(([name, flops]) => `${name} ${((100 * flops) / perRank.flops).toFixed(1)} %`)
  const nodesOfKind = (kind: NodeKind) => `${style.glyph(kind)} ${formatCount(nodes[kind])} ${kind}`
  const edgesOfKind = (kind: EdgeKind) => `${formatCount(edges[kind])} ${kind}`
  const moved = (verb: string, bytes: number, cache: number) =>
    `${verb} ${formatWholeBytes(bytes)}${cache > 0 ? `, of which KV cache ${formatWholeBytes(cache)}` : ''}`
  return pairs([
    ...(pipeline ? [['stage', stageTexts(pipeline)] as const] : []),
    ['parameters', `${quantity(perRank.parameters)}, ${formatWholeBytes(perRank.parameterBytes)}`],
    ...(perRank.optimizerBytes > 0
      ? [
          [
            'training',
            [
              `gradients ${formatWholeBytes(perRank.gradientBytes)}`,
              `optimizer state ${formatWholeBytes(perRank.optimizerBytes)}`,
              `${formatWholeBytes(perRank.parameterBytes + perRank.gradientBytes + perRank.optimizerBytes)} with parameters`,
            ],
          ] as const,
        ]
      : []),
    ['compute', [formatFlops(perRank.flops), ...shares]],
    [
      'memory',
      [
        moved('reads', perRank.bytesRead, perRank.kvBytesRead),
        moved('writes', perRank.bytesWritten, perRank.kvBytesWritten),
      ],
    ],
    ...activationLines(activations),
    ['nodes', [`${formatCount(nodes.total)} in all`, ...kinds.filter((kind) => nodes[kind] > 0).map(nodesOfKind)]],
    ['edges', [`${formatCount(edges.total)} in all`, ...edgeKinds.filter((kind) => edges[kind] > 0).map(edgesOfKind)]],
  ])
}

/** What forward leaves in memory for backward, per microbatch. */
function activationLines(activations: PlanSummary['activations']): [string, readonly string[]][] {
  if (!activations) return []
  // Bodies that keep the same are one kind to a reader: a layer before a border is one of the layers.
  const sizes = new Set(activations.layers.map(({ bytes }) => bytes))
  const layers = [...sizes].map((bytes) => {
    const alike = activations.layers.filter((each) => each.bytes === bytes)
    const count = alike.reduce((sum, each) => sum + each.count, 0)
    const named = sizes.size > 1 ? ` (${depthsText(alike.flatMap(({ depths }) => depths))})` : ''
    return `${formatWholeBytes(bytes)} in ${count === 1 ? 'one layer' : `each of ${formatCount(count)} layers`}${named}`
  })
  const rest = `${formatWholeBytes(activations.outsideBytes)} outside of layers`
  const { inFlight, chunks, bytes } = activations.peak
  const unit = chunks > 1 ? 'chunks' : 'microbatches'
  const peak = inFlight > 1 ? [`${formatWholeBytes(bytes)} at most, of ${formatCount(inFlight)} ${unit} in flight`] : []
  const { hostBytes, hostPeakBytes } = activations
  const most = hostPeakBytes > hostBytes ? [`${formatWholeBytes(hostPeakBytes)} there at most`] : []
  const host = hostBytes > 0 ? [`${formatWholeBytes(hostBytes)} in host memory`, ...most] : []
  const gathered = `${formatWholeBytes(activations.gatheredBytes)} of parameters that stay gathered`
  return [
    ['saved', [`${formatWholeBytes(activations.bytes)} per microbatch`, ...layers, rest, ...host, ...peak]],
    ...(activations.gatheredBytes > 0 ? [['gathered', [gathered]] satisfies [string, string[]]] : []),
  ]
}

/** What all ranks do and hold together, and how much of it a single device would not. */
function allRanksLines({ allRanks, world }: PlanSummary, style: Style): string[] {
  if (world === 1) return []
  const { flops, replicatedFlops, recomputedFlops, parameters, replicatedParameters, flopsPerRank, expertImbalance } =
    allRanks
  const again = recomputedFlops > 0 ? `, computed again ${share(recomputedFlops, flops)}` : ''
  return [
    '',
    style.bold(`All ${formatCount(world)} ranks`),
    ...pairs([
      [
        'parameters',
        `${formatQuantity(parameters, '')} held, of which copies ${share(replicatedParameters, parameters)}`,
      ],
      ['compute', `${formatFlops(flops)}, of which replicated ${share(replicatedFlops, flops)}${again}`],
      ...(expertImbalance === undefined
        ? []
        : [['experts', `the busiest rank of ep has ${expertImbalance.toFixed(2)} × the mean of tokens`] as const]),
      ...(flopsPerRank
        ? [
            [
              'per rank',
              `from ${formatFlops(flopsPerRank.least)} on rank ${flopsPerRank.leastRank} to ${formatFlops(flopsPerRank.most)} on rank ${flopsPerRank.mostRank}`,
            ] as const,
          ]
        : []),
    ]),
  ]
}

/** A part in percent; a little is not nothing. */
function share(part: number, whole: number): string {
  if (part === 0) return '0 %'
  return part < whole / 2000 ? 'under 0.1 %' : `${((100 * part) / whole).toFixed(1)} %`
}

function quantity(count: number): string {
  return `${formatQuantity(count, '')} (${formatCount(count)})`
}
