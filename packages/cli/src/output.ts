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

/** How a command hands its exit code on, where it is not 0. */
export type Finish = (code: number) => void
