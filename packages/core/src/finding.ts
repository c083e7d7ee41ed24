import { isShardloomError } from './error.js'
import type { OperatorTable } from './operator.js'
import type { Program } from './program.js'

/** One breach of a rule: where, what is wrong, and what would mend it. */
export interface Violation {
  readonly node: string
  readonly message: string
  readonly help: string
}

/** Yields once for everything that it checks: a violation, or undefined where all is well. */
export type Check = (program: Program, operators: OperatorTable) => Generator<Violation | undefined, void>

/** A program from elsewhere may break whatever a check relies on: that is a violation, not a crash. */
export function attempt(node: string, check: () => void): Violation | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    const help = (isShardloomError(error) && error.help) || 'Plan the program again from its spec.'
    return { node, message: error instanceof Error ? error.message : String(error), help }
  }
}

/** A violation unless `ok`; a message that takes long to write may wait until it is needed. */
export function unless(
  ok: boolean,
  node: string,
  message: string | (() => string),
  help: string,
): Violation | undefined {
  return ok ? undefined : { node, message: typeof message === 'string' ? message : message(), help }
}
