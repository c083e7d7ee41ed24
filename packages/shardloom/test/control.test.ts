import { describe, expect, test } from 'vitest'
import { explain, plan, type SpecInput, summarise } from '../src/index.js'

/** What a rank is told of its control nodes of one operator, by `plan` and by `explain`. */
async function told(spec: SpecInput, op: string) {
  const planned = await plan(spec)
  const rows = summarise(planned).control.filter((row) => row.op === op)
  for (const { nodes, reason } of rows) for (const node of nodes) expect(explain(planned, node).text[0]).toBe(reason)
  return rows
}

describe('control nodes say what they wait for or decide', () => {
  test('the barriers of a synchronous schedule, and which ranks wait', async () => {
    const spec = { model: 'tiny', batch: 8, seq: 8, parallel: { dp: 2, pp: 2 }, options: { barriers: true } } as const
    expect(await told(spec, 'barrier')).toEqual([
      {
        op: 'barrier',
        count: 1,
        nodes: ['optimizer/flush'],
        reason: expect.stringMatching(/^All ranks wait for each other here: .*last microbatch/),
      },
      { op: 'barrier', count: 1, nodes: ['optimizer/step'], reason: expect.stringContaining('norm of the gradients') },
    ])
  })

  test('stand beside matmuls that run in parts with their collectives, which are none', async () => {
    const parallel = { dp: 2, tp: 2 }
    const spec = { model: 'tiny', batch: 8, seq: 8, parallel, options: { barriers: true, tp: { overlap: 2 } } } as const
    const [barrier] = await told(spec, 'barrier')
    expect(barrier?.nodes).toEqual(['optimizer/flush'])
  })

  test('an engine in lockstep: ranks of dp alone, where attention is split by tp', async () => {
    const spec = {
      model: 'mixtral-8x7b',
      phase: 'decode',
      batch: 8,
      seq: 64,
      parallel: { dp: 4, tp: 2, ep: 8 },
    } as const
    const [row] = await told(spec, 'barrier')
    expect(row?.nodes).toEqual(['decode/lockstep'])
    expect(row?.reason).toMatch(/^All ranks along dp wait for each other here: /)
  })

  test('routers of tokens, of requests and of copies, with their numbers', async () => {
    const mixtral = { model: 'mixtral-8x7b', phase: 'prefill', batch: 8, seq: 64 } as const
    const [tokens] = await told(mixtral, 'router')
    // Jiang et al. 2024: 2 of 8 experts in each of 32 layers.
    expect(tokens).toMatchObject({ count: 32, reason: expect.stringContaining('chooses 2 of 8 experts') })
    const [requests] = await told({ ...mixtral, parallel: { replicas: 4 } }, 'request_router')
    expect(requests?.reason).toContain('gives each of 4 engines')
    const copies = { ...mixtral, parallel: { dp: 2, ep: 2 }, options: { ep: { redundant: 2 } } } as const
    expect((await told(copies, 'choose_copy'))[0]?.reason).toContain('2 of 10 slots hold an expert once more')
  })
})
