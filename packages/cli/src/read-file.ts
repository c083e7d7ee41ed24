import { type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { nearest, ShardloomError } from 'shardloom'
import { type Io, rememberRead } from './io.js'

/** The most bytes that are read of any file: a config.json has some thousand, a spec fewer. */
const largestFile = 16_000_000

/**
 * Reads a text file whole. Refuses folders, files that are too large or not text before reading much of them, and names
 * the nearest file when there is none. `shown` is what the user typed. Throws `FILE_MISSING`, `FILE_FOLDER`, `FILE_SIZE`,
 * `FILE_BINARY` and `FILE_ACCESS`.
 */
export async function readTextFile(io: Io, path: string, shown = path): Promise<string> {
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'r')
    const found = await handle.stat()
    if (found.isDirectory()) throw await folderError(path, shown)
    rememberRead(io, await realpath(path))
    if (found.size > largestFile) throw tooLarge(shown, `${(found.size / 1e6).toFixed(0)} MB`)
    return decode(await readLimited(handle, shown), shown)
  } catch (cause) {
    throw await fileError(cause, path, shown)
  } finally {
    await handle?.close()
  }
}

/** Reads standard input, as {@link readTextFile} does a file. */
export async function readStandardInput({ stdin }: Io): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk)
    if (bytes.includes(0)) throw binaryError('standard input')
    size += bytes.length
    if (size > largestFile) throw tooLarge('standard input', `more than ${largestFile / 1e6} MB`)
    chunks.push(bytes)
  }
  return decode(Buffer.concat(chunks), 'standard input')
}

/** Reads to the end of a file of any kind, a pipe or a device included, and stops at the first NUL byte or the limit. */
async function readLimited(handle: FileHandle, shown: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for (;;) {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(65_536))
    if (bytesRead === 0) return Buffer.concat(chunks)
    const chunk = buffer.subarray(0, bytesRead)
    if (chunk.includes(0)) throw binaryError(shown)
    size += bytesRead
    if (size > largestFile) throw tooLarge(shown, `more than ${largestFile / 1e6} MB`)
    chunks.push(chunk)
  }
}

function decode(bytes: Buffer, shown: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw binaryError(shown)
  }
}

function binaryError(shown: string): ShardloomError {
  return new ShardloomError('FILE_BINARY', `${shown} is not a text file in UTF-8.`, {
    subject: shown,
    help: 'A spec is YAML or JSON, a schedule is CSV; a model is a config.json, not its weights.',
  })
}

function tooLarge(shown: string, size: string): ShardloomError {
  return new ShardloomError('FILE_SIZE', `${shown} has ${size}; at most ${largestFile / 1e6} MB are read.`, {
    subject: shown,
    help: 'Is it the right file? A model is a config.json, not its weights.',
  })
}

async function folderError(path: string, shown: string): Promise<ShardloomError> {
  const inside = await stat(join(path, 'config.json')).then(
    (found) => found.isFile(),
    () => false,
  )
  return new ShardloomError('FILE_FOLDER', `${shown} is a folder, not a file.`, {
    subject: shown,
    help: inside ? `Did you mean ${join(shown, 'config.json')}?` : 'Name a file in it.',
  })
}

async function fileError(cause: unknown, path: string, shown: string): Promise<unknown> {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const near = nearest(basename(path), await readdir(dirname(path)).catch(() => []))
    const help = near
      ? `Did you mean ${join(dirname(shown), near)}?`
      : 'Check the path; it is relative to the spec or, for a flag, to this folder.'
    return new ShardloomError('FILE_MISSING', `There is no file ${shown}.`, { subject: shown, help, cause })
  }
  const reasons: Readonly<Record<string, string>> = {
    EISDIR: 'it is a folder',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    ENAMETOOLONG: 'its name is too long',
    ELOOP: 'its links form a loop',
  }
  if (typeof code !== 'string' || !code.startsWith('E')) return cause
  return new ShardloomError('FILE_ACCESS', `Cannot read ${shown}: ${reasons[code] ?? code}.`, { subject: shown, cause })
}
