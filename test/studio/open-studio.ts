import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import { expect } from 'vitest'
import { root } from '../../scripts/workspace.mjs'

/** A link to a state, as anybody could write it. */
export const link = (state: unknown) => `1.${deflateRawSync(JSON.stringify(state)).toString('base64url')}`

/** A state of one plan, whose graph is at modules. */
export const stateOf = (text: string, name = 'a plan') => ({
  variants: [{ name, text }],
  active: 0,
  view: 'graph',
  graph: { level: 'module', toggled: [], unroll: [] },
})

/** A plan of eight ranks without a pipeline. */
export const small = 'model: llama-3.1-8b\ncluster: dgx-h100\nbatch: 16\nseq: 8192\nparallel: {dp: 2, tp: 4}\n'

/** The built page, as it is opened from disk. */
export const studioPage = pathToFileURL(join(root, 'apps/studio/dist/index.html')).href

/** An opened studio, and what its console and its policy have complained of. */
export interface OpenStudio {
  readonly page: Page
  readonly complaints: readonly string[]
}

/** How long anything of a page is waited for, on a machine that is busy. Milliseconds. */
const patience = 90_000

interface OpenOptions extends BrowserContextOptions {
  /** Runs before any script of the page. */
  readonly before?: string
}

/** Opens the studio from disk, with a fragment where one is given. */
export async function openStudio(
  browser: Browser,
  fragment = '',
  { before, ...options }: OpenOptions = {},
): Promise<OpenStudio> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 720 },
    acceptDownloads: true,
    ...options,
  })
  const page = await context.newPage()
  page.setDefaultTimeout(patience)
  if (before !== undefined) await page.addInitScript(before)
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  await page.goto(fragment ? `${studioPage}#${fragment}` : studioPage)
  return { page, complaints }
}

/** What the address of a page holds, as text: it follows what is done a moment later. */
export function addressed(page: Page): string {
  const [, packed = ''] = page.url().split('#1.')
  return packed && inflateRawSync(Buffer.from(packed, 'base64url')).toString()
}

/** Goes to what another fragment holds, in the page as it is. */
export async function follow(page: Page, fragment: string): Promise<void> {
  await page.evaluate((hash) => {
    location.hash = hash
  }, fragment)
}

/** Waits until the page says that a link holds no plan, and takes that away. */
export async function refusal(page: Page): Promise<void> {
  await page.getByText('This link holds no plan').waitFor()
  await page.getByRole('button', { name: 'Dismiss' }).click()
  await page.getByText('This link holds no plan').waitFor({ state: 'detached' })
}

/** Whether all of a node of the graph is seen. */
export function isInPicture(node: Locator): Promise<boolean> {
  return node.evaluate((element) => {
    const pane = element.closest('.graph-pane')?.getBoundingClientRect()
    const { left, right, top, bottom } = element.getBoundingClientRect()
    return pane !== undefined && left >= pane.left && right <= pane.right && top >= pane.top && bottom <= pane.bottom
  })
}

/** Waits until the plan is drawn and simulated. */
export async function settled(page: Page): Promise<void> {
  await page.locator('.card-box').first().waitFor()
  await page.waitForFunction(() => /\d/.test(document.querySelector('.figure dd')?.textContent ?? ''))
}

/** Expects of what is looked at as often as it takes: a page answers a moment after it was asked. */
export const eventually = <T>(look: () => Promise<T>, message?: string) =>
  expect.poll(look, { timeout: patience, ...(message !== undefined && { message }) })
