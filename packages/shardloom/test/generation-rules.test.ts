import { expect, test } from 'vitest'
import { communicationRules, specFields, strategies } from '../src/index.js'

test('what each mismatch becomes', () => {
  const of = (from: string, to: string) =>
    communicationRules()
      .find((rule) => rule.from === from && rule.to === to)
      ?.steps.join()
  // The conversions of GSPMD (Xu et al. 2021, section 3.2) and of PyTorch's DTensor.
  expect(of('partial(sum)', 'replicate')).toBe('all-reduce')
  expect(of('partial(sum)', 'shard(a)')).toBe('reduce-scatter')
  expect(of('shard(a)', 'replicate')).toBe('all-gather')
  expect(of('shard(a)', 'shard(b)')).toBe('all-to-all')
  expect(of('replicate', 'shard(a)')).toBe('slice')
  expect(communicationRules()).toHaveLength(9)
})

test('every degree of a spec is an axis of one strategy', () => {
  const axes = strategies().flatMap((each) => each.axes.map(({ name }) => name))
  expect(new Set(axes).size).toBe(axes.length)
  const degrees = specFields().flatMap(({ path: [first, name = ''] }) => (first === 'parallel' ? [name] : []))
  // dpReplicate groups the ranks of dp.
  expect(axes).toEqual(expect.arrayContaining(degrees.filter((name) => name !== 'dpReplicate')))
})
