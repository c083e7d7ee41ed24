import { type CommunicationSummary, cutMiddle, formatCount, formatWholeBytes, type PlanSummary } from 'shardloom'
import { type Style, singleLine } from './style.js'
import { flow, table, terminalWidth, wrapped } from './table.js'

/** The communication of one rank in a step, with its reasons. */
export function communicationLines({ communication }: PlanSummary, style: Style): string[] {
  if (communication.length === 0)
    return [style.dim('No communication: no tensor is read under another placement than it was made.')]
  const rows = communication.flatMap((row) => [
    [
      style.glyph('communication'),
      row.axes.length ? `${row.op} · ${row.axes.join('.')}` : row.op,
      row.phase,
      formatCount(row.groupSize),
      formatCount(row.count),
      formatWholeBytes(row.payloadBytes),
      formatWholeBytes(row.bytesPerRank),
    ],
    ...reasonLines(row).map((line) => [line]),
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
  return [...table(columns, rows, style), `  This rank sends ${formatWholeBytes(sent)} in all.`]
}

/** Where ranks wait or values decide what runs, by the first node of each kind, with what it is there for. */
export function controlLines({ control }: PlanSummary, style: Style): string[] {
  const described = control.filter(({ reason }) => reason !== '')
  if (described.length === 0) return []
  const lines = described.flatMap(({ op, count, nodes, reason }) => [
    ...flow(
      [`${style.glyph('control')}  ${op}`, `${formatCount(count)} per step`, singleLine(nodes[0] ?? '')],
      '  ',
      2,
    ).map((line) => `  ${line}`),
    ...wrapped(singleLine(reason), 8).map(style.dim),
  ])
  return ['', ...lines]
}

/** The reason, on a line for each half where one is too short, and how many further nodes are counted with it. */
function reasonLines({ nodes, reason }: CommunicationSummary): string[] {
  const more = nodes.length > 1 ? `, and ${nodes.length - 1} more` : ''
  const room = terminalWidth - 8
  const text = singleLine(reason) + more
  const lines = [...text].length <= room ? [text] : text.split(/(?<=;) /)
  return lines.flatMap((line) =>
    wrapped(
      line
        .split(' ')
        .map((word) => cutMiddle(word, room))
        .join(' '),
      8,
    ),
  )
}
