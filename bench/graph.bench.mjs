/** Frames of the studio's graph while about two thousand nodes that are all seen are dragged, in Chromium, 1280 × 720, pixels included. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { deflateRawSync } from 'node:zlib'
import { chromium } from 'playwright-core'
import { root } from '../scripts/workspace.mjs'

const steps = 150

/** A small Llama of 27 layers, operator by operator. */
const text = `model: {model_type: llama, hidden_size: 2048, intermediate_size: 8192, num_hidden_layers: 27, num_attention_heads: 32, num_key_value_heads: 8, vocab_size: 128256}
cluster: dgx-h100
batch: 16
seq: 4096
parallel: {tp: 2}
`
const state = {
  variants: [{ name: 'bench', text }],
  active: 0,
  view: 'graph',
  graph: { level: 'operator', toggled: [], unroll: ['layer'] },
}

export default async function bench() {
  const executablePath = ['chromium', 'chromium-browser', 'google-chrome']
    .map((name) => spawnSync('which', [name], { encoding: 'utf8' }).stdout?.trim())
    .find(Boolean)
  const page_ = join(root, 'apps/studio/dist/index.html')
  if (!executablePath) return ['no Chromium']
  if (!existsSync(page_)) return ['no built studio: run `npm run build`']
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } })
  await page.goto(`${pathToFileURL(page_).href}#1.${deflateRawSync(JSON.stringify(state)).toString('base64url')}`)
  await page.locator('.react-flow__node').first().waitFor({ timeout: 120_000 })
  const pane = await page.locator('.react-flow').boundingBox()
  const [x, y] = [pane.x + pane.width / 2, pane.y + pane.height / 2]
  await page.mouse.move(x, y)
  const count = () => page.locator('.react-flow__node').count()
  // Out, until all nodes are seen.
  for (let turn = 0; turn < 40; turn++) await page.mouse.wheel(0, 300)
  await page.waitForTimeout(1500)
  const nodes = await count()
  await page.evaluate(
    `globalThis.frames_ = []; (function next(time) { frames_.push(time); requestAnimationFrame(next) })(performance.now())`,
  )
  await page.mouse.down()
  const begun = await page.evaluate('frames_.length')
  for (let step = 0; step < steps; step++) {
    await page.mouse.move(x + 60 * Math.sin(step / 8), y + 40 * Math.cos(step / 8))
    await page.evaluate('new Promise(requestAnimationFrame)')
  }
  await page.mouse.up()
  const frames = (await page.evaluate('frames_')).slice(begun)
  await browser.close()
  const lengths = frames
    .slice(1)
    .map((time, at) => time - frames[at])
    .sort((a, b) => a - b)
  const at = (share) => lengths[Math.floor(share * (lengths.length - 1))].toFixed(1)
  const rate = (1000 * lengths.length) / lengths.reduce((sum, each) => sum + each, 0)
  return [
    `${nodes.toLocaleString('en')} nodes seen and dragged: ${rate.toFixed(0)} frames a second; a frame takes ${at(0.5)} ms in the median, ${at(0.95)} ms at 95 %`,
  ]
}
