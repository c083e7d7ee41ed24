import type { Command } from 'commander'
import { clusterNames, type LoadedSpec } from 'shardloom'
import {
  type Asked,
  type Change,
  changesOfSpec,
  fewRequests,
  frontPoints,
  isMiss,
  type Question,
  questionOf,
  type SimulatedCandidate,
  servingChoices,
  servingObjectives,
  stepChoiceNames,
  stepMetrics,
} from 'shardloom/search'
import { exitCode } from './exit-code.js'
import { type Call, type Io, locate } from './io.js'
import { printJson, printLines, printNote, printWarnings } from './output.js'
import { readTextFile } from './read-file.js'
import type { Answerer } from './search/answerer.js'
import { answersDocument, mergeDocuments } from './search/answers-document.js'
import { bestChange, type ChangesResult, changesDocument, changesLines } from './search/changes-lines.js'
import { Crew } from './search/crew.js'
import { untilInterrupted } from './search/interrupt.js'
import { loadAsked, loadQuestion, withWholePaths } from './search/load-question.js'
import { exitCodeOf, type Outcome, warningsOf, warningsOfSpec } from './search/outcome.js'
import { rangesText } from './search/part.js'
import { checkPick, pickOf } from './search/pick.js'
import { checkPortable, filesOf } from './search/portable.js'
import { readHash } from './search/question-hash.js'
import { questionNotes } from './search/question-notes.js'
import { workOnQueue } from './search/queue-work.js'
import { bestKept, nearMisses, rerank, simulateThese, withFixes } from './search/rerank.js'
import { checkPoint, fits, type SearchResult } from './search/result.js'
import { resultCsv, resultDocument } from './search/result-document.js'
import { resultLines } from './search/result-lines.js'
import { runSearch } from './search/run-search.js'
import { addSearchFlags, checkSearchFlags, type SearchFlags, searchOptionsOf } from './search/search-flags.js'
import { whyDocument, whyLines } from './search/why-lines.js'
import { winnerCommand } from './search/winner-command.js'
import { defaultWorkers } from './search/workers-option.js'
import { launcherOf, launchOf, writeFront, writeSpec } from './search/write-result.js'
import { addSpecFlags, type Flags, loadFrom, pathFinder, shellWord } from './spec-flags.js'
import { wrapped } from './table.js'
import { checkWritable, writeWhole } from './write-file.js'

/** Who answers parts; threads run the command's own module. */
const answerer: Answerer = { loadQuestion, module: new URL('../dist/main.js', import.meta.url) }

/** One call of the command. */
interface SearchCall {
  readonly io: Io
  readonly specPath: string | undefined
  readonly spec: Flags
  readonly flags: SearchFlags
  readonly crew: Crew
  readonly signal: AbortSignal
}

/** `shardloom search`: which parallelism to use, and why not another. */
export function addSearch(program: Command, { io, finish }: Call): void {
  const command = program
    .command('search [spec]')
    .description('Try every parallelism of some ranks, and say which is best and what keeps others out.')
    .addHelpText('after', () =>
      [
        ...Object.entries(stepMetrics).flatMap(([phase, table]) =>
          known(`Objectives and limits of ${phase}`, Object.keys(table)),
        ),
        ...known('Objectives of serving', servingObjectives),
        ...known('Choices for --choose, --keep and --why in training, prefill and decode', stepChoiceNames()),
        ...known('Choices for --choose, --keep and --why in serving', servingChoices),
        ...known('Clusters for --cluster (or a file, or an object)', clusterNames()),
        '\nExample:\n  shardloom search --model llama-3.1-8b --cluster dgx-h100 --ranks 8 --batch 32',
      ].join('\n'),
    )
    .action(async (specPath: string | undefined, spec: Flags) => {
      checkSearchFlags(spec, specPath)
      const flags = spec as unknown as SearchFlags // their parsers made them
      const crew = new Crew(answerer, flags.workers ?? defaultWorkers)
      const call = { io, specPath, spec, flags, crew }
      finish(await untilInterrupted((signal) => run({ ...call, signal }).finally(() => crew.dismiss())))
    })
  addSearchFlags(command)
  addSpecFlags(command)
}

function known(heading: string, names: readonly string[]): string[] {
  return [`\n${heading}:`, ...wrapped(`${names.join(', ')}.`, 2)]
}

