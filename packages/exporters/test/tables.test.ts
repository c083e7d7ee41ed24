import { csvLine, type TableName, tableCsv, tableJson } from '@shardloom/exporters/tables'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hostileTexts } from './hostile.js'
import { operators, trainingProgram } from './program.js'

/** Reads CSV by the grammar of RFC 4180, section 2. */
function readCsv(text: string): string[][] {
  const records: string[][] = []
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gy
  let record: string[] = []
  while (field.lastIndex < text.length) {
    const start = field.lastIndex
    const [whole, quoted, plain, end] = field.exec(text) ?? []
    if (whole === undefined) throw new Error(`no field at ${start}: ${text.slice(start, start + 40)}`)
    record.push(quoted?.replaceAll('""', '"') ?? plain ?? '')
    if (end === ',') continue
    records.push(record)
    record = []
  }
  return records
}

describe('tables', () => {
  test.each<TableName>(['nodes', 'communication'])('%s: CSV and JSON say the same', (table) => {
    const program = trainingProgram()
    const [names = [], ...rows] = readCsv([...tableCsv(program, operators, { table })].join(''))
    const json: { schema: string; rows: Record<string, unknown>[] } = JSON.parse(
      [...tableJson(program, operators, { table })].join(''),
    )
    expect(json.schema).toBe('shardloom.table/1')
    expect(rows.length).toBeGreaterThan(0)
    expect(rows.every((row) => row.length === names.length)).toBe(true)
    expect(json.rows.map((row) => names.map((name) => String(row[name] ?? '')))).toEqual(rows)
  })

  test('any text comes back, and none is a formula', () => {
    const texts = fc.oneof(
      hostileTexts,
      hostileTexts.chain((text) => fc.constantFrom('=', '+', '-', '@', '\t', '\r', '\n').map((sign) => sign + text)),
    )
    fc.assert(
      fc.property(fc.array(texts, { minLength: 2 }), (cells) => {
        const [read = []] = readCsv(csvLine(cells))
        expect(read).toHaveLength(cells.length)
        read.forEach((cell, index) => {
          expect(cell).not.toMatch(/^[=+\-@\t\r\n]/)
          expect([cells[index], `'${cells[index]}`]).toContain(cell)
        })
      }),
    )
    expect(csvLine(['=HYPERLINK("http://x")', -3, 2n ** 70n])).toBe(
      '"\'=HYPERLINK(""http://x"")",-3,1180591620717411303424\r\n',
    )
  })

  test('options that there are not are refused, and ranks', () => {
    expect(() => [...tableCsv(trainingProgram(), operators, { rank: 4 })]).toThrow(
      expect.objectContaining({ code: 'RANK' }),
    )
    // @ts-expect-error: there is no such table
    expect(() => [...tableCsv(trainingProgram(), operators, { table: 'edges' })]).toThrow(/table/)
  })
})
