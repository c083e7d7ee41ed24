/**
 * `node scripts/accuracy/serving.mjs FILE.csv [--json]`: predicts rows of measured serving and prints errors by model, engine and metric;
 * with `--json` every row. Needs a build.
 */
import { readFileSync } from 'node:fs'
import { readCsv, servingAccuracy, servingSummary } from './serving-rows.mjs'

const [file, flag] = process.argv.slice(2)
if (file === undefined) {
  console.error('Which rows? node scripts/accuracy/serving.mjs FILE.csv')
  process.exit(2)
}
const { rows, listed } = await servingAccuracy(readCsv(readFileSync(file, 'utf8')))
if (flag === '--json') console.log(JSON.stringify({ rows, listed, summary: servingSummary(rows) }, null, 2))
else {
  for (const past of [false, true]) {
    console.log(past ? '\nPast the KV capacity' : 'Within the KV capacity')
    for (const { group, metric, n, mean, median, worst } of servingSummary(
      rows.filter((row) => row.pastCapacity === past),
    ))
      console.log(
        `  ${group}, ${metric}: n ${n}, mean ${percent(mean)}, median ${percent(median)}, worst ${percent(worst)}`,
      )
  }
  for (const { source, model, lacks } of listed) console.log(`not predicted: ${model} (${source}): lacks ${lacks}`)
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`
}