async function run(call: SearchCall): Promise<number> {
  const { io, flags, signal } = call
  if (flags.worker && flags.queue) {
    await workOnQueue({ queue: flags.queue, answerer, workers: flags.workers ?? defaultWorkers, io, signal })
    return exitCode.done
  }
  for (const path of [flags.out, flags.svg, flags.spec]) if (path !== undefined) await checkWritable(io, path)
  if (flags.launcher !== undefined) await launcherOf(flags.launcher)
  if (flags.merge) return merge(call, flags.merge)
  const asked = await ask(call)
  checkPick(flags, asked.question)
  if (flags.changes) return changes(call, asked)
  if (flags.why) return why(call, asked, flags.why)
  for (const note of questionNotes(asked.loaded, asked.question, call.spec)) printNote(io, note)
  const begun = performance.now()
  let resumed: number | undefined
  const outcome = await find(call, asked.question, (candidates) => {
    resumed = candidates
  })
  const time = { seconds: (performance.now() - begun) / 1000, ...(resumed !== undefined && { resumed }) }
  if (!flags.shard) return conclude(call, { ...asked, wide: widened(call, asked) }, outcome, time)
  const text = `${JSON.stringify(answersDocument(asked.question, outcome))}\n`
  await writeWhole(io, flags.out ?? '-', async (stream) => void stream.write(text))
  printWarnings(io, [...(asked.loaded.warnings ?? []), ...warningsOf(asked.question, outcome)])
  if (flags.out !== undefined && flags.out !== '-')
    printNote(io, `${flags.out} has answers: with those of the other shards they are what --merge takes`)
  return exitCodeOf(outcome)
}

/** The question of a call. */
async function ask({ io, specPath, spec, flags }: SearchCall, why?: SearchCall['flags']['why']): Promise<Asked> {
  const loaded = await loadFrom(io, specPath, spec)
  const question = questionFor(loaded, flags, why)
  const whole = withWholePaths(question, pathFinder(io, specPath, spec))
  if (flags.queue) checkPortable(whole)
  return { loaded, question: filesOf(whole).length > 0 ? { ...whole, read: readHash(loaded) } : whole }
}

function questionFor(loaded: LoadedSpec, flags: SearchFlags, why?: SearchFlags['why']): Question {
  return questionOf(loaded, searchOptionsOf(loaded, flags, why?.choices))
}

/** The same question with all usual choices: what a miss could change. */
function widened({ flags }: SearchCall, { loaded, question }: Asked): Question {
  const { choose: _, keep: __, ...rest } = flags
  const { choices } = questionFor(loaded, rest)
  return { ...question, choices: { ...question.choices, ...choices } }
}

function find(
  { io, flags, crew, signal }: SearchCall,
  question: Question,
  resumed: (candidates: number) => void = () => {},
): Promise<Outcome> {
  const { checkpoint, shard, queue } = flags
  return runSearch({ question, crew, checkpoint, shard, queue, resumed, io, signal })
}

async function merge(call: SearchCall, paths: readonly string[]): Promise<number> {
  const { io } = call
  const documents = []
  for (const path of paths) documents.push({ name: path, text: await readTextFile(io, locate(io, path), path) })
  const { question, outcome, doubled } = mergeDocuments(documents)
  if (doubled.length > 0) printWarnings(io, [`more than one file has the answer of parts ${rangesText(doubled)}`])
  checkPick(call.flags, question)
  return conclude(call, { loaded: await loadAsked(question), question, wide: question }, outcome)
}

/** Tells what was found. */
async function conclude(
  call: SearchCall,
  asked: Asked & { readonly wide: Question },
  outcome: Outcome,
  time: Pick<SearchResult, 'seconds' | 'resumed'> = {},
): Promise<number> {
  const { io, flags, signal } = call
  const { loaded, question, wide } = asked
  const { answer } = outcome
  const {
    nearMisses,
    best,
    simulated,
    outcomes,
    capped,
    warnings: kept,
  } = await rerank(call, asked, { answer, others: wide })
  const found: SearchResult = {
    loaded,
    question,
    answer,
    best,
    simulated,
    nearMisses,
    front: frontPoints(question, answer.front, outcomes),
    capped,
    ...time,
    interrupted: outcome.interrupted,
    stopped: signal.aborted,
    missing: outcome.missing,
  }
  const { told, name, warnings: picked } = pickOf(found, flags.pick)
  if (flags.svg !== undefined && question.front) await writeFront(io, flags.svg, found)
  if (flags.spec !== undefined && told) await writeSpec(io, flags.spec, told.spec, name)
  const { launch, refused = [] } = flags.launcher === undefined ? {} : await launchOf(found, flags.launcher, flags.pick)
  const source = best.find(({ assumed }) => assumed)?.assumed
  const assumed = source === undefined ? [] : [`kernels are timed with ${source}`]
  const { clients } = question.choices
  const few = clients ? fewRequests(loaded.spec, Math.max(...clients.map(Number))) : []
  const lines = [
    ...new Set([...(loaded.warnings ?? []), ...few]),
    ...assumed,
    ...warningsOf(question, outcome),
    ...kept,
    ...picked,
    ...refused,
  ]
  printWarnings(io, lines)
  const result: SearchResult = { ...found, warnings: lines }
  if (flags.json) printJson(io, { ...resultDocument(result), ...(launch && { launch }) })
  else if (flags.csv) {
    if (best.length === 0) printNote(io, 'no candidate keeps all rules and limits: without --csv the answer says why')
    io.stdout.write(resultCsv(result))
  } else if (flags.spec !== '-') {
    const command = told && commandFor(call, loaded, told)
    const { pick } = flags
    const further = { ...(command && { command }), ...(pick !== undefined && { pick }), ...(launch && { launch }) }
    printLines(io, (style) => resultLines(result, style, further))
  }
  const isLacking = flags.pick !== undefined && !told
  const code = signal.aborted
    ? exitCode.interrupted
    : isLacking || (refused.length > 0 && !launch)
      ? exitCode.badInput
      : exitCodeOf(outcome)
  return code === exitCode.done && !fits(result) ? exitCode.answerIsNo : code
}

