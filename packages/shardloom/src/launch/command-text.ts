import { ShardloomError } from '@shardloom/core'
import { parse, quote } from 'shell-quote'
import type { Setting, Settings } from './launcher.js'

/** A command as a shell runs it: its flags by name without dashes, underscores as dashes, and the words that are none. */
export interface Command {
  readonly flags: Settings
  readonly words: readonly string[]
}

/**
 * Reads a command line or a shell script: all flags in it, those in variables and arrays included; the last of a name
 * counts. Variables that the text sets, or gives a default, are put in; of others the name stays, such as `$TP`.
 */
export function parseCommand(text: string): Command {
  const variables = new Map<string, string>()
  const all: string[] = []
  const wordsOf = (line: string): string[] => {
    const parsed = readLine(withDefaults(line, variables), (name) => variables.get(name) ?? `$${name}`)
    return parsed.flatMap((word) => (typeof word === 'string' ? [word] : 'pattern' in word ? [word.pattern] : []))
  }
  for (const line of text.replace(/\\\r?\n/g, ' ').split(/\r?\n/)) {
    if (/^\s*#/.test(line)) continue
    for (const word of wordsOf(line)) {
      const [, name, value = ''] = /^(\w+)\+?=(.*)$/s.exec(word) ?? []
      if (/^--?[a-z][\w-]*\s/i.test(word)) all.push(...wordsOf(word))
      else if (name === undefined) all.push(word)
      else if (/(^|\s)--?[a-z]/i.test(value)) {
        all.push(...wordsOf(value))
        variables.set(name, '')
      } else variables.set(name, value)
    }
  }
  return grouped(all)
}

/** The words of a line; none of one that is no line of a shell, which may hold no flag then. */
function readLine(line: string, variable: (name: string) => string) {
  try {
    return parse(line, variable)
  } catch (cause) {
    if (!/(^|\s)--?[a-z]/i.test(line)) return []
    throw new ShardloomError(
      'LAUNCHER',
      `This line is none that a shell reads so simply: ${line.trim().slice(0, 80)}`,
      {
        cause,
        help: 'Write plain flags and values; variables as $NAME.',
      },
    )
  }
}

/** `${TP:-8}` with its default, where nothing sets it; arrays, whose words are read where they are set, vanish. */
function withDefaults(line: string, variables: ReadonlyMap<string, string>): string {
  return line
    .replace(/\$\{\w+\[[@*]\]\}/g, '')
    .replace(/\$\{(\w+):?-([^{}]*)\}/g, (_, name: string, fallback: string) => variables.get(name) || fallback)
}

/** Flags with the words behind them, up to the next flag; the last of a name counts. */
function grouped(all: readonly string[]): Command {
  const behind = new Map<string, string[]>()
  const words: string[] = []
  let open: string[] = []
  for (const word of all) {
    if (word === '-m') continue // the module that Python runs
    const [, name, value] = /^--?([a-zA-Z][\w.-]*)(?:=(.*))?$/s.exec(word) ?? []
    if (name === undefined) {
      words.push(word)
      if (word !== '') open.push(word)
    } else {
      open = value === undefined ? [] : [value]
      behind.set(name.replaceAll('_', '-'), open)
    }
  }
  const setting = ([first, ...rest]: readonly string[]): Setting =>
    rest.length > 0 ? [first ?? '', ...rest] : (first ?? true)
  return { flags: new Map([...behind].map(([name, values]) => [name, setting(values)])), words }
}

/** A command with one flag per line; a switch stands alone. */
export function printCommand(head: readonly string[], settings: Settings): string {
  const lines = [...settings].map(([name, value]) => {
    const values = value === true ? [] : [value].flat().map(String)
    return quoted([`--${name}`, ...values])
  })
  return `${[quoted(head), ...lines.map((line) => `  ${line}`)].join(' \\\n')}\n`
}

/** Words as a shell reads them, its variables as they are. */
const quoted = (words: readonly string[]) =>
  words.map((word) => (/^\$[A-Z_]+$/.test(word) ? `"${word}"` : quote([word]))).join(' ')

/** Flags of a launcher that starts a process on each device: how many nodes and ranks there are. */
export function torchrun({ world, perNode }: { readonly world: number; readonly perNode: number }): readonly string[] {
  const nodes = world / perNode
  const several = ['--node-rank', '$NODE_RANK', '--master-addr', '$MASTER_ADDR']
  return ['torchrun', '--nproc-per-node', String(perNode), '--nnodes', String(nodes), ...(nodes > 1 ? several : [])]
}
