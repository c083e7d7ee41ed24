import { checkOptions, type OperatorTable, type Program } from '@shardloom/core'
import { wholeId } from '@shardloom/core/unroll'
import { type CommunicationRow, communicationTable, type NodeRow, nodeTable } from '@shardloom/simulator'

/** The tables that can be written: every node that a rank runs, or its communication, like rows joined. */
export const tableNames = ['nodes', 'communication'] as const

export type TableName = (typeof tableNames)[number]

/** Which table of which rank. */
export interface TableOptions {
  /** Default `nodes`. */
  readonly table?: TableName
  /** Default 0. */
  readonly rank?: number
}

type Cell = string | number | bigint

/** A column: its name, with the unit, and the cell of a row. */
type Columns<Row> = Readonly<Record<string, (row: Row, direction: (id: string) => Cell) => Cell>>

const nodeColumns: Columns<NodeRow> = {
  id: ({ id }) => wholeId(id),
  kind: ({ kind }) => kind,
  operator: ({ op }) => op,
  phase: ({ segment }) => segment,
  module: ({ module }) => module,
  layers: ({ layers }) => layers,
  stage: ({ stage = '' }) => stage,
  direction: ({ id }, direction) => direction(id),
  region: ({ region }) => region,
  executions_per_step: ({ executions }) => executions,
  flop_class: ({ flopClass }) => flopClass,
  flops_per_step: ({ flops }) => flops,
  bytes_read_per_step: ({ bytesRead }) => bytesRead,
  bytes_written_per_step: ({ bytesWritten }) => bytesWritten,
  axes: ({ axes }) => axes.join(' '),
  group_size_ranks: ({ axes, groupSize }) => (axes.length > 0 ? groupSize : ''),
  payload_bytes_per_execution: ({ axes, payloadBytes }) => (axes.length > 0 ? payloadBytes : ''),
  sent_bytes_per_execution: ({ axes, bytesPerRank }) => (axes.length > 0 ? bytesPerRank : ''),
}

const communicationColumns: Columns<CommunicationRow> = {
  operator: ({ op }) => op,
  axes: ({ axes }) => axes.join(' '),
  group_size_ranks: ({ groupSize }) => groupSize,
  phase: ({ segment }) => segment,
  region: ({ region }) => region,
  direction: ({ nodes }, direction) => [...new Set(nodes.map(direction))].join(' '),
  executions_per_step: ({ count }) => count,
  payload_bytes_per_execution: ({ payloadBytes }) => payloadBytes,
  sent_bytes_per_execution: ({ bytesPerRank }) => bytesPerRank,
  sent_bytes_per_step: ({ bytesPerRank, count }) => bytesPerRank * count,
  tensor: ({ reason }) => reason.tensor,
  nodes: ({ nodes }) => [...new Set(nodes.map(wholeId))].join(' '),
}

/** The names of the columns, and the cells of each row in turn. */
function rowsOf(program: Program, operators: OperatorTable, options: TableOptions) {
  checkOptions(options, { table: tableNames.join('|'), rank: 'number' })
  const { table = 'nodes', rank = 0 } = options
  const isTwoWay = program.pipeline?.directions === 2
  const direction = (id: string) => (isTwoWay ? (wholeId(id) === id ? 1 : 2) : '')
  const tables = {
    nodes: () => cellsOf(nodeColumns, nodeTable(program, operators, { rank }), direction),
    communication: () => cellsOf(communicationColumns, communicationTable(program, operators, { rank }), direction),
  } satisfies Record<TableName, unknown>
  return { table, rank, ...tables[table]() }
}

/** `direction` tells in which direction of a pipeline with two a node runs: 1 or 2. */
function cellsOf<Row>(columns: Columns<Row>, rows: Iterable<Row>, direction: (id: string) => Cell) {
  const list = Object.values(columns)
  function* cells() {
    for (const row of rows) yield list.map((cell) => cell(row, direction))
  }
  return { names: Object.keys(columns), cells: cells() }
}

/**
 * A table of a program as CSV (RFC 4180: CRLF, quotes doubled), row by row, in UTF-8. Counts are exact. A text that a
 * spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV injection). Throws `RANK` when the mesh has
 * no such rank.
 */
export function* tableCsv(
  program: Program,
  operators: OperatorTable,
  options: TableOptions = {},
): Generator<string, void, undefined> {
  const { names, cells } = rowsOf(program, operators, options)
  yield csvLine(names)
  for (const row of cells) yield csvLine(row)
}

/**
 * A table of a program as JSON, `shardloom.table/1`: an object for each row, whose keys are the columns of the CSV, row by
 * row. Numbers are the nearest doubles; what a row does not have is null. Throws `RANK`.
 */
export function* tableJson(
  program: Program,
  operators: OperatorTable,
  options: TableOptions = {},
): Generator<string, void, undefined> {
  const { table, rank, names, cells } = rowsOf(program, operators, options)
  yield `{"schema":"shardloom.table/1","table":${JSON.stringify(table)},"rank":${rank},"rows":[`
  let separator = '\n'
  for (const row of cells) {
    const values = row.map((cell) => (cell === '' ? null : typeof cell === 'bigint' ? Number(cell) : cell))
    yield separator + JSON.stringify(Object.fromEntries(names.map((name, at) => [name, values[at]])))
    separator = ',\n'
  }
  yield '\n]}\n'
}

/** One record of a CSV, with its line break. */
export function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`
}

function csvCell(cell: Cell): string {
  if (typeof cell !== 'string') return String(cell)
  const text = /^[=+\-@\t\r\n]/.test(cell) ? `'${cell}` : cell
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
