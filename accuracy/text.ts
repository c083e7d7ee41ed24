import type { Report, Summary } from './report.js'

const percent = (share: number) => `${share < 0 ? '−' : '+'}${(100 * Math.abs(share)).toFixed(1)}\u00a0%`
const plain = (share: number) => `${(100 * share).toFixed(1)}\u00a0%`
const number = (value: number) => String(Number(value.toPrecision(4)))

const introduction = `# Accuracy

Every row of published training measurements that the simulator is held against, with its error. \`npm run accuracy\` prints this
page; \`npm run accuracy -- --rows my-rows.json\` does the same for rows of your own, and \`--json\` gives them as data.

A row becomes a spec, which is planned and simulated like any other. One set of constants for each accelerator serves all tables;
an [engine](../concepts/time.md#engines) says what is known of the software behind a table. Nothing is fitted to a row or a model.
What a source counts as FLOPs is converted: with or without what is computed again, causal attention whole or halved.

An error is predicted over measured, less 1. Means are of its size, over configurations: a configuration that a table repeats, in
another metric or for another release, counts once. Kendall's τ is over pairs of rows of one metric that differ by more than the error that
the model states for the table.
`

/** The report as a page of Markdown: a summary by table, every row with its error, and what is not predicted. */
export function reportText({ rows, listed, summary }: Report): string {
  const guessed = listed.filter(({ error }) => error !== undefined)
  const unpredicted = listed.filter(({ error }) => error === undefined)
  const recalled = rows.filter((row) => row.recalled.length > 0).length
  const summaries = (open: boolean) =>
    table(
      ['table', 'of', 'n', 'mean error', 'bias', 'worst', 'τ (pairs)', 'stated'],
      summary.filter((each) => each.open === open).map(summaryCells),
    )
  const remarks = [...new Map(summary.flatMap(({ table, remark }) => (remark ? [[remark, table] as const] : [])))]
  return [
    introduction,
    '## Rows that say everything',
    '',
    `${rows.length} values, ${recalled} of which rest on something recalled, not read (r).`,
    '',
    ...summaries(false),
    '',
    ...grouped(rows, ['model', 'run', 'metric', 'measured', 'predicted', 'error'], (row) => [
      row.model,
      row.layout,
      `${row.metric}${row.recalled.length > 0 ? ' (r)' : ''}`,
      `${number(row.measured)}\u00a0${row.unit}`,
      number(row.predicted),
      percent(row.error),
    ]),
    '## Rows that leave something open',
    '',
    'They are listed with what they lack. Where only choices of whoever ran them are open, the fastest choice that fits in memory',
    'stands in, since published runs are tuned.',
    '',
    ...summaries(true),
    '',
    ...grouped(guessed, ['model', 'lacks', 'chosen', 'metric', 'measured', 'predicted', 'error'], (row) => [
      row.model,
      row.lacks.join(', '),
      row.chosen ?? '',
      row.metric,
      `${number(row.measured ?? 0)}\u00a0${row.unit}`,
      number(row.predicted ?? 0),
      percent(row.error ?? 0),
    ]),
    '## Why rows miss',
    '',
    ...remarks.map(([remark, table]) => `- **${table.replace(/,.*$/, '')}**: ${remark}`),
    '',
    '## Rows that are not predicted',
    '',
    ...grouped(unpredicted, ['model', 'metric', 'lacks'], ({ model, metric, lacks }) => [
      model,
      metric,
      lacks.join(', '),
    ]),
  ]
    .join('\n')
    .trimEnd()
}

/** A table of its own for the rows of each source. */
function grouped<Row extends { readonly source: string }>(
  rows: readonly Row[],
  heading: readonly string[],
  cells: (row: Row) => readonly string[],
): string[] {
  const sources = [...new Set(rows.map(({ source }) => source))]
  return sources.flatMap((source) => [
    `**${source}**`,
    '',
    ...table(heading, rows.filter((row) => row.source === source).map(cells)),
    '',
  ])
}

function table(heading: readonly string[], lines: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(heading), `|${heading.map(() => '---').join('|')}|`, ...lines.map(line)]
}

function summaryCells({ table, family, n, rows, meanError, bias, worst, tau, pairs, statedError }: Summary): string[] {
  return [
    table,
    family,
    rows === n ? String(n) : `${n} (${rows} rows)`,
    plain(meanError),
    percent(bias),
    percent(worst),
    tau === null ? '' : `${tau.toFixed(2).replace('-', '−')} (${pairs})`,
    `${(100 * statedError).toFixed(0)}\u00a0%`,
  ]
}
