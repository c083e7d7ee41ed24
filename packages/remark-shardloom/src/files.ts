import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readFile, realpath } from 'node:fs/promises'
import { isAbsolute, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type PlanAccess, ShardloomError } from 'shardloom'

/** The files that the blocks of one Markdown file may name. */
export interface Files extends Required<Pick<PlanAccess, 'importPlugin'>> {
  readonly readText: (path: string) => Promise<string>
  /** Every file that was read, with a digest of what it said then. */
  readonly read: Map<string, string>
}

/** The most bytes that are read of a file that a block names. */
const largestFile = 16_000_000

/**
 * Files as a Markdown file names them: relative to its folder, and never outside of `root`, links followed. Throws
 * `FILE_OUTSIDE`, `FILE_MISSING`, `FILE_KIND` and `FILE_SIZE`.
 */
export function filesBelow(root: string, folder: string): Files {
  const read = new Map<string, string>()
  const within = async (path: string): Promise<string> => {
    const target = resolve(folder, path)
    const found = await realpath(target).catch((cause: NodeJS.ErrnoException) => {
      throw new ShardloomError('FILE_MISSING', `There is no file ${path} that can be read.`, {
        subject: path,
        cause,
        help: 'Paths are relative to the Markdown file.',
      })
    })
    const inside = relative(await realpath(root), found)
    if (inside !== '' && !inside.startsWith('..') && !isAbsolute(inside)) return found
    throw new ShardloomError('FILE_OUTSIDE', `${path} is outside of the documentation's root.`, {
      subject: path,
      help: 'Move it there, or set `root` (of the command `--root`) to a folder that holds both.',
    })
  }
  return {
    read,
    readText: async (path) => {
      const bytes = await readRegular(await within(path), path)
      read.set(resolve(folder, path), digest(bytes))
      return bytes.toString('utf8')
    },
    importPlugin: async (path) => {
      const found = await within(path)
      read.set(resolve(folder, path), digest(await readFile(found)))
      return import(pathToFileURL(found).href)
    },
  }
}

/** Reads a file without waiting for whoever writes to a pipe, and nothing that has no end. */
async function readRegular(path: string, shown: string): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = await handle.stat()
    if (!found.isFile())
      throw new ShardloomError('FILE_KIND', `${shown} is not a file.`, { subject: shown, help: 'Name a text file.' })
    if (found.size > largestFile)
      throw new ShardloomError('FILE_SIZE', `${shown} has ${found.size} bytes; at most ${largestFile} are read.`, {
        subject: shown,
        help: 'Is it the right file?',
      })
    return await handle.readFile()
  } finally {
    await handle.close()
  }
}

/** A short name of a content. */
export const digest = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex')
