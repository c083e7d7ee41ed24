/** Frames of the studio's timeline with up to a million slices on 16 rows, in Chromium, 1280 × 640, pixels included. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'
import { root, sourceEntries } from '../scripts/workspace.mjs'

const frames = 120

export default async function bench() {
  const executablePath = ['chromium', 'chromium-browser', 'google-chrome']
    .map((name) => spawnSync('which', [name], { encoding: 'utf8' }).stdout?.trim())
    .find(Boolean)
  if (!executablePath) return ['no Chromium']
  const { outputFiles } = await build({
    entryPoints: [join(root, 'apps/studio/test/frames.ts')],
    alias: Object.fromEntries(sourceEntries().map(({ specifier, file }) => [specifier, file])),
    bundle: true,
    format: 'iife',
    globalName: 'bundled',
    platform: 'browser',
    write: false,
    logLevel: 'silent',
  })
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  const page = await browser.newPage()
  await page.addScriptTag({ content: outputFiles[0]?.text ?? '' })
  const lines = []
  for (const events of [10_000, 1_000_000]) {
    const times = await page.evaluate(`bundled.timeFrames(${events}, ${frames})`)
    const at = (share) => times[Math.floor(share * (frames - 1))].toFixed(1)
    lines.push(
      `${events.toLocaleString('en')} slices: median ${at(0.5)} ms, 95 % ${at(0.95)} ms, most ${at(1)} ms a frame`,
    )
  }
  await browser.close()
  return lines
}
