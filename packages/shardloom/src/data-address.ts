import { ShardloomError } from '@shardloom/core'
import type { ReadText } from './load-model.js'

/** Whether a path is the file itself: `data:text/csv,…` as in RFC 2397, in which a spec carries what it names to where no files are read. */
export const isDataAddress = (path: unknown): boolean => typeof path === 'string' && /^data:/i.test(path)

/** A text as an address of that kind; `name` ends it, so that its ending still tells what it is. */
export function dataAddress(text: string, name: string): string {
  return `data:text/plain;charset=utf-8,${encodeURI(text).replaceAll('#', '%23')}#${encodeURIComponent(name)}`
}

/** What reads a path of a spec: of an address of that kind its own text, of others whatever the host gives. */
export function readerOf(path: unknown, readText: ReadText | undefined): ReadText | undefined {
  return isDataAddress(path) ? textOfAddress : readText
}

function textOfAddress(address: string): string {
  const [, type = '', content = ''] = /^data:([^,]*),([^#]*)/is.exec(address) ?? []
  try {
    if (/;base64$/i.test(type)) throw new Error('it is in base64')
    return decodeURIComponent(content)
  } catch {
    throw new ShardloomError('NO_ACCESS', `\`${address.slice(0, 40)}…\` holds no text.`, {
      subject: 'data:',
      help: 'Write `data:text/plain,` and the text, with `%` before the codes of what an address cannot hold.',
    })
  }
}
