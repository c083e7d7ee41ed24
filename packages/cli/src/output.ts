import { type Style, singleLine, styleOf } from './style.js'
import { paragraph } from './table.js'

/** Prints one JSON document on stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(
    `${JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? Number(inner) : inner), 2)}\n`,
  )
}

/** Prints lines for people on stdout, in the style of that stream. */
export function printLines(make: (style: Style) => readonly string[]): void {
  const style = styleOf(process.stdout)
  process.stdout.write(style.encode(`${make(style).join('\n')}\n`))
}

/** Prints the warnings of a plan on stderr. */
export function printWarnings(warnings: readonly string[]): void {
  const style = styleOf(process.stderr)
  for (const warning of warnings)
    process.stderr.write(style.encode(`${paragraph(style.bold('warning'), singleLine(warning), style.terminal)}\n`))
}

/** Does work that tells a person at a terminal how far it is, in one line of stderr that is gone afterwards. */
export function withProgress<Result>(work: (tell: (text: string) => void) => Result): Result {
  const { stderr } = process
  if (!stderr.isTTY) return work(() => {})
  const clear = '\r\u001b[K'
  try {
    return work((text) => stderr.write(`${clear}${text}`))
  } finally {
    stderr.write(clear)
  }
}

/** How a command hands its exit code on, where it is not 0. */
export type Finish = (code: number) => void
