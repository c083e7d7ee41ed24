import { nearest, orList, ShardloomError } from './error.js'

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

/**
 * Refuses options that a function does not know, with the nearest one, and values that an option cannot have. `known` says
 * of each option what its value may be, words or types with `|` between them, and `[]` behind a list of such. Throws
 * `ARGUMENT` for what is no object, and `OPTION`.
 */
export function checkOptions(options: unknown, known: Readonly<Record<string, string>>): void {
  if (Object(options) !== options || Array.isArray(options))
    throw argumentError('last', options, 'an object', 'Options stand in an object.')
  for (const [key, value] of Object.entries(Object(options))) {
    const wanted = Object.hasOwn(known, key) ? known[key] : undefined
    const words = wanted?.replace('[]', '').split('|') ?? Object.keys(known)
    const fits = (each: unknown) => words.some((word) => word === each || (word === typeof each && each !== null))
    const list = wanted?.endsWith('[]')
    if (wanted && (value === undefined || (list ? Array.isArray(value) && value.every(fits) : fits(value)))) continue
    const near = nearest(String(wanted ? value : key), words)
    throw new ShardloomError('OPTION', `There is no option \`${key}\`${wanted ? ` that is \`${value}\`` : ''}.`, {
      subject: key,
      help: near ? `Did you mean \`${near}\`?` : `Possible: ${orList(words)}.`,
    })
  }
}

const help = (part: string) => `Give \`${part}\` of what \`plan\` resolves to.`

function has(value: unknown, key: string): boolean {
  return typeof value === 'object' && value !== null && key in value
}
