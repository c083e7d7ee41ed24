import { readRecords, type TableRecord } from 'shardloom'
import { type SaidByRow, saidByRow } from './inference/row.js'
import type { SaidOfServing } from './serving/case.js'
import { saidBySample } from './serving/sample-row.js'
import { type Row, readRows } from './training/row.js'

/** What is measured. */
export const kinds = ['training', 'serving', 'inference'] as const
export type Kind = (typeof kinds)[number]

/** Rows by what they measure. */
export interface Rows {
  readonly training: readonly Row[]
  readonly serving: readonly SaidOfServing[]
  readonly inference: readonly Extract<SaidByRow, { readonly kind: 'static' }>[]
}

/**
 * Reads rows from the text of a file in any of three shapes, told apart by their columns: runs of training, samples of engines under
 * load (`model_path`, `silicon_ttft_ms`, …), and published inference (`isl`, `osl`, `metric`, …), whose rows are of engines or of static
 * batches. Throws `RECORDS` and `ROWS`.
 */
export function readTable(text: string, name: string): Rows {
  const { list, records } = recordsOf(text, name)
  const has = (...keys: readonly string[]) => records.some((record) => keys.some((key) => Object.hasOwn(record, key)))
  const none: Rows = { training: [], serving: [], inference: [] }
  if (has('model_path', 'silicon_ttft_ms', 'silicon_tpot_ms')) return { ...none, serving: records.map(saidBySample) }
  if (!has('isl', 'osl', 'batch_or_concurrency')) return { ...none, training: readRows(list, name) }
  const said = records.map(saidByRow)
  return {
    ...none,
    serving: said.flatMap((each) => (each.kind === 'serving' ? [each] : [])),
    inference: said.flatMap((each) => (each.kind === 'static' ? [each] : [])),
  }
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
  }
}
