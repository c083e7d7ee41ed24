import {
  compileSelector,
  iterationsOf,
  layerRanges,
  type OperatorNode,
  type Place,
  type Program,
  type Selector,
  ShardloomError,
  walk,
} from '@shardloom/core'
import type { Crossing } from './occurrence.js'

/** Whether a node is drawn where it stands: in regions that may be cut to some of their iterations. */
export type Selection = (
  node: OperatorNode,
  path: readonly (Place['path'][number] & Partial<Pick<Crossing, 'run'>>)[],
) => boolean

/**
 * Compiles what a picture draws. Layers that share a body are drawn as one, so that the body is drawn when one of them is
 * meant; drawn one by one, each is asked alone.
 */
export function selectionOf(where: Selector | undefined, program: Program): Selection {
  if (!where) return () => true
  const { layers: _, except, and, ...own } = where
  const matches = compileSelector(own, (id) => program.tensors.get(id))
  const ranges = layerRanges(where)
  const excepted = except && selectionOf(except, program)
  const also = selectionOf(and, program)
  return (node, path) => {
    const layer = path.find(({ region }) => region.axis === 'layer')
    const meant =
      where.layers === undefined ||
      (layer &&
        iterationsOf(layer.region, layer.body).some(
          (at) =>
            (!layer.run || (at >= layer.run.first && at <= layer.run.last)) &&
            ranges.some(([first, last]) => at >= first && at <= last),
        ))
    return meant === true && matches(node, { path, executions: 1 }) && !excepted?.(node, path) && also(node, path)
  }
}

/** Throws `SELECTOR` when a picture would be empty. */
export function refuseEmpty(where: Selector | undefined, program: Program): void {
  const drawn = selectionOf(where, program)
  const modules = new Set<string>()
  let any = where === undefined
  walk(program.items, (node, { path }) => {
    any ||= drawn(node, path)
    if (node.module) modules.add(node.module.split('/')[0] ?? '')
  })
  if (any || !where) return
  throw new ShardloomError('SELECTOR', `There is nothing to draw: no operator is of ${selectionText(where)}.`, {
    help: `Modules: ${[...modules].join(', ')}. \`explain\` lists the operators of a plan.`,
  })
}

/** A selector in words: `module moe, layers 0`. */
export function selectionText({ except, and, ...fields }: Selector): string {
  const own = Object.entries(fields).map(([field, value]) => `${field} ${[value].flat().join(' or ')}`)
  const others = [...(except ? [`except ${selectionText(except)}`] : []), ...(and ? [selectionText(and)] : [])]
  return [...own, ...others].join(', ')
}
