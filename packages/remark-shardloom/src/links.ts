import type { Element, Root } from 'hast'
import { fromHtml } from 'hast-util-from-html'
import { toHtml } from 'hast-util-to-html'
import { SKIP, visit } from 'unist-util-visit'
import type { Reason } from './render.js'

/** A picture whose communication nodes lead to the reasons of a page. */
export function linked(svg: string, reasons: readonly Reason[]): string {
  const targets = new Map(reasons.flatMap(({ id, nodes }) => nodes.map((node) => [node, id] as const)))
  if (targets.size === 0) return svg
  const tree: Root = fromHtml(svg, { fragment: true })
  visit(tree, 'element', (node, index, parent) => {
    const target = targets.get(String(node.properties.dataNode))
    if (target === undefined || !parent || index === undefined) return undefined
    const link: Element = { type: 'element', tagName: 'a', properties: { href: `#${target}` }, children: [node] }
    parent.children[index] = link
    return [SKIP, index + 1]
  })
  return toHtml(tree)
}
