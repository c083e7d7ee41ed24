import { spawnSync } from 'node:child_process'
import { type Browser, chromium } from 'playwright-core'

/** The path of an installed Chromium; undefined where there is none, and tests that need it skip. */
export const chromiumPath: string | undefined = ['chromium', 'chromium-browser', 'google-chrome']
  .map((name) => spawnSync('which', [name], { encoding: 'utf8' }).stdout?.trim())
  .find(Boolean)

/** What the address bar of each window would load by itself, which takes a quarter of what the tested page takes. */
const unseen = ['WebUIOmniboxPopup', 'WebUIOmniboxAimPopup']

/** Starts the installed Chromium, without what nobody sees of it. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath ?? '',
    args: ['--no-sandbox', `--disable-features=${unseen.join()}`],
  })
}
