import { request } from 'node:http'
import { connect } from 'node:net'
import { McpServer } from '@modelcontextprotocol/server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readArguments } from '../src/command-line.js'
import { serveHttp } from '../src/http.js'
import { connectHttp, type Listening, listen, result } from './server.js'

let server: Listening
beforeAll(async () => {
  server = await listen()
})
afterAll(() => server.close())

interface Sent {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

const initialize = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
})
const usual = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

/** Sends a request as it is, headers included that `fetch` would not let through. */
function send({ method = 'POST', path = '/mcp', headers = {}, body = initialize }: Sent) {
  return new Promise<{ status: number; text: string }>((settle, fail) => {
    const { hostname, port } = server.url
    const sent = request({ hostname, port, method, path, headers: { ...usual, ...headers } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => settle({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
    })
    sent.on('error', fail)
    sent.end(body)
  })
}

test('a request as clients send it is answered', async () => {
  const { status, text } = await send({})
  expect(status).toBe(200)
  expect(text).toContain('"serverInfo"')
})

describe('requests of pages elsewhere', () => {
  test.each(['https://evil.example', 'http://localhost.evil.example', 'null', 'file://'])(
    'origin %s',
    async (origin) => {
      expect((await send({ headers: { origin } })).status).toBe(403)
    },
  )

  test.each(['evil.example', '127.0.0.1.evil.example:80', '169.254.169.254', 'localhost.', '[::ffff:169.254.169.254]'])(
    'host %s',
    async (host) => {
      expect((await send({ headers: { host } })).status).not.toBe(200)
    },
  )

  test('a page of this machine may call', async () => {
    expect((await send({ headers: { origin: 'http://localhost:5173' } })).status).toBe(200)
  })

  test('no page may read an answer: there are no headers for it', async () => {
    const response = await fetch(server.url, { method: 'POST', headers: usual, body: initialize })
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
    await response.body?.cancel()
  })
})

describe('requests that are none', () => {
  test.each([
    ['not JSON', { body: '{"jsonrpc": ' }, 400],
    ['not JSON-RPC', { body: '{"hello": 1}' }, 400],
    ['another type', { headers: { 'content-type': 'text/plain' } }, 415],
    ['a form', { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'a=b' }, 415],
    ['an answer in another type', { headers: { accept: 'text/html' } }, 406],
    ['another path', { path: '/' }, 404],
    ['another method', { method: 'PUT' }, 405],
    ['a body of two megabytes', { body: JSON.stringify({ text: 'x'.repeat(2e6) }) }, 413],
    ['a list nested 100,000 times', { body: '['.repeat(1e5) + ']'.repeat(1e5) }, 400],
  ] satisfies [string, Sent, number][])('%s', async (_, sent, status) => {
    const answer = await send(sent)
    expect(answer.status).toBe(status)
    expect(answer.text).not.toMatch(/\bat .*:\d+:\d+|node_modules/)
  })

  test('a body that says it is small and is not', async () => {
    const { hostname, port } = server.url
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.write(
      `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
    )
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
    for (let sent = 0; sent < 32; sent++) socket.write(chunk)
    const [head] = await new Promise<string[]>((settle) => socket.once('data', (data) => settle([data.toString()])))
    expect(head).toMatch(/^HTTP\/1.1 413/)
    socket.destroy()
  })

  test('the server is as well as before', async () => {
    const client = await connectHttp(server.url)
    expect((await result(client, 'list_models', { model: 'tiny' })).models).toHaveLength(1)
    await client.close()
  })
})

test('a request that never ends is ended', async () => {
  const slow = await serveHttp(() => new McpServer({ name: 'slow', version: '1' }), {
    host: '127.0.0.1',
    port: 0,
    requestSeconds: 1,
  })
  const { hostname, port } = new URL(slow.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  socket.write(
    'POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
  )
  const text = await new Promise<string>((settle) => {
    let all = ''
    socket.on('data', (data) => {
      all += data
    })
    socket.on('close', () => settle(all))
  })
  expect(text).not.toMatch(/^HTTP\/1.1 200/)
  await slow.close()
})

test('sessions are bounded: the oldest ends, and its client opens another', async () => {
  const ids: string[] = []
  for (let count = 0; count < 70; count++) {
    const response = await fetch(server.url, { method: 'POST', headers: usual, body: initialize })
    ids.push(response.headers.get('mcp-session-id') ?? '')
    await response.body?.cancel()
  }
  expect(new Set(ids).size).toBe(70)
  const list = JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'tools/list' })
  const status = async (id = '') => (await send({ headers: { 'mcp-session-id': id }, body: list })).status
  expect(await status(ids.at(0))).toBe(404)
  expect(await status(ids.at(-1))).toBe(200)
  expect(await status('guessed')).toBe(404)
  expect((await send({ method: 'DELETE', headers: { 'mcp-session-id': ids.at(-1) ?? '' }, body: '' })).status).toBe(200)
  expect(await status(ids.at(-1))).toBe(404)
})

test('many clients at once are all answered, or told to wait', async () => {
  const answers = await Promise.all(Array.from({ length: 100 }, () => send({}).catch(() => ({ status: 503 }))))
  for (const { status } of answers) expect([200, 503]).toContain(status)
})

describe('arguments', () => {
  test.each([
    ['--host 0.0.0.0 --http 1', /loopback/],
    ['--host ::1', /--http/],
    ['--http 70000', /65535/],
    ['--http', /--http/],
    ['--time-limit 0', /--time-limit/],
    ['--memory-limit many', /--memory-limit/],
    ['spec.yaml', /spec.yaml/],
    ['--bad', /--bad/],
  ])('%s is refused', (line, message) => {
    expect(() => readArguments(line.split(' '))).toThrow(message)
  })

  test('and read', () => {
    expect(readArguments(['--root', 'a', '--plugin', 'b.js', '--http', '3000', '--host', '::1'])).toEqual({
      files: { root: 'a', plugins: ['b.js'] },
      http: { host: '::1', port: 3000 },
      seconds: 45,
      megabytes: 2048,
    })
  })
})
