import {
  axesOf,
  type Composition,
  lookup,
  nearest,
  type OperatorNode,
  type Program,
  ShardloomError,
} from '@shardloom/core'
import { isNamed } from '@shardloom/simulator'
import type { PlannedSpec } from './sequence.js'
import { shown } from './spec-error.js'

/** Refuses axes and operators that `options.engine` names and no plugin has: they would have no effect. Throws `SPEC_VALUE`. */
export function checkEngineNames({ options }: PlannedSpec, { axes, operators }: Composition): void {
  const { engine } = options
  if (typeof engine !== 'object') return
  const axisNames = axes.map(({ name }) => name)
  refuse('blocking', engine.blocking ?? [], 'axis', axisNames)
  refuse('fused', Object.keys(engine.fused ?? {}), 'axis', axisNames)
  refuse(
    'traffic',
    Object.keys(engine.traffic ?? {}).filter((name) => !name.includes('/')),
    'operator',
    [...operators.keys()],
  )
}

/**
 * What the spec's own `options.engine` says of things that the plan does not have. A warning and no error, since an engine is a
 * system, which runs other plans as well.
 */
export function idleEngine(
  { mesh, tensors }: Program,
  nodes: readonly OperatorNode[],
  { options }: PlannedSpec,
): string[] {
  const { engine, dtype, linearDtype = dtype } = options
  if (typeof engine !== 'object') return []
  const { blocking = [], fused = {}, traffic = {}, dispatch, castBytes, castRate, castsAgain } = engine
  const axes = new Set(
    nodes.flatMap(({ communication }) =>
      communication ? axesOf(mesh, communication.atoms, communication.reason.strategies) : [],
    ),
  )
  const over = [...axes].sort().join(', ') || 'no axis'
  const operators = new Set(nodes.map(({ op }) => op))
  const routes = nodes.some(({ op, outputs: [id = ''] }) => op === 'all-to-all' && lookup(tensors, id).density)
  const idle = (field: string, why: string) => `\`engine.${field}\` changes nothing: ${why}`
  const silent = (field: string, names: readonly string[]) =>
    names
      .filter((name) => !axes.has(name))
      .map((name) => idle(field, `communication runs over ${over}, not over \`${name}\``))
  const casts = { castBytes, castRate, castsAgain }
  return [
    ...silent('blocking', blocking),
    ...silent('fused', Object.keys(fused)),
    ...Object.keys(traffic)
      .filter((name) => !operators.has(name) && !nodes.some((node) => isNamed(node, name)))
      .map((name) => idle('traffic', `the plan has no operator \`${name}\``)),
    ...(dispatch !== undefined && !routes
      ? [idle('dispatch', 'no tokens are sent to experts on other ranks by an all-to-all')]
      : []),
    ...Object.entries(casts)
      .filter(([, value]) => value !== undefined && linearDtype === dtype)
      .map(([field]) => idle(field, 'no products are cast; `linearDtype: fp8` casts those of linear layers')),
  ]
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
