import {
  formatBytes,
  formatCount,
  formatCounted,
  formatQuantity,
  formatSeconds,
  formatShare,
  type ServingSimulationSummary,
} from 'shardloom'
import { budgetFacts } from './budget-facts.js'
import { type Style, singleLine } from './style.js'
import { pairs, table, wrapped } from './table.js'

/** What clients see of serving, what the engines do, and what holds them back, within 80 columns. */
export function servingSimulationLines(summary: ServingSimulationSummary, style: Style): string[] {
  const { conventions, spread, load, pools, limits } = summary
  const columns = [
    { header: '', align: 'left' },
    { header: 'mean', align: 'right' },
    { header: 'p50', align: 'right' },
    { header: 'p90', align: 'right' },
    { header: 'p99', align: 'right' },
  ] as const
  const rows = [
    ['time to first token', spread.ttft] as const,
    ['time per output token', spread.tpot] as const,
    ['between tokens', spread.itl] as const,
    ['whole request', spread.latency] as const,
  ].map(([name, of]) => [name, ...[of?.mean, of?.p50, of?.p90, of?.p99].map(durationOrNone)])
  const from = load.clients === undefined ? 'as they arrive' : `from ${formatCounted(load.clients, 'client')}`
  const { weightDtype, cacheDtype, linearDtype, constants, error } = conventions
  const linear = linearDtype === undefined ? '' : `, linear layers in ${linearDtype}`
  const types = `weights ${weightDtype}, cache ${cacheDtype}, all else ${conventions.dtype}${linear}`
  const lines = [
    style.bold(
      `${singleLine(summary.model)} · serving on ${formatCount(summary.world)} × ${singleLine(conventions.accelerator)}`,
    ),
    ...pairs([
      ['cluster', singleLine(conventions.cluster)],
      ['engine', singleLine(conventions.engine)],
      [
        'load',
        `${formatCounted(load.requests, 'request')} ${from}, ${formatCounted(Math.round(load.meanInput), 'token')} in and ${Math.round(load.meanOutput)} out on average`,
      ],
      ...(load.assumed.length > 0
        ? [['assumed', `${load.assumed.join(', ')}: set them in options.serving.load`] as [string, string]]
        : []),
      ['conventions', types],
      ['good for', `TPOT ±${Math.round(100 * error.tpot)} %, TTFT ±${Math.round(100 * error.ttft)} %`],
      ...(constants === undefined ? [] : [['constants', singleLine(constants)] as [string, string]]),
    ]),
    '',
    style.bold('Clients see'),
    ...table(columns, rows, style),
    ...pairs([
      [
        'tokens',
        `${formatQuantity(Math.round(summary.tokensPerSecond), '')}/s generated, ${formatQuantity(Math.round(summary.tokensPerSecondPerRank), '')}/s per rank`,
      ],
      ['requests', `${summary.requestsPerSecond.toPrecision(3)}/s in ${formatSeconds(summary.seconds)}`],
      ...budgetFacts(summary.budget, summary.world, 'generated tokens'),
    ]),
    ...pools.flatMap((pool) => ['', style.bold(poolTitle(pool)), ...pairs(poolFacts(pool))]),
    '',
    style.bold('What limits'),
    ...limits.flatMap((limit) => wrapped(limit, 2)),
  ]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

/** A duration, or a dash for what nothing was measured of. */
const durationOrNone = (seconds: number | undefined) => (seconds === undefined ? '–' : formatSeconds(seconds))

type PoolSummary = ServingSimulationSummary['pools'][number]

function poolTitle({ phase, engines, ranks }: PoolSummary): string {
  const name = { both: 'Engine', prefill: 'Prefill', decode: 'Decode' }[phase]
  return `${name}: ${formatCounted(ranks, 'rank')}${engines > 1 ? `, ${formatCounted(engines, 'engine')}` : ''}`
}

function poolFacts(pool: PoolSummary): [string, string | string[]][] {
  const { time, stages, busy, meanRunning, meanWaiting, preemptions, cachedTokens } = pool
  return [
    [
      'KV cache',
      `room for ${formatQuantity(pool.capacityTokens, '')} tokens of ${formatBytes(Math.round(pool.bytesPerToken))}; ${formatShare(pool.meanCapacityUsed)} used on average, ${formatShare(pool.peakCapacityUsed)} at most`,
    ],
    [
      'sequences',
      `${meanRunning.toFixed(1)} run and ${meanWaiting.toFixed(1)} wait on average${preemptions > 0 ? `, ${formatCounted(preemptions, 'preemption')}` : ''}`,
    ],
    [
      'steps',
      `${formatCount(pool.steps)}${stages > 1 ? `, up to ${stages} in flight in as many stages` : ''}, busy ${formatShare(busy)} of the time`,
    ],
    [
      'time',
      `tokens ${formatShare(time.tokens)}, contexts ${formatShare(time.attention)}, host ${formatShare(time.host)}`,
    ],
    ...(cachedTokens > 0
      ? [['prefixes', `${formatQuantity(cachedTokens, '')} tokens were cached`] as [string, string]]
      : []),
  ]
}
