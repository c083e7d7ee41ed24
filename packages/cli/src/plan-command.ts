import type { Command } from 'commander'
import {
  type CommunicationSummary,
  cutMiddle,
  type EdgeKind,
  formatBytes,
  formatCount,
  formatFlops,
  formatQuantity,
  type NodeKind,
  type PlanSummary,
  summarise,
} from 'shardloom'
import { type Finish, printJson, printLines, printWarnings } from './output.js'
import { rankOption } from './rank-option.js'
import { addSpecFlags, type Flags, planFrom, repeatedArguments } from './spec-flags.js'
import { type Style, singleLine } from './style.js'
import { flow, pairs, table, terminalWidth } from './table.js'

/** `shardloom plan`: one rank's share of a step, and the communication that it takes part in. */
export function addPlan(program: Command, _finish: Finish): void {
  const command = program
    .command('plan [spec]')
    .description('Plan a spec and say what one rank does in one step.')
    .option('--json', 'print one JSON document (shardloom.plan/1)')
    .addOption(rankOption())
    .option('--fold', 'count nodes and edges of the rolled program instead of the unrolled one')
    .addHelpText('after', '\nExample:\n  shardloom plan --model llama-3.1-8b --tp 2 --dp 2 --batch 8')
    .action(async (specPath: string | undefined, flags: Flags) => {
      const planned = await planFrom(specPath, flags)
      const summary = summarise(planned, { rank: Number(flags.rank ?? 0), fold: flags.fold === true })
      if (flags.json === true) return printJson(summary)
      printWarnings(summary.warnings)
      printLines((style) => planLines(summary, repeatedArguments(process.argv.slice(2)), style))
    })
  addSpecFlags(command)
}

/** The summary for people, within 80 columns. */
export function planLines(summary: PlanSummary, args: readonly string[], style: Style): string[] {
  const first = summary.communication[0]?.nodes[0]
  const call = ['shardloom explain', ...args, first === undefined ? '--passes' : `'${first}'`].map(singleLine)
  const next = flow(call, ' ', 8).map((line, index) =>
    index === 0 ? `${style.dim('next')}  ${line}` : `        ${line}`,
  )
  const lines = [
    ...headLines(summary, style),
    '',
    style.bold(`Rank ${summary.rank}, ${stepsText(summary)}${summary.folded ? ', nodes and edges folded' : ''}`),
    ...rankLines(summary, style),
    '',
    ...communicationLines(summary, style),
    '',
    next.join(' \\\n'),
  ]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

function stepsText({ batch }: PlanSummary): string {
  return batch.steps > 1 ? `${formatCount(batch.steps)} steps together` : 'one step'
}

function headLines({ model, mesh, world, phase, batch, conventions }: PlanSummary, style: Style): string[] {
  const axes = Object.entries(mesh).map(([axis, degree]) => `${axis} ${degree}`)
  const active =
    model.activeParameters === model.parameters ? '' : `, ${quantity(model.activeParameters)} active per token`
  const microbatches = batch.microbatches > 1 ? `, ${formatCount(batch.microbatches)} microbatches` : ''
  const steps = batch.steps > 1 ? `, ${formatCount(batch.steps)} steps` : ''
  const tokens =
    phase === 'decode' ? `1 new token each after ${formatCount(batch.seq - 1)}` : `${formatCount(batch.seq)} tokens`
  const types =
    phase === 'training' ? `${conventions.dtype}, gradients ${conventions.gradientDtype}` : conventions.dtype
  return [
    style.bold(`${singleLine(model.name).slice(0, terminalWidth - 12)} · ${phase}`),
    ...pairs([
      ['parameters', `${quantity(model.parameters)}${active}`],
      ['mesh', `${axes.join(' × ')} = ${formatCount(world)} ${world === 1 ? 'rank' : 'ranks'}`],
      ['batch', `${formatCount(batch.sequences)} × ${tokens}${microbatches}${steps}`],
      ['conventions', `attention ${conventions.attention}, causal FLOPs ${conventions.causal}, ${types}`],
    ]),
  ]
}

function rankLines({ perRank, nodes, edges }: PlanSummary, style: Style): string[] {
  const kinds: readonly NodeKind[] = ['compute', 'communication', 'control', 'memory']
  const edgeKinds: readonly EdgeKind[] = ['data', 'temporal', 'communication']
  const shares = Object.entries(perRank.flopsByClass)
    .filter(([, flops]) => flops > 0)
    .map(([name, flops]) => `${name} ${((100 * flops) / perRank.flops).toFixed(1)} %`)
  const kv = perRank.kvBytesRead + perRank.kvBytesWritten
  const nodesOfKind = (kind: NodeKind) => `${style.glyph(kind)} ${formatCount(nodes[kind])} ${kind}`
  const edgesOfKind = (kind: EdgeKind) => `${formatCount(edges[kind])} ${kind}`
  const inOut = (read: number, written: number) => `reads ${formatBytes(read)}, writes ${formatBytes(written)}`
  return pairs([
    ['parameters', `${quantity(perRank.parameters)}, ${formatBytes(perRank.parameterBytes)}`],
    ['compute', [formatFlops(perRank.flops), ...shares]],
    ['memory', inOut(perRank.bytesRead, perRank.bytesWritten)],
    ...(kv > 0 ? [['KV cache', inOut(perRank.kvBytesRead, perRank.kvBytesWritten)] as const] : []),
    ['nodes', [`${formatCount(nodes.total)} in all`, ...kinds.filter((kind) => nodes[kind] > 0).map(nodesOfKind)]],
    ['edges', [`${formatCount(edges.total)} in all`, ...edgeKinds.filter((kind) => edges[kind] > 0).map(edgesOfKind)]],
  ])
}

function communicationLines({ communication }: PlanSummary, style: Style): string[] {
  if (communication.length === 0)
    return [style.dim('No communication: no tensor is read under another placement than it was made.')]
  const rows = communication.flatMap((row) => [
    [
      style.glyph('communication'),
      `${row.op} · ${row.axes.join('.')}`,
      row.phase,
      formatCount(row.groupSize),
      formatCount(row.count),
      formatBytes(row.payloadBytes),
      formatBytes(row.bytesPerRank),
    ],
    [reasonOf(row)],
  ])
  const sent = communication.reduce((sum, row) => sum + row.count * row.bytesPerRank, 0)
  const columns = [
    { header: 'kind', align: 'left' },
    { header: 'communication', align: 'left' },
    { header: 'in', align: 'left' },
    { header: 'group', align: 'right' },
    { header: 'count', align: 'right' },
    { header: 'payload', align: 'right' },
    { header: 'sends', align: 'right' },
  ] as const
  return [...table(columns, rows, style), `  This rank sends ${formatBytes(sent)} in all.`]
}

/** The reason on one line, cut in the middle, and how many further nodes of the program are counted with it. */
function reasonOf({ nodes, reason }: CommunicationSummary): string {
  const more = nodes.length > 1 ? `, and ${nodes.length - 1} more` : ''
  return `        ${cutMiddle(reason, terminalWidth - 8 - more.length)}${more}`
}

function quantity(count: number): string {
  return `${formatQuantity(count, '')} (${formatCount(count)})`
}
