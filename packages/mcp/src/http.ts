import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  localhostHostValidation,
  localhostOriginValidation,
  type NodeIncomingMessageLike,
  toNodeHandler,
} from '@modelcontextprotocol/node'
import { createMcpHandler, type McpServer } from '@modelcontextprotocol/server'

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
const mostRequests = 32
const mostConnections = 128
const mostSubscriptions = 16
/** Where the endpoint is. */
const endpoint = '/mcp'

/** A server that listens. */
export interface HttpServer {
  /** The address for clients, such as `http://127.0.0.1:3000/mcp`. */
  readonly url: string
  close(): Promise<void>
}

/** Serves streamable HTTP on a loopback address; every request is a session of its own, with a server of its own. */
export async function serveHttp(
  make: () => McpServer,
  { host, port, requestSeconds = 30 }: HttpOptions,
): Promise<HttpServer> {
  const handler = createMcpHandler(make, { maxRequestBodySize: mostBodyBytes, maxSubscriptions: mostSubscriptions })
  const answer = toNodeHandler(handler, { maxRequestBodySize: mostBodyBytes })
  const knownHost = localhostHostValidation()
  const knownOrigin = localhostOriginValidation()
  let open = 0
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    // Pages of other sites reach loopback addresses too, by a name of theirs: both checks come before anything is read.
    if (!knownHost(request, response) || !knownOrigin(request, response)) return
    if (request.url?.split('?')[0] !== endpoint) return refuse(response, 404, `The endpoint is ${endpoint}.`)
    if (open >= mostRequests) return refuse(response, 503, `${open} requests are open already: try again later.`)
    open++
    response.once('close', () => open--)
    await answer(request as NodeIncomingMessageLike, response) // it says `?:` of what Node calls undefined
  }
  const server = createServer({
    requestTimeout: requestSeconds * 1000,
    headersTimeout: requestSeconds * 1000,
    connectionsCheckingInterval: 1000,
  })
  server.maxConnections = mostConnections
  server.on('request', (request, response) => {
    serve(request, response).catch(() => refuse(response, 500, 'The request failed.'))
  })
  await new Promise<void>((settle, fail) => {
    server.once('error', fail)
    server.listen(port, host, settle)
  })
  const { port: bound } = server.address() as AddressInfo // it listens on a port, not on a pipe
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}${endpoint}`,
    async close() {
      await handler.close()
      server.closeAllConnections()
      await new Promise((settle) => server.close(settle))
    },
  }
}

function refuse(response: ServerResponse, status: number, message: string): void {
  if (response.headersSent) return void response.end()
  const error = { code: -32_000, message }
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
  response.end(JSON.stringify({ jsonrpc: '2.0', error, id: null }))
}
