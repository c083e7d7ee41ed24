import { InvalidArgumentError } from 'commander'

/** Where a Redis server is that keeps the queue. */
export interface QueueAddress {
  readonly host: string
  readonly port: number
  readonly database: number
  readonly username?: string
  readonly password?: string
  readonly tls: boolean
  /** The address without its secrets, for messages. */
  readonly shown: string
}

/** Reads `redis://user:password@host:port/database`, of which the host alone is needed; `rediss` is TLS. */
export function parseQueue(text: string): QueueAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const database = /^\/?(\d{0,4})$/.exec(url?.pathname ?? '')?.[1]
  if (!url || !/^rediss?:$/.test(url.protocol) || !url.hostname || url.search || url.hash || database === undefined)
    throw new InvalidArgumentError(
      'Give the address of a Redis server, such as redis://localhost:6379 or redis://localhost:6379/2.',
    )
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 6379),
    database: Number(database),
    ...(url.username && { username: decoded(url.username) }),
    ...(url.password && { password: decoded(url.password) }),
    tls: url.protocol === 'rediss:',
    shown: `${url.protocol}//${url.host}${database && `/${database}`}`,
  }
}

/** A part of an address as it was before it was written in one. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new InvalidArgumentError('Write each % of a user or a password as %25.')
  }
}
