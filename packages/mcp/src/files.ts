import { randomUUID } from 'node:crypto'
import { constants, realpathSync, statSync } from 'node:fs'
import { type FileHandle, link, open, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type PlanAccess, ShardloomError } from 'shardloom'

/** The most bytes that are read of any file: a config.json has some thousand, a spec fewer. */
const largestFile = 4_000_000

/** What of the file system calls may use: files below one folder, and plugins of one list. */
export interface Files {
  /** Reads a text file of the root; `folder` is what the path is relative to, itself relative to the root. */
  readText(path: string, folder?: string): Promise<string>
  /** How a plan reads what a spec names; paths are relative to `folder`. */
  access(folder?: string): PlanAccess
  /** Writes a file of the root whole or not at all, and returns its path relative to the root. */
  write(
    path: string,
    text: string,
    options: { readonly extensions: readonly string[]; readonly overwrite: boolean },
  ): Promise<string>
}

/** What the server was started with. */
export interface FileOptions {
  /** Without it no file is read or written. */
  readonly root?: string
  /** Paths of ES modules, relative to the folder that the server was started in. */
  readonly plugins: readonly string[]
}

/** Opens the root. Throws `ROOT` where it is no folder, and `PLUGIN` where a plugin is no file. */
export function openFiles({ root, plugins }: FileOptions): Files {
  const real = root === undefined ? undefined : realRoot(root)
  const allowed = new Map(plugins.map((path) => [path, realPlugin(path)]))
  const inside = (path: string, folder: string) => locate(real, path, folder)
  const readText = async (path: string, folder = '') => readInside(await inside(path, folder), path)
  return {
    readText,
    access: (folder = '') => ({
      readText: (path) => readText(path, folder),
      importPlugin: (path) => importAllowed(path, allowed, real, folder),
    }),
    async write(path, text, { extensions, overwrite }) {
      if (!extensions.includes(extname(path)))
        throw outputError(
          path,
          `its name does not end in ${extensions.join(' or ')}`,
          `Name it such as plan${extensions[0]}.`,
        )
      const { root: base, path: target } = await inside(path, '')
      await writeInside(base, target, text, { shown: path, overwrite })
      return relative(base, target)
    },
  }
}

function realRoot(root: string): string {
  try {
    const real = realpathSync(root)
    if (!statSync(real).isDirectory()) throw new Error('it is a file')
    return real
  } catch (cause) {
    throw new ShardloomError('ROOT', `The root ${root} is not a folder.`, {
      cause,
      subject: root,
      help: 'Give --root a folder that exists.',
    })
  }
}

function realPlugin(path: string): string {
  try {
    return realpathSync(path)
  } catch (cause) {
    throw new ShardloomError('PLUGIN', `There is no plugin ${path}.`, {
      cause,
      subject: path,
      help: 'Give --plugin the path of an ES module.',
    })
  }
}

interface Inside {
  readonly root: string
  readonly path: string
}

const isBelow = (root: string, path: string) => path === root || path.startsWith(root.endsWith(sep) ? root : root + sep)

/** The absolute path of what a caller names, which stands below the root as written: links are looked at when it is opened. */
async function locate(root: string | undefined, path: string, folder: string): Promise<Inside> {
  if (root === undefined) {
    throw new ShardloomError(
      'NO_ACCESS',
      `Cannot use the file ${shown(path)}: this server was started without a root folder.`,
      {
        subject: path,
        help: 'Give the content itself as an object or name a preset; or ask for a server started with `--root FOLDER`.',
      },
    )
  }
  const base = await realpath(resolve(root, folder)).catch(() => root)
  const target = resolve(base, path)
  const real = isAbsolute(path)
    ? join(await realpath(dirname(target)).catch(() => dirname(target)), basename(target))
    : target
  if (path.includes('\0') || !isBelow(root, real)) throw outside(path)
  return { root, path: real }
}

const shown = (path: string) => JSON.stringify(path.length > 120 ? `${path.slice(0, 120)}…` : path)

function outside(path: string): ShardloomError {
  return new ShardloomError('OUTSIDE_ROOT', `${shown(path)} is outside of the root folder of this server.`, {
    subject: path,
    help: 'Use a path below the root, relative to it, without links that leave it.',
  })
}

