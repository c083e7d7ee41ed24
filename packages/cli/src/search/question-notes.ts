import { type LoadedSpec, specFields } from 'shardloom'
import { meanLoadOf, type Question } from 'shardloom/search'
import { camel, type Flags } from '../spec-flags.js'

/** What is said of a question before it is answered. */
export function questionNotes(loaded: LoadedSpec, question: Question, flags: Flags): string[] {
  return [replacedFlags(flags, question), sameThroughput(loaded, question)].filter((note) => note !== undefined)
}

/** Of requests that come at a rate engines that keep up generate no more than is asked for. */
function sameThroughput(loaded: LoadedSpec, { objective }: Question): string | undefined {
  if (loaded.spec.phase !== 'serving' || objective !== 'throughput') return undefined
  const { rate } = meanLoadOf(loaded)
  if (rate === undefined) return undefined
  return `all that keep up with ${rate} requests a second have the same throughput: --objective tpot, ttft, ranks or cost tells them apart`
}

/** Flags of this call whose values a search does not keep; undefined where it keeps them all. */
function replacedFlags(flags: Flags, { choices }: Question): string | undefined {
  const replaced = specFields().flatMap(({ path, flag }) => {
    const value = flags[camel(flag)]
    const name = path.length === 2 ? (path[1] ?? '') : (path[0] ?? '')
    const tried = choices[name]
    const isKept = value === undefined || !tried || (tried.length === 1 && String(tried[0]) === String(value))
    return isKept ? [] : [{ name, text: `--${flag} ${String(value)}` }]
  })
  if (replaced.length === 0) return undefined
  const names = replaced.map(({ name }) => name)
  return `${replaced.map(({ text }) => text).join(', ')} ${names.length === 1 ? 'is' : 'are'} not kept, as a search tries others too: --keep ${names.join()} keeps ${names.length === 1 ? 'it' : 'them'}`
}
