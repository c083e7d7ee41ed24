import { basename } from 'node:path'
import { nearest, readRecords, type TableRecord } from 'shardloom'
import { columns as columnsOfInference, type SaidByRow, saidByRow } from './inference/row.js'
import type { SaidOfServing } from './serving/case.js'
import { columns as columnsOfSamples, saidBySample } from './serving/sample-row.js'
import { columns as columnsOfTraining, type Row, readRows } from './training/row.js'

/** What is measured. */
export const kinds = ['training', 'serving', 'inference'] as const
export type Kind = (typeof kinds)[number]

/** Rows by what they measure. */
export interface Rows {
  readonly training: readonly Row[]
  readonly serving: readonly SaidOfServing[]
  readonly inference: readonly Extract<SaidByRow, { readonly kind: 'static' }>[]
  /** Of columns that are not read, since no file of the shape has them. */
  readonly warnings: readonly string[]
}

/**
 * Reads rows from the text of a file in any of three shapes, told apart by their columns: runs of training, samples of engines under
 * load (`model_path`, `silicon_ttft_ms`, …), and published inference (`isl`, `osl`, `metric`, …), whose rows are of engines or of static
 * batches. Throws `RECORDS` and `ROWS`.
 */
export function readTable(text: string, name: string): Rows {
  const { list, records } = recordsOf(text, name)
  const has = (...keys: readonly string[]) => records.some((record) => keys.some((key) => Object.hasOwn(record, key)))
  const warnings = (columns: readonly string[]) => unread(records, columns, name)
  const none: Rows = { training: [], serving: [], inference: [], warnings: [] }
  if (has('model_path', 'silicon_ttft_ms', 'silicon_tpot_ms')) {
    const serving = records.map((record) => saidBySample(record, basename(name)))
    return { ...none, serving, warnings: warnings(columnsOfSamples) }
  }
  if (!has('isl', 'osl', 'batch_or_concurrency'))
    return { ...none, training: readRows(list, name), warnings: warnings(columnsOfTraining) }
  const said = records.map(saidByRow)
  return {
    ...none,
    serving: said.flatMap((each) => (each.kind === 'serving' ? [each] : [])),
    inference: said.flatMap((each) => (each.kind === 'static' ? [each] : [])),
    warnings: warnings(columnsOfInference),
  }
}

/** A warning of each column that no file of the shape has. */
function unread(records: readonly TableRecord[], columns: readonly string[], name: string): string[] {
  const own = new Set(records.flatMap((record) => Object.keys(record)))
  return [...own]
    .filter((column) => !columns.includes(column))
    .map((column) => {
      const near = nearest(column, columns) ?? columns.find((each) => each.length > 2 && column.startsWith(each))
      const help = near ? `did you mean \`${near}\`?` : 'its name is none that a file with such rows has'
      return `the column \`${column}\` of ${name} is not read: ${help}`
    })
}

/** The records of a text, and the text that has them alone: an object with a list of `rows` has them there. */
function recordsOf(text: string, name: string): { readonly list: string; readonly records: readonly TableRecord[] } {
  if (!/^\s*\{/.test(text)) return { list: text, records: readRecords(text, name) }
  const [whole] = readRecords(`[${text}]`, name)
  const list = JSON.stringify(whole?.['rows'] ?? [whole])
  return { list, records: readRecords(list, name) }
}

/** All rows of several tables. */
export function joined(tables: readonly Rows[]): Rows {
  return {
    training: tables.flatMap(({ training }) => training),
    serving: tables.flatMap(({ serving }) => serving),
    inference: tables.flatMap(({ inference }) => inference),
    warnings: tables.flatMap(({ warnings }) => warnings),
  }
}
