import { type Composition, nearest, ShardloomError } from '@shardloom/core'
import type { PlannedSpec } from './sequence.js'
import { shown } from './spec-error.js'

/** Refuses axes and operators that `options.engine` names and no plugin has: they would have no effect. Throws `SPEC_VALUE`. */
export function checkEngineNames({ options }: PlannedSpec, { axes, operators }: Composition): void {
  const { engine } = options
  if (typeof engine !== 'object') return
  const axisNames = axes.map(({ name }) => name)
  refuse('blocking', engine.blocking ?? [], 'axis', axisNames)
  refuse('fused', Object.keys(engine.fused ?? {}), 'axis', axisNames)
  refuse('traffic', Object.keys(engine.traffic ?? {}), 'operator', [...operators.keys()])
}

function refuse(field: string, names: readonly string[], what: string, known: readonly string[]): void {
  const unknown = names.find((name) => !known.includes(name))
  if (unknown === undefined) return
  const near = nearest(unknown, known)
  const subject = `options.engine.${field}`
  const message = `\`${subject}\` names the ${what} ${shown(unknown)}, which no plugin brings.`
  throw new ShardloomError('SPEC_VALUE', message, {
    subject,
    help: `${near === undefined ? '' : `Did you mean \`${near}\`? `}Known are ${[...known].sort().join(', ')}.`,
  })
}
