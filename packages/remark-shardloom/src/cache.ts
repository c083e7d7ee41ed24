import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { digest } from './files.js'
import { filesOf, type Place, type Rendered, renderBlock } from './render.js'

/** Where blocks lie, and where what became of them is kept. */
export interface RenderOptions {
  /** Files that blocks name lie below this folder. */
  readonly root: string
  /** The folder of results; undefined keeps none. */
  readonly cache: string | undefined
}

interface Entry {
  /** The digest of every file that was read. */
  readonly files: Readonly<Record<string, string>>
  readonly rendered: Rendered
}

/** A result of one version says nothing of another. */
const version: string = (() => {
  const entry = createRequire(import.meta.url).resolve('shardloom')
  return createRequire(import.meta.url)(join(dirname(dirname(entry)), 'package.json')).version
})()

/**
 * Renders a block, or finds what became of the same text, with the same files, before. Throws what {@link renderBlock} does.
 */
export async function renderCached(
  source: string,
  place: Omit<Place, 'root'>,
  { root, cache }: RenderOptions,
): Promise<Rendered> {
  const files = filesOf(place.file, root)
  const render = () => renderBlock(source, { ...place, root }, files)
  if (cache === undefined) return render()
  const path = join(cache, `${digest(JSON.stringify([version, dirname(place.file), place.occurrence, source]))}.json`)
  const known = await readEntry(path)
  if (known && (await unchanged(known))) return known.rendered
  const rendered = await render()
  await writeEntry(path, { files: Object.fromEntries(files.read), rendered })
  return rendered
}

async function readEntry(path: string): Promise<Entry | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Entry // what writeEntry wrote
  } catch {
    return undefined
  }
}

async function unchanged({ files }: Entry): Promise<boolean> {
  for (const [path, before] of Object.entries(files)) {
    const now = await readFile(path).then(digest, () => undefined)
    if (now !== before) return false
  }
  return true
}

/** Keeps a result where that can be done: without it, the next time only takes longer. */
async function writeEntry(path: string, entry: Entry): Promise<void> {
  const temporary = `${path}.${process.pid}`
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(temporary, JSON.stringify(entry))
    await rename(temporary, path)
  } catch {}
}
