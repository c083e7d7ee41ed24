import { nearest, ShardloomError } from '@shardloom/core'
import type { LoadedSpec } from '../plan.js'
import type { SpecInput } from '../spec-schema.js'
import type { SearchOptions } from './ask.js'
import { checkChoiceName } from './choice-text.js'
import { type Choices, checkChoices } from './choices.js'
import { checkServingChoices } from './serving-space.js'

/** All that a search may be told: a name that is none of them is misspelt. */
const asked: Readonly<Record<keyof SearchOptions, true>> = {
  ranks: true,
  objective: true,
  limits: true,
  choices: true,
  top: true,
  front: true,
  parts: true,
}

/**
 * Refuses what cannot be asked of any search: options that there are not (`OPTION`), counts that are none (`RANKS` and `OPTION`), limits without a number (`LIMITS`), fronts of other than
 * two metrics (`OBJECTIVE`), and what is no list of values (`CHOICE`).
 */
export function checkAsked(options: SearchOptions): void {
  const names = Object.keys(asked)
  const unknown = Object.keys(options).find((name) => !names.includes(name))
  if (unknown !== undefined) {
    const near = nearest(unknown, names)
    throw new ShardloomError('OPTION', `A search has no option \`${shown(unknown)}\`.`, {
      subject: shown(unknown),
      help: `${near === undefined ? '' : `Did you mean \`${near}\`? `}It has ${names.join(', ')}.`,
    })
  }
  const { ranks, top, parts, limits = [], front, choices = {} } = options
  for (const [name, value] of Object.entries({ ranks, top, parts })) {
    if (value === undefined || isCount(value)) continue
    throw new ShardloomError(name === 'ranks' ? 'RANKS' : 'OPTION', `\`${name}\` is ${shown(value)}.`, {
      subject: name,
      help: 'It is a whole number of at least 1.',
    })
  }
  for (const { metric, most, least } of limits) {
    const bounds = [most, least].filter((bound) => bound !== undefined)
    const wrong = bounds.find((bound) => typeof bound !== 'number' || Number.isNaN(bound))
    if (bounds.length > 0 && wrong === undefined) continue
    const says = bounds.length === 0 ? 'says neither `most` nor `least`' : `is ${shown(wrong)}, which is no number`
    throw new ShardloomError('LIMITS', `The limit on \`${shown(metric)}\` ${says}.`, {
      subject: shown(metric),
      help: 'Give it a number as `most`, as `least`, or as both.',
    })
  }
  if (front && (front.length !== 2 || front[0] === front[1]))
    throw new ShardloomError('OBJECTIVE', `A front has two different metrics, and ${front.join(' and ')} came.`, {
      subject: 'front',
      help: 'Name two, such as `step-time` and `peak-memory`.',
    })
  checkValues(choices)
}

type Asked = NonNullable<SearchOptions['choices']>

/** Refuses what is no list of values: `CHOICE`. */
function checkValues(choices: Asked): void {
  for (const [name, values] of Object.entries(choices)) {
    if (!Array.isArray(values))
      throw new ShardloomError('CHOICE', `\`${shown(name)}\` is ${shown(values)}, which is no list of values.`, {
        subject: shown(name),
        help: `Give a list, such as \`[${shown(values)}]\`.`,
      })
    const strange = values.findIndex((value) => !isValue(value))
    if (strange >= 0)
      throw new ShardloomError('CHOICE', `\`${shown(name)}\` cannot be ${shown(values[strange])}.`, {
        subject: shown(name),
        help: 'Use numbers, words, true or false.',
      })
  }
}

/** Refuses choices that the phase of a spec does not have, and values that they cannot have. Throws `CHOICE` and what the spec's fields throw. */
export function checkChosen(loaded: LoadedSpec, choices: Asked): void {
  if (loaded.spec.phase === 'serving') {
    checkServingChoices({ choices, spec: loaded.spec as SpecInput }) // what a spec says, with what it does not
    return
  }
  for (const name of Object.keys(choices)) checkChoiceName(loaded, name)
  checkChoices(loaded, choices)
}

/** The same of a point, which has one value of each choice. */
export function checkPoint(loaded: LoadedSpec, choices: Choices): void {
  const lists = Object.fromEntries(Object.entries(choices).map(([name, value]) => [name, [value]]))
  checkValues(lists)
  checkChosen(loaded, lists)
}

/** Refuses a part, or a share of a round, that a question does not have: `OPTION`. */
export function checkIndex(what: 'part' | 'share', index: number, count: number): void {
  if (Number.isSafeInteger(index) && index >= 0 && index < count) return
  throw new ShardloomError('OPTION', `There is no ${what} ${shown(index)}: there are ${count} of them.`, {
    subject: what,
    help: count > 0 ? `Ask for ${count === 1 ? '0' : `0 to ${count - 1}`}.` : `Ask for none.`,
  })
}

const isCount = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 1

const isValue = (value: unknown) =>
  typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))

/** JSON has no NaN. */
const shown = (value: unknown) => (typeof value === 'object' ? JSON.stringify(value) : String(value)).slice(0, 60)
