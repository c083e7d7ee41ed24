import { efficiencyOf } from '@shardloom/simulator'
import { formatCounted } from 'shardloom'
import { ownRows } from './own-rows.js'
import type { Listed, Predicted, Section, Summary } from './section.js'
import type { LeftOut } from './serving/leave-out.js'
import { strategiesLines } from './strategies-page.js'
import { grouped, number, percent, plain, tableLines } from './table-lines.js'
import type { Setting } from './training/best-of-table.js'

/** All that was held against measurements. */
export interface Report {
  readonly schema: 'shardloom.accuracy/2'
  readonly warnings?: readonly string[]
  readonly training?: Section
  readonly strategies?: readonly Setting[]
  readonly serving?: Section
  readonly inference?: Section
  readonly leftOut?: readonly LeftOut[]
}

const introduction = `# Accuracy

Every row of published measurements that the simulator is held against, with its error: [training](#training), [serving](#serving) and
[static batches](#static-batches). \`npm run accuracy\` prints this page; \`npm run accuracy -- --rows my-rows.csv\` does the same for rows
[of your own](#rows-of-your-own), in the shape of any of the three, \`--only serving\` for one section, and \`--json\` gives all as data.
[Strategies](#strategies) says where the best of a table stands in the order of a search.

A row becomes a spec, which is planned and simulated like any other. Each accelerator has one set of constants of its kernels; an
[engine](../concepts/time.md#engines) says what is known of the software behind a table, and changes some of them where its kernels are
others. No constant is of one row. None of kernels is of one model, but a host is where its engine was measured with one alone: SGLang's was
fitted to DeepSeek-R1, that of TensorRT-LLM to Qwen3 32B. Recipes of Megatron-Bridge depend on the model, as those that NVIDIA publishes do.

Figures of tables marked \`fitted\` are in-sample: constants were fitted to them, and they say how well the model describes a machine, not how
well it predicts one. Those \`held out\` had no part in a fit; still, what is known of their software was settled with their errors in sight.

An error is predicted over measured, less 1. Means are of its size, over configurations: one that a table repeats, in another
metric or for another release, counts once, with the mean size of its rows' errors. The worst is that of a row. Kendall's τ is over pairs of
rows of one metric that differ by more than the error that the model states for the table, or than its mean error there where that is more,
which then stands beside what is stated.`

const training = `What a source counts as FLOPs is converted: with or without what is computed again, causal attention whole or halved.

Where the constants of kernels come from:

- A100: ${efficiencyOf({ name: 'a100-80-sxm' }).source};
- H100: ${efficiencyOf({ name: 'h100-sxm' }).source}.

Of engines the share of communication that runs inside of matmuls, the matmuls of
2021, and FlashAttention-2 in backward and casts of row-wise float8 of torchtitan come from the same tables. Of torchtitan's rows those with cp above 1 had no part, and of Megatron-Bridge's only Llama 3 70B in FP8 on H100 had
one. No constant was fitted to memory.`

const serving = `An engine under load, [step by step](../concepts/serving.md). Time to first token (TTFT) and time per output token (TPOT) are means over
requests. Engines have four constants of their host each, TensorRT-LLM two more, which were fitted to rows within the KV capacity, and one share
of bandwidth that reading sustains, common to all; \`--leave-out\` says what they are worth for rows that they were not fitted to.`

const inference = `A batch that runs by itself, with the constants of training: no scheduler, no host, no constant of an engine.`

/** What a page of somebody's own rows begins with, in place of all that is about published ones. */
const ownIntroduction = (file: string) => `# Accuracy for ${file}

An error is predicted over measured, less 1. What the tables show, and how rows are written, is in apps/docs/reference/accuracy.md.`

/**
 * The report as a page of Markdown: of each section a summary by table, every row with its error, and what is not predicted. `own`: the
 * file of rows that are not the published ones, around which nothing is said of those.
 */
export function pageOf(
  { training: trained, strategies, serving: served, inference: inferred, leftOut }: Report,
  own?: string,
): string {
  const lines = (title: string, about: string, section: Section) =>
    sectionLines(title, own === undefined ? about : undefined, section)
  return [
    own === undefined ? introduction : ownIntroduction(own),
    '',
    ...(trained ? lines('Training', training, trained) : []),
    ...(strategies ? strategiesLines(strategies, own === undefined ? 'published' : 'measured') : []),
    ...(served ? lines('Serving', serving, served) : []),
    ...(leftOut ? leftOutLines(leftOut) : []),
    ...(inferred ? lines('Static batches', inference, inferred) : []),
    ...(own === undefined ? [ownRows] : []),
  ].join('\n')
}

