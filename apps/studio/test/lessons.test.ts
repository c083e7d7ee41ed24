import {
  type LoadedSpec,
  loadSpec,
  planLoaded,
  readSpecText,
  simulateLoaded,
  stepFigures,
  summarise,
  verifyPlan,
} from 'shardloom'
import { describe, expect, test } from 'vitest'
import { foldView } from '../src/graph/fold.js'
import type { Lesson, LessonStep, Measured, Paragraph } from '../src/learn/lesson.js'
import { lessons, sources } from '../src/learn/lessons.js'
import { leaveLesson, openLesson } from '../src/learn/open-lesson.js'
import { firstHistory, step } from '../src/state/history.js'
import { fieldsOf, valueAt, withField } from '../src/state/spec-text.js'
import { checkState, lessonNames, sample } from '../src/state/studio-state.js'
import { knownOf } from '../src/worker/cached.js'

const pages = lessonNames.map((name) => [name, lessons[name]] as const)
const steps = pages.flatMap(([name, lesson]) =>
  lesson.steps.map((each, at) => [`${name}, step ${at + 1}: ${each.title}`, each] as const),
)

const measured = new Map<string, Promise<Measured>>()

function measure(text: string): Promise<Measured> {
  const made = measured.get(text) ?? measureAnew(text)
  measured.set(text, made)
  return made
}

async function measureAnew(text: string): Promise<Measured> {
  const loaded: LoadedSpec = await loadSpec(readSpecText(text))
  const simulation = simulateLoaded(loaded)
  expect(verifyPlan(simulation.plan).ok).toBe(true)
  return { figures: stepFigures(simulation), summary: summarise(simulation.plan) }
}

const ownText = ({ plans, active = 0 }: LessonStep) => plans[active]?.text ?? ''
const wordsOf = (paragraph: Paragraph, plan: Measured, given = plan) =>
  typeof paragraph === 'string' ? paragraph : paragraph(plan, given)
const illWritten = /undefined|NaN|Infinity|\[object|null/

describe.each(steps)('%s', (_, shown) => {
  test('its plans keep every rule, and its words have their figures', async () => {
    for (const { text } of shown.plans) await measure(text)
    const own = await measure(ownText(shown))
    for (const paragraph of shown.text) expect(wordsOf(paragraph, own)).not.toMatch(illWritten)
  })

  test('what it selects is on the screen', async () => {
    if (shown.view !== 'graph' || shown.selection === undefined) return
    const { level = 'layer', toggled = [] } = shown.graph ?? {}
    if (level === 'stage') throw new Error('a picture of stages has cards that do not open')
    const { views } = await knownOf({ text: ownText(shown), pool: 'prefill' })
    expect(foldView(views, level, new Set(toggled)).nodes.map(({ id }) => id)).toContain(shown.selection)
  })

  test('of what one may expect the answer alone holds, and no slider leads to a plan that there is not', async () => {
    const { question } = shown
    if (!question) return
    const { knob, options, answer, because } = question
    const path = knob.path.split('.')
    const start = valueAt(fieldsOf(ownText(shown)), path) ?? knob.values[0]
    expect(knob.values).toContain(start)
    expect(knob.values).toContain(knob.to)
    expect(knob.to).not.toBe(start)
    for (const value of knob.values)
      await loadSpec(readSpecText(withField(ownText(shown), path, value))).then(planLoaded)
    const before = await measure(ownText(shown))
    const after = await measure(withField(ownText(shown), path, knob.to))
    expect(options.map(({ holds }) => holds(before, after))).toEqual(options.map((_each, at) => at === answer))
    for (const words of [because(before, after), ...shown.text.map((each) => wordsOf(each, after, before))])
      expect(words).not.toMatch(illWritten)
  })
})

test('words about a plan follow it, those about the given one do not', async () => {
  const [first, second] = lessons.pp.steps
  if (!first || !second) throw new Error('the page has no steps')
  const given = await measure(ownText(first))
  const plan = await measure(withField(withField(ownText(first), ['batch'], 32), ['parallel', 'pp'], 2))
  const textOf = ({ text }: LessonStep) => text.map((each) => wordsOf(each, plan, given)).join(' ')
  expect(textOf(first)).toContain('Here p is 2 and m is 32')
  expect(textOf(second)).toContain('8 microbatches at once')
})

describe.each(pages)('the page %s', (name, lesson) => {
  test('names its sources where they are followed, and no others', async () => {
    const text = await textOf(lesson)
    for (const source of lesson.sources) expect(text).toContain(`(${sources[source].short})`)
    const cited = [...text.matchAll(/\(([^()]*? \d{4})\)/g)].map(([, short]) => short)
    expect(new Set(cited)).toEqual(new Set(lesson.sources.map((source) => sources[source].short)))
  })

  test('opens at each step from a link, beside the own plans', () => {
    for (const at of lesson.steps.keys()) {
      const state = openLesson(sample, name, lesson, at)
      expect(checkState(JSON.parse(JSON.stringify(state)))).toEqual(state)
      expect(leaveLesson(state)).toMatchObject({ variants: sample.variants, active: sample.active })
      expect(leaveLesson(state).learn).toBeUndefined()
    }
  })
})

async function textOf({ steps: all }: Lesson): Promise<string> {
  const parts = await Promise.all(
    all.map(async (each) => {
      const own = await measure(ownText(each))
      return each.text.map((paragraph) => wordsOf(paragraph, own)).join(' ')
    }),
  )
  const because = all.flatMap(({ question }) => (question ? [question.because.toString()] : []))
  return [...parts, ...because].join(' ')
}

test('pages that are opened after each other keep the own plans, and undo leads back to them', () => {
  const [first, second] = [lessons.dp, lessons.tp]
  const opened = openLesson(sample, 'dp', first, 0)
  const further = openLesson(opened, 'tp', second, 1)
  expect(further.learn).toEqual({ page: 'tp', step: 1, own: { variants: sample.variants, active: 0 } })
  let history = step(firstHistory, { type: 'open', state: opened })
  history = step(history, { type: 'edit', text: 'model: gpt2\n', group: '' })
  history = step(history, { type: 'open', state: further })
  history = step(history, { type: 'undo' })
  expect(history.present).toMatchObject({ view: opened.view, learn: { page: 'dp', step: 0 } })
  expect(history.present.variants[0]?.text).toBe('model: gpt2\n')
  history = step(step(history, { type: 'undo' }), { type: 'undo' })
  expect(history.present).toEqual(sample)
  expect(step(history, { type: 'redo' }).present.learn?.page).toBe('dp')
})

test.each([
  [{ page: 'nothing', step: 0, own: { variants: sample.variants, active: 0 } }, 'a page is none of'],
  [{ page: 'dp', step: -1, own: { variants: sample.variants, active: 0 } }, 'there is no such step'],
  [{ page: 'dp', step: 1e9, own: { variants: sample.variants, active: 0 } }, 'there is no such step'],
  [{ page: 'dp', step: 0, own: { variants: [], active: 0 } }, 'there is no such variant'],
  [{ page: 'dp', step: 0 }, 'the own plans is no object'],
])('a link with a broken guide says so', (learn, why) => {
  expect(() => checkState({ ...sample, learn })).toThrow(why)
})
