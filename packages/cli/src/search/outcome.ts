import { formatCounted } from 'shardloom'
import { type Answer, type Candidate, emptyAnswer, mergeAnswers, type Question } from 'shardloom/search'
import { exitCode } from '../exit-code.js'
import { type FailedPart, rangesText } from './part.js'

/** What a search came to. */
export interface Outcome {
  /** Merged from the parts that have an answer, in the order of the parts. */
  readonly answer: Answer
  /** The answers by part, for those who merge them with others. */
  readonly answers: ReadonlyMap<number, Answer>
  /** The parts that were asked for and have no answer, ascending: failed ones, and those that were not reached. */
  readonly missing: readonly number[]
  /** By part, ascending. */
  readonly failed: readonly FailedPart[]
  /** Whether it was stopped before every part had ended. */
  readonly interrupted: boolean
}

interface Parts {
  readonly asked: readonly number[]
  readonly answers: ReadonlyMap<number, Answer>
  readonly failed?: readonly FailedPart[]
  /** What parts have found that did not end. */
  readonly soFar?: readonly Candidate[]
  readonly stopped?: boolean
}

/** The outcome of the parts that were asked for. */
export function outcomeOf(
  question: Question,
  { asked, answers, failed = [], soFar = [], stopped = false }: Parts,
): Outcome {
  const ascending = [...asked].sort((a, b) => a - b)
  const found = ascending.flatMap((part) => {
    const answer = answers.get(part)
    return answer ? [[part, answer] as const] : []
  })
  const missing = ascending.filter((part) => !answers.has(part))
  return {
    answer: mergeAnswers(
      [...found.map(([, answer]) => answer), ...(stopped ? [{ ...emptyAnswer, best: soFar }] : [])],
      question,
    ),
    answers: new Map(found),
    missing,
    failed: [...failed].sort((a, b) => a.part - b.part),
    interrupted: stopped && missing.length > failed.length,
  }
}

/** 130 for a search that was interrupted, 1 for one that lacks parts, 0 for one that is whole. */
export function exitCodeOf({ interrupted, missing }: Outcome): number {
  if (interrupted) return exitCode.interrupted
  return missing.length > 0 ? exitCode.badInput : exitCode.done
}

/** What of a spec a search does not judge as it stands there. */
export function warningsOfSpec({ spec, choices }: Question): string[] {
  const lines: string[] = []
  if (spec.phase === 'serving') return lines
  const { layers, balance } = spec.options?.pp ?? {}
  if ((layers ?? balance) !== undefined)
    lines.push(
      `layers are divided as \`split\` says, not as \`options.pp.${layers ? 'layers' : 'balance'}\` of the spec does`,
    )
  const tried = choices['recompute']
  if (tried && typeof spec.options?.recompute === 'object')
    lines.push(
      `recomputation is tried as ${tried.map((value) => `\`${value}\``).join(', ')}, not by the selectors that \`options.recompute\` of the spec has`,
    )
  if (spec.phase === 'decode' && choices['pp']?.some((pp) => Number(pp) > 1))
    lines.push(
      'pipelines are judged by one step, which fills their stages and drains them: batches in flight take less per token over several steps, as `simulate --steps 64` says',
    )
  return lines
}

/** What a reader of the answer must know of the parts that it lacks, one sentence or two each. */
export function warningsOf(question: Question, { answers, missing, failed, interrupted }: Outcome): string[] {
  const lines = failed.map(({ part, failure: { code, message, help } }) =>
    [`part ${part} failed, ${code}: ${message}`, ...(help === undefined ? [] : [help])].join(' '),
  )
  lines.push(...warningsOfSpec(question))
  if (missing.length === 0) return lines
  const cause = interrupted ? 'the search was interrupted' : 'the answer is not of the whole'
  const counted = `${missing.length} of ${formatCounted(question.parts, 'part')} ${missing.length === 1 ? 'is' : 'are'} missing`
  return [
    ...lines,
    `${cause}: ${counted} (${rangesText(missing)}); ${answers.size} ${answers.size === 1 ? 'has' : 'have'} an answer`,
  ]
}
