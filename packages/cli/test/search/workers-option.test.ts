import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { defaultWorkers, parseWorkers } from '../../src/search/workers-option.js'

test('as many work as this process has processors, by what the system says', () => {
  const { status, stdout } = spawnSync('nproc', { encoding: 'utf8' })
  if (status === 0) expect(defaultWorkers).toBe(Number(stdout))
})

test.each(['1', '4', '16'])('%s work', (text) => {
  expect(parseWorkers(text)).toBe(Number(text))
})

test('far more than there are processors would only take longer', () => {
  expect(() => parseWorkers('99999')).toThrow(`This machine has ${defaultWorkers} processors`)
})

test.each(['0', '-1', '1.5', 'all', ''])('not %j', (text) => {
  expect(() => parseWorkers(text)).toThrow('Give a number of threads')
})
