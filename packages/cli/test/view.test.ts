import { request } from 'node:http'
import { parseSpec } from 'shardloom'
import { describe, expect, test } from 'vitest'
import { readFragment } from '../../../apps/studio/src/state/fragment.js'
import { serveStudio } from '../src/view-server.js'
import { shardloom } from './run-command.js'

const get = (url: string, options: { method?: string; host?: string } = {}) =>
  new Promise<{ status: number | undefined; type: string | undefined; text: string }>((resolve, reject) => {
    const { method = 'GET', host } = options
    request(url, { method, agent: false, ...(host && { headers: { host } }) }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          type: response.headers['content-type'],
          text: Buffer.concat(chunks).toString(),
        }),
      )
    })
      .on('error', reject)
      .end()
  })

describe('the server of the studio', () => {
  test('serves the page and its scripts, and nothing beside them', async () => {
    const { origin, close } = await serveStudio(0)
    expect(origin).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const page = await get(`${origin}/`)
    expect(page).toMatchObject({ status: 200, type: 'text/html; charset=utf-8' })
    expect(page.text).toContain('Content-Security-Policy')
    for (const [, file] of page.text.matchAll(/(?:src|href)="\.\/([^"]+)"/g))
      expect(await get(`${origin}/${file}`), file).toMatchObject({ status: 200 })
    // What the page asks for later.
    for (const file of ['lessons.js', 'workers/plan.js', 'workers/layout.js', 'workers/export.js'])
      expect(await get(`${origin}/${file}`), file).toMatchObject({
        status: 200,
        type: 'text/javascript; charset=utf-8',
      })
    for (const path of ['/../package.json', '/..%2fpackage.json', '/nothing.js', '//etc/passwd', '/workers'])
      expect(await get(`${origin}${path}`), path).toMatchObject({ status: 404 })
    expect(await get(origin, { method: 'POST' })).toMatchObject({ status: 405 })
    expect(await get(origin, { host: 'example.org' })).toMatchObject({ status: 403 })
    await close()
    await expect(get(origin)).rejects.toThrow('ECONNREFUSED')
  })

  test('says so where the port is taken', async () => {
    const first = await serveStudio(0)
    await expect(serveStudio(Number(new URL(first.origin).port))).rejects.toMatchObject({ code: 'PORT' })
    await first.close()
  })
})

test('the address holds the spec, and the command ends when it is interrupted', async () => {
  const running = shardloom(['view', '--model', 'llama-3.1-8b', '--tp', '2', '--batch', '8', '--json'])
  const timer = setInterval(() => process.emit('SIGINT'), 500)
  const { code, out } = await running
  clearInterval(timer)
  expect(code).toBe(0)
  const { address } = JSON.parse(out)
  const { variants } = await readFragment(address.split('#')[1])
  expect(parseSpec(variants[0]?.text ?? '')).toMatchObject({ model: 'llama-3.1-8b', batch: 8, parallel: { tp: 2 } })
})

test('a port that is none is refused', async () => {
  const { code, err } = await shardloom(['view', '--model', 'llama-3.1-8b', '--port', '99999'])
  expect(code).toBe(2)
  expect(err).toContain('`99999` is no port.')
})
