import type { Question } from 'shardloom/search'
import { isFields } from '../fields.js'
import { singleLine } from '../style.js'
import { canonicalJson } from './question-hash.js'

/** How many differences are named, and of how many characters a value. */
const shown = { differences: 3, value: 40 }

/** In what a question differs from another, each by its path: `top` is 5 there and 10 here. Empty where it does not. */
export function questionDifference(
  there: unknown,
  here: Question,
  [one, other]: readonly [string, string] = ['there', 'here'],
): string {
  const all = differences(there, here, [])
  // How many are kept follows from what is asked.
  const asked = all.filter(({ path }) => path !== 'kept')
  const found = asked.length > 0 ? asked : all
  const texts = found.slice(0, shown.differences).map(({ path, values }) => {
    if (path === 'read') return 'files that the spec names hold something else'
    const [before, now] = values.map(valueText)
    return `\`${singleLine(path)}\` is ${before} ${where(one)} and ${now} ${where(other)}`
  })
  const more = found.length - texts.length
  return [...texts, ...(more > 0 ? [`${more} more`] : [])].join(', ')
}

/** A file, or a word that says where by itself. */
const where = (name: string) => (name === 'there' || name === 'here' ? name : `in ${name}`)

interface Difference {
  readonly path: string
  readonly values: readonly [unknown, unknown]
}

function differences(there: unknown, here: unknown, path: readonly string[]): Difference[] {
  if (canonicalJson([there]) === canonicalJson([here])) return []
  if (!isFields(there) || !isFields(here)) return [{ path: path.join('.'), values: [there, here] }]
  const names = [...new Set([...Object.keys(there), ...Object.keys(here)])].sort()
  return names.flatMap((name) => differences(there[name], here[name], [...path, name]))
}

function valueText(value: unknown): string {
  if (value === undefined) return 'not given'
  const text = singleLine(typeof value === 'string' ? value : JSON.stringify(value))
  return text.length > shown.value ? `${text.slice(0, shown.value)}…` : text
}
