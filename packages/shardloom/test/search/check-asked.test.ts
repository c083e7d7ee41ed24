import { finish, isShardloomError } from '@shardloom/core'
import { describe, expect, test } from 'vitest'
import { loadSpec } from '../../src/index.js'
import { answersOf, pointOf, questionOf, startOf } from '../../src/search.js'

const cluster = { preset: 'dgx-h100', nodes: 1 } as const
const steps = await loadSpec({ model: 'llama-3.1-8b', cluster, batch: 16, seq: 4096 })
const serving = await loadSpec({ model: 'llama-3.1-8b', cluster, phase: 'serving' })
/** Of these few candidates are planned. */
const few = { tp: [8], ulysses: [1], cp: [1], schedule: ['1f1b'] }

/** What JavaScript may hand over, which has no types. */
type Untyped = (loaded: typeof steps, options: unknown) => ReturnType<typeof questionOf>
const ask = questionOf as Untyped

function refusal(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (isShardloomError(error)) return [error.code, error.message, error.help].join(' ').trim()
    throw error
  }
  return ''
}

describe.each([
  ['steps', steps],
  ['serving', serving],
])('a question about %s', (_, loaded) => {
  test.each([
    [
      { choice: { tp: [2] } },
      'OPTION A search has no option `choice`. Did you mean `choices`? It has ranks, objective, limits, choices, top, front, parts.',
    ],
    [{ parts: 0 }, 'OPTION `parts` is 0. It is a whole number of at least 1.'],
    [{ parts: 1.5 }, 'OPTION `parts` is 1.5. It is a whole number of at least 1.'],
    [{ top: -3 }, 'OPTION `top` is -3. It is a whole number of at least 1.'],
    [{ top: Number.NaN }, 'OPTION `top` is NaN. It is a whole number of at least 1.'],
    [{ ranks: Number.NaN }, 'RANKS `ranks` is NaN. It is a whole number of at least 1.'],
    [{ ranks: '8' }, 'RANKS `ranks` is 8. It is a whole number of at least 1.'],
    [
      { limits: [{ metric: 'cost', most: Number.NaN }] },
      'LIMITS The limit on `cost` is NaN, which is no number. Give it a number as `most`, as `least`, or as both.',
    ],
    [
      { limits: [{ metric: 'ranks' }] },
      'LIMITS The limit on `ranks` says neither `most` nor `least`. Give it a number as `most`, as `least`, or as both.',
    ],
    [
      { front: ['ranks', 'ranks'] },
      'OBJECTIVE A front has two different metrics, and ranks and ranks came. Name two, such as `step-time` and `peak-memory`.',
    ],
    [{ choices: { tp: 2 } }, 'CHOICE `tp` is 2, which is no list of values. Give a list, such as `[2]`.'],
    [{ choices: { tp: [2, Number.NaN] } }, 'CHOICE `tp` cannot be NaN. Use numbers, words, true or false.'],
    [{ choices: { tp: [null] } }, 'CHOICE `tp` cannot be null. Use numbers, words, true or false.'],
  ])('refuses %j', (options, error) => {
    expect(refusal(() => ask(loaded, options))).toBe(error)
  })

  test('refuses choices by their names and values, in questions and of one point', () => {
    const question = questionOf(loaded, { choices: { tp: [8] } })
    for (const [name, value, error] of [
      ['foo', 1, /^CHOICE .*`foo`/],
      ['tpp', 1, /^CHOICE .*`tpp`.*Did you mean `tp`\?/],
      ['tp', 0, /^(SPEC_VALUE|CHOICE) .*tp`.* 0.*whole number|whole numbers from 1.* 0/],
      ['tp', 2.5, /^(SPEC_VALUE|CHOICE) .*tp`.*2\.5/],
      ['weightDtype', 'fp9', loaded === steps ? /^CHOICE Training has no `weightDtype`/ : /^SPEC_VALUE .*fp9/],
      ['pools', 3, loaded === steps ? /^CHOICE .*`pools`/ : /^CHOICE .*`pools` are 1 and 2; one is 3/],
    ] as const) {
      expect(
        refusal(() => questionOf(loaded, { choices: { [name]: [value] } })),
        name,
      ).toMatch(error)
      expect(
        refusal(() => pointOf(loaded, question, { [name]: value })),
        name,
      ).toMatch(error)
    }
  })

  test('has the parts that it says, and no others', () => {
    const choices = loaded === steps ? few : { tp: [8] }
    const question = questionOf(loaded, { parts: 4, choices })
    const { part, share } = answersOf(loaded, question)
    for (const strange of [-1, 4, 1.5, Number.NaN])
      expect(refusal(() => part(strange))).toBe(
        `OPTION There is no part ${strange}: there are 4 of them. Ask for 0 to 3.`,
      )
    const start = startOf(question)
    for (const strange of [-1, start.shares, Number.NaN])
      expect(refusal(() => share(start, strange))).toMatch(/^OPTION There is no share/)
    const whole = finish(answersOf(loaded, { ...question, parts: 1 }).part(0)).counts.total
    expect([0, 1, 2, 3].reduce((sum, each) => sum + finish(part(each)).counts.total, 0)).toBe(whole)
  })

  test('has for each of its best a point that is the same', () => {
    const question = questionOf(loaded, { parts: 1, choices: loaded === steps ? few : { tp: [8] } })
    const { best } = finish(answersOf(loaded, question).part(0))
    expect(best.length).toBeGreaterThan(0)
    for (const candidate of best) expect(pointOf(loaded, question, candidate.choices)).toEqual(candidate)
  })
})
