import type { Earlier, Item, Port, Region } from './program.js'

/** What stands behind a tensor: a node, a port of a region, or the outside of the program. */
export type Source =
  | { readonly kind: 'node'; readonly id: string }
  | { readonly kind: 'carry-inner'; readonly region: Region; readonly port: Extract<Port, { kind: 'carry' }> }
  | { readonly kind: 'carry-result'; readonly region: Region; readonly port: Extract<Port, { kind: 'carry' }> }
  | { readonly kind: 'reduce-result'; readonly region: Region; readonly port: Extract<Port, { kind: 'reduce' }> }

/** The source of every tensor that the program itself makes; parameters, inputs and caches from outside have none. */
export function sourcesOf(items: readonly Item[]): Map<string, Source> {
  const sources = new Map<string, Source>()
  const visit = (list: readonly Item[]) => {
    for (const item of list) {
      if (item.type === 'node') {
        for (const id of item.outputs) sources.set(id, { kind: 'node', id: item.id })
        continue
      }
      for (const port of item.ports) {
        if (port.kind === 'carry') {
          sources.set(port.inner, { kind: 'carry-inner', region: item, port })
          sources.set(port.result, { kind: 'carry-result', region: item, port })
        } else if (port.kind === 'reduce') sources.set(port.result, { kind: 'reduce-result', region: item, port })
      }
      for (const body of item.bodies) visit(body.items)
    }
  }
  visit(items)
  return sources
}

/**
 * What a node of an ordered region names in `after` so that it runs no sooner than the iteration `ahead` before its own
 * begins: the items that make what that iteration is handed. Empty for a region that hands nothing on.
 */
export function notBefore({ bodies, ports }: Region, ahead: number): Earlier[] {
  const makes = (item: Item, id: string) =>
    item.type === 'node' ? item.outputs.includes(id) : item.ports.some((port) => 'result' in port && port.result === id)
  return bodies.flatMap((body, index) => {
    const handed = ports.flatMap((port) => (port.kind === 'carry' ? [port.next[index] ?? ''] : []))
    const makers = body.items.filter((item) => handed.some((id) => makes(item, id)))
    return makers.map(({ id }) => ({ item: id, distance: ahead + 1 }))
  })
}

/** The iteration that a region runs last. */
export function lastIteration(region: Region): number {
  return region.order === 'reverse' ? 0 : region.extent - 1
}
