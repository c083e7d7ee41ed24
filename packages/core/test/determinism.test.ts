import { corePasses, programToJson, runPasses } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { planned } from './planned.js'

const builds = [
  ['tiny', { phase: 'training', batch: 4, seq: 16, microbatches: 2 }],
  ['tiny-moe', { phase: 'training', batch: 4, seq: 16 }],
  ['deepseek-v3', { phase: 'training', batch: 2, seq: 16 }],
  ['tiny', { phase: 'prefill', batch: 4, seq: 16 }],
  ['tiny-moe', { phase: 'decode', batch: 4, seq: 16, steps: 2 }],
] as const
const text = (plan: ReturnType<typeof planned>) => JSON.stringify(programToJson(plan.program))

describe.each(builds)('%s, %o', (model, build) => {
  const degrees = { dp: 2, tp: 2 }
  const plan = planned(model, build, degrees)

  it('planned twice gives the same bytes', () => {
    expect(text(planned(model, build, degrees))).toBe(text(plan))
  })

  it('does not depend on the order of the plugins', () => {
    const { preferences: _, ...program } = planned(model, build, degrees, {
      plugins: (list) => [...list].reverse(),
    }).program
    const { preferences: __, ...expected } = plan.program
    expect(program).toEqual(expected)
  })

  it('planned again changes nothing: the same object', () => {
    const context = { operators: plan.operators, warn: () => {} }
    expect(runPasses(plan.program, [...plan.composition.passes, ...corePasses], context)).toBe(plan.program)
  })
})
