import { checkSpec, formatCount, isShardloomError, ShardloomError, type SpecInput, specText } from 'shardloom'
import type { LauncherName } from 'shardloom/launch'
import {
  betterOf,
  type Candidate,
  choicesText,
  type FrontPoint,
  keepsAll,
  type SimulatedCandidate,
  unitOf,
} from 'shardloom/search'
import type { Io } from '../io.js'
import { printNote } from '../output.js'
import { UsageError } from '../report-error.js'
import { singleLine } from '../style.js'
import { writeWhole } from '../write-file.js'
import { narrowingFlag } from './launch-values.js'
import { loadAsked } from './load-question.js'
import { rangesText } from './part.js'
import { measureOf, type SearchResult, subjectOf } from './result.js'

/** Writes the spec of a candidate, which `shardloom simulate` and all other commands take. */
export async function writeSpec(io: Io, path: string, spec: SpecInput, of = 'the best'): Promise<void> {
  await writeWhole(io, path, async (stream) => void stream.write(specText(checkSpec(spec))))
  if (path !== '-') printNote(io, `${path} has the spec of ${of}`)
}

/** The launcher of a name. Throws `USAGE` where there is none. */
export async function launcherOf(name: string): Promise<LauncherName> {
  const { launcherNames } = await import('shardloom/launch') // its libraries are loaded only for this
  const launcher = launcherNames.find((each) => each === name)
  if (launcher === undefined)
    throw new UsageError(`There is no launcher \`${name}\`.`, `Use ${launcherNames.join(', ')}.`)
  return launcher
}

/** What a launcher is told of one of the best: `place` counts from 1. */
export interface Launch {
  readonly launcher: LauncherName
  readonly place: number
  readonly text: string
  readonly notes: readonly string[]
}

/**
 * What a launcher is told of the row that was picked, else of the first of the best that it can be told of and that keeps all rules as
 * simulated; and why it cannot be of those before: each reason once.
 */
export async function launchOf(
  { loaded, question, best }: Pick<SearchResult, 'loaded' | 'question' | 'best'>,
  name: string,
  pick?: number,
): Promise<{ readonly launch?: Launch; readonly refused: readonly string[] }> {
  const launcher = await launcherOf(name)
  const { exportLaunch } = await import('shardloom/launch')
  const reasons = new Map<string, Reason>()
  const refused = () =>
    Promise.all([...reasons.values()].map((reason) => refusedText(reason, launcher, { loaded, question, best })))
  for (const [index, each] of best.entries()) {
    if (pick === undefined ? !keepsAll(each) : index + 1 !== pick) continue
    try {
      const { text, notes } = exportLaunch(await loadAsked({ ...question, spec: each.spec }), launcher)
      return { launch: { launcher, place: index + 1, text, notes }, refused: await refused() }
    } catch (cause) {
      if (!isShardloomError(cause)) throw cause
      // What would do is the same of those that the launcher refuses for the same reason, whatever they have instead.
      const key = JSON.stringify([cause.code, cause.subject, cause.help])
      const before = reasons.get(key)
      reasons.set(key, { error: before?.error ?? cause, places: [...(before?.places ?? []), index + 1] })
    }
  }
  return { refused: await refused() }
}

/** Why a launcher cannot be told of some of the best, by their places from 1. */
interface Reason {
  readonly error: ShardloomError
  readonly places: readonly number[]
}

async function refusedText(
  { error, places }: Reason,
  launcher: LauncherName,
  { loaded, question, best }: Pick<SearchResult, 'loaded' | 'question' | 'best'>,
): Promise<string> {
  const [first = 1] = places
  const one = first === 1 ? 'the best' : `number ${first}`
  const several =
    places.length === best.length
      ? `any of the ${best.length} best`
      : `${places.length} of the ${best.length} best (numbers ${rangesText(places)})`
  const of = places.length === 1 ? one : several
  const refused = best[first - 1]
  const flag = refused && (await narrowingFlag(launcher, { error, loaded, question, candidate: refused.candidate }))
  const narrow = flag === undefined ? '' : `Add ${flag} to search only what ${launcher} can be told of in this.`
  const why = [error.message, error.help ?? '', narrow].join(' ').trim()
  return `${launcher} cannot be told of ${of}, ${error.code}: ${why}`
}

