import { fileURLToPath } from 'node:url'
import { ShardloomError } from 'shardloom'
import { createSyncFn } from 'synckit'
import { escapeHtml, htmlOf } from './html.js'
import { type BlockOptions, occurrences, renderOptions } from './options.js'
import type { answer } from './worker.js'

/** What the plugin of markdown-it may be told. */
export interface MarkdownItOptions extends BlockOptions {
  /** The page is a template of Vue (VitePress), which must not read the picture as its own text. Default false. */
  readonly vue?: boolean
}

/** A token of markdown-it, as far as the plugin looks at it. */
interface Token {
  readonly info: string
  readonly content: string
  readonly map: readonly [number, number] | null
}

/** As a method, so that a rule of markdown-it, which knows more of a token, is one. */
interface Rules {
  fence(tokens: Token[], index: number, options: unknown, environment: unknown, self: unknown): string
}

/** What the plugin needs of markdown-it. */
interface Markdown {
  readonly renderer: { readonly rules: { fence?: Rules['fence'] | undefined } }
}

/**
 * A plugin of markdown-it (VitePress, Eleventy): every fenced block with the language `shardloom` becomes a figure, drawn when the
 * page is built. markdown-it does not wait, so blocks are rendered in a thread of their own while it does. Throws errors that begin
 * with the Markdown file, where the environment names it as `path`, and the line.
 */
export default function markdownItShardloom(markdown: Markdown, options: MarkdownItOptions = {}): void {
  const { vue = false, ...rest } = options
  const asked = renderOptions(rest)
  const usual = markdown.renderer.rules.fence
  const pages = new WeakMap<object, (source: string) => number>()
  const waiting = createSyncFn<typeof answer>(fileURLToPath(new URL('./worker.js', import.meta.url)))
  markdown.renderer.rules.fence = (tokens, index, setting, environment, self) => {
    const token = tokens[index]
    if (token?.info.trim().split(/\s+/)[0] !== 'shardloom')
      return usual?.(tokens, index, setting, environment, self) ?? ''
    const page = typeof environment === 'object' && environment !== null ? environment : tokens
    const occurrence = pages.get(page) ?? occurrences()
    pages.set(page, occurrence)
    const { path } = page as { readonly path?: unknown }
    const place = {
      file: typeof path === 'string' ? path : 'page.md',
      line: (token.map?.[0] ?? 0) + 1,
      occurrence: occurrence(token.content),
    }
    const came = waiting(token.content, place, asked)
    if ('error' in came) throw new ShardloomError(came.error.code, came.error.message, { help: came.error.help ?? '' })
    const drawn = (text: string) =>
      usual?.([{ ...token, info: 'mermaid', content: text }], 0, setting, environment, self) ?? ''
    const html = htmlOf(came.rendered, usual && drawn)
    return vue ? `<div v-html="${escapeHtml(JSON.stringify(html))}"></div>\n` : `${html}\n`
  }
}
