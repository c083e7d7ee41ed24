import type { ElementContent } from 'hast'
import { fromHtml } from 'hast-util-from-html'
import type { Code, Parents, Root, RootContent } from 'mdast'
import { visit } from 'unist-util-visit'
import type { VFile } from 'vfile'
import { renderCached } from './cache.js'
import { htmlOf } from './html.js'
import { type BlockOptions, occurrences, renderOptions } from './options.js'
import type { Rendered } from './render.js'

export type { BlockOptions }

/**
 * A plugin of remark (Docusaurus, Astro, unified): every fenced block with the language `shardloom` becomes a figure, drawn when
 * the page is built. Pictures and tables are elements for rehype, also in MDX; Mermaid stays a fenced block for whoever draws it. Throws
 * errors that begin with the Markdown file and the line; warnings of plans are messages of the file.
 */
export default function remarkShardloom(options: BlockOptions = {}) {
  const asked = renderOptions(options)
  return async (tree: Root, file: VFile): Promise<void> => {
    const occurrence = occurrences()
    const blocks: { readonly node: Code; readonly parent: Parents }[] = []
    visit(tree, 'code', (node, _, parent) => {
      if (node.lang === 'shardloom' && parent) blocks.push({ node, parent })
    })
    for (const { node, parent } of blocks) {
      const line = node.position?.start.line ?? 1
      const place = { file: file.path ?? 'page.md', line, occurrence: occurrence(node.value) }
      const rendered = await renderCached(node.value, place, asked)
      for (const warning of rendered.warnings) file.message(warning, node.position)
      const siblings: RootContent[] = parent.children
      siblings.splice(siblings.indexOf(node), 1, ...nodesOf(rendered))
    }
  }
}

/** What stands in the tree for a block. */
function nodesOf(rendered: Rendered): RootContent[] {
  const mermaid = rendered.pictures.flatMap(({ mermaid }) => (mermaid === undefined ? [] : mermaid))
  if (mermaid.length === 0) return elementsOf(rendered)
  const pictures = mermaid.map((value): RootContent => ({ type: 'code', lang: 'mermaid', value }))
  return [...pictures, ...elementsOf({ ...rendered, pictures: [] })]
}

/** An element of HTML in a tree of Markdown: a paragraph that says what mdast-util-to-hast makes of it. */
function elementsOf(rendered: Rendered): RootContent[] {
  return fromHtml(htmlOf(rendered), { fragment: true }).children.flatMap((each): RootContent[] => {
    if (each.type !== 'element') return []
    const data = { hName: each.tagName, hProperties: each.properties, hChildren: each.children as ElementContent[] }
    return [{ type: 'paragraph', children: [], data }]
  })
}
