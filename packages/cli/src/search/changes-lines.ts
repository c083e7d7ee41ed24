import { clusterOf, formatCount, formatCounted } from 'shardloom'
import {
  type Asked,
  type Candidate,
  type Change,
  choicesText,
  distanceToBest,
  isMiss,
  keepsAll,
  type Miss,
  rejectionText,
  type SimulatedCandidate,
} from 'shardloom/search'
import { type Style, singleLine } from '../style.js'
import { wrapped } from '../table.js'
import { candidateDocument, plainMetrics } from './result-document.js'
import { candidateTable, commandLines, tiesNote } from './result-lines.js'
import { winnerOf } from './write-result.js'

/** What becomes of a spec with the smallest changes. */
export interface ChangesResult extends Asked {
  /** The spec as it is. */
  readonly point: Candidate | Miss | undefined
  /** The best of them, best first by estimate. */
  readonly changes: readonly Change[]
  /** How many there are. */
  readonly of: number
  /** These changes and the spec itself, in the order of what comes of them. */
  readonly simulated: readonly SimulatedCandidate[]
  /** What simulates the best change. */
  readonly command?: string
}

/** What `shardloom search --changes --json` prints. */
export function changesDocument(result: ChangesResult) {
  const { loaded, question, point, simulated } = result
  const best = bestChange(result)
  return {
    schema: 'shardloom.search/1',
    model: loaded.architecture.name,
    phase: loaded.spec.phase,
    ranks: question.ranks,
    objective: question.objective,
    from: point
      ? {
          name: point.name,
          estimated: plainMetrics(point),
          ...(isMiss(point) && { rule: point.rule, by: point.by < Number.MAX_VALUE ? point.by : null }),
        }
      : null,
    changes: simulated.map((each) => ({
      change: labelOf(result, each),
      tie: best !== undefined && isTie(best, each, question),
      ...candidateDocument(each),
    })),
  }
}

/** The first change that keeps all rules as simulated, where the spec itself does not come before it. */
export function bestChange(result: ChangesResult): SimulatedCandidate | undefined {
  const first = winnerOf(result.simulated)
  return first && labelOf(result, first) !== null ? first : undefined
}

/** What was changed for a candidate; null for the spec itself. */
function labelOf({ changes }: ChangesResult, { candidate }: SimulatedCandidate): string | null {
  return changes.find((change) => change.candidate.name === candidate.name)?.change ?? null
}

/** The same for people. */
export function changesLines(result: ChangesResult, style: Style): string[] {
  const { loaded, question, point, changes, of, simulated, command } = result
  const broken =
    point && isMiss(point)
      ? [style.bad(`  As it is, the spec breaks the rule ${rejectionText(point.rule, question)}.`)]
      : []
  const outside = point ? [] : wrapped('As it is, the spec is no candidate: its degrees or its batch do not divide.', 2)
  const labels = simulated.map(
    (each) => labelOf(result, each) ?? `as it is:  ${choicesText(each.candidate, question.choices)}`,
  )
  const own = simulated.find((each) => labelOf(result, each) === null)
  const against = own && { head: 'to as it is', candidate: own }
  const lines = [
    style.bold(
      `${singleLine(loaded.architecture.name)} on ${formatCount(question.ranks)} × ${singleLine(clusterOf(loaded).accelerator.name)}: changes of the spec`,
    ),
    ...broken,
    ...outside,
    `  ${formatCounted(of, 'change of one choice or two is', 'changes of one choice or two are')} better${of > changes.length ? `; the best ${changes.length} as simulated` : ''}`,
    ...(simulated.length > 0
      ? [
          '',
          ...candidateTable({ ...result, best: simulated }, style, { labels, against }),
          ...tiesNote(simulated, question.objective, own).map((line) => style.dim(line)),
          ...wrapped(tiesText(result), 2).filter((line) => line.trim() !== ''),
        ]
      : []),
    ...commandLines(command, style),
  ]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

/** Which changes are as good as the best, as far as the model knows, and which of them is the smallest; empty where none are. */
function tiesText(result: ChangesResult): string {
  const { simulated, question } = result
  const best = bestChange(result)
  if (!best) return ''
  const sizeOf = (each: SimulatedCandidate) => labelOf(result, each)?.split(' ').length ?? 0
  const ties = simulated.filter((each) => each !== best && isTie(best, each, question))
  const [least] = ties.toSorted((a, b) => sizeOf(a) - sizeOf(b))
  if (!least) return ''
  const numberOf = (each: SimulatedCandidate) => String(simulated.indexOf(each) + 1)
  const all = `${ties.length === 1 ? 'Number' : 'Numbers'} ${andList(ties.map(numberOf))} ${ties.length === 1 ? 'ties' : 'tie'} with number ${numberOf(best)}`
  const size = sizeOf(least)
  if (size >= sizeOf(best)) return `${all}.`
  if (size === 0) return `${all}: no change of the spec is known to be better than none.`
  return `${all}; number ${numberOf(least)} changes ${formatCounted(size, 'choice')} in place of ${sizeOf(best)}.`
}

/** Whether what keeps all rules differs from the best by no more than the model errs. */
const isTie = (best: SimulatedCandidate, each: SimulatedCandidate, { objective }: Asked['question']) =>
  keepsAll(each) && distanceToBest(best, each, objective)?.tie === true

const andList = (words: readonly string[]) =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
