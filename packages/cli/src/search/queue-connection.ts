import type { Redis } from 'ioredis'
import { ShardloomError } from 'shardloom'
import type { QueueAddress } from './queue-address.js'

/** The queue that parts of all searches go through. */
export const queueName = 'shardloom-search'

/** How often a part is begun again when a worker dies of it, or of anything else while it has the part. */
export const attempts = 3

/** A connection to the server of a queue, with the package that speaks to it. */
export interface QueueConnection {
  readonly bull: typeof import('bullmq')
  readonly redis: Redis
  /** Rejects with `QUEUE` when the server is gone for good. */
  readonly lost: Promise<never>
  /** Ends the connection, and whatever still waits for it. */
  disconnect(): void
}

/** How often a lost connection is tried again, and the milliseconds between: some ten seconds together. */
const retries = 8
const retryDelay = (times: number) => Math.min(100 * 2 ** times, 2000)

/**
 * Does something with a connection that is closed afterwards. Throws `QUEUE` where the server cannot be reached or is lost, and when
 * the packages are missing, which are loaded here.
 */
export async function withQueue<Result>(
  address: QueueAddress,
  use: (connection: QueueConnection) => Promise<Result>,
): Promise<Result> {
  const { bull, ioredis } = await loadPackages()
  let connected = false
  let cause: unknown
  const { host, port, database, username, password, tls } = address
  const redis = new ioredis.Redis({
    host,
    port,
    db: database,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: {} }),
    lazyConnect: true,
    connectTimeout: 5000,
    maxRetriesPerRequest: null,
    retryStrategy: (times) => (connected && times <= retries ? retryDelay(times) : null),
  })
  redis.on('error', (error) => {
    cause = error
  })
  let gone = false
  const lost = new Promise<never>((_, reject) =>
    redis.once('end', () => {
      gone = connected
      reject(queueError(address, cause))
    }),
  )
  lost.catch(() => {}) // whoever does not wait for it any more need not know
  const disconnect = () => {
    connected = false
    redis.disconnect()
  }
  try {
    await redis.connect().then(
      () => redis.ping(),
      (error) => {
        throw cause ?? error
      },
    )
  } catch (error) {
    disconnect()
    throw queueError(address, error)
  }
  connected = true
  try {
    return await use({ bull, redis, lost, disconnect })
  } catch (error) {
    throw gone ? queueError(address, cause ?? error) : error
  } finally {
    disconnect()
  }
}

/** Waits for something to close, but not for ever: a server that is gone never says that it has. */
export async function closing(all: readonly Promise<unknown>[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, mostClosing)
  })
  await Promise.race([Promise.allSettled(all), late])
  clearTimeout(timer)
}

/** Milliseconds. */
const mostClosing = 5000

async function loadPackages() {
  try {
    return { bull: await import('bullmq'), ioredis: await import('ioredis') }
  } catch (cause) {
    throw new ShardloomError('QUEUE', 'A queue needs the packages bullmq and ioredis, and they are not installed.', {
      help: 'Run `npm install bullmq ioredis` where shardloom is installed.',
      cause,
    })
  }
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'it closed the connection',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up',
  ETIMEDOUT: 'it does not answer',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to the host',
}

/** What is told of a server that cannot be used. */
export function queueError({ shown }: QueueAddress, cause: unknown): ShardloomError {
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  const message = cause instanceof Error ? cause.message.split('\n')[0]?.replace(/\.$/, '') : undefined
  return new ShardloomError(
    'QUEUE',
    `Cannot use the queue at ${shown}: ${reasons[code] ?? (message || 'the server is gone')}.`,
    {
      subject: shown,
      help: 'Start a server with `redis-server`, or check host, port and password of --queue.',
      cause,
    },
  )
}
