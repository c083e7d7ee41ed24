import type { Command } from 'commander'
import {
  type ExplainedTensor,
  type Explanation,
  explain,
  explainPasses,
  formatCount,
  formatCounted,
  formatWholeBytes,
  type NodeKind,
  type PassesExplanation,
} from 'shardloom'
import type { Call } from './io.js'
import { printJson, printLines, printWarnings } from './output.js'
import { rankOption } from './rank-option.js'
import { UsageError } from './report-error.js'
import { addSpecFlags, type Flags, phasesOf, planFrom } from './spec-flags.js'
import { type Style, singleLine } from './style.js'
import { flow, pairs, table, wrapped } from './table.js'

/** `shardloom explain`: why a node exists and what it costs, or with `--passes` what each pass changed. */
export function addExplain(program: Command, { io }: Call): void {
  const command = program
    .command('explain [node] [spec]')
    .description('Say why a node of the plan exists, or what each pass changed.')
    .option('--json', 'print one JSON document (shardloom.explain/1)')
    .option('--passes', 'say what each pass changed, instead of a node')
    .addOption(rankOption())
    .addHelpText(
      'after',
      '\nshardloom plan --json lists the ids of nodes in communication[].nodes.\n\nExample:\n  shardloom explain --passes --model llama-3.1-8b --tp 2 --dp 2 --batch 8',
    )
    .action(async (first: string | undefined, second: string | undefined, flags: Flags) => {
      const { node, specPath } = argumentsOf(first, second, flags.passes === true)
      const planned = await planFrom(io, specPath, flags)
      const phases = phasesOf(planned)
      printWarnings(
        io,
        phases.flatMap(({ warnings }) => warnings),
      )
      if (node === undefined) {
        const named = phases.map((each) => [each.program.phase, explainPasses(each)] as const)
        const [[, first] = [], ...others] = named
        if (flags.json === true)
          return printJson(
            io,
            others.length ? { schema: first?.schema, phase: 'serving', ...Object.fromEntries(named) } : first,
          )
        return printLines(io, (style) =>
          named.flatMap(([phase, each]) => [...(others.length ? [style.bold(phase)] : []), ...passLines(each, style)]),
        )
      }
      const own = phases.find(({ program }) => node.startsWith(`${program.phase}/`)) ?? phases[0]
      if (!own) return
      const explanation = explain(own, node, { rank: Number(flags.rank ?? 0) })
      if (flags.json === true) return printJson(io, explanation)
      printLines(io, (style) => nodeLines(explanation, style))
    })
  addSpecFlags(command)
}

/** Which argument is the node and which the spec: the two may stand in either order. */
function argumentsOf(first: string | undefined, second: string | undefined, passes: boolean) {
  const isSpec = (text: string | undefined) => text === '-' || /\.(ya?ml|json)$/i.test(text ?? '')
  if (passes) {
    if (second !== undefined) throw new UsageError('--passes explains no node.', 'Leave out the node or --passes.')
    return { node: undefined, specPath: first }
  }
  const [node, specPath] = isSpec(first) && !isSpec(second) ? [second, first] : [first, second]
  if (node === undefined) {
    throw new UsageError(
      'There is no node to explain.',
      'Name a node as `shardloom plan --json` lists them, or use --passes.',
    )
  }
  return { node, specPath }
}