/** A section of the page; without a text about it, of rows of one's own. */
function sectionLines(title: string, about: string | undefined, { rows, listed, summary }: Section): string[] {
  const isOwn = about === undefined
  const hardwareOf = ({ hardware }: { readonly hardware: string }) => (isOwn ? hardware : '')
  const guessed = listed.filter(({ error }) => error !== undefined)
  const unpredicted = listed.filter(({ error }) => error === undefined)
  const recalled = rows.filter((row) => row.recalled.length > 0).length
  const remarks = new Set(summary.flatMap(({ remark }) => remark ?? []))
  const of = (heading: string) => `### ${title}: ${heading}`
  const parts = [
    [`## ${title}`, ...(isOwn ? [] : [about])],
    summary.some(({ open }) => !open) && [
      of('rows that say everything'),
      `${formatCounted(rows.length, 'value')}${recalled > 0 ? `, ${recalled} of which rest on something recalled, not read (r)` : ''}.`,
      ...summaryTable(summary, false, isOwn),
      ...grouped(rows, ({ table }) => table, rowHeading, rowCells, hardwareOf),
    ],
    guessed.length > 0 && [
      of('rows that leave something open'),
      `They are listed with what they lack. Where only choices of whoever ran them are open, the fastest choice that fits in memory
stands in${isOwn ? '' : ', since published runs are tuned'}.`,
      ...summaryTable(summary, true, isOwn),
      ...grouped(guessed, ({ source }) => source, guessedHeading, guessedCells, hardwareOf),
    ],
    remarks.size > 0 && [
      of('why rows miss'),
      [...remarks].map((remark) => `- **${remarkedIn(summary, remark)}**: ${remark}`).join('\n'),
    ],
    unpredicted.length > 0 && [
      of('rows that are not predicted'),
      ...grouped(
        unpredicted,
        ({ source }) => source,
        ['model', 'metric', 'lacks'],
        (row) => [row.model, row.metric, row.lacks.join(', ')],
        hardwareOf,
      ),
    ],
  ]
  return parts.flatMap((part) => (part ? [part.join('\n\n'), ''] : []))
}

/** The tables that a remark is about, each with the kinds of metric that it is about where the table has others. */
function remarkedIn(summary: readonly Summary[], remark: string): string {
  const about = summary.filter((each) => each.remark === remark)
  const names = about.map(({ table, family }) =>
    summary.some((each) => each.table === table && each.remark !== remark)
      ? `${nameOf(table)}, ${family}`
      : nameOf(table),
  )
  return [...new Set(names)].join('; ')
}

/** A table's publication, without which of its tables it is. */
const nameOf = (table: string) => (/\d{4}|README|summary/.test(table) ? table.replace(/,.*$/, '') : table)

function leftOutLines(leftOut: readonly LeftOut[]): string[] {
  const cells = ({ group, fittedTo, host, errors }: LeftOut) => [
    group,
    fittedTo.join('; '),
    `${number(1e3 * host.step)}\u00a0ms, ${number(1e6 * host.layer)}\u00a0µs, ${number(1e6 * host.sequence)}\u00a0µs, ${number(1e3 * host.request)}\u00a0ms`,
    ...(['TPOT', 'TTFT'] as const).flatMap((metric) => {
      const found = errors.find(({ family }) => family === metric)
      return found ? [`${plain(found.meanError)} (${percent(found.bias)})`, percent(found.worst)] : ['', '']
    }),
  ]
  const heading = [
    'group',
    'fitted to',
    'step, layer, sequence, request',
    'TPOT (bias)',
    'worst',
    'TTFT (bias)',
    'worst',
  ]
  return [
    '### Serving: each group with constants from the others',
    '',
    `The constants of the host, fitted anew to 16 rows of other groups: those of the same engine, or of all where it has no other. The
scheduler, the constants of kernels (products in eight bits of TensorRT-LLM, which were fitted to its rows, among them) and the share of
bandwidth that reading sustains stay; no step waits for being issued. Within the KV capacity.`,
    '',
    ...tableLines(heading, leftOut.map(cells)),
    '',
  ]
}

const rowHeading = ['model', 'run', 'metric', 'measured', 'predicted', 'error']
const rowCells = (row: Predicted) => [
  row.model,
  row.layout,
  `${row.metric}${row.recalled.length > 0 ? ' (r)' : ''}`,
  `${number(row.measured)}\u00a0${row.unit}`,
  number(row.predicted),
  percent(row.error),
]
const guessedHeading = ['model', 'lacks', 'chosen', 'metric', 'measured', 'predicted', 'error']
const guessedCells = (row: Listed) => [
  row.model,
  row.lacks.join(', '),
  row.chosen ?? '',
  row.metric,
  `${number(row.measured ?? 0)}\u00a0${row.unit}`,
  number(row.predicted ?? 0),
  percent(row.error ?? 0),
]

/** Of rows of one's own no column says whether constants were fitted to them: none was. */
function summaryTable(summary: readonly Summary[], open: boolean, isOwn: boolean): string[] {
  const all = ['table', 'of', 'constants', 'n', 'mean error', 'bias', 'worst', 'τ (pairs)', 'stated']
  const shown = (cells: readonly string[]) => cells.filter((_, index) => !isOwn || all[index] !== 'constants')
  const heading = shown(all)
  const lines = summary.filter((each) => each.open === open).map((each) => shown(summaryCells(each)))
  return lines.length > 0 ? [tableLines(heading, lines).join('\n')] : []
}

function summaryCells(summary: Summary): string[] {
  const { table, family, n, rows, fitted, meanError, bias, worst, tau, pairs, statedError, tie } = summary
  return [
    table,
    family,
    fitted === 0 ? 'held out' : fitted === n ? 'fitted' : `fitted to ${fitted} of ${n}`,
    rows === n ? String(n) : `${n} (${rows} rows)`,
    plain(meanError),
    percent(bias),
    percent(worst),
    tau === null ? '' : `${tau.toFixed(2).replace('-', '−')} (${pairs})`,
    `${(100 * statedError).toFixed(0)}\u00a0%${rows > 1 && tie > statedError ? `, ties ${plain(tie)}` : ''}`,
  ]
}
