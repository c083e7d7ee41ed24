import { basename, dirname, extname, join } from 'node:path'
import { fromMarkdown } from 'mdast-util-from-markdown'
import { ShardloomError } from 'shardloom'
import { renderCached } from './cache.js'
import type { Changes } from './changes.js'
import { type BlockOptions, occurrences, renderOptions } from './options.js'
import type { Reason, Rendered, Table } from './render.js'

/** What {@link updateMarkdown} may be told. */
export interface UpdateOptions extends BlockOptions {
  /** What messages call the file; default its path. */
  readonly name?: string
}

/** A Markdown file with its pictures beside the blocks that they are made from. */
export interface Updated {
  readonly text: string
  /** The pictures that the text shows, by their paths. */
  readonly pictures: ReadonlyMap<string, string>
  readonly blocks: number
  readonly warnings: readonly string[]
}

const begin = '<!-- shardloom:begin, made from the block above -->'
const end = '<!-- shardloom:end -->'

interface Source {
  readonly text: string
  /** The line of what opens the block. */
  readonly line: number
  /** Where what is made from it is written, and what stood there. */
  readonly from: number
  readonly to: number
}

/**
 * Writes below each block of a Markdown file what it shows, for readers that run nothing: pictures as files beside it, Mermaid and tables
 * in place. A block is fenced, or hidden in a comment that begins with `<!-- shardloom`. What was written before is replaced.
 * Throws `BLOCK_PLACE` for a block inside of a list or a quote, and what rendering throws.
 */
export async function updateMarkdown(text: string, file: string, options: UpdateOptions = {}): Promise<Updated> {
  const { name = file, ...rest } = options
  const asked = renderOptions(rest)
  const occurrence = occurrences()
  const pictures = new Map<string, string>()
  const warnings: string[] = []
  const folder = `${basename(file, extname(file))}.pictures`
  const sources = sourcesOf(text, name)
  let result = ''
  let at = 0
  for (const [index, source] of sources.entries()) {
    const place = { file, name, line: source.line, occurrence: occurrence(source.text) }
    const rendered = await renderCached(source.text, place, asked)
    warnings.push(...rendered.warnings.map((warning) => `${name}:${source.line}: ${warning}`))
    const shown = markdownOf(rendered, (name, svg) => {
      const path = `${folder}/${index + 1}${name}.svg`
      pictures.set(join(dirname(file), path), svg)
      return encodeURI(path)
    })
    result += `${text.slice(at, source.from)}\n\n${begin}\n\n${shown}\n\n${end}`
    at = source.to
  }
  return { text: result + text.slice(at), pictures, blocks: sources.length, warnings }
}

/** The blocks of a file, in their order. */
function sourcesOf(text: string, file: string): Source[] {
  const { children } = fromMarkdown(text)
  const found: Source[] = []
  children.forEach((node, index) => {
    const source = sourceText(node)
    const { position } = node
    if (source === undefined || !position) {
      refuseInside(node, file)
      return
    }
    const from = position.end.offset ?? 0
    const next = children[index + 1]
    let to = from
    if (next?.type === 'html' && next.value.startsWith('<!-- shardloom:begin')) {
      const last = children.slice(index + 2).find((each) => each.type === 'html' && each.value.startsWith(end))
      if (!last)
        throw new ShardloomError(
          'BLOCK_PLACE',
          `${file}:${next.position?.start.line ?? 1}: What was made from a block has no end.`,
          {
            help: `Write ${end} behind it, or remove it.`,
          },
        )
      to = last.position?.end.offset ?? from
    }
    found.push({ text: source, line: position.start.line, from, to })
  })
  return found
}

type Child = ReturnType<typeof fromMarkdown>['children'][number]

/** The text of a block, where a node is one. */
function sourceText(node: Child): string | undefined {
  if (node.type === 'code' && node.lang === 'shardloom') return node.value
  if (node.type !== 'html') return undefined
  return /^<!-- shardloom[ \t]*\r?\n([\s\S]*?)-->$/.exec(node.value.trim())?.[1]
}

/** A block inside of a list or a quote, below which nothing can be written. */
function refuseInside(node: Child, file: string): void {
  if (!('children' in node)) return
  for (const child of node.children as Child[]) {
    if (sourceText(child) === undefined) refuseInside(child, file)
    else
      throw new ShardloomError(
        'BLOCK_PLACE',
        `${file}:${child.position?.start.line ?? 1}: The block stands inside of a ${node.type}.`,
        {
          help: 'Move it to the left, outside of lists and quotes.',
        },
      )
  }
}

/** What a block shows, as Markdown of any reader. */
function markdownOf(rendered: Rendered, write: (name: string, svg: string) => string): string {
  const parts = rendered.pictures.flatMap(({ name, alt, svg, mermaid, table }) => [
    ...(name === undefined ? [] : [`**${name}**`]),
    ...(svg === undefined ? [] : [`![${escaped(alt)}](${write(name === undefined ? '' : `-${name}`, svg)})`]),
    ...(mermaid === undefined ? [] : [`\`\`\`mermaid\n${mermaid.trimEnd()}\n\`\`\``]),
    ...(table ? [tableText(table)] : []),
  ])
  const { caption, changes, reasons } = rendered
  return [
    ...parts,
    ...(caption === undefined ? [] : [`*${escaped(caption)}*`]),
    ...(changes ? changesText(changes) : []),
    ...(reasons.length > 0 ? [reasonsText(reasons)] : []),
  ].join('\n\n')
}

const changesText = ({ table, notes }: Changes) => [tableText(table), ...notes.map(escaped)]

function tableText({ head, align, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escaped).join(' | ')} |`
  return [line(head), `|${align.map((each) => (each === 'right' ? '--:' : '---')).join('|')}|`, ...rows.map(line)].join(
    '\n',
  )
}

const reasonsText = (reasons: readonly Reason[]) =>
  [
    '<details><summary>Why it communicates</summary>\n',
    ...reasons.map(({ title, text }) => `- **${escaped(title)}** ${escaped(text.join(' '))}`),
    '\n</details>',
  ].join('\n')

/** Text that Markdown and HTML leave as it is, with ids between backticks as code. */
const escaped = (text: string) =>
  text
    .replace(/\s+/g, ' ')
    .split(/(`[^`]+`)/)
    .map((part) => (/^`[^`|]+`$/.test(part) ? part : escapedPart(part)))
    .join('')

const escapedPart = (text: string) =>
  text
    .replace(/[\\`*_[\]|~]/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
