import { readFileSync } from 'node:fs'
import axe from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { formatBytes, formatSeconds, loadSpec, simulateLoaded, stepFigures } from 'shardloom'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../chromium.js'
import { addressed, eventually, follow, isInPicture, link, openStudio, settled, small, stateOf } from './open-studio.js'

async function violations(page: Page): Promise<readonly unknown[]> {
  await page.evaluate(axe.source)
  const found = await page.evaluate(
    () => (globalThis as unknown as { axe: { run: () => Promise<{ violations: unknown[] }> } }).axe.run(), // axe sets it
  )
  return found.violations
}

describe.skipIf(chromiumPath === undefined)('the studio in Chromium, opened from disk', { timeout: 180_000 }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())

  test('says of a plan that was stopped that what is shown is an older one, and goes on with it', async () => {
    const { page, complaints } = await openStudio(browser, link(stateOf(small)))
    await settled(page)
    const strip = page.getByLabel('The plan in figures')
    const before = await strip.textContent()
    const long = 'model: llama-3.1-405b\ncluster: dgx-h100\nbatch: 400000\nseq: 4096\nparallel: {dp: 2, tp: 2, pp: 7}\n'
    await follow(page, link(stateOf(long)))
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await strip.getByText('was stopped').waitFor()
    await page.getByRole('button', { name: 'Undo' }).click()
    await page.waitForFunction((text) => document.querySelector('.strip')?.textContent === text, before)
    await page.getByRole('button', { name: 'Redo' }).click()
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await strip.getByRole('button', { name: 'Go on' }).click()
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('shows of a link to a rank that there is not the last one, and goes on with the whole mesh', async () => {
    const beyond = { ...stateOf(small), graph: { level: 'module', toggled: [], unroll: [], rank: 99 } }
    const { page, complaints } = await openStudio(browser, link(beyond))
    await settled(page)
    await eventually(() => page.getByRole('alert').count()).toBe(0)
    const whole = page.getByRole('button', { name: 'Whole mesh' })
    await whole.click()
    await whole.waitFor({ state: 'detached' })
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('says beside each older picture why there is no newer, takes any number, and refuses at once what is too long', async () => {
    const { page, complaints } = await openStudio(browser, link({ ...stateOf(small), view: 'timeline' }))
    await page.getByRole('region', { name: 'Timeline' }).locator('canvas').first().waitFor()
    await page.getByRole('tab', { name: 'YAML' }).click()
    const area = page.getByLabel('The spec as YAML')
    await area.fill(small.replace('cluster: dgx-h100\n', ''))
    const said = page.locator('.view').getByRole('alert').getByText('names no cluster')
    await said.waitFor()
    await eventually(() => page.getByRole('region', { name: 'Timeline' }).isVisible()).toBe(true)

    const numbers = ['.inf', '-.inf', '.nan', '1e300', '1e400', '9007199254740993', '0x1F', 'many', '', '[1]', '-0']
    for (const number of numbers) {
      const text = `model: gpt2\nbatch: ${number}\nseq: ${number}\nparallel: {tp: ${number}, pp: 2}\noptions: {virtual: ${number}}\n`
      await area.fill(text)
      await page.getByRole('tab', { name: 'Form' }).click()
      await page.getByLabel('Batch', { exact: true }).waitFor()
      await page.getByRole('tab', { name: 'YAML' }).click()
    }

    await area.fill(small)
    await area.evaluate((each: HTMLTextAreaElement, pasted) => {
      const clipboardData = new DataTransfer()
      clipboardData.setData('text/plain', pasted)
      each.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
    }, '\n'.repeat(250_000))
    await page.getByRole('alert').getByText('at most 200000 are taken').waitFor()
    await eventually(() => area.inputValue()).toBe(small)
    await page.locator('body').evaluate((body) => {
      const dataTransfer = new DataTransfer()
      dataTransfer.items.add(new File(['{'], 'config.json'))
      body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }))
    })
    await page.locator('.banner').nth(1).waitFor()
    const [first, second] = await page
      .locator('.banner')
      .evaluateAll((all) => all.map((each) => each.getBoundingClientRect()))
    expect(second?.top).toBeGreaterThanOrEqual(first?.bottom ?? 0)
    await area.fill(`${small}zero: 1\n`)
    await page.getByText('at most 200000 are taken').waitFor({ state: 'detached' })
    await page.locator('.strip .failure:not(.old)').getByText('zero').first().waitFor()
    await area.fill(`${small}\n`)
    await page.locator('.strip .failure:not(.old)').waitFor({ state: 'detached' })
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('shows what the library says of the same spec, and follows a slider, undo and redo', async () => {
    const { page, complaints } = await openStudio(browser, link(stateOf(small)))
    await settled(page)
    const figures = stepFigures(
      simulateLoaded(
        await loadSpec({
          model: 'llama-3.1-8b',
          cluster: 'dgx-h100',
          batch: 16,
          seq: 8192,
          parallel: { dp: 2, tp: 4 },
        }),
      ),
    )
    const strip = page.getByLabel('The plan in figures')
    await strip.getByText(formatSeconds(figures.stepSeconds), { exact: true }).waitFor()
    await eventually(() => strip.textContent()).toContain(formatBytes(figures.memory.peakBytes))
    await eventually(() => strip.textContent()).toContain('hold')

    const degree = page.getByLabel('tp', { exact: true })
    await degree.fill('8')
    await strip.getByText('16', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Undo' }).click()
    await strip.getByText('8', { exact: true }).waitFor()
    await eventually(() => degree.inputValue()).toBe('4')
    await page.getByRole('button', { name: 'Redo' }).click()
    await strip.getByText('16', { exact: true }).waitFor()
    await page.getByRole('tab', { name: 'YAML' }).click()
    await eventually(() => page.getByLabel('The spec as YAML').inputValue()).toContain('tp: 8')
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('an illegal degree stands at its field and in the strip with what would work, and the last plan stays', async () => {
    const { page, complaints } = await openStudio(browser, link(stateOf(small)))
    await settled(page)
    const cards = await page.locator('.card-box').count()
    await page.getByLabel('tp', { exact: true }).fill('3')
    const problem = page.locator('.degree.wrong .problem')
    await problem.waitFor()
    await eventually(() => problem.textContent()).toContain('Use 1, 2, 4, 8, 16 or 32')
    await eventually(() => page.locator('.strip .failure').textContent()).toContain('Use 1, 2, 4, 8, 16 or 32')
    await eventually(() => page.locator('.card-box').count()).toBe(cards)
    await page.getByText('last plan that worked').waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('finds an operator inside closed cards, and says why it communicates, with whom, how much and how long', async () => {
    const { page, complaints } = await openStudio(browser, link(stateOf(small)))
    await settled(page)
    await page.keyboard.press('/')
    await page.keyboard.type('ffn down all-reduce')
    await page.keyboard.press('Enter')
    const inspector = page.getByLabel('Inspector')
    await inspector.getByText('takes in a step').waitFor()
    const text = (await inspector.textContent()) ?? ''
    expect(text).toContain('forward/layer/ffn/down/all-reduce(tp)')
    expect(text).toContain('is a partial sum over tp')
    expect(text).toContain('4 of 8: ranks 0, 1, 2, 3')
    await page.locator('[data-id="forward/layer/ffn/down/all-reduce(tp)"]:focus .selected').waitFor()
    await page.keyboard.press('g')
    await page.locator('.card-box.lit').first().waitFor()
    await page.keyboard.press('Backspace')
    const card = page.locator('[data-id="forward/layer/ffn"]')
    await card.locator('.selected').waitFor()
    await eventually(() => isInPicture(card)).toBe(true)
    const faint = await page.locator('.card-box.dim').count()
    await page.keyboard.press('g')
    await page.waitForTimeout(100)
    await eventually(() => page.locator('.card-box.dim').count()).toBe(faint)
    await page.keyboard.press('Escape')
    await inspector.getByText('Rank 0, one step').waitFor()
    await eventually(() => page.locator('.react-flow__node:focus').count()).toBe(0)
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('cards open and close by keys, and the address holds what is seen', async () => {
    const { page, complaints } = await openStudio(browser, link(stateOf(small)))
    await settled(page)
    await page.locator('[data-id="forward/layer/attention"]').click()
    await page.keyboard.press('Enter')
    const inside = page.locator('[data-id="forward/layer/attention/softmax"]')
    await inside.waitFor()
    await eventually(async () => addressed(page)).toContain('"toggled":["')
    const address = page.url()
    await inside.click()
    await page.keyboard.press('Backspace')
    await page.locator('[data-id="forward/layer/attention"]').waitFor()
    const again = await openStudio(browser, address.split('#')[1])
    await again.page.locator('[data-id="forward/layer/attention/softmax"]').waitFor()
    expect([...complaints, ...again.complaints]).toEqual([])
    await again.page.context().close()
    await page.context().close()
  })

  test('a config.json that is dropped becomes the model; one that is none leaves the plan as it is', async () => {
    const { page, complaints } = await openStudio(browser, link(stateOf(small)))
    await settled(page)
    const config = {
      model_type: 'llama',
      hidden_size: 2048,
      intermediate_size: 8192,
      num_hidden_layers: 16,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      vocab_size: 128256,
      tie_word_embeddings: true,
    }
    const choose = page.locator('input[type=file]')
    await choose.setInputFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no config') })
    await page.getByText('notes.txt is no JSON').waitFor()
    await choose.setInputFiles({
      name: 'config.json',
      mimeType: 'application/json',
      buffer: Buffer.from(JSON.stringify(config)),
    })
    await page.getByLabel('Inspector').getByText('1.24 B parameters').waitFor()
    const give = (kind: 'drop' | 'paste', text: string) =>
      page.evaluate(
        ([type, content]) => {
          const data = new DataTransfer()
          const init = { bubbles: true, cancelable: true }
          if (type === 'paste') data.setData('text/plain', content)
          else data.items.add(new File([content], 'other.json'))
          const event =
            type === 'paste'
              ? new ClipboardEvent(type, { ...init, clipboardData: data })
              : new DragEvent(type, { ...init, dataTransfer: data })
          document.querySelector('.strip')?.dispatchEvent(event)
        },
        [kind, text] as const,
      )
    await give('drop', 'no config')
    await page.getByText('other.json is no JSON').waitFor()
    await give('drop', JSON.stringify({ ...config, num_hidden_layers: 8 }))
    await page.getByLabel('Inspector').getByText('749 M parameters').waitFor()
    await eventually(() => page.getByText('other.json is no JSON').count()).toBe(0)
    await give('paste', JSON.stringify(config))
    await page.getByLabel('Inspector').getByText('1.24 B parameters').waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('a saved picture of stages has everything where the screen has it', async () => {
    const text = small.replace('{dp: 2, tp: 4}', '{pp: 4, tp: 2}')
    const stages = { ...stateOf(text), graph: { level: 'stage', toggled: [], unroll: [] } }
    const { page, complaints } = await openStudio(browser, link(stages))
    await settled(page)
    await page.getByText('Export', { exact: true }).click()
    const saving = page.waitForEvent('download')
    await page.locator('.menu-list').getByRole('button', { name: 'SVG', exact: true }).click()
    const svg = readFileSync(await (await saving).path(), 'utf8')
    const placesOf = (from: Page, selector: string, name: string) =>
      from.locator(selector).evaluateAll(
        (all, attribute) =>
          all.map((each) => {
            const { x, y, width, height } = each.getBoundingClientRect()
            return { id: each.getAttribute(attribute) ?? '', x: x + width / 2, y: y + height / 2 }
          }),
        name,
      )
    const screen = await placesOf(page, '.react-flow__node-card', 'data-id')
    const file = await page.context().newPage()
    await file.setContent(svg)
    const saved = new Map((await placesOf(file, '[data-node]', 'data-node')).map((each) => [each.id, each]))
    const pairs = screen.map((each) => ({ each, other: saved.get(each.id) }))
    expect(pairs.length).toBeGreaterThan(10)
    const [first, last] = [pairs[0], pairs.at(-1)]
    const scale = ((last?.other?.y ?? 0) - (first?.other?.y ?? 0)) / ((last?.each.y ?? 0) - (first?.each.y ?? 0))
    for (const { each, other } of pairs)
      for (const axis of ['x', 'y'] as const)
        expect(
          Math.abs(
            (other?.[axis] ?? 0) - (first?.other?.[axis] ?? 0) - scale * (each[axis] - (first?.each[axis] ?? 0)),
          ),
        ).toBeLessThan(3)
    expect(complaints).toEqual([])
    await page.context().close()
  })

  describe('one plan', () => {
    let page: Page
    let complaints: readonly string[]
    beforeAll(async () => {
      const opened = await openStudio(browser, link(stateOf(small)))
      page = opened.page
      complaints = opened.complaints
      await settled(page)
    })
    afterAll(() => page?.context().close())

    test.each([
      ['spec', 'yaml', 'llama-3.1-8b'],
      ['Graphviz DOT', 'dot', 'digraph'],
      ['Megatron-LM', 'sh', '--tensor-model-parallel-size'],
      ['SVG', 'svg', '<svg'],
      ['PNG', 'png', 'PNG'],
      ['Report', 'html', '<!doctype html>'],
      ['Chakra', 'zip', 'PK'],
      ['ONNX', 'onnx', 'shardloom'],
    ])('is saved as %s', async (label, ending, content) => {
      await page.getByText('Export', { exact: true }).click()
      const saving = page.waitForEvent('download')
      await page
        .locator('.menu-list')
        .getByRole('button', { name: new RegExp(`^${label}`, 'i') })
        .click()
      const file = await saving
      const view = label === 'SVG' || label === 'PNG' ? '-graph' : ''
      expect(file.suggestedFilename()).toMatch(new RegExp(`^a-plan${view}\\.(.*\\.)?${ending}$`))
      expect(readFileSync(await file.path(), 'latin1').slice(0, 100_000)).toContain(content)
      expect(complaints).toEqual([])
    })

    test('is saved with others as the comparison that is shown, and as no picture where there is none', async () => {
      const view = page.getByRole('group', { name: 'This view' })
      await page.getByRole('tab', { name: 'Learn' }).click()
      await page.getByText('Export', { exact: true }).click()
      await eventually(() => view.getByRole('button', { name: 'SVG' }).isDisabled()).toBe(true)
      await page.keyboard.press('Escape')
      await page.getByRole('button', { name: '+ Variant' }).click()
      await page.getByRole('tab', { name: 'Compare' }).click()
      await page.getByText('Export', { exact: true }).click()
      const saving = page.waitForEvent('download')
      await view.getByRole('button', { name: 'SVG' }).click()
      const file = await saving
      expect(file.suggestedFilename()).toMatch(/-compare\.svg$/)
      const svg = readFileSync(await file.path(), 'utf8')
      for (const name of ['a plan', 'a plan 2']) expect(svg).toContain(`>${name}<`)
      await page.getByRole('tab', { name: 'Graph' }).click()
      await settled(page)
    })

    test('has nothing that axe finds fault with', async () => {
      await eventually(() => violations(page)).toEqual([])
    })
  })

  test('has nothing that axe finds fault with in the dark', async () => {
    const { page } = await openStudio(browser, link(stateOf(small)), { colorScheme: 'dark' })
    await settled(page)
    await eventually(() => violations(page)).toEqual([])
    await page.context().close()
  })
})
