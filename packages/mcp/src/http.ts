import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  localhostHostValidation,
  localhostOriginValidation,
  type NodeIncomingMessageLike,
  toNodeHandler,
} from '@modelcontextprotocol/node'
import { createMcpHandler, isLegacyRequest, type McpServer } from '@modelcontextprotocol/server'
import { keepSessions, refusal } from './sessions.js'

/** Addresses that only this machine reaches. */
export const loopbackHosts = ['127.0.0.1', '::1', 'localhost'] as const

/** Where and how much is served. */
export interface HttpOptions {
  readonly host: (typeof loopbackHosts)[number]
  /** 0: any that is free. */
  readonly port: number
  /** Receiving a request may take as long. */
  readonly requestSeconds?: number
}

/** A specification of a model has some kilobytes. */
const mostBodyBytes = 1_000_000
/** Calls at once; each session may have a stream open beside them. */
const mostCalls = 64
const mostSessions = 64
const mostConnections = 256
/** Where the endpoint is. */
const endpoint = '/mcp'

/** A server that listens. */
export interface HttpServer {
  /** The address for clients, such as `http://127.0.0.1:3000/mcp`. */
  readonly url: string
  close(): Promise<void>
}

/**
 * Serves streamable HTTP on a loopback address, to clients with sessions and, of newer revisions of the protocol, without. Rejects where
 * the port is taken.
 */
export async function serveHttp(
  make: () => McpServer,
  { host, port, requestSeconds = 30 }: HttpOptions,
): Promise<HttpServer> {
  const limits = { maxRequestBodySize: mostBodyBytes }
  const sessions = keepSessions(make, { mostSessions, mostBodyBytes })
  const single = createMcpHandler(make, { ...limits, legacy: 'reject', maxSubscriptions: mostSessions })
  let calls = 0
  const fetch = async (request: Request): Promise<Response> => {
    if (new URL(request.url).pathname !== endpoint) return refusal(404, `The endpoint is ${endpoint}.`)
    return (await isLegacyRequest(request, undefined, limits)) ? sessions.fetch(request) : single.fetch(request)
  }
  const answer = toNodeHandler({ fetch }, limits)
  const knownHost = localhostHostValidation()
  const knownOrigin = localhostOriginValidation()
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    // Pages of other sites reach loopback addresses too, by a name of theirs: both checks come before anything is read.
    if (!knownHost(request, response) || !knownOrigin(request, response)) return
    if (request.method === 'POST') {
      if (calls >= mostCalls) return void response.writeHead(503, { 'retry-after': '1', connection: 'close' }).end()
      calls++
      response.once('close', () => calls--)
    }
    await answer(request as NodeIncomingMessageLike, response) // it says `?:` of what Node calls undefined
  }
  const server = createServer({
    requestTimeout: requestSeconds * 1000,
    headersTimeout: requestSeconds * 1000,
    connectionsCheckingInterval: 1000,
  })
  server.maxConnections = mostConnections
  server.on('request', (request, response) => {
    serve(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((settle, fail) => {
    server.once('error', fail)
    server.listen(port, host, settle)
  })
  const { port: bound } = server.address() as AddressInfo // it listens on a port, not on a pipe
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}${endpoint}`,
    async close() {
      await Promise.all([sessions.close(), single.close()])
      server.closeAllConnections()
      await new Promise((settle) => server.close(settle))
    },
  }
}
