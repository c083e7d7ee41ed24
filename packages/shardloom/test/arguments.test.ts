import { unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import { communicationTable, measure, replication, savedTensors } from '@shardloom/simulator'
import { describe, expect, test } from 'vitest'
import {
  createView,
  explain,
  explainPasses,
  isShardloomError,
  plan,
  planServing,
  programToJson,
  summarise,
  toDot,
  toGraphlib,
  toJsonText,
  toMermaid,
  verifyPlan,
  writeDot,
} from '../src/index.js'

/** JavaScript calls without types. */
type Untyped = (...args: readonly unknown[]) => unknown
const untyped = (call: unknown) => call as Untyped // what JavaScript sees

function refusal(call: Untyped, ...args: readonly unknown[]): string {
  try {
    call(...args)
  } catch (error) {
    if (isShardloomError(error)) return `${error.code} ${error.message} ${error.help}`
    throw error
  }
  return ''
}

const spec = { model: 'tiny', batch: 2, seq: 8 } as const

describe.each(
  Object.entries({
    createView,
    toDot,
    toMermaid,
    measure,
    communicationTable,
    replication,
    savedTensors,
    verifyProgram,
  }).map(([name, call]) => [name, untyped(call)] as const),
)('%s, which takes a program and operators', (_, call) => {
  test('says so of anything else', async () => {
    const planned = await plan(spec)
    const { program, operators } = planned
    expect(refusal(call, planned)).toBe(
      'ARGUMENT The first argument is a plan, not a program. Give `program` of what `plan` resolves to.',
    )
    expect(refusal(call, program)).toMatch(
      /^ARGUMENT The second argument is of type undefined, not a table of operators.*Give `operators` of/,
    )
    expect(refusal(call, plan(spec), operators)).toMatch(/a promise, not a program. Await it./)
    for (const wrong of [undefined, null, 'tiny', 3, [], {}, new Map()])
      expect(refusal(call, wrong, operators)).toMatch(/^ARGUMENT The first argument is .*, not a program/)
    expect(refusal(call, program, operators)).toBe('')
  })
})

test.each([
  ['toJsonText', untyped(toJsonText)],
  ['programToJson', untyped(programToJson)],
])('%s takes a program', async (_, call) => {
  expect(refusal(call, await plan(spec))).toContain('The first argument is a plan, not a program.')
  expect(refusal(call)).toContain('The first argument is of type undefined, not a program.')
})

test.each([
  ['summarise', untyped(summarise)],
  ['explain', untyped(explain)],
  ['explainPasses', untyped(explainPasses)],
  ['verifyPlan', untyped(verifyPlan)],
])('%s takes a plan', async (_, call) => {
  expect(refusal(call, (await plan(spec)).program)).toContain('The first argument is a program, not a plan.')
  expect(refusal(call, plan(spec))).toContain('The first argument is a promise, not a plan. Await it.')
  expect(refusal(call, undefined)).toContain('The first argument is of type undefined, not a plan.')
})

test('serving is two plans', async () => {
  const serving = await planServing({ ...spec, phase: 'serving' })
  expect(refusal(untyped(toDot), serving)).toContain(
    'The first argument is of type object, not a program. Give `program` of',
  )
  expect(verifyPlan(serving).ok).toBe(true)
})

test('what writes a view takes a view', async () => {
  const { program, operators } = await plan(spec)
  for (const call of [untyped(toGraphlib), untyped(writeDot)]) {
    expect(refusal(call, program, () => {})).toContain('The first argument is a program, not a view.')
    expect(refusal(call, createView(program, operators), () => {})).toBe('')
  }
})

test('options that there are not, and values that they cannot have, are refused', async () => {
  const planned = await plan(spec)
  const { program, operators } = planned
  const view = createView(program, operators)
  for (const call of [toDot, toMermaid, createView].map(untyped)) {
    expect(refusal(call, program, operators, { levle: 'stage' })).toBe(
      'OPTION There is no option `levle`. Did you mean `level`?',
    )
    expect(refusal(call, program, operators, { level: 'stages' })).toMatch(
      /no option `level` that is `stages`. Did you mean `stage`/,
    )
    expect(refusal(call, program, operators, { unroll: ['layers'] })).toMatch(/Did you mean `layer`/)
    for (const wrong of [{ unroll: 'layer' }, { level: ['stage'] }, { limit: null }, { toString: 1 }, { ranks: ['0'] }])
      expect(refusal(call, program, operators, wrong)).toMatch(/^OPTION/)
    expect(refusal(call, program, operators, 3)).toMatch(/^ARGUMENT The last argument is of type number, not an object/)
    expect(refusal(call, program, operators, { level: undefined, unroll: ['layer'], theme: 'dark' })).toBe('')
  }
  expect(refusal(untyped(writeDot), view, () => {}, { legend: 'no' })).toBe(
    'OPTION There is no option `legend` that is `no`. Possible: boolean.',
  )
  expect(refusal(untyped(summarise), planned, 3)).toMatch(/^ARGUMENT/)
  expect(refusal(untyped(summarise), planned, { ranks: 1 })).toMatch(/Did you mean `rank`/)
  expect(refusal(untyped(explain), planned, 'prefill/layer/attention/q', { fold: true })).toMatch(/^OPTION/)
  expect(refusal(untyped(unroll), program, { axis: ['layer'] })).toMatch(/Did you mean `axes`/)
})
