import { readFileSync } from 'node:fs'
import { test } from 'vitest'
import { readCsv, servingAccuracy, servingSummary } from '../scripts/accuracy/serving-rows.mjs'

test('x', async () => {
  const all = readCsv(readFileSync('/work/shared/reference/measured-serving.csv', 'utf8'))
  const pick = process.env.PICK
    ? all.filter((r: any) => r.model_path.includes(process.env.PICK!) && r.backend.includes(process.env.ENG ?? ''))
    : all
  const t0 = performance.now()
  const { rows, listed } = await servingAccuracy(pick)
  console.log('time', performance.now() - t0, 'rows', rows.length, 'listed', listed.length)
  for (const r of rows)
    console.log(
      r.group,
      r.configuration,
      r.pastCapacity ? 'PAST' : '',
      r.metric,
      (r.measured * 1e3).toFixed(1),
      (r.predicted * 1e3).toFixed(1),
      (100 * r.error).toFixed(1),
    )
  console.table(servingSummary(rows.filter((r: any) => !r.pastCapacity)))
}, 600000)
