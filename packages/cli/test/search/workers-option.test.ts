import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { defaultWorkers, parseWorkers } from '../../src/search/workers-option.js'

test('as many work as this process has processors, by what the system says', () => {
  const { status, stdout } = spawnSync('nproc', { encoding: 'utf8' })
  if (status === 0) expect(defaultWorkers).toBe(Number(stdout))
})

test.each(['1', '16', '1000'])('%s work', (text) => {
  expect(parseWorkers(text)).toBe(Number(text))
})

test.each(['0', '-1', '1.5', 'all', '', '99999'])('not %j', (text) => {
  expect(() => parseWorkers(text)).toThrow('Give a number of threads')
})
