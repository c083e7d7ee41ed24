import { errorNaming, isShardloomError } from 'shardloom'
import { exitCode } from './exit-code.js'
import type { Io } from './io.js'
import { singleLine, styleOf } from './style.js'
import { paragraph } from './table.js'

/** A mistake in how the command was called, as opposed to what it was given. */
export class UsageError extends Error {
  readonly code = 'USAGE'

  constructor(
    message: string,
    readonly help: string,
  ) {
    super(message)
  }
}

/** Does some work on one of several inputs; an error of it names that input, such as the file of a spec. */
export async function naming<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (cause) {
    throw errorNaming(name, cause)
  }
}

/** An error as plain data. */
export interface ErrorReport {
  readonly code: string
  readonly message: string
  readonly help?: string
  readonly subject?: string
}

/** Writes an error to stderr, as one line and a help line or, with `json`, as an object. Returns the exit code. */
export function reportError({ stderr, env }: Io, error: unknown, { json }: { readonly json: boolean }): number {
  const report = reportOf(error)
  if (json) stderr.write(`${JSON.stringify({ error: report })}\n`)
  else {
    const style = styleOf(stderr, env)
    const line = (label: string, text: string) => `${paragraph(label, singleLine(text), style.terminal)}\n`
    const help = report.help === undefined ? '' : line(style.dim('help:'), report.help)
    stderr.write(style.encode(`${line(style.bad(`error[${report.code}]`), report.message)}${help}`))
  }
  return error instanceof UsageError ? exitCode.wrongUsage : exitCode.badInput
}

/** What is told of an error, whatever was thrown. */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof UsageError) return { code: error.code, message: error.message, help: error.help }
  if (isShardloomError(error)) {
    return {
      code: error.code,
      message: error.message,
      ...(error.help !== undefined && { help: error.help }),
      ...(error.subject !== undefined && { subject: error.subject }),
    }
  }
  const message = error instanceof Error ? error.message.split('\n')[0] : String(error)
  return {
    code: 'INTERNAL',
    message: message || 'unknown',
    help: 'This is a bug in shardloom: please report it with the spec.',
  }
}
