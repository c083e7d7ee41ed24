import { nearest, orList, ShardloomError } from '@shardloom/core'
import type { Setting, Settings } from './launcher.js'

/** Settings of a launcher, each taken by who knows what it means. Several names are spellings of one setting. */
export interface SettingsReader {
  readonly take: (...names: readonly string[]) => Setting | undefined
  /** The text of a setting; of several words the first. */
  readonly text: (...names: readonly string[]) => string | undefined
  /** The text of a setting that is one of these words. Throws `LAUNCHER` where it is another. */
  readonly word: (words: readonly string[], name: string) => string | undefined
  /** A whole number. Throws `LAUNCHER` where it is none. */
  readonly count: (...names: readonly string[]) => number | undefined
  /** Any number. Throws `LAUNCHER` where it is none. */
  readonly number: (...names: readonly string[]) => number | undefined
  /** Whether a switch is on. */
  readonly flag: (...names: readonly string[]) => boolean
  /** Throws `LAUNCHER`. */
  readonly refuse: (subject: string, why: string, help: string) => never
  readonly note: (text: string) => void
}

/**
 * A reader, and the end of reading: what was noted. `finish` throws `LAUNCHER` for what nobody took and `matters` or is a
 * misspelling of what somebody asked for, and for a text of which nobody took anything.
 */
export function settingsReader(settings: Settings, title: string, matters: RegExp) {
  const taken = new Set<string>()
  const notes: string[] = []
  const refuse = (subject: string, why: string, help: string): never => {
    throw new ShardloomError('LAUNCHER', `${title}: ${why}.`, { subject, help })
  }
  const take = (...names: readonly string[]): Setting | undefined => {
    for (const name of names) taken.add(name)
    const name = names.find((each) => settings.has(each))
    return name === undefined ? undefined : settings.get(name)
  }
  const first = (...names: readonly string[]) => {
    const value = take(...names)
    return Array.isArray(value) ? (value[0] as Setting | undefined) : value // a list of settings
  }
  const number = (...names: readonly string[]): number | undefined => {
    const value = first(...names)
    if (value === undefined) return undefined
    const parsed = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
    if (typeof parsed === 'number' && Number.isFinite(parsed)) return parsed
    const name = names.find((each) => settings.has(each)) ?? ''
    const variable = typeof value === 'string' && value.includes('$')
    return refuse(
      name,
      `\`${name}\` is ${JSON.stringify(value)}, which is no number`,
      variable
        ? 'Nothing in the text sets that variable to what is read here, and what `$(( ))` comes to is not worked out: write its value in its place.'
        : 'Give a number.',
    )
  }
  const text = (...names: readonly string[]) => {
    const value = first(...names)
    return value === undefined ? undefined : String(value)
  }
  const reader: SettingsReader = {
    take,
    text,
    word: (words, name) => {
      const value = text(name)
      if (value === undefined || words.includes(value)) return value
      const near = nearest(value, words)
      return refuse(
        name,
        `\`${name}\` is \`${value}\``,
        near ? `Did you mean \`${near}\`?` : `Use ${orList([...words])}.`,
      )
    },
    number,
    count: (...names) => {
      const value = number(...names)
      if (value === undefined || Number.isInteger(value)) return value
      return refuse(names[0] ?? '', `\`${names[0]}\` is ${value}, which is no whole number`, 'Give a whole number.')
    },
    flag: (...names) => {
      const value = first(...names)
      return value !== undefined && value !== false && !/^(false|0|no)$/i.test(String(value))
    },
    refuse,
    note: (text) => notes.push(text),
  }
  const finish = (): readonly string[] => {
    if (![...settings.keys()].some((name) => taken.has(name)))
      refuse('', 'nothing in the text is a setting of it that a plan knows', `Is it the right file, and of ${title}?`)
    const left = [...settings.keys()].filter((name) => !taken.has(name))
    for (const name of left) {
      const longer = [...taken].find((each) => each.startsWith(`${name}-`))
      const near = nearest(name, taken, Math.floor(name.length / lettersPerSlip)) ?? longer
      if (near !== undefined)
        refuse(
          name,
          `\`${name}\` is unknown here, and nearly \`${near}\``,
          `Did you mean \`${near}\`? Else leave it out.`,
        )
    }
    const [unknown] = left.filter((name) => matters.test(name))
    if (unknown !== undefined) {
      refuse(
        unknown,
        `\`${unknown}\` may change what ranks do, and is not understood here`,
        'Leave it out, and say in flags of your own what it means.',
      )
    }
    if (left.length > 0)
      notes.push(
        `${left.length} ${left.length === 1 ? 'setting' : 'settings'} that nothing here reads ${left.length === 1 ? 'is' : 'are'} ignored: ${left.map((name) => `\`${name}\``).join(', ')}`,
      )
    return notes
  }
  return { reader, finish }
}

/** Of how many letters of a misspelt name one is wrong at most: names of one tool differ in more. */
const lettersPerSlip = 6
