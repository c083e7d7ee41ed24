import { lookup, type OperatorNode, type Program, rewriteItems, type Tensor } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { sequenceParallel } from '@shardloom/strategy-sp'
import { describe, expect, it } from 'vitest'
import { dense, grouped, layerOf, modelOf } from '../../../test/proof/architectures.js'
import { and } from '../../../test/proof/strategies.js'
import { planned } from './planned.js'

const model = modelOf('two layers', { layer: layerOf(grouped, dense) })
const { program, operators } = planned(
  model,
  { phase: 'training', batch: 2, seq: 12 },
  { cp: 3 },
  and(sequenceParallel({ attention: 'ring' })),
)

const messages = (changed: Program) =>
  verifyProgram(changed, operators).flatMap(({ rule, violations }) =>
    violations.map((each) => `${rule}: ${each.message}`),
  )
const withTensor = (id: string, change: Partial<Tensor>): Program => ({
  ...program,
  tensors: new Map(program.tensors).set(id, { ...lookup(program.tensors, id), ...change }),
})
const withNodes = (change: (node: OperatorNode) => OperatorNode): Program => ({
  ...program,
  items: rewriteItems(program.items, (list) => list.map((item) => (item.type === 'node' ? change(item) : item))),
})

describe('a ring', () => {
  it('is sound', () => expect(messages(program)).toEqual([]))

  it('whose blocks meet others than they say', () => {
    const without = withTensor('forward/layer/attention/ring/v', {
      rotation: { position: 1, atoms: ['cp'], offset: 0 },
    })
    expect(messages(without).join('\n')).toMatch(
      /meets `forward\/layer\/attention\/ring\/v`|hands `.*` shards that have moved otherwise/,
    )
    const late = withTensor('forward/layer/attention/ring/pass/k/recv', {
      rotation: { position: 1, atoms: ['cp'], axis: 'ring_step', offset: 2 },
    })
    expect(messages(late).join('\n')).toContain('is recorded as turned along cp by 2 + ring_step, but')
    expect(messages(late).join('\n')).toContain(
      'hands `forward/layer/attention/ring/k` shards that have moved otherwise',
    )
  })

  it('whose hops are longer than they say, on both ends', () => {
    const twice = withNodes((node) =>
      node.communication?.shift && node.id.includes('forward/layer/attention/ring/pass/k')
        ? { ...node, communication: { ...node.communication, shift: 2 * node.communication.shift } }
        : node,
    )
    expect(messages(twice)).toEqual([
      expect.stringContaining('but `forward/layer/attention/ring/pass/k/recv` makes cp by 2'),
    ])
  })

  it('with more steps than ranks', () => {
    const longer: Program = {
      ...program,
      items: rewriteItems(program.items, (list) =>
        list.map((item) =>
          item.type === 'region' && item.axis === 'ring_step'
            ? {
                ...item,
                extent: 4,
                select: [
                  { body: 0, count: 3 },
                  { body: 1, count: 1 },
                ],
              }
            : item,
        ),
      ),
    }
    const found = messages(longer).join('\n')
    expect(found).toContain('5: The ranks that share `forward/layer/attention/ring/pass/score` compute')
    expect(found).toContain('shards that have moved otherwise')
  })

  it('without the loop that brings the other blocks', () => {
    const alone = withNodes((node) =>
      node.id === 'forward/layer/ffn/norm'
        ? { ...node, partition: { splits: { batch: ['cp'], seq: ['cp'] }, partial: {}, by: {} } }
        : node,
    )
    expect(messages(alone).join('\n')).toContain('or some of them twice')
  })
})

describe('layouts', () => {
  const layout = { axis: 'cp', dims: ['seq', 'kv_seq'], order: 'zigzag' } as const

  it('are those that the plugin made', () => expect(program.layouts).toEqual([layout]))

  it('two for one dim and axis', () => {
    const twice = { ...program, layouts: [layout, { ...layout, dims: ['kv_seq'] }] }
    expect(messages(twice)).toEqual(['2: `kv_seq` has two layouts over `cp`.'])
  })

  it('a dim whose other name is left out', () => {
    const half = { ...program, layouts: [{ ...layout, dims: ['seq'] }] }
    const found = messages(half)
    expect(found.length).toBeGreaterThan(0)
    expect(found[0]).toMatch(
      /^2: `.*` takes `kv_seq` of `.*` for another dim, whose positions are laid out otherwise\.$/,
    )
  })
})
