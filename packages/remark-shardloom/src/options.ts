import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ShardloomError } from 'shardloom'
import type { RenderOptions } from './cache.js'

/** What the plugins of remark and markdown-it may be told. */
export interface BlockOptions {
  /** Files that blocks name lie below this folder, and never outside. Default: the current folder. */
  readonly root?: string
  /** The folder where results are kept, by content; false keeps none. Default: `node_modules/.cache/remark-shardloom`, where there is `node_modules`. */
  readonly cache?: string | false
}

/** Fills in what was not said. Throws `OPTION` for what there is not. */
export function renderOptions(options: BlockOptions, known: readonly string[] = ['root', 'cache']): RenderOptions {
  const strange = Object.keys(options).find((key) => !known.includes(key))
  if (strange !== undefined)
    throw new ShardloomError('OPTION', `There is no option \`${strange}\`.`, {
      subject: strange,
      help: `Options are ${known.join(', ')}.`,
    })
  const root = resolve(options.root ?? '.')
  const modules = join(root, 'node_modules')
  const usual = existsSync(modules) ? join(modules, '.cache', 'remark-shardloom') : undefined
  return { root, cache: options.cache === false ? undefined : (options.cache ?? usual) }
}

/** Counts equal blocks of one page, so that their ids differ. */
export function occurrences(): (source: string) => number {
  const seen = new Map<string, number>()
  return (source) => {
    const before = seen.get(source) ?? 0
    seen.set(source, before + 1)
    return before
  }
}
