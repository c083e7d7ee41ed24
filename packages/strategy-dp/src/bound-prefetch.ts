import {
  type Item,
  lookup,
  nodesOf,
  notBefore,
  type OperatorNode,
  type Pass,
  type Program,
  type Region,
} from '@shardloom/core'
import type { Storage } from './options.js'

/**
 * `dp/bound-prefetch`: how many layers ahead of their use parameters are gathered (Zhao et al. 2023, sections 3.3 and 3.4). A gather
 * waits for the start of the layer that runs `prefetch` before its own, in forward and in backward; the first ones wait
 * for nothing. Warns where that changes nothing and was asked for.
 */
export function boundPrefetch({ prefetch = 0 }: Storage, isAsked: boolean): Pass {
  return {
    name: 'dp/bound-prefetch',
    phase: 'schedule',
    run(program, { warn }) {
      const isBound = ({ op, after }: OperatorNode) => op === 'all-gather' && after !== undefined
      if (nodesOf(program.items).some(isBound)) return program
      let changed = false
      const bound = (items: readonly Item[], around?: Region): Item[] => {
        const after = around ? notBefore(around, prefetch) : []
        const waits = around !== undefined && after.length > 0 && prefetch + 1 < around.extent
        return items.map((item) => {
          if (item.type === 'region')
            return { ...item, bodies: item.bodies.map((body) => ({ ...body, items: bound(body.items, item) })) }
          if (!waits || !gathersParameter(item, program)) return item
          changed = true
          return { ...item, after }
        })
      }
      const items = bound(program.items)
      if (!changed && isAsked)
        warn(`\`prefetch: ${prefetch}\` changes nothing: no parameter is gathered so many layers ahead`)
      return changed ? { ...program, items } : program
    },
  }
}

function gathersParameter({ op, inputs }: OperatorNode, { tensors }: Program): boolean {
  return op === 'all-gather' && inputs.every((id) => lookup(tensors, id).role === 'parameter')
}
