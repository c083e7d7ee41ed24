import { isShardloomError, nearest, nearestNumbers, ShardloomError } from '@shardloom/core'
import fc from 'fast-check'
import { expect, it, vi } from 'vitest'

it('carries a code, what it is about and what would work', () => {
  const cause = new TypeError('inner')
  const error = new ShardloomError('INDIVISIBLE', 'It does not divide.', { help: 'Use 2.', subject: 'node', cause })
  expect(error).toBeInstanceOf(Error)
  expect({ ...error, message: error.message, cause: error.cause }).toMatchObject({
    name: 'ShardloomError',
    code: 'INDIVISIBLE',
    message: 'It does not divide.',
    help: 'Use 2.',
    subject: 'node',
    cause,
  })
})

it('is recognised across two copies of the package', async () => {
  vi.resetModules()
  const copy = await import('@shardloom/core')
  expect(copy.ShardloomError).not.toBe(ShardloomError)
  const foreign = new copy.ShardloomError('RULE_SYNTAX', 'no')
  expect(foreign).not.toBeInstanceOf(ShardloomError)
  expect(isShardloomError(foreign)).toBe(true)
})

it('is not taken for anything else', () => {
  const named = Object.assign(new Error('x'), { name: 'ShardloomError' })
  const node = Object.assign(new Error('x'), { code: 'ENOENT' })
  for (const other of [
    undefined,
    null,
    'ShardloomError',
    {},
    { name: 'ShardloomError', code: 'X' },
    new Error('x'),
    node,
    named,
  ])
    expect(isShardloomError(other)).toBe(false)
})

it('nearest finds misspellings and only those', () => {
  const words = ['kv_heads', 'vocab', 'ffn', 'batch', 'hidden']
  expect(nearest('kv_head', words)).toBe('kv_heads')
  expect(nearest('Bacth', words)).toBe('batch')
  expect(nearest('VOCAB', words)).toBe('vocab')
  expect(nearest('fn', words)).toBe('ffn')
  expect(nearest('completely', words)).toBeUndefined()
  expect(nearest('x', [])).toBeUndefined()
})

it('nearest keeps the numbers of a name, which say which model is meant', () => {
  const models = ['llama-2-70b', 'llama-3.1-8b', 'llama-3.1-70b', 'llama-3.1-405b', 'qwen3-8b', 'mixtral-8x7b']
  expect(nearest('llama-3-8b', models)).toBe('llama-3.1-8b')
  expect(nearest('llama3-70b', models)).toBe('llama-3.1-70b')
  expect(nearest('llama-3-70b', models)).toBe('llama-3.1-70b')
})

it('of many numbers those by ratio, and that there are others', () => {
  expect(nearestNumbers([1, 2, 4, 8, 16, 32, 64], 3)).toBe('1, 2, 4, 8, 16, 32 or 64')
  const divisors = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96]
  expect(nearestNumbers(divisors, 5)).toBe('2, 3, 4, 6, 8, 12, 16 or 24, among others')
})

it('nearest answers a word that is there with that word', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.stringMatching(/^[a-z]{1,10}$/), { minLength: 1 }), fc.nat(), (words, which) => {
      const word = words[which % words.length] ?? ''
      expect(nearest(word, words)).toBe(word)
    }),
  )
})
