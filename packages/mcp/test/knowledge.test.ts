import type { Client } from '@modelcontextprotocol/client'
import { hybrids, specFields, specJsonSchema } from 'shardloom'
import { scheduleNames } from 'shardloom/schedules'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { scheduleTexts } from '../src/knowledge.js'
import { connectStdio, result } from './server.js'

let client: Client
beforeAll(async () => {
  client = await connectStdio()
})
afterAll(() => client.close())

async function read(uri: string): Promise<string> {
  const { contents } = await client.readResource({ uri })
  const [first] = contents
  return first && 'text' in first ? first.text : ''
}

test('every resource can be read and says what it is', async () => {
  const { resources } = await client.listResources()
  expect(resources.map(({ uri }) => uri)).toEqual([
    'shardloom://knowledge/strategies',
    'shardloom://knowledge/phases',
    'shardloom://knowledge/graph',
    'shardloom://knowledge/generation-rules',
    'shardloom://knowledge/schedules',
    'shardloom://spec-schema',
  ])
  for (const { uri, mimeType, description } of resources) {
    expect(description, uri).toMatch(/\w/)
    const text = await read(uri)
    if (mimeType === 'text/markdown') expect(text, uri).toMatch(/^# /)
    expect(text, uri).not.toMatch(/undefined|NaN|\[object/)
  }
})

test('the schema is that of specs', async () => {
  expect(JSON.parse(await read('shardloom://spec-schema'))).toEqual(JSON.parse(JSON.stringify(specJsonSchema())))
})

test('strategies: every axis of the spec, every option and every hybrid', async () => {
  const text = await read('shardloom://knowledge/strategies')
  for (const { path } of specFields()) {
    const [first, name = '', ...rest] = path
    if (first === 'parallel' && name !== 'dpReplicate') expect(text).toContain(`axis \`${name}\``)
    if (first === 'options' && rest.length > 0 && /^(tp|dp|sp|ep|pp)$/.test(name))
      expect(text).toContain(path.join('.'))
  }
  for (const name of Object.keys(hybrids)) expect(text).toContain(`preset: ${name}`)
})

test('rules: a collective for each mismatch, as the papers have it', async () => {
  const text = await read('shardloom://knowledge/generation-rules')
  for (const row of [
    '| partial(sum) | replicate | all-reduce |',
    '| partial(sum) | shard(a) | reduce-scatter |',
    '| shard(a) | replicate | all-gather |',
    '| shard(a) | shard(b) | all-to-all |',
  ])
    expect(text).toContain(row)
  const { rules } = await result(client, 'verify', { spec: { model: 'tiny', batch: 1 } })
  for (const { name } of rules) expect(text).toContain(name)
})

test('schedules: every one has a text, and the figures of its paper', async () => {
  expect(Object.keys(scheduleTexts)).toEqual(scheduleNames())
  const text = await read('shardloom://knowledge/schedules')
  const row = (name: string) =>
    text
      .split('\n')
      .find((line) => line.startsWith(`| \`${name}\``))
      ?.split('|') ?? []
  const [p, m] = [4, 8]
  // Narayanan et al. 2021, section 2.2: GPipe and 1F1B idle (p − 1) / (m + p − 1) of the step; 1F1B holds p, GPipe m.
  for (const [name, held] of [
    ['gpipe', m],
    ['1f1b', p],
  ] as const) {
    expect(row(name)[4]?.trim()).toBe(`${Math.round((100 * (p - 1)) / (m + p - 1))} %`)
    expect(Number(row(name)[6])).toBe(held)
  }
  // DeepSeek-V3 report 2024, table 2: DualPipe holds p + 1.
  expect(Number(row('dualpipe')[6])).toBe(p + 1)
  // Qi et al. 2023, section 2: ZB-H2 leaves no bubble between a rank's first and last action, 2p − 1 microbatches held.
  expect(row('zbh2')[5]?.trim()).toBe('0 %')
  expect(Number(row('zbh2')[6])).toBe(2 * p - 1)
})