async function readInside({ root, path }: Inside, name: string): Promise<string> {
  let handle: FileHandle | undefined
  try {
    const real = await realpath(path)
    if (!isBelow(root, real)) throw outside(name)
    // Without waiting for whoever writes to a pipe; of a path that became a link meanwhile, nothing.
    handle = await open(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    const found = await handle.stat()
    const now = await stat(await stillInside(root, real, name))
    if (found.ino !== now.ino || found.dev !== now.dev) throw outside(name)
    if (!found.isFile()) throw fileError('FILE_ACCESS', name, 'is not a file', 'Name a text file.')
    if (found.size > largestFile)
      throw fileError('FILE_SIZE', name, `has more than ${largestFile / 1e6} MB`, 'Is it the right file?')
    return new TextDecoder('utf-8', { fatal: true }).decode(await handle.readFile())
  } catch (cause) {
    throw readError(cause, name)
  } finally {
    await handle?.close()
  }
}

async function stillInside(root: string, path: string, name: string): Promise<string> {
  const real = await realpath(path)
  if (isBelow(root, real)) return real
  throw outside(name)
}

function fileError(code: string, path: string, why: string, help: string, cause?: unknown): ShardloomError {
  return new ShardloomError(code, `${shown(path)} ${why}.`, { subject: path, help, cause })
}

function readError(cause: unknown, path: string): unknown {
  if (cause instanceof TypeError)
    return fileError('FILE_BINARY', path, 'is not text in UTF-8', 'A spec is YAML or JSON.', cause)
  const code = systemCode(cause)
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return fileError(
      'FILE_MISSING',
      path,
      'does not exist',
      'Paths are relative to the root, in a spec to its file.',
      cause,
    )
  return code === undefined
    ? cause
    : fileError('FILE_ACCESS', path, `cannot be read: ${code}`, 'Name another file.', cause)
}

function systemCode(cause: unknown): string | undefined {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return /^E[A-Z0-9]+$/.test(code) ? code : undefined
}

function outputError(path: string, why: string, help: string, cause?: unknown): ShardloomError {
  return new ShardloomError('OUTPUT', `Cannot write ${shown(path)}: ${why}.`, { subject: path, help, cause })
}

/** By a temporary file of the same folder, which takes the name when it is complete. */
async function writeInside(
  root: string,
  path: string,
  text: string,
  { shown: name, overwrite }: { readonly shown: string; readonly overwrite: boolean },
): Promise<void> {
  let temporary: string | undefined
  try {
    const folder = await stillInside(root, dirname(path), name)
    const target = join(folder, basename(path))
    temporary = join(folder, `.${basename(path)}.${randomUUID()}.partial`)
    const handle = await open(temporary, 'wx')
    try {
      await handle.writeFile(text)
    } finally {
      await handle.close()
    }
    // Both replace or make the name itself: nothing is written through a link.
    if (overwrite) await rename(temporary, target)
    else await link(temporary, target)
  } catch (cause) {
    const code = systemCode(cause)
    if (code === undefined) throw cause
    if (code === 'EEXIST')
      throw outputError(name, 'there is such a file', 'Give another path, or `overwrite: true`.', cause)
    if (code === 'ENOENT') throw outputError(name, 'its folder does not exist', 'Name a folder that exists.', cause)
    throw outputError(name, code, 'Give another path. Nothing was written.', cause)
  } finally {
    if (temporary !== undefined) await rm(temporary, { force: true })
  }
}

/** Imports a plugin of the list: named as it was at the start, or by a path below the root that leads to it. */
async function importAllowed(
  path: string,
  allowed: ReadonlyMap<string, string>,
  root: string | undefined,
  folder: string,
): Promise<unknown> {
  const below = root === undefined ? undefined : await realpath(resolve(root, folder, path)).catch(() => undefined)
  const real = allowed.get(path) ?? [...allowed.values()].find((each) => each === below)
  if (real === undefined) {
    const names = [...allowed.keys()]
    throw new ShardloomError('PLUGIN', `The plugin ${shown(path)} is not on the list of this server.`, {
      subject: path,
      help: names.length ? `Use ${names.join(' or ')}.` : 'Plan without it: the server was started without `--plugin`.',
    })
  }
  try {
    return await import(pathToFileURL(real).href)
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)
    throw new ShardloomError('PLUGIN', `Cannot import the plugin ${shown(path)}: ${reason}.`, { subject: path, cause })
  }
}
