import { closePorts, edit, lookup, nodesOf, type Program, rewriteItems } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { draw } from './draw.js'

const sizes = { a: 2 }
const drawn = draw(
  sizes,
  'e = gelu(x): a -> a',
  'c = gelu(x2): a -> a',
  {
    id: 'layers',
    axis: 'layer',
    extent: 3,
    bodies: { layer: 'm = add(r, w): a, a -> a\ny = add(m, c): a, a -> a' },
    carry: { initial: 'e', inner: 'r', next: ['y'], result: 'out' },
  },
  'z = gelu(out): a -> a',
)
const perLayer = (program: Program, id: string): Program => {
  const tensors = new Map(program.tensors).set(id, { ...lookup(program.tensors, id), per: ['layer'] })
  return { ...program, tensors }
}
const ports = (program: Program) => {
  const [region] = closePorts(program.items, program.tensors).filter((item) => item.type === 'region')
  return region?.ports.flatMap((port) => ('tensor' in port ? [`${port.kind} ${port.tensor}`] : [port.kind]))
}

describe('edit', () => {
  it('gives the same program back when nothing was changed', () => {
    expect(edit(drawn).commit()).toBe(drawn)
    const draft = edit(drawn)
    draft.setItems(draft.items())
    draft.tensor('e')
    expect(draft.commit()).toBe(drawn)
  })

  it('leaves the program that it edits as it was', () => {
    const before = JSON.stringify([[...drawn.tensors], drawn.items, drawn.name])
    const draft = edit(drawn)
    draft.setTensor({ ...lookup(drawn.tensors, 'e'), role: 'input' })
    draft.set({ name: 'other' })
    draft.setItems(drawn.items.slice(0, 1))
    expect(draft.tensor('e').role).toBe('input')
    const after = draft.commit()
    expect(after.name).toBe('other')
    expect(after.items).toHaveLength(1)
    expect(after.tensors.get('e')?.role).toBe('input')
    expect(JSON.stringify([[...drawn.tensors], drawn.items, drawn.name])).toBe(before)
  })

  it('is dead after its commit', () => {
    const draft = edit(drawn)
    draft.commit()
    for (const use of [
      () => draft.commit(),
      () => draft.setItems([]),
      () => draft.set({}),
      () => draft.setTensor(lookup(drawn.tensors, 'e')),
    ])
      expect(use).toThrow('commit')
  })

  it('throws on a tensor that does not exist', () => {
    expect(() => edit(drawn).tensor('nobody')).toThrow('`nobody`')
    expect(() => lookup(drawn.tensors, 'constructor')).toThrow('`constructor`')
  })
})

describe('closePorts', () => {
  it('derives const ports for what bodies read from outside, and keeps the carry', () => {
    expect(ports(drawn)).toEqual(['carry', 'const c', 'const w'])
  })

  it('derives each ports for what has a value per iteration, read in or read later', () => {
    expect(ports(perLayer(drawn, 'w'))).toEqual(['carry', 'const c', 'each w'])
    const saved = draw(
      sizes,
      'e = gelu(x): a -> a',
      {
        id: 'layers',
        axis: 'layer',
        extent: 3,
        bodies: { layer: 'm = gelu(r): a -> a\ny = gelu(m): a -> a' },
        carry: { initial: 'e', inner: 'r', next: ['y'], result: 'out' },
      },
      {
        id: 'back',
        axis: 'layer',
        extent: 3,
        order: 'reverse',
        bodies: { layer: 'backward | d = add(m, g): a, a -> a' },
      },
    )
    expect(ports(saved)).toEqual(['carry', 'each m'])
  })

  it('does not pile up: closing twice is closing once', () => {
    const once = closePorts(drawn.items, drawn.tensors)
    expect(closePorts(once, drawn.tensors)).toEqual(once)
  })
})

it('rewriteItems visits inner bodies first and tells the region around them', () => {
  const seen: string[] = []
  const same = rewriteItems(drawn.items, (items, enclosing) => {
    seen.push(`${enclosing?.id ?? 'top'}: ${items.map((item) => item.id).join(' ')}`)
    return items
  })
  expect(seen).toEqual(['layers: m y', 'top: e c layers z'])
  expect(same).toEqual(drawn.items)
  const without = rewriteItems(drawn.items, (items) => items.filter((item) => item.id !== 'm'))
  expect(nodesOf(without).map((node) => node.id)).toEqual(['e', 'c', 'y', 'z'])
})
