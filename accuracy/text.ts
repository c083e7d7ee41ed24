import type { Report, Summary } from './report.js'

const percent = (share: number) => `${share < 0 ? '−' : '+'}${(100 * Math.abs(share)).toFixed(1)} %`
const plain = (share: number) => `${(100 * share).toFixed(1)} %`
const number = (value: number) => String(Number(value.toPrecision(4)))

/** The report as a page of Markdown: a summary by table, every row with its error, and what is not predicted. */
export function reportText({ rows, listed, summary }: Report): string {
  const guessed = listed.filter(({ error }) => error !== undefined)
  const unpredicted = listed.filter(({ error }) => error === undefined)
  const table = (heading: readonly string[], lines: readonly (readonly string[])[]) => [
    `| ${heading.join(' | ')} |`,
    `|${heading.map(() => '---').join('|')}|`,
    ...lines.map((line) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`),
  ]
  const summaries = (open: boolean) =>
    table(
      ['table', 'of', 'n', 'mean error', 'bias', 'worst', 'τ (pairs)'],
      summary.filter((each) => each.open === open).map(summaryCells),
    )
  const recalled = rows.filter((row) => row.recalled.length > 0).length
  return [
    '## Rows that say everything',
    '',
    `${rows.length} values, of which ${recalled} rest on recalled fields (marked r). An error is predicted over measured, less 1; the mean is of its size.`,
    '',
    ...summaries(false),
    '',
    ...table(
      ['source', 'model', 'metric', 'measured', 'predicted', 'error'],
      rows.map((row) => [
        row.source,
        row.model,
        `${row.metric}, ${row.unit}${row.recalled.length > 0 ? ' (r)' : ''}`,
        number(row.measured),
        number(row.predicted),
        percent(row.error),
      ]),
    ),
    '',
    '## Rows that leave something open',
    '',
    'These are listed with what they lack. Where only choices of whoever ran them are open, the fastest choice that fits in memory stands in.',
    '',
    ...summaries(true),
    '',
    ...table(
      ['source', 'model', 'lacks', 'chosen', 'metric', 'measured', 'predicted', 'error'],
      guessed.map((row) => [
        row.source,
        row.model,
        row.lacks.join(', '),
        row.chosen ?? '',
        `${row.metric}, ${row.unit}`,
        number(row.measured ?? 0),
        number(row.predicted ?? 0),
        percent(row.error ?? 0),
      ]),
    ),
    '',
    '## Rows that are not predicted',
    '',
    ...table(
      ['source', 'model', 'metric', 'lacks'],
      unpredicted.map(({ source, model, metric, unit, lacks }) => [
        source,
        model,
        `${metric}, ${unit}`,
        lacks.join(', '),
      ]),
    ),
    '',
  ].join('\n')
}

function summaryCells({ table, family, n, rows, meanError, bias, worst, tau, pairs }: Summary): string[] {
  return [
    table,
    family,
    rows === n ? String(n) : `${n} (${rows} rows)`,
    plain(meanError),
    percent(bias),
    percent(worst),
    tau === null ? '' : `${tau.toFixed(2)} (${pairs})`,
  ]
}
