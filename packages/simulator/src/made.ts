import { nodesOf, type Program, regionsOf } from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'

/** By what they run: in other sizes it is the same. */
const known = new WeakMap<Program['items'], ReadonlySet<string>>()

/** What the nodes and loops of a rank's part make. Of tied weights each end of a pipeline makes the gradient of its own use alone. */
export function madeOn(whole: Program, rank: number): ReadonlySet<string> {
  const { items } = programOf(whole, rank)
  const found = known.get(items) ?? collect(items)
  known.set(items, found)
  return found
}

function collect(items: Program['items']): ReadonlySet<string> {
  const made = new Set(nodesOf(items).flatMap(({ outputs }) => outputs))
  for (const { ports } of regionsOf(items))
    for (const port of ports) {
      if (port.kind === 'carry') made.add(port.inner).add(port.result)
      if (port.kind === 'reduce') made.add(port.result)
    }
  return made
}
