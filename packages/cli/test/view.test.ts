import { mkdtempSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadSpec, parseSpec, planLoaded, programToJson, readSpecText } from 'shardloom'
import { makeSchedule, writeSchedule } from 'shardloom/schedules'
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

test('what a spec names as files is in the address: planned from there it is the plan of the files', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'view-'))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  write('cluster.yaml', 'preset: dgx-h100\nnodes: 2\n')
  write('order.csv', writeSchedule(makeSchedule('gpipe', { ranks: 2, microbatches: 4 })))
  write(
    'config.json',
    JSON.stringify({
      ...{ model_type: 'llama', hidden_size: 512, intermediate_size: 2048, num_hidden_layers: 4, vocab_size: 1000 },
      ...{ num_attention_heads: 8, num_key_value_heads: 8, tie_word_embeddings: false },
    }),
  )
  const files = 'model: ./config.json\ncluster: ./cluster.yaml\n'
  write('plan.yaml', `${files}batch: 4\nseq: 128\nparallel: {pp: 2}\noptions: {schedule: order.csv}\n`)
  const running = shardloom(['view', join(folder, 'plan.yaml'), '--json'])
  const timer = setInterval(() => process.emit('SIGINT'), 500)
  const { code, out } = await running
  clearInterval(timer)
  expect(code).toBe(0)
  const { variants } = await readFragment(JSON.parse(out).address.split('#')[1])
  const shown = planLoaded(await loadSpec(readSpecText(variants[0]?.text ?? '')))
  const exported = await shardloom(['export', join(folder, 'plan.yaml'), '--format', 'json', '--out', '-'])
  expect(JSON.parse(exported.out)).toEqual(JSON.parse(JSON.stringify(programToJson(shown.program))))
})

test('plugins are not run in the page, and the command says so', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'view-'))
  writeFileSync(join(folder, 'own.mjs'), "export default { name: 'own', apiVersion: 1 }\n")
  writeFileSync(join(folder, 'plan.yaml'), 'model: llama-3.1-8b\nplugins: [./own.mjs]\n')
  const { code, err } = await shardloom(['view', join(folder, 'plan.yaml')])
  expect(code).not.toBe(0)
  expect(err).toContain('./own.mjs')
})

test('a port that is none is refused', async () => {
  const { code, err } = await shardloom(['view', '--model', 'llama-3.1-8b', '--port', '99999'])
  expect(code).toBe(2)
  expect(err).toContain('`99999` is no port.')
})
