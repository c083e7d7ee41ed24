import { specFields } from 'shardloom'
import type { Question } from 'shardloom/search'
import type { Flags } from '../spec-flags.js'

/** What is said of flags of this call whose values a search does not keep; undefined where it keeps them all. */
export function replacedFlags(flags: Flags, { choices }: Question): string | undefined {
  const replaced = specFields().flatMap(({ path, flag }) => {
    const value = flags[flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())]
    const name = path.length === 2 ? (path[1] ?? '') : (path[0] ?? '')
    const tried = choices[name]
    const isKept = value === undefined || !tried || (tried.length === 1 && String(tried[0]) === String(value))
    return isKept ? [] : [{ name, text: `--${flag} ${String(value)}` }]
  })
  if (replaced.length === 0) return undefined
  const names = replaced.map(({ name }) => name)
  return `${replaced.map(({ text }) => text).join(', ')} ${names.length === 1 ? 'is' : 'are'} not kept, as a search tries all: --keep ${names.join()} keeps ${names.length === 1 ? 'it' : 'them'}`
}