/** What metrics are in that are neither seconds nor bytes, where their names do not say so, and what those of bytes are of. */
const ratesOfFront: Readonly<Record<string, string>> = {
  throughput: 'tokens/s per rank',
  'tokens-per-second': 'of all ranks',
  'requests-per-second': 'of all ranks',
  cost: 'per million tokens',
}

/** The bytes of a rank are meant. */
const ofRank = (name: string) => (unitOf(name) === 'B' ? `${name} of a rank` : name)

/**
 * Draws the front, and the best that keep all limits beside it, by what was simulated and else by the estimates that a search reckons with.
 * Where nothing has both metrics there is no picture, which is said.
 */
export async function writeFront(io: Io, path: string, result: SearchResult): Promise<void> {
  const { question, loaded, front } = result
  const best = result.best.filter(keepsAll)
  const [x, y] = (question.front ?? []).map((name) => name.replace(/^-/, ''))
  if (x === undefined || y === undefined)
    throw new ShardloomError('ANSWERS', 'There is no front to draw: the search was not asked for one.', {
      subject: '--svg',
      help: 'Search with --front.',
    })
  const points = new Map<string, Pick<FrontPoint, 'candidate' | 'metrics'>>()
  for (const { candidate, metrics } of best)
    points.set(candidate.name, { candidate, metrics: { ...candidate.metrics, ...metrics } })
  for (const point of front) points.set(point.candidate.name, point)
  const texts = new Map<string, string>()
  for (const { candidate } of points.values()) {
    const short = choicesText(candidate, question.choices).replaceAll('\u00a0', ' ').replaceAll('  ', ', ')
    // Two that differ in what a short text leaves out are two points all the same.
    texts.set(candidate.name, [...texts.values()].includes(short) ? candidate.name : short)
  }
  const nameOf = ({ name }: Candidate) => texts.get(name) ?? name
  const drawn = [...points.values()].map(({ candidate, metrics }) => ({
    name: nameOf(candidate),
    x: metrics[x] ?? Number.NaN,
    y: metrics[y] ?? Number.NaN,
  }))
  if (!drawn.some((point) => Number.isFinite(point.x) && Number.isFinite(point.y))) {
    const why = drawn.length === 0 ? 'no candidate keeps all rules and limits' : `no candidate has both ${x} and ${y}`
    printNote(io, `${path === '-' ? 'no picture' : path} was not written: ${why}, so there is no front to draw`)
    return
  }
  const axis = (name: string) => {
    const measured = unitOf(name)
    const unit = measured === 's' || measured === 'B' ? measured : ratesOfFront[name]
    const better = betterOf(loaded.spec.phase, name)
    const limit = limitOf(question, name, better)
    return {
      name: ofRank(name).replaceAll('-', ' '),
      ...(unit !== undefined && { unit }),
      ...(better && { better }),
      ...(limit !== undefined && { limit }),
    }
  }
  const { paretoSvg } = await import('shardloom/svg')
  const [first] = best
  const svg = paretoSvg({
    points: drawn,
    axes: { x: axis(x), y: axis(y) },
    of: ofFront(result),
    ...(first && { marked: nameOf(first.candidate) }),
  })
  await writeWhole(io, path, async (stream) => void stream.write(svg))
  if (path !== '-') printNote(io, `${path} has the front`)
}

/** The limit that keeps a metric from its worse end. */
function limitOf({ limits }: SearchResult['question'], name: string, better: 'less' | 'more' | undefined) {
  const values = limits.flatMap(({ metric, most, least }) => {
    const value = better === 'more' ? least : most
    return metric === name && value !== undefined ? [value] : []
  })
  if (values.length === 0) return undefined
  return better === 'more' ? Math.max(...values) : Math.min(...values)
}

/** What a front is of, and how its metrics are known. */
function ofFront(result: SearchResult): string {
  const { batch, phase, seq, options } = result.loaded.spec
  const step = phase === 'serving' ? [] : [`batch ${formatCount(batch)}`, `seq ${formatCount(seq)}`]
  return [subjectOf(result), ...step, options.dtype, measureOf(result.front)].map(singleLine).join(' · ')
}

/** The first candidate that keeps all rules as simulated. */
export const winnerOf = (best: readonly SimulatedCandidate[]): SimulatedCandidate | undefined => best.find(keepsAll)
