import { expect, test } from 'vitest'
import { checkSpec, isShardloomError } from '../src/index.js'
import { readLimit } from '../src/search.js'

// Counts as papers write them: Llama 3 was trained on 15.6T tokens, GPT-3 on 300B, BERT has 110M parameters.
test.each([
  ['15.6T', 15.6e12],
  ['300B', 300e9],
  ['300 B', 300e9],
  ['110M', 110e6],
  ['512k', 512e3],
  ['512K', 512e3],
  ['1.1B', 1_100_000_000],
])('%s tokens are %d', (text, tokens) => {
  expect(checkSpec({ model: 'tiny', tokens: text } as never).tokens).toBe(tokens)
  expect(readLimit(`tokens-per-second>=${text}`)).toEqual({ metric: 'tokens-per-second', least: tokens })
})

test.each(['15G', '15Ti', 'T', '-1T', '0B', '2000000T', '15', '', '1e400T'])('`%s` is no budget of tokens', (text) => {
  try {
    checkSpec({ model: 'tiny', tokens: text } as never)
    expect.unreachable()
  } catch (error) {
    expect(isShardloomError(error) && error.message).toMatch(/`tokens` is .*, such as 15e12, 15T or 800B/)
  }
})

test('lengths of sequences take no letters: of 128K some mean 131072', () => {
  expect(() => checkSpec({ model: 'tiny', seq: '128K' } as never)).toThrow(/`seq`.*whole number/)
})

test('units of seconds and bytes are those of limits alone', () => {
  expect(readLimit('tpot<=50ms')).toEqual({ metric: 'tpot', most: 0.05 })
  expect(readLimit('peak-memory <= 70 GiB')).toEqual({ metric: 'peak-memory', most: 70 * 2 ** 30 })
  expect(() => readLimit('tpot<=5M')).toThrow(/no unit `M`/)
  expect(() => readLimit('tokens-per-second>=2GB')).toThrow(/no unit `GB`/)
  expect(() => readLimit('tpot<=')).toThrow(/is no limit/)
})
