import { resolveCluster } from '@shardloom/cluster'
import { machineOf, memory, simulate } from '@shardloom/simulator'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../../../test/chromium.js'
import { planned } from '../../core/test/planned.js'
import { chromeTrace } from '../src/chrome-trace.js'

/** What of a trace Chromium's own importer finds: slices, and the rows that hold them. */
interface Found {
  readonly slices: number
  readonly overlapping: number
  readonly microseconds: number
  readonly processes: number
  readonly arrows: number
  readonly counters: number
}

describe.skipIf(chromiumPath === undefined)('a browser', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())

  test('reads a trace, and finds every slice on a row of its own time', async () => {
    const { program, operators } = planned(
      'gpt2',
      { phase: 'training', batch: 8, seq: 512, microbatches: 8 },
      { pp: 4 },
      { pp: { schedule: '1f1b' } },
    )
    const timeline = simulate(program, operators, machineOf(resolveCluster('dgx-h100'), program.mesh))
    const stages = memory(program, operators, timeline)
    const text = [...chromeTrace(timeline, program, { memory: stages })].join('')
    const page = await browser.newPage()
    // A page reads the file as a download would be: as bytes, which it decodes and parses.
    await page.route('http://trace.invalid/**', (route) =>
      route.request().url().endsWith('.json')
        ? route.fulfill({ body: text, contentType: 'application/json' })
        : route.fulfill({ body: '<!doctype html><title>trace</title>', contentType: 'text/html' }),
    )
    await page.goto('http://trace.invalid/')
    const found = (await page.evaluate(`(async () => {
      const { traceEvents } = await (await fetch('/trace.json')).json()
      const slices = traceEvents.filter(({ ph }) => ph === 'X')
      const rows = Map.groupBy(slices, ({ pid, tid }) => pid + ' ' + tid)
      let overlapping = 0
      for (const row of rows.values()) {
        row.sort((a, b) => a.ts - b.ts || a.dur - b.dur)
        row.forEach(({ ts }, index) => {
          const before = row[index - 1]
          if (before && ts < before.ts + before.dur - 1e-6) overlapping++
        })
      }
      const of = (ph) => traceEvents.filter((event) => event.ph === ph).length
      return {
        slices: slices.length,
        overlapping,
        microseconds: Math.max(...slices.map(({ ts, dur }) => ts + dur)),
        processes: new Set(slices.map(({ pid }) => pid)).size,
        arrows: of('s') === of('f') ? of('s') : -1,
        counters: of('C'),
      }
    })()`)) as Found // what the script above returns
    await page.close()
    const { graph } = timeline
    const nodes = Array.from({ length: graph.nodeCount }, (_, node) => node)
    const isReceive = (node: number) => graph.templates[graph.template[node] ?? 0]?.op === 'recv'
    const received = nodes.filter(isReceive).length
    expect(found).toMatchObject({
      slices: nodes.filter((node) => timeline.streamOf(node) !== 'none').length + received,
      overlapping: 0,
      processes: 4,
      arrows: received,
      counters: stages.reduce((sum, { curve }) => sum + curve.seconds.length, 0),
    })
    expect(found.microseconds).toBeCloseTo(timeline.seconds * 1e6, 3)
  })
})
