import { spawnSync } from 'node:child_process'

/** The path of an installed Chromium; undefined where there is none, and tests that need it skip. */
export const chromiumPath: string | undefined = ['chromium', 'chromium-browser', 'google-chrome']
  .map((name) => spawnSync('which', [name], { encoding: 'utf8' }).stdout?.trim())
  .find(Boolean)
