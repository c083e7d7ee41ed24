import type { LoadedSpec } from '../plan.js'
import type { SearchOptions } from './ask.js'
import { type ChoiceValues, checkChoiceName, keptChoices } from './choice-text.js'
import { betterOf } from './metric-text.js'
import type { Limit } from './question.js'

/** What people ask of a search beside the spec, in the words of `shardloom search`. */
export interface AskedSearch {
  readonly ranks?: number | undefined
  readonly objective?: string | undefined
  readonly limits?: readonly Limit[] | undefined
  /** The values of a choice that are tried in place of the usual ones. */
  readonly choose?: ChoiceValues | undefined
  /** Choices that stay as the spec has them. */
  readonly keep?: readonly string[] | undefined
  readonly top?: number | undefined
  /** Two metrics, as they are called. */
  readonly front?: readonly [string, string] | undefined
}

/**
 * What a search is told. Fronts are minimal in both metrics: one of which more is better gets its sign here. Throws `CHOICE` for names that
 * there are not, and for what cannot be kept.
 */
export function askedOptions(loaded: LoadedSpec, asked: AskedSearch): SearchOptions {
  const { ranks, objective, limits, choose = {}, keep = [], top, front } = asked
  const { phase } = loaded.spec
  const signed = (name: string) => (betterOf(phase, name) === 'more' ? `-${name}` : name)
  for (const name of [...Object.keys(choose), ...keep]) checkChoiceName(loaded, name)
  return {
    ...(ranks !== undefined && { ranks }),
    ...(objective !== undefined && { objective }),
    ...(limits && { limits }),
    ...(top !== undefined && { top }),
    ...(front && { front: [signed(front[0]), signed(front[1])] as const }),
    choices: { ...choose, ...keptChoices(loaded, keep) },
  }
}
