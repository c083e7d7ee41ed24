import { expect, test } from 'vitest'
import { configOf } from '../src/setup/config.js'
import { fieldsOf, withField } from '../src/state/spec-text.js'

const file = (text: string) => ({ name: 'config.json', size: text.length, text: async () => text })
const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`

test('a config is taken where it can stand in a spec, and one nested beyond that is refused in words', async () => {
  const config = await configOf(file(nested(60)))
  expect(fieldsOf(withField('batch: 8\n', ['model'], config))).toEqual({ batch: 8, model: config })
  for (const levels of [61, 200, 30_000])
    await expect(configOf(file(nested(levels)))).rejects.toThrow('nested deeper than 60 levels')
})
