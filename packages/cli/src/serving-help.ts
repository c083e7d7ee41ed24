import { flagOf, servingFields } from './spec-flags.js'
import { wrapped } from './table.js'

const pools = ['prefill', 'decode']

/** What the flags of the phase serving mean, for a help; those that both pools have as other specs have them are told once. */
export function servingHelp(): string[] {
  const own = servingFields.filter(({ path }) => !pools.includes(path[2] ?? ''))
  const prefix = `serving-${pools[0]}-`
  const ofPools = servingFields.flatMap(({ flag }) => (flag.startsWith(prefix) ? [flag.slice(prefix.length)] : []))
  return [
    '\nFlags of the phase serving, each a field of options.serving:',
    ...own.flatMap((field) => {
      const { flags, description } = flagOf(field)
      return [`  ${flags}`, ...wrapped(description, 6)]
    }),
    `  ${pools.map((pool) => `--serving-${pool}-<field> <value>`).join(', ')}`,
    ...wrapped(
      `what one phase has in place of the flag --<field>; degrees or a cluster make it a pool of ranks of its own. Fields: ${ofPools.join(', ')}`,
      6,
    ),
  ]
}
