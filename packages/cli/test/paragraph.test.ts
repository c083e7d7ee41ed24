import { expect, test } from 'vitest'
import { paragraph } from '../src/table.js'

test('a long text keeps to the width of a terminal, and to one line where a program reads it', () => {
  const text = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ')
  const lines = paragraph('help:', text, true).split('\n')
  expect(lines.length).toBeGreaterThan(3)
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80)
  expect(lines.map((line) => line.trim()).join(' ')).toBe(`help: ${text}`)
  expect(paragraph('help:', text, false)).toBe(`help: ${text}`)
})
