import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Client } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { command, connectStdio, failure, result } from './server.js'

const place = mkdtempSync(join(tmpdir(), 'shardloom-files-'))
const root = join(place, 'root')
const spec = 'model: ./models/config.json\nphase: prefill\nbatch: 2\nparallel: {tp: 2}\n'
const config = JSON.stringify({
  model_type: 'llama',
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 128,
  vocab_size: 100,
})
const plugin = (name: string) =>
  `console.log('a line of a plugin')\nexport default { name: '${name}', axes: [{ name: '${name}', description: 'none' }] }\n`

let client: Client
beforeAll(async () => {
  mkdirSync(join(root, 'specs', 'models'), { recursive: true })
  mkdirSync(join(place, 'root-beside'))
  writeFileSync(join(place, 'secret.yaml'), spec)
  writeFileSync(join(place, 'root-beside', 'secret.yaml'), spec)
  writeFileSync(join(place, 'config.json'), config)
  writeFileSync(join(root, 'specs', 'a.yaml'), spec)
  writeFileSync(join(root, 'specs', 'models', 'config.json'), config)
  writeFileSync(join(root, 'specs', 'up.yaml'), 'model: ../../config.json\n')
  writeFileSync(join(root, 'specs', 'cluster.yaml'), 'model: tiny\nphase: decode\nbatch: 1\ncluster: ./own.yaml\n')
  writeFileSync(join(root, 'specs', 'own.yaml'), '{name: own, accelerator: h100-sxm, nodes: 1}')
  writeFileSync(join(root, 'binary.yaml'), Buffer.from([0xff, 0xfe, 0x00]))
  writeFileSync(join(root, 'large.yaml'), 'x'.repeat(5e6))
  symlinkSync(join(place, 'secret.yaml'), join(root, 'link.yaml'))
  symlinkSync(place, join(root, 'out'))
  symlinkSync(join(root, 'specs', 'a.yaml'), join(root, 'specs', 'inside.yaml'))
  symlinkSync('loop.yaml', join(root, 'loop.yaml'))
  execFileSync('mkfifo', [join(root, 'pipe.yaml')])
  writeFileSync(join(root, 'good.mjs'), plugin('good'))
  writeFileSync(join(root, 'other.mjs'), plugin('other'))
  client = await connectStdio('--root', root, '--plugin', join(root, 'good.mjs'))
})
afterAll(() => client.close())

describe('reading', () => {
  test('a spec, a model beside it, and a link that stays inside', async () => {
    expect((await result(client, 'plan', { file: 'specs/a.yaml' })).model.parameters).toBeGreaterThan(0)
    expect((await result(client, 'verify', { file: 'specs/inside.yaml' })).ok).toBe(true)
    expect((await result(client, 'verify', { file: join(root, 'specs', 'a.yaml') })).ok).toBe(true)
    expect((await result(client, 'list_models', { model: './specs/models/config.json' })).models[0].layers).toBe(2)
    expect((await result(client, 'simulate', { file: 'specs/cluster.yaml' })).conventions.cluster).toBe('own')
  })

  test.each([
    '../secret.yaml',
    'specs/../../secret.yaml',
    '../root-beside/secret.yaml',
    join(place, 'secret.yaml'),
    '/etc/passwd',
    'link.yaml',
    'out/secret.yaml',
    'a\0.yaml',
  ])('%s is outside', async (file) => {
    const error = await failure(client, 'plan', { file })
    expect(error.code).toBe('OUTSIDE_ROOT')
    expect(JSON.stringify(error)).not.toContain('tp: 2')
  })

  test('a model and a cluster that a spec names are no way out', async () => {
    expect((await failure(client, 'plan', { file: 'specs/up.yaml' })).code).toBe('OUTSIDE_ROOT')
    expect((await failure(client, 'plan', { spec: { model: '../config.json' } })).code).toBe('OUTSIDE_ROOT')
    expect((await failure(client, 'describe_cluster', { cluster: '/etc/hosts.yaml' })).code).toBe('OUTSIDE_ROOT')
    expect((await failure(client, 'list_models', { model: 'out/config.json' })).code).toBe('OUTSIDE_ROOT')
    const efficiency = { model: 'tiny', cluster: 'dgx-h100', options: { efficiency: '../secret.yaml' } }
    expect((await failure(client, 'simulate', { spec: efficiency })).code).toBe('OUTSIDE_ROOT')
    const schedule = { model: 'tiny', batch: 4, parallel: { pp: 2 }, options: { schedule: '../secret.csv' } }
    expect((await failure(client, 'plan', { spec: schedule })).code).toBe('OUTSIDE_ROOT')
  })

  test.each([
    ['missing.yaml', 'FILE_MISSING'],
    ['specs', 'FILE_ACCESS'],
    ['binary.yaml', 'FILE_BINARY'],
    ['large.yaml', 'FILE_SIZE'],
    ['pipe.yaml', 'FILE_ACCESS'],
    ['loop.yaml', 'FILE_ACCESS'],
  ])('%s: %s', async (file, code) => {
    expect(await failure(client, 'plan', { file })).toMatchObject({ code, help: expect.stringMatching(/\w/) })
  })
})

