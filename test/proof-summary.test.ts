import { describe, expect, test } from 'vitest'
import { addUp, countLines, verdict } from '../scripts/proof-summary.mjs'

const passed = { status: 0, passed: 20, failed: 0 }
const proven = { specs: 1200, mutations: { made: 30, interpreter: 20, verifier: 30 } }

describe('the last line of `npm run prove` and its exit code', () => {
  test.each([
    [
      proven,
      passed,
      false,
      0,
      'Proven: 1,200 specs compute what one device computes, and all 30 mutations were caught.',
    ],
    [{}, passed, true, 0, 'Proven as far as chosen: 20 tests passed.'],
    [proven, { status: 1, passed: 20, failed: 2 }, false, 1, 'Not proven: 2 of 22 tests failed, see above.'],
    [proven, { status: 130, passed: 20, failed: 0 }, true, 130, 'Not proven: the tests did not end well, see above.'],
    [proven, { status: 0, passed: 0, failed: 0 }, true, 1, 'Not proven: no test ran.'],
    [{}, passed, false, 1, 'Not proven: no spec was run.'],
    [{ specs: 3 }, passed, false, 1, 'Not proven: nothing was spoilt to see whether it is noticed.'],
    [
      { specs: 3, mutations: { made: 30, interpreter: 20, verifier: 29 } },
      passed,
      false,
      1,
      'Not proven: 1 of 30 mutations were not caught by verifying.',
    ],
  ])('%j, %j, a part: %j', (entry, tests, part, exitCode, sentence) => {
    expect(verdict(addUp([entry]), tests, part)).toEqual({ exitCode, sentence })
  })
})

test('counts are sums over all entries, in lines of 80 columns at most', () => {
  const executed = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`operator-${index}`, 1000 + index]))
  const total = addUp([
    { specs: 1, tensors: 5, worst: 2e-13, executed },
    { specs: 2, worst: 1e-14, executed: { 'all-reduce': 4, 'operator-1': 1 } },
  ])
  expect(total).toMatchObject({ specs: 3, tensors: 5, worst: 2e-13 })
  const lines = countLines(total)
  expect(lines.filter((line) => line.length > 80)).toEqual([])
  expect(lines).toContain('largest relative error  2.0e-13 (at most 1.0e-9)')
  expect(lines).toContain('operators executed      20,191, of 20 kinds')
  expect(lines).toContain('    all-reduce 4')
})
