import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectHttp, connectStdio, failure, type Listening, listen, result } from './server.js'

const place = mkdtempSync(join(tmpdir(), 'shardloom-workers-'))
const plugins = {
  endless: 'for (;;);',
  waiting: 'await new Promise((settle) => setTimeout(settle, 1e9))',
  leaving: 'process.exit(0)',
  throwing: "setTimeout(() => { throw new Error('late') }); await new Promise((settle) => setTimeout(settle, 1e9))",
  hungry: 'const all = []; for (;;) all.push(new Array(1e5).fill({}).map(() => ({})))',
}
const path = (name: string) => join(place, `${name}.mjs`)
const using = (name: keyof typeof plugins) => ({ spec: { model: 'tiny', batch: 1, plugins: [path(name)] } })
const listed = Object.keys(plugins).flatMap((name) => ['--plugin', path(name)])

beforeAll(() => {
  for (const [name, text] of Object.entries(plugins)) writeFileSync(path(name), text)
})

/** The server answers others, whatever came before. */
async function expectWell(client: Client): Promise<void> {
  expect((await result(client, 'verify', { spec: { model: 'tiny', batch: 1 } })).ok).toBe(true)
}

describe('a call that is too much', () => {
  let client: Client
  beforeAll(async () => {
    client = await connectStdio(...listed, '--time-limit', '2', '--memory-limit', '128')
  })
  afterAll(() => client.close())

  test.each(['endless', 'waiting'] as const)('of time: %s', async (name) => {
    expect(await failure(client, 'plan', using(name))).toMatchObject({
      code: 'TIME_LIMIT',
      message: expect.stringContaining('2 s'),
    })
    await expectWell(client)
  })
})

describe('a call that ends its thread', () => {
  let client: Client
  beforeAll(async () => {
    client = await connectStdio(...listed, '--time-limit', '600', '--memory-limit', '128')
  })
  afterAll(() => client.close())

  test.each([
    ['hungry', 'MEMORY_LIMIT'],
    ['leaving', 'INTERNAL'],
    ['throwing', 'INTERNAL'],
  ] as const)('%s', async (name, code) => {
    expect((await failure(client, 'plan', using(name))).code).toBe(code)
    await expectWell(client)
  })
})

describe.each(['stdio', 'sessions', 'modern'] as const)('a call that nobody waits for, over %s', (transport) => {
  let server: Listening | undefined
  let client: Client
  beforeAll(async () => {
    const limits = [...listed, '--time-limit', '600']
    server = transport === 'stdio' ? undefined : await listen(...limits)
    client = server && transport !== 'stdio' ? await connectHttp(server.url, transport) : await connectStdio(...limits)
  })
  afterAll(async () => {
    await client.close()
    await server?.close()
  })

  test('is stopped, running or waiting, and makes room', async () => {
    const abort = new AbortController()
    const calls = Array.from({ length: 4 }, () =>
      client.callTool({ name: 'plan', arguments: using('endless') }, { signal: abort.signal }),
    )
    const ends = Promise.allSettled(calls)
    // Both threads run by now, or will never be free: this call waits behind the others.
    const last = expectWell(client)
    setTimeout(() => abort.abort(), 1000)
    for (const end of await ends) expect(end.status).toBe('rejected')
    await last
  })
})

test('more calls than may wait are told so', async () => {
  const client = await connectStdio(...listed, '--time-limit', '600')
  const aborts = Array.from({ length: 66 }, () => new AbortController())
  const calls = Promise.allSettled(
    aborts.map(({ signal }) => client.callTool({ name: 'plan', arguments: using('endless') }, { signal })),
  )
  expect(await failure(client, 'list_models', {})).toMatchObject({ code: 'BUSY', help: expect.stringMatching(/again/) })
  for (const abort of aborts) abort.abort()
  await calls
  await expectWell(client)
  await client.close()
})
