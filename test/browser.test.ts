import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
import { loadSpec, plan, simulateLoaded, summarise, summariseSimulation, toMermaid } from 'shardloom'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root, sourceEntries } from '../scripts/workspace.mjs'
import { chromiumPath, launchChromium } from './chromium.js'

/** Packages that read files or serve, of Node; every other entry point runs in a browser. */
const programs = ['@shardloom/cli', '@shardloom/mcp', '@shardloom/create-strategy', 'remark-shardloom']

const libraries = sourceEntries()
  .map(({ specifier }) => specifier)
  .filter((specifier) => !programs.some((name) => specifier.startsWith(name)))

const spec = { model: 'llama-3.1-8b', cluster: 'dgx-h100', batch: 16, seq: 8192, parallel: { dp: 2, tp: 4 } }

/** What an application does with a spec, as a script of a browser. */
const application = `
  import { loadSpec, plan, simulateLoaded, summarise, summariseSimulation, toMermaid } from 'shardloom'
  export const run = async (spec) => {
    const planned = await plan(spec)
    return JSON.stringify([
      summarise(planned),
      summariseSimulation(simulateLoaded(await loadSpec(spec))),
      toMermaid(planned.program, planned.operators, { level: 'module' }),
    ])
  }`

/** The same here. */
async function runHere(): Promise<string> {
  const planned = await plan(spec)
  return JSON.stringify([
    summarise(planned),
    summariseSimulation(simulateLoaded(await loadSpec(spec))),
    toMermaid(planned.program, planned.operators, { level: 'module' }),
  ])
}

/** A script for browsers, whose exports are the global `bundled`. An import of something that only Node has fails here. */
async function bundle(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root },
    alias: Object.fromEntries(sourceEntries().map(({ specifier, file }) => [specifier, file])),
    bundle: true,
    format: 'iife',
    globalName: 'bundled',
    platform: 'browser',
    minify: true,
    legalComments: 'none',
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

test.each(libraries)('%s loads where there is nothing of Node', async (specifier) => {
  const text = await bundle(`export * from '${specifier}'`)
  const web = { TextEncoder, TextDecoder, URL, structuredClone, performance, console }
  const scope: typeof web & { bundled?: object } = { ...web }
  runInNewContext(text, scope)
  expect(Object.keys(scope.bundled ?? {})).not.toEqual([])
  console.log(`${specifier}: ${(gzipSync(text).length / 1000).toFixed(1)} kB minified and gzipped`)
})

describe.skipIf(chromiumPath === undefined)('Chromium', () => {
  let browser: Browser
  let page: Page
  let here: string

  beforeAll(async () => {
    browser = await launchChromium()
    page = await browser.newPage()
    await page.addScriptTag({ content: await bundle(application) })
    here = await runHere()
  })
  afterAll(() => browser?.close())

  test('a page plans, simulates and draws what Node does', async () => {
    expect(await page.evaluate(`bundled.run(${JSON.stringify(spec)})`)).toBe(here)
  })

  test('so does a Worker', async () => {
    const script = `${await bundle(application)}
      onmessage = async ({ data }) => postMessage(await bundled.run(data))`
    const answer = await page.evaluate(`new Promise((resolve, reject) => {
      const worker = new Worker(URL.createObjectURL(new Blob([${JSON.stringify(script)}])))
      worker.onmessage = ({ data }) => resolve(data)
      worker.onerror = ({ message }) => reject(new Error(message))
      worker.postMessage(${JSON.stringify(spec)})
    })`)
    expect(answer).toBe(here)
  })
})
