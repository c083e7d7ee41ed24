import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Action, firstHistory, type History, step } from '../src/state/history.js'
import { activeVariant } from '../src/state/studio-state.js'

const textOf = ({ present }: History) => activeVariant(present).text
const edit = (text: string, group = ''): Action => ({ type: 'edit', text, group })
const actions = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant('edit' as const), text: fc.string(), group: fc.constantFrom('', 'typing', 'tp') }),
    fc.record({ type: fc.constant('look' as const), change: fc.record({ selection: fc.string() }) }),
    fc.constantFrom({ type: 'undo' as const }, { type: 'redo' as const }),
  ),
)
const after = (list: readonly Action[]) => list.reduce(step, firstHistory)

test('redo after undo, and undo after redo, is where one was', () => {
  fc.assert(
    fc.property(actions, (list) => {
      const history = after(list)
      if (history.past.length > 0) {
        const back = step(step(history, { type: 'undo' }), { type: 'redo' })
        expect(back.present.variants).toEqual(history.present.variants)
      }
      if (history.future.length > 0) {
        const again = step(step(history, { type: 'redo' }), { type: 'undo' })
        expect(again.present.variants).toEqual(history.present.variants)
      }
    }),
  )
})

test('undo after a change is the text before it, and all undone is the first', () => {
  fc.assert(
    fc.property(actions, fc.string(), (list, text) => {
      const history = after(list)
      const changed = step(history, edit(text))
      if (changed !== history) expect(textOf(step(changed, { type: 'undo' }))).toBe(textOf(history))
      let back = changed
      while (back.past.length > 0) back = step(back, { type: 'undo' })
      expect(textOf(back)).toBe(textOf(firstHistory))
    }),
  )
})

test('typing is one step, what is looked at none, and a change ends what could be redone', () => {
  const typed = after([edit('a', 'typing'), edit('ab', 'typing'), edit('abc', 'typing')])
  expect(textOf(step(typed, { type: 'undo' }))).toBe(textOf(firstHistory))
  const looked = step(typed, { type: 'look', change: { view: 'timeline' } })
  expect(looked.past).toBe(typed.past)
  const undone = step(looked, { type: 'undo' })
  expect(undone.present.view).toBe('timeline')
  expect(step(undone, edit('other')).future).toEqual([])
})

test('a name that is the title of the model follows it, also numbered and of a config; a given name stays', () => {
  const titles = new Map([
    ['llama-3.1-70b', 'Llama 3.1 70B'],
    ['gpt2', 'GPT-2'],
    ['gpt2-xl', 'GPT-2 XL'],
  ])
  const name = (from: string, ...texts: readonly string[]) => {
    const variants = [{ name: from, text: 'model: llama-3.1-70b\n' }]
    const opened = step(firstHistory, { type: 'variants', variants, active: 0 })
    const edits = texts.map((text): Action => ({ type: 'edit', text, group: '', titles }))
    return activeVariant(edits.reduce(step, opened).present).name
  }
  expect(name('Llama 3.1 70B', 'model: gpt2-xl\n')).toBe('GPT-2 XL')
  expect(name('Llama 3.1 70B 2', 'model: gpt2-xl\n', 'model: gpt\n', 'model: gpt2\n')).toBe('GPT-2 2')
  expect(name('Llama 3.1 70B', 'model:\n  model_type: qwen2\n', 'model: gpt2\n')).toBe('GPT-2')
  expect(name('Llama 3.1 70B', 'model:\n  model_type: qwen2\n')).toBe('qwen2')
  expect(name('my plan', 'model: gpt2\n')).toBe('my plan')
  expect(name('Llama 3.1 70B', 'model: llama-3.1-70b\nseq: 4096\n')).toBe('Llama 3.1 70B')
})

test('undo after a guided page goes over the own plans only', () => {
  const own = after([edit('first'), edit('second')])
  const learn = { page: 'tp' as const, step: 0, own: own.present }
  const lesson: Action = { type: 'open', state: { ...own.present, variants: [{ name: 'page', text: 'page' }], learn } }
  const { learn: _, ...left } = { ...own.present, learn }
  const back = [lesson, edit('moved'), edit('moved again'), { type: 'open', state: left } as const].reduce(step, own)
  expect(textOf(back)).toBe('second')
  const undone = step(back, { type: 'undo' })
  expect([undone.present.learn, textOf(undone)]).toEqual([undefined, 'first'])
  expect(textOf(step(undone, { type: 'redo' }))).toBe('second')
})
