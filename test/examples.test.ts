import { describe, expect, test } from 'vitest'
import { outputDifference, readExamples } from '../scripts/examples.mjs'

describe('readExamples', () => {
  test('reads examples, their output and their files', () => {
    const markdown = [
      '```yaml file=specs/a.yaml',
      'a: 1',
      '```',
      '```ts example',
      'console.log(1)',
      '```',
      '',
      '```text output',
      '1',
      '```',
      '```sh example exit=3 in=specs',
      'exit 3',
      '```',
      '```js',
      'not run',
      '```',
    ].join('\n')
    expect(readExamples(markdown)).toEqual({
      files: [{ path: 'specs/a.yaml', line: 1, text: 'a: 1\n' }],
      examples: [
        { language: 'ts', line: 4, text: 'console.log(1)\n', folder: '.', exitCode: 0, output: '1\n' },
        { language: 'sh', line: 11, text: 'exit 3\n', folder: 'specs', exitCode: 3, output: undefined },
      ],
    })
  })

  test('does not look into a longer fence', () => {
    expect(readExamples('````md\n```js example\nthrow 1\n```\n````\n').examples).toEqual([])
  })

  test('refuses an output without its example and a language that it cannot run', () => {
    expect(() => readExamples('```text output\n1\n```')).toThrow('line 1: an output block must follow an example')
    expect(() => readExamples('```py example\n1\n```')).toThrow('line 1: cannot run a py example')
  })
})

describe('outputDifference', () => {
  test.each([
    ['a\nb\n', 'a  \nb\n\n'],
    ['a\n…\nd', 'a\nb\nc\nd\n'],
    ['a\n…', 'a\nb\nc'],
    ['a\n…', 'a'],
    ['…\nz', 'z'],
    ['1.5 (x)', '1.5 (x)'],
  ])('%j accepts %j', (expected, actual) => {
    expect(outputDifference(expected, actual)).toBeUndefined()
  })

  test.each([
    ['a', 'a\nb'],
    ['a\n…\nd', 'a\nd e'],
    ['1.5', '1x5'],
    ['a\nb', 'a'],
  ])('%j refuses %j', (expected, actual) => {
    expect(outputDifference(expected, actual)).toContain('but it printed')
  })
})
