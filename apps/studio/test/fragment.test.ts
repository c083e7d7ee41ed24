import { expect, test } from 'vitest'
import { readFragment, writeFragment } from '../src/state/fragment.js'
import { sample, sizeProblem } from '../src/state/studio-state.js'

/** A text that cannot be packed: random characters of a range, as many as are taken. */
function longest(from: number, to: number): string {
  let [seed, text] = [1, '']
  const next = () => (seed = (seed * 48_271) % 2_147_483_647)
  for (let room = 200_000; room > 0; room--) text += String.fromCharCode(from + (next() % (to - from)))
  return text
}

test.each([
  ['letters', 33, 127],
  ['characters of three bytes', 0x3000, 0xd000],
  ['halves of characters, which JSON writes in six', 0xd800, 0xe000],
])('whatever is planned has a link that opens again: as many %s as are taken', async (_, from, to) => {
  const state = { ...sample, variants: [{ name: 'a plan', text: longest(from, to) }] }
  expect(sizeProblem(state.variants[0]?.text ?? '')).toBeUndefined()
  const fragment = await writeFragment(state)
  expect(await readFragment(fragment ?? '')).toEqual(state)
  expect(sizeProblem(`${state.variants[0]?.text}x`)).toContain('200001 characters')
})

test('plans that are together too long have no link, rather than one that does not open', async () => {
  const variants = Array.from({ length: 12 }, (_, at) => ({ name: `${at}`, text: longest(0x3000 + at, 0xd000) }))
  expect(await writeFragment({ ...sample, variants })).toBeUndefined()
})
