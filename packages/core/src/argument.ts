import { ShardloomError } from './error.js'

/**
 * Refuses what is no program and, where given, no table of operators: JavaScript calls without types, and a plan is near at
 * hand. Throws `ARGUMENT`.
 */
export function checkProgram(program: unknown, ...table: readonly [operators?: unknown]): void {
  if (!has(program, 'items') || !has(program, 'tensors'))
    throw argumentError('first', program, 'a program', help('program'))
  if (table.length > 0 && !has(table[0], 'get'))
    throw argumentError('second', table[0], 'a table of operators', help('operators'))
}

/** The error for an argument of another kind than a function wants: `ARGUMENT`, which says what it was given instead. */
export function argumentError(which: string, value: unknown, wanted: string, help: string): ShardloomError {
  const waits = has(value, 'then')
  const given = has(value, 'program') ? 'a plan' : has(value, 'items') ? 'a program' : `of type ${typeof value}`
  return new ShardloomError('ARGUMENT', `The ${which} argument is ${waits ? 'a promise' : given}, not ${wanted}.`, {
    help: waits ? 'Await it.' : help,
  })
}

const help = (part: string) => `Give \`${part}\` of what \`plan\` resolves to.`

function has(value: unknown, key: string): boolean {
  return typeof value === 'object' && value !== null && key in value
}
