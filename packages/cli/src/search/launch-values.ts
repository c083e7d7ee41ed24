import { isShardloomError, type ShardloomError } from 'shardloom'
import type { LauncherName } from 'shardloom/launch'
import { type Asked, type Candidate, specOfCandidate, stepChoices, type Value } from 'shardloom/search'
import { shellWord } from '../spec-flags.js'
import { loadAsked } from './load-question.js'

/** What cannot be said of a candidate: by the choice that is to blame, where there is one. */
interface Refusal extends Asked {
  readonly error: ShardloomError
  readonly candidate: Candidate
}

/**
 * The flag that keeps a search to the values of a choice that a launcher can be told of, as far as the refused choice goes; undefined where the
 * reason is no choice, or no value of it would do.
 */
export async function narrowingFlag(launcher: LauncherName, refusal: Refusal): Promise<string | undefined> {
  const { error, loaded, question, candidate } = refusal
  const choice = choiceOf(error)
  const asked = question.choices[choice]
  if (!asked) return undefined
  const usual =
    loaded.spec.phase === 'serving'
      ? {}
      : stepChoices(loaded, question.choices['ranks']?.map(Number) ?? [question.ranks])
  const told: Value[] = []
  for (const value of new Set([...asked, ...(usual[choice] ?? [])]))
    if (await canBeTold(launcher, refusal, { ...candidate.choices, [choice]: value })) told.push(value)
  if (told.length === 0) return undefined
  return `--choose ${shellWord(`${choice}=${told.join(choice === 'order' ? ';' : ',')}`)}`
}

/** The choice that an error is about. */
function choiceOf({ subject = '' }: ShardloomError): string {
  const name = subject.replace(/^(options|parallel)\./, '')
  return name === 'pp.layers' ? 'split' : name
}

/** Whether a launcher does not refuse these choices for the same reason; for others it may. */
async function canBeTold(
  launcher: LauncherName,
  { error, loaded, question }: Refusal,
  choices: Candidate['choices'],
): Promise<boolean> {
  const spec = specOfCandidate(loaded, question, { choices })
  const why = await refusalOf(launcher, { ...question, spec })
  if (!why) return true
  const isOther = (cause: ShardloomError) => cause.code === error.code && choiceOf(cause) !== choiceOf(error)
  if (!isOther(why)) return false
  // A launcher names one reason only: whether this degree would be another is asked of a spec that says nothing else.
  const axis = choiceOf(error)
  const degree = spec.parallel?.[axis]
  if (error.subject !== `parallel.${axis}` || degree === undefined) return true
  const { order: _, microbatch: __, options: ___, ...rest } = spec
  const alone = await refusalOf(launcher, { ...question, spec: { ...rest, parallel: { [axis]: degree } } })
  return !alone || isOther(alone)
}

async function refusalOf(launcher: LauncherName, question: Asked['question']): Promise<ShardloomError | undefined> {
  const { exportLaunch } = await import('shardloom/launch') // its libraries are loaded only for this
  try {
    exportLaunch(await loadAsked(question), launcher)
    return undefined
  } catch (cause) {
    if (isShardloomError(cause)) return cause
    throw cause
  }
}
