import { nodesOf, type Program, type Tensor } from '@shardloom/core'
import { type InitialValue, interpret } from '@shardloom/testing'
import { expect, test } from 'vitest'
import { planned } from '../../packages/core/test/planned.js'
import { architectures, odd, routers } from './architectures.js'
import { tally } from './tally.js'

const build = { phase: 'training', batch: 2, seq: 4, microbatches: 2 } as const
const scale = 0.125

/** The loss alone needs no backward pass and no optimizer. */
function forwardOf(program: Program): Program {
  const forward = new Set(
    nodesOf(program.items)
      .filter(({ segment }) => segment === 'forward')
      .map(({ id }) => id),
  )
  const keep = (items: Program['items']): Program['items'] =>
    items.flatMap((item): Program['items'] => {
      if (item.type === 'node') return forward.has(item.id) ? [item] : []
      const bodies = item.bodies.map((body) => ({ ...body, items: keep(body.items) }))
      if (bodies.every((body) => body.items.length === 0)) return []
      const ports = item.ports.filter((port) => port.kind !== 'reduce' || port.result === 'loss')
      return [{ ...item, bodies, ports }]
    })
  return { ...program, items: keep(program.items) }
}

const models = [...architectures, ...odd, ...routers].map((model) => [model.name, model] as const)

/** The gradients of the interpreter against the slope of its own loss, along a direction through all elements of each parameter. */
test.each(models)('%s: every parameter has a gradient that is the slope of the loss', (_, model) => {
  const { program, operators } = planned(model, build, {})
  const forward = forwardOf(program)
  const layers = model.order.runs.reduce((sum, { count }) => sum + count, 0) * (model.order.repeat ?? 1)
  const usual: InitialValue = ({ id }, _at, index) => {
    if (id === 'inputs/loss_scale') return scale
    return id === 'inputs/positions' ? index : undefined
  }
  const run = interpret(program, operators, { initial: usual })
  tally({ specs: 1, executed: Object.fromEntries(run.executed) })
  const parameters = [...program.tensors.values()].filter(
    ({ role, id }) => role === 'parameter' && program.tensors.has(`gradient/${id}`),
  )
  const values = (tensor: Tensor, at: readonly number[]) =>
    run.whole(tensor.id, new Map(at.map((layer) => ['layer', layer])))
  const placesOf = (tensor: Tensor): number[][] => {
    if (tensor.per.length === 0) return [[]]
    const kinds = Array.from({ length: model.order.repeat ?? 1 }, () =>
      model.order.runs.flatMap(({ layer, count }) => Array.from({ length: count }, () => layer)),
    ).flat()
    const own = tensor.id.slice(0, tensor.id.indexOf('/'))
    return Array.from({ length: layers }, (_, layer) => [layer]).filter(([layer = 0]) => kinds[layer] === own)
  }

  /** The slope of the loss along the direction that `along` gives, by central differences of the fourth order. */
  const slope = (along: (id: string, at: readonly number[], index: number) => number, base: typeof values) => {
    const lossAt = (distance: number) => {
      const initial: InitialValue = (tensor, at, index) => {
        const amount = tensor.role === 'parameter' ? along(tensor.id, at, index) : 0
        return amount === 0 ? usual(tensor, at, index) : (base(tensor, at)[index] ?? 0) + distance * amount
      }
      return interpret(forward, operators, { initial }).whole('loss')[0] ?? Number.NaN
    }
    const step = 5e-4
    return (8 * (lossAt(step) - lossAt(-step)) - (lossAt(2 * step) - lossAt(-2 * step))) / (12 * step)
  }

  expect(parameters.length).toBeGreaterThan(8)
  const all = parameters.flatMap((tensor) =>
    placesOf(tensor).map((at) => {
      const gradient = run.whole(`gradient/${tensor.id}`, new Map(at.map((layer) => ['layer', layer])))
      return { tensor, at, gradient, own: values(tensor, at) }
    }),
  )
  const largest = Math.max(...all.flatMap(({ gradient }) => [...gradient].map(Math.abs)))
  const wrong = all.flatMap(({ tensor, at, gradient, own }) => {
    // A direction of length one through all elements of this parameter, so that each of them counts.
    const length = Math.hypot(...own.map((_, index) => Math.sin(1 + 3 * index)))
    const weight = (index: number) => Math.sin(1 + 3 * index) / length
    const expected = gradient.reduce((sum, value, index) => sum + value * weight(index), 0)
    const measured = slope(
      (id, where, index) => (id === tensor.id && where.join() === at.join() ? weight(index) : 0),
      () => own,
    )
    const error = Math.abs(measured - expected) / Math.max(Math.abs(expected), 1e-2 * largest)
    return error < 1e-6 ? [] : [`${tensor.id}@${at}: ${measured} instead of ${expected}`]
  })
  expect(wrong).toEqual([])
})
