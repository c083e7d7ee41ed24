import { runWork, type Work } from 'shardloom'
import type { Io } from './io.js'
import { type Style, singleLine, styleOf } from './style.js'
import { paragraph, terminalWidth } from './table.js'

/** Prints one JSON document on stdout. */
export function printJson({ stdout }: Io, value: unknown): void {
  stdout.write(`${JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? Number(inner) : inner), 2)}\n`)
}

/** Prints lines for people on stdout, in the style of that stream. */
export function printLines({ stdout, env }: Io, make: (style: Style) => readonly string[]): void {
  const style = styleOf(stdout, env)
  stdout.write(style.encode(`${make(style).join('\n')}\n`))
}

/** Prints the warnings of a plan on stderr. */
export function printWarnings({ stderr, env }: Io, warnings: readonly string[]): void {
  const style = styleOf(stderr, env)
  for (const warning of warnings)
    stderr.write(style.encode(`${paragraph(style.bold('warning'), singleLine(shortened(warning)), style.terminal)}\n`))
}

/** A warning with the first few of many names: documents have it whole. */
function shortened(warning: string): string {
  return warning.replace(/(?:`[^`]+`, ){5,}`[^`]+`/g, (list) => {
    const names = list.split(', ')
    return `${names.slice(0, 4).join(', ')} and ${names.length - 4} more, which --json of plan, simulate and search lists`
  })
}

/** Tells on stderr what was done beside what is printed. */
export function printNote({ stderr, env }: Io, text: string): void {
  const style = styleOf(stderr, env)
  stderr.write(style.encode(`${paragraph(style.bold('note'), singleLine(text), style.terminal)}\n`))
}

/** Milliseconds after which a person begins to wonder. */
const patience = 300

/** Milliseconds between the lines of a log. */
const logBeat = 30_000

/** One line of stderr that a person at a terminal sees while something lasts; in a log it is a line now and then. */
export interface ProgressLine {
  /** Puts a text in the place of what the line says, unless nothing has lasted long enough to be told. */
  show(text: string): void
  /** Nothing is left of the line. */
  clear(): void
}

/** How far something is: in a line that changes at a terminal; where stderr is a file or a pipe, in a plain line every half a minute. */
export function progressLine({ stderr }: Io): ProgressLine {
  if (!stderr.isTTY) return logLines(stderr)
  const begun = Date.now()
  const clear = '\r\u001b[K'
  let shown = ''
  return {
    show(text) {
      const line = text.slice(0, (stderr.columns ?? terminalWidth) - 1)
      if (line === shown || Date.now() - begun < patience) return
      shown = line
      stderr.write(`${clear}${line}`)
    },
    clear() {
      if (shown) stderr.write(clear)
      shown = ''
    },
  }
}

function logLines(stderr: Io['stderr']): ProgressLine {
  let last = Date.now()
  return {
    show(text) {
      if (Date.now() - last < logBeat) return
      last = Date.now()
      stderr.write(`${text}\n`)
    },
    clear() {},
  }
}

/** Does long work; a person at a terminal sees how far it is, in one line of stderr that is gone afterwards, and a log has lines of it. */
export async function withProgress<Result>(io: Io, work: Work<Result>): Promise<Result> {
  const line = progressLine(io)
  try {
    return await runWork(work, {
      progress: ({ work, done, of }) => line.show(`${work}: ${done} of ${of}`),
    })
  } finally {
    line.clear()
  }
}
