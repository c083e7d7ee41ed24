import { Writable } from 'node:stream'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { searchProgress } from '../../src/search/progress.js'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** What a terminal shows second by second of parts that take so long, one after the other: the seconds that are left, where it says so. */
function shown(parts: readonly number[]): (number | undefined)[][] {
  let text = ''
  const stderr = Object.assign(
    new Writable({
      write(chunk, _, done) {
        text = String(chunk)
        done()
      },
    }),
    { isTTY: true, columns: 200 },
  )
  const io = { stdin: [], stdout: stderr, stderr, env: {}, cwd: () => '' } as unknown as Parameters<
    typeof searchProgress
  >[0] // nothing is read
  const progress = searchProgress(io, { ended: 0, of: parts.length, hands: 1 })
  const told = parts.map((seconds) => {
    const each = Array.from({ length: seconds }, () => {
      vi.advanceTimersByTime(1000)
      const [, left] = /about (\d+) s left/.exec(text) ?? []
      return left === undefined ? undefined : Number(left)
    })
    progress.ended()
    return each
  })
  progress.clear()
  return told
}

test('of parts that are alike it is the time that is left', () => {
  const told = shown([6, 6, 6, 6, 6, 6]).flat()
  // 36 s in all. Two parts have to end before there is one to go by.
  told.forEach((left, index) => {
    if (index < 12) expect(left).toBe(undefined)
    else if (index < 35) expect(left).toBe(36 - index - 1)
  })
})

test('it does not climb while a large part runs, and knows that others wait behind it', () => {
  const during = shown([4, 4, 4, 40, 4, 4])[3] ?? []
  const [first, ...rest] = during
  // Three parts like those before, of which the first has run for a second.
  expect(first).toBe(11)
  let before = first ?? 0
  for (const left of rest) {
    expect(left).toBeLessThanOrEqual(before)
    expect(left).toBeGreaterThanOrEqual(8)
    before = left ?? 0
  }
})

test('nothing is promised while the last part takes longer than others', () => {
  const last = shown([4, 4, 4, 20])[3] ?? []
  expect(last.slice(0, 3)).toEqual([3, 2, 1])
  expect(last.slice(5).every((left) => left === undefined)).toBe(true)
})

test('a log has a plain line every half a minute, and none of what is over before', () => {
  const lines: string[] = []
  const stderr = new Writable({ write: (chunk, _, done) => done(void lines.push(String(chunk)) as undefined) })
  const io = { stdin: [], stdout: stderr, stderr, env: {}, cwd: () => '' } as unknown as Parameters<
    typeof searchProgress
  >[0] // nothing is read
  const progress = searchProgress(io, { ended: 0, of: 4, hands: 1 })
  vi.advanceTimersByTime(29_000)
  progress.ended()
  expect(lines).toEqual([])
  vi.advanceTimersByTime(62_000)
  progress.clear()
  vi.advanceTimersByTime(60_000)
  expect(lines).toHaveLength(3)
  for (const line of lines) expect(line).toMatch(/^search: 1 of 4 parts[ ,\w]*\n$/)
})
