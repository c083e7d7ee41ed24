import fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import { createDesk } from '../src/worker/desk.js'
import type { Ask } from '../src/worker/protocol.js'

/** Workers that run, and what came of the page's scripts. */
const running = new Set<object>()

class EchoWorker {
  onmessage: ((event: { data: unknown }) => void) | undefined
  constructor() {
    running.add(this)
  }
  postMessage({ id }: Ask): void {
    setTimeout(() => running.has(this) && this.onmessage?.({ data: { id, answer: id } }))
  }
  terminate(): void {
    running.delete(this)
  }
}

/** A page whose scripts take a moment to load, and then hand over a worker. */
function stubPage(name: string): void {
  const script: { onload?: () => void; remove: () => void } = { remove: () => {} }
  const head = { append: () => setTimeout(() => script.onload?.(), 5) }
  vi.stubGlobal('document', { head, createElement: () => script })
  vi.stubGlobal('shardloomWorkers', { [name]: () => {} })
  vi.stubGlobal('Worker', EchoWorker)
}

afterEach(() => vi.unstubAllGlobals())

test('a desk has one worker at most, whenever it is stopped, and answers what is asked last', async () => {
  let desks = 0
  const turns = fc.array(fc.constantFrom('ask', 'stop', 'wait'), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(turns, async (turn) => {
      running.clear()
      const name = `desk ${desks++}` // its script is not loaded yet
      stubPage(name)
      const desk = createDesk(name)
      for (const each of [...turn, 'wait']) {
        if (each === 'ask') desk.ask('catalogue', {}).catch(() => {})
        else if (each === 'stop') desk.stop()
        else await new Promise((resolve) => setTimeout(resolve, 10))
        expect(running.size).toBeLessThanOrEqual(1)
      }
      expect(await desk.ask('catalogue', {})).toBeTypeOf('number')
      expect(running.size).toBe(1)
      expect(desk.since()).toBeUndefined()
    }),
    { numRuns: 40 },
  )
})
