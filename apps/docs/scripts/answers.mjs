/**
 * Answers the questions of the page "Which parallelism should I use?" and writes, for each, what the page includes: tables, a picture and
 * the best as a spec and as flags. It runs before every build of the site, so that no answer is one that the code no longer gives.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  finish,
  formatBytes,
  formatCount,
  formatDifference,
  formatQuantity,
  formatSeconds,
  formatShare,
  loadSpec,
  specText,
} from 'shardloom'
import { exportLaunch, launchers } from 'shardloom/launch'
import { answersOf, fixesOf, mergeAnswers, questionOf, rerankWork } from 'shardloom/search'
import { paretoSvg } from 'shardloom/svg'
import { questions } from './answers/questions.mjs'

/** How a metric is called, and written with its unit. */
const metrics = {
  'step-time': { title: 'step time', format: formatSeconds, unit: 's' },
  'peak-memory': { title: 'memory at the peak', format: formatBytes, unit: 'B' },
  throughput: { title: 'tokens/s per GPU', format: (value) => formatQuantity(Math.round(value), '') },
  ttft: { title: 'TTFT', format: formatSeconds, unit: 's' },
  tpot: { title: 'TPOT', format: formatSeconds, unit: 's' },
}

const generated = join(dirname(fileURLToPath(import.meta.url)), '..', 'generated')
mkdirSync(generated, { recursive: true })
for (const each of questions) {
  const asked = await answer(each)
  if (asked.simulated.length === 0) throw new Error(`${each.name}: no candidate keeps every rule and limit`)
  const other = asked.simulated.find(({ candidate }) => !each.said(candidate.choices))
  if (other) throw new Error(`${each.name}: the page says otherwise of the best than what ${other.candidate.name} is`)
  writeFileSync(join(generated, `answer-${each.name}.md`), await page(each, asked))
  writeFileSync(join(generated, `answer-${each.name}.svg`), picture(each, asked))
  console.log(
    `${each.name}: the best of ${formatCount(asked.found.counts.total)} is ${asked.simulated[0].candidate.name}`,
  )
}

/** The best of the whole space, simulated event by event, and the nearest misses with what would fix them. */
async function answer({ spec, ask }) {
  const loaded = await loadSpec(spec)
  const question = questionOf(loaded, ask)
  const { part: answerPart } = answersOf(loaded, question)
  const parts = Array.from({ length: question.parts }, (_, part) => finish(answerPart(part)))
  const found = mergeAnswers(parts, question)
  const { best: simulated, simulated: tried } = finish(rerankWork(loaded, question, found))
  // Of each rule the nearest, which stands first.
  const nearest = new Map(found.misses.toReversed().map((miss) => [miss.rule, miss]))
  const misses = new Map(
    Array.from(nearest, ([rule, miss]) => [rule, { miss, fix: bestOf(fixesOf(loaded, question, miss)) }]),
  )
  return { loaded, question, found, simulated, tried, misses }
}

async function page({ columns, launcher }, { question, found, simulated, tried, misses }) {
  const { total, rejected, bounded, evaluated } = found.counts
  const best = await loadSpec(simulated[0].spec)
  const text = (candidate) => code(shortName(question, candidate))
  return `${[
    `${formatCount(total)} candidates: ${formatCount(sumOf(rejected))} break a rule, a bound says of ${formatCount(bounded)} that they are no better than what was found, and ${formatCount(evaluated)} were evaluated. The best of ${formatCount(tried)} that were simulated, with how far the estimate is off in brackets:`,
    table(
      ['', 'candidate', ...columns.map((name) => metrics[name].title), ''],
      simulated.map(({ candidate, metrics: own, differences, misses: missed }, index) => [
        String(index + 1),
        text(candidate),
        ...columns.map((name) => `${metrics[name].format(own[name])} (${formatDifference(differences[name])})`),
        missed.map(({ rule, by }) => `misses ${code(rule)} by ${formatShare(by)}`).join(', '),
      ]),
    ),
    'Of each rule, how many candidates break it, and the one that does so by least:',
    table(
      ['rule', 'candidates', 'nearest miss', 'misses by', 'one change that fixes it'],
      Object.entries(rejected).map(([rule, count]) => {
        const { miss, fix } = misses.get(rule) ?? {}
        return [
          code(rule),
          formatCount(count),
          miss ? text(miss) : '',
          miss?.by > 0 ? formatShare(miss.by) : '',
          fix ? code(fix.change) : miss ? 'none alone' : '',
        ]
      }),
    ),
    'The best as a spec:',
    fence('yaml', specText(best.spec)),
    best.spec.phase === 'serving'
      ? `and what ${launchers[launcher].title} is told for each of its engines:`
      : `and what ${launchers[launcher].title} is told:`,
    fence('sh', exportLaunch(await oneEngine(best.spec), launcher).text),
  ].join('\n\n')}\n`
}

/** Engines that do the same are started one by one, behind a router. */
function oneEngine({ cluster, parallel, ...spec }) {
  if (parallel.replicas === 1) return loadSpec({ ...spec, cluster, parallel })
  return loadSpec({ ...spec, cluster: cluster.preset, parallel: { ...parallel, replicas: 1 } })
}

function bestOf(fixes) {
  return fixes.reduce((best, fix) => (best && best.candidate.score <= fix.candidate.score ? best : fix), undefined)
}

/** A candidate by what the question leaves open and is not as usual. */
function shortName(question, { choices }) {
  const usual = [1, false, 'none', 'even', '1f1b']
  const own = Object.entries(choices).filter(
    ([name, value]) => name === 'tp' || (question.choices[name]?.length !== 1 && !usual.includes(value)),
  )
  return own.map(([name, value]) => `${name}=${value}`).join(' ')
}

function picture({ ask: { front } }, { question, found, simulated }) {
  const [x, y] = front.map((name) => name.replace(/^-/, ''))
  const axis = (name, index) => ({
    name: metrics[name].title,
    ...(metrics[name].unit && { unit: metrics[name].unit }),
    better: front[index].startsWith('-') ? 'more' : 'less',
  })
  const points = [...found.front, ...simulated.map(({ candidate }) => candidate)].map((candidate) => ({
    name: shortName(question, candidate),
    x: candidate.metrics[x],
    y: candidate.metrics[y],
  }))
  const marked = shortName(question, simulated[0].candidate)
  return paretoSvg({ points, axes: { x: axis(x, 0), y: axis(y, 1) }, marked }, { width: 760 })
}

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function fence(language, text) {
  return `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``
}

function code(text) {
  return `\`${text}\``
}

function sumOf(counts) {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}
