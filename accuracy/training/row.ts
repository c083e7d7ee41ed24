import { readRecords, ShardloomError, type TableRecord } from 'shardloom'

/** One published measurement of a training run. In `vp`, `cp`, `ep`, `sp` and `zero` null means not used, elsewhere unknown. */
export interface Row {
  readonly source: string
  readonly model: string
  readonly params: number | null
  readonly hardware: string
  readonly gpus: number | null
  readonly dp: number | null
  readonly tp: number | null
  readonly pp: number | null
  readonly vp: number | null
  readonly cp: number | null
  readonly ep: number | null
  readonly sp: number | null
  readonly zero: number | null
  readonly global_batch: number | null
  readonly micro_batch: number | null
  readonly seq: number | null
  readonly recompute: string | null
  readonly precision: string | null
  readonly metric: string
  readonly value: number | readonly number[]
  readonly unit: string
  readonly seen: string | null
  readonly note: string | null
  readonly recalled_fields: readonly string[]
}

const numbers = 'params gpus dp tp pp vp cp ep sp zero global_batch micro_batch seq'.split(' ')
const texts = 'source model hardware recompute precision metric unit seen note'.split(' ')

/** What a row may say that is computed again, in any case of letters. */
export const recomputeWords: readonly string[] = ['none', 'full', 'selective', 'selective (per op)']

/** The columns that files of rows have; those that are not read say where a row comes from. */
export const columns: readonly string[] = [...numbers, ...texts, 'value', 'recalled_fields', 'source_path']

/** Reads rows from the text of a JSON list, or of a CSV with a heading. Throws `RECORDS` and `ROWS`. */
export function readRows(text: string, name: string): Row[] {
  return readRecords(text, name).map((each, index) => rowOf(each, `${name}, row ${index + 1}`))
}

function rowOf(each: TableRecord, name: string): Row {
  const fields = new Map(Object.entries(each))
  const given = (key: string) => {
    const value = fields.get(key)
    return value === undefined || value === '' ? null : value
  }
  const number = (key: string) => {
    const value = given(key)
    if (value === null) return null
    const read = typeof value === 'boolean' ? Number(value) : typeof value === 'number' ? value : Number(value)
    if (!Number.isFinite(read)) throw bad(name, `has no number in \`${key}\``)
    return read
  }
  const entries = [
    ...numbers.map((key) => [key, number(key)] as const),
    ...texts.map((key) => [key, given(key) === null ? null : String(given(key))] as const),
  ]
  for (const key of ['source', 'model', 'hardware', 'metric', 'unit'])
    if (given(key) === null) throw bad(name, `lacks \`${key}\``)
  const recompute = given('recompute') === null ? null : String(given('recompute')).toLowerCase()
  const value = listOf(given('value')).map(Number)
  if (value.length === 0 || value.some((one) => !Number.isFinite(one))) throw bad(name, 'has no number in `value`')
  const [only = 0] = value
  const recalled = listOf(given('recalled_fields')).map(String)
  // Every key of a row was set and checked above.
  return {
    ...Object.fromEntries(entries),
    recompute,
    value: value.length > 1 ? value : only,
    recalled_fields: recalled,
  } as unknown as Row
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (typeof value !== 'string') return value === null ? [] : [value]
  return value
    .replace(/^\[|\]$/g, '')
    .split(/[,;]\s*/)
    .map((each) => each.replace(/^["']|["']$/g, ''))
    .filter((each) => each !== '')
}

function bad(name: string, why: string): ShardloomError {
  return new ShardloomError('ROWS', `${name} ${why}.`, {
    subject: name,
    help: 'Give a JSON list or a CSV with the fields source, model, hardware, gpus, …, metric, value and unit.',
  })
}

/** How a row was run, in the fields that it gives: such as `64 ranks, tp 8, pp 8, vp 3, batch 64 by 1, selective`. */
export function layoutOf(row: Row): string {
  const degrees = (['dp', 'tp', 'pp', 'vp', 'cp', 'ep'] as const).flatMap((axis) =>
    (row[axis] ?? 1) > 1 ? [`${axis} ${row[axis]}`] : [],
  )
  return [
    ...(row.gpus === null ? [] : [`${row.gpus} ranks`]),
    ...degrees,
    ...(row.sp ? ['sp'] : []),
    ...(row.zero ? [`ZeRO-${row.zero}`] : []),
    ...(row.global_batch === null ? [] : [`batch ${row.global_batch}`]),
    ...(row.micro_batch === null ? [] : [`microbatch ${row.micro_batch}`]),
    ...(row.recompute && row.recompute !== 'none' ? [`recompute ${row.recompute}`] : []),
    ...(row.precision === null ? [] : [row.precision]),
  ].join(', ')
}
