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