/** What simulates a candidate. */
function commandFor(
  { specPath, spec, flags }: SearchCall,
  loaded: LoadedSpec,
  { spec: candidate }: SimulatedCandidate,
): string {
  if (flags.spec !== undefined) return `shardloom simulate ${shellWord(flags.spec)}`
  const command = flags.merge ? undefined : winnerCommand(specPath, spec, loaded, candidate)
  return command ?? 'ask again with --spec best.yaml, then: shardloom simulate best.yaml'
}

/** One point: what it comes to beside the best of all, or the rule that it breaks. */
async function why(call: SearchCall, whole: Asked, asked: NonNullable<SearchFlags['why']>): Promise<number> {
  const { io, flags } = call
  const narrowed = await ask(call, asked)
  const outcome = await find(call, narrowed.question)
  checkPoint(outcome.answer, asked, narrowed.question)
  const own = await bestKept(call, narrowed, outcome.answer)
  const [simulated] = own.best
  const [best] = simulated ? (await bestKept(call, whole, (await find(call, whole.question)).answer)).best : []
  const missed = { answer: outcome.answer, others: widened(call, whole), among: whole.question }
  const near = simulated ? [] : await nearMisses(call, narrowed, missed)
  const misses = await withFixes(call, narrowed, near, own.tried)
  const result = { ...narrowed, text: asked.text, counts: outcome.answer.counts, misses, simulated, best }
  if (flags.spec !== undefined && simulated) await writeSpec(io, flags.spec, simulated.spec, asked.text)
  const isKept = simulated && own.kept.includes(simulated)
  const warnings = [
    ...(narrowed.loaded.warnings ?? []),
    ...warningsOf(narrowed.question, outcome),
    ...(isKept ? ['by its estimate it would miss a limit, which it keeps as simulated'] : []),
  ]
  printWarnings(io, warnings)
  if (flags.json) printJson(io, { ...whyDocument(result), warnings })
  else if (flags.spec !== '-') {
    const command = simulated && commandFor(call, narrowed.loaded, simulated)
    printLines(io, (style) => whyLines({ ...result, ...(command && { command }) }, style))
  }
  if (call.signal.aborted) return exitCode.interrupted
  return simulated && !simulated.error && simulated.misses.length === 0 ? exitCode.done : exitCode.answerIsNo
}

/** The best changes, where there is room for two the best one of a single choice among them. */
function shownOf(all: readonly Change[], top: number): readonly Change[] {
  const best = all.slice(0, top)
  const single = all.find(({ change }) => !change.includes(' '))
  return !single || top < 2 || best.includes(single) ? best : [...best.slice(0, -1), single]
}

/** The smallest changes of what the spec has chosen. */
async function changes(call: SearchCall, asked: Asked): Promise<number> {
  const { io, flags, signal } = call
  const { loaded, question } = asked
  const { point, changes: all } = changesOfSpec(loaded, question)
  const shown = shownOf(all, question.top)
  const own = point && !isMiss(point) ? [point] : []
  const best = [...own, ...shown.map(({ candidate }) => candidate)]
  const simulated = await simulateThese(call, asked, best)
  const result: ChangesResult = { ...asked, point, changes: shown, of: all.length, simulated }
  const winner = bestChange(result)
  if (flags.spec !== undefined && winner) await writeSpec(io, flags.spec, winner.spec, 'the best change')
  const warnings = [...(loaded.warnings ?? []), ...warningsOfSpec(question)]
  printWarnings(io, warnings)
  if (flags.json) printJson(io, { ...changesDocument(result), warnings })
  else if (flags.spec !== '-') {
    const command = winner && commandFor(call, loaded, winner)
    printLines(io, (style) => changesLines({ ...result, ...(command && { command }) }, style))
  }
  return signal.aborted ? exitCode.interrupted : exitCode.done
}
