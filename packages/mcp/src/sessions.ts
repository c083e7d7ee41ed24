import { randomUUID } from 'node:crypto'
import { type McpServer, type Transport, WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server'

/** What keeps sessions. */
export interface SessionOptions {
  readonly mostSessions: number
  readonly mostBodyBytes: number
}

/** Sessions of clients that open one, which is how they can cancel a call over HTTP. */
export interface Sessions {
  fetch(request: Request): Promise<Response>
  close(): Promise<void>
}

/**
 * Answers requests of protocol revisions with sessions (up to 2025-11-25), each of which has a server of its own. Beyond the most, the
 * session that was used longest ago ends: its client is told so and opens another.
 */
export function keepSessions(make: () => McpServer, { mostSessions, mostBodyBytes }: SessionOptions): Sessions {
  /** Those used last stand last. */
  const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>()

  async function open(request: Request): Promise<Response> {
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      maxRequestBodySize: mostBodyBytes,
      onsessioninitialized: (id) => {
        sessions.set(id, transport)
      },
    })
    const server = make()
    await server.connect(transport as Transport) // its optional members may be undefined
    server.server.onclose = () => {
      if (transport.sessionId !== undefined) sessions.delete(transport.sessionId)
    }
    const response = await transport.handleRequest(request)
    // Whatever it was, it opened no session.
    if (transport.sessionId === undefined) await server.close()
    const [oldest] = sessions.values()
    if (sessions.size > mostSessions) await oldest?.close()
    return response
  }

  return {
    async fetch(request) {
      const id = request.headers.get('mcp-session-id')
      if (id === null) return open(request)
      const transport = sessions.get(id)
      if (!transport) return refusal(404, 'There is no such session: initialize another.')
      sessions.delete(id)
      sessions.set(id, transport)
      return transport.handleRequest(request)
    },
    async close() {
      for (const transport of [...sessions.values()]) await transport.close()
    },
  }
}

/** An answer that is none, as JSON-RPC has it. */
export function refusal(status: number, message: string): Response {
  const error = { code: -32_000, message }
  return Response.json({ jsonrpc: '2.0', error, id: null }, { status })
}