describe('writing', () => {
  const picture = { spec: { model: 'tiny', phase: 'prefill', batch: 1 }, format: 'mermaid', level: 'module' }
  const program = { spec: picture.spec, format: 'program' }

  test('a new file, whole, and not over another', async () => {
    const { text } = await result(client, 'export', picture)
    const written = await result(client, 'export', { ...picture, out: 'specs/tiny.mmd' })
    expect(written).toMatchObject({ out: 'specs/tiny.mmd', characters: text.length })
    expect(written).not.toHaveProperty('text')
    expect(readFileSync(join(root, 'specs', 'tiny.mmd'), 'utf8')).toBe(text)
    writeFileSync(join(root, 'specs', 'tiny.mmd'), 'mine')
    expect((await failure(client, 'export', { ...picture, out: 'specs/tiny.mmd' })).help).toMatch(/overwrite/)
    expect(readFileSync(join(root, 'specs', 'tiny.mmd'), 'utf8')).toBe('mine')
    await result(client, 'export', { ...picture, out: 'specs/tiny.mmd', overwrite: true })
    expect(readFileSync(join(root, 'specs', 'tiny.mmd'), 'utf8')).toBe(text)
    expect(readdirSync(join(root, 'specs')).filter((name) => name.includes('partial'))).toEqual([])
  })

  test.each(['../a.json', '/tmp/a.json', 'out/a.json', join(place, 'a.json')])('%s is outside', async (out) => {
    expect((await failure(client, 'export', { ...program, out, overwrite: true })).code).toBe('OUTSIDE_ROOT')
    expect(readdirSync(place)).not.toContain('a.json')
  })

  test('through a link nothing is written', async () => {
    symlinkSync(join(place, 'config.json'), join(root, 'config.json'))
    expect((await failure(client, 'export', { ...program, out: 'config.json' })).code).toBe('OUTPUT')
    await result(client, 'export', { ...program, out: 'config.json', overwrite: true })
    expect(readFileSync(join(place, 'config.json'), 'utf8')).toBe(config)
  })

  test.each(['good.mjs', 'a', '.bashrc', 'a.mmd.js', 'missing/a.json'])('%s is no place for a program', async (out) => {
    expect((await failure(client, 'export', { ...program, out, overwrite: true })).code).toBe('OUTPUT')
  })
})

describe('plugins', () => {
  test('of the list alone; what they print does not reach the protocol', async () => {
    const known = { model: 'tiny', batch: 2, plugins: [join(root, 'good.mjs')] }
    expect((await result(client, 'verify', { spec: known })).ok).toBe(true)
    expect((await result(client, 'verify', { spec: { ...known, plugins: ['./good.mjs'] } })).ok).toBe(true)
    const error = await failure(client, 'verify', { spec: { ...known, plugins: ['./other.mjs'] } })
    expect(error).toMatchObject({ code: 'PLUGIN', help: expect.stringContaining('good.mjs') })
    expect((await failure(client, 'verify', { spec: { ...known, plugins: ['data:text/javascript,1'] } })).code).toBe(
      'PLUGIN',
    )
  })
})

test('a server whose client is gone ends', async () => {
  const server = spawn(process.execPath, [await command()], { stdio: ['pipe', 'pipe', 'ignore'] })
  const send = (message: object) => server.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
  const clientInfo = { name: 'test', version: '1' }
  send({ id: 1, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo } })
  send({ method: 'notifications/initialized' })
  send({ id: 2, method: 'tools/call', params: { name: 'list_models', arguments: { model: 'tiny' } } })
  for await (const line of createInterface({ input: server.stdout })) if (JSON.parse(line).id === 2) break
  const ended = once(server, 'exit')
  server.stdin.end()
  expect(await ended).toEqual([0, null])
})

test.each([
  [['--root', join(place, 'missing')], /error\[ROOT\]/],
  [['--root', join(place, 'config.json')], /error\[ROOT\]/],
  [['--plugin', join(place, 'missing.mjs')], /error\[PLUGIN\]/],
])('%s: the server does not start', async (args, message) => {
  const { status, stderr } = spawnSync(process.execPath, [await command(), ...args], { encoding: 'utf8', input: '' })
  expect(status).toBe(1)
  expect(stderr).toMatch(message)
  expect(stderr).not.toMatch(/\n\s+at /)
})