function nodeLines(explanation: Explanation, style: Style): string[] {
  const { communication } = explanation
  const where = explanation.region ? `${explanation.region.split('/').join(' › ')}, ` : ''
  const facts: [string, string][] = [
    ['rule', explanation.rule],
    ['runs', `in ${where}${explanation.phase}; ${formatCount(explanation.executions)} per step`],
  ]
  if (communication) {
    facts.push(
      ['tensor', communication.tensor],
      ['from', communication.from],
      ['to', communication.to],
      [
        'group',
        communication.axes.length
          ? `${formatCounted(communication.groupSize, 'rank')} over ${communication.axes.join('.')}${groupText(explanation)}`
          : `a rank here, and one of the pool of ${communication.consumer}`,
      ],
      [
        'payload',
        `${formatWholeBytes(communication.payloadBytes)}, this rank sends ${formatWholeBytes(communication.bytesPerRank)}`,
      ],
      ['producer', communication.producer ?? 'outside of the program, or the border of a region'],
      ['consumer', communication.consumer],
    )
  }
  const tensors = communication ? [] : ['', ...tensorLines(explanation, style)]
  const kind = isNodeKind(explanation.kind) ? `${style.glyph(explanation.kind)} ` : ''
  const what = style.dim(`${explanation.op}, ${explanation.kind}`)
  const lines = [
    ...flow([`${kind}${style.bold(explanation.node)}`, what], '  ', 0),
    '',
    ...explanation.text.flatMap((sentence) => wrapped(singleLine(sentence), 2)),
    '',
    ...pairs(facts.map(([name, value]) => [name, singleLine(value)])),
    ...tensors,
  ]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

function groupText({ communication, rank }: Explanation): string {
  const group = communication?.group
  return group && group.length <= 8 ? `; rank ${rank} is with ${group.join(', ')}` : ''
}

function tensorLines({ inputs, outputs }: Explanation, style: Style): string[] {
  const columns = [
    { header: '', align: 'left' },
    { header: 'tensor', align: 'left' },
    { header: 'dtype', align: 'left' },
    { header: 'on this rank', align: 'right' },
  ] as const
  const row = (direction: string) => (each: ExplainedTensor) => [
    [direction, each.tensor.split('/').slice(-3).join('/'), each.dtype, formatWholeBytes(each.bytes)],
    ...wrapped(`whole ${shapeText(each, each.shape)};`, 7).map((line) => [line]),
    ...wrapped(
      `on this rank ${shapeText(each, each.localShape)}${filledText(each)}; ${singleLine(each.placement)}`,
      7,
    ).map((line) => [line]),
  ]
  return table(columns, [...inputs.flatMap(row('in')), ...outputs.flatMap(row('out'))], style)
}

/** A shape with its dims, such as `batch 4 × seq 8192`; no-break spaces keep a dim by its size. */
function shapeText({ dims }: ExplainedTensor, shape: readonly number[]): string {
  return dims.map((dim, index) => `${singleLine(dim)}\u00a0${shape[index]}`).join(' ×\u00a0') || 'scalar'
}

function filledText({ density }: ExplainedTensor): string {
  return density ? `, ${density[0]} of every ${density[1]} elements filled` : ''
}

function isNodeKind(kind: string): kind is NodeKind {
  return ['compute', 'communication', 'control', 'memory'].includes(kind)
}

function passLines({ passes }: PassesExplanation, style: Style): string[] {
  const columns = [
    { header: 'pass', align: 'left' },
    { header: 'phase', align: 'left' },
    { header: 'nodes +', align: 'right' },
    { header: '−', align: 'right' },
    { header: 'changed', align: 'right' },
    { header: 'tensors +', align: 'right' },
    { header: 'changed', align: 'right' },
  ] as const
  const rows = passes.flatMap(({ pass, phase, nodes, tensors, preferences, examples, unchanged }) => {
    const numbers = [nodes.added, nodes.removed, nodes.changed, tensors.added, tensors.changed]
    const row = [singleLine(pass), phase, ...numbers.map((each) => (each === 0 ? '·' : formatCount(each)))]
    const notes = [
      ...(unchanged ? ['changed nothing'] : []),
      ...(preferences > 0 ? [`states ${formatCounted(preferences, 'preference')}`] : []),
      ...(examples.length ? [`adds ${examples[0]}${nodes.added > 1 ? ', …' : ''}`] : []),
    ]
    return notes.length ? [row, [`    ${singleLine(notes.join('; '))}`]] : [row]
  })
  return table(columns, rows, style)
}
