import { isShardloomError, ShardloomError } from 'shardloom'
import type { z } from 'zod'
import { bounded, type more } from './bounded.js'
import type { ToolContext } from './tool.js'
import { tools } from './tools.js'

/** An error as callers see it. */
export interface ErrorReport {
  readonly code: string
  readonly message: string
  /** What would work instead. */
  readonly help?: string
  /** The argument, field or file that it is about. */
  readonly subject?: string
}

/** What came of a call: a result within bounds, or an error. */
export type Outcome = { readonly result: object } | { readonly error: ErrorReport }

/** Checks the arguments of a tool, runs it and keeps its result within bounds. Never throws. */
export async function runTool(name: string, input: unknown, context: ToolContext): Promise<Outcome> {
  try {
    const tool = tools.find((each) => each.name === name)
    if (!tool) throw new Error(`there is no tool ${name}`)
    const parsed = tool.input.safeParse(input ?? {})
    if (!parsed.success) throw argumentsError(parsed.error.issues, Object.keys(tool.input.shape))
    const { more: asked } = parsed.data as { readonly more?: z.output<typeof more> } // defineTool adds it
    const document = await tool.run(parsed.data, context)
    return { result: bounded({ ...document, units: tool.units }, asked, tool.narrow) }
  } catch (cause) {
    return { error: reportOf(cause) }
  }
}

function argumentsError(issues: readonly z.core.$ZodIssue[], known: readonly string[]): ShardloomError {
  const [issue] = issues
  const path = issue?.path.map(String).join('.') ?? ''
  const where = path === '' ? 'The arguments are wrong' : `The argument \`${path}\` is wrong`
  const reason = (issue?.message ?? 'they do not fit').replace('Invalid input: ', '').replace('record', 'object')
  return new ShardloomError('ARGUMENTS', `${where}: ${reason.slice(0, 300)}.`, {
    subject: path,
    help: `Arguments are ${known.join(', ')}.`,
  })
}

/** The error that callers see: never a stack. */
export function reportOf(cause: unknown): ErrorReport {
  if (isShardloomError(cause)) {
    const { code, message, help, subject } = cause
    return { code, message, ...(help !== undefined && { help }), ...(subject !== undefined && { subject }) }
  }
  const message = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
  return {
    code: 'INTERNAL',
    message: message || 'unknown',
    help: 'This is a bug of shardloom: please report it with the arguments.',
  }
}
