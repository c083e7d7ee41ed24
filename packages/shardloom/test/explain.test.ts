import { nodesOf } from '@shardloom/core'
import { describe, expect, test } from 'vitest'
import { explain, explainPasses, type Plan, plan, summarise } from '../src/index.js'

const spec = { model: 'llama-3.1-8b', batch: 4, seq: 4096, parallel: { tp: 2, dp: 2 } } as const

/** The first communication node over an axis in a part of the phase whose id matches. */
function communicationNode(planned: Plan, phase: string, axis: string, id: RegExp): string {
  const rows = summarise(planned).communication.filter((row) => row.phase === phase && row.axes.join() === axis)
  const found = rows.flatMap((row) => row.nodes).find((node) => id.test(node))
  if (!found) throw new Error(`no node ${id} among ${rows.flatMap((row) => row.nodes)}`)
  return found
}

describe('explaining a communication node', () => {
  test('of experts over the ranks of dp: by the name of their axis, one row for each reason', async () => {
    const planned = await plan({ model: 'mixtral-8x7b', batch: 8, seq: 64, parallel: { dp: 2, ep: 2 } })
    const rows = summarise(planned).communication.filter(({ op }) => op === 'all-to-all')
    expect(rows.map(({ axes, phase, nodes }) => [axes, phase, nodes.length])).toEqual([
      [['ep'], 'forward', 1],
      [['ep'], 'forward', 1],
      [['ep'], 'backward', 1],
      [['ep'], 'backward', 1],
    ])
    const text = explain(planned, rows[0]?.nodes[0] ?? '').text.join(' ')
    expect(text).toContain('an all-to-all over ep stands between them')
    expect(text).toContain('by direct exchange, ')
    expect(text).not.toContain('splits nothing else')
  })

  test('names the dim whose split made the tensor partial, and the reader', async () => {
    const planned = await plan(spec)
    const explanation = explain(planned, communicationNode(planned, 'forward', 'tp', /ffn\/down/))
    expect(explanation.text[0]).toBe(
      'The result of `forward/layer/ffn/down` is a partial sum over tp, since tp splits its contracted dim `ffn`; ' +
        '`forward/layer/ffn/residual` reads it whole.',
    )
    expect(explanation).toMatchObject({
      schema: 'shardloom.explain/1',
      kind: 'communication',
      op: 'all-reduce',
      region: 'microbatch/layer',
      executions: 64,
      communication: {
        tensor: 'forward/layer/ffn/down',
        producer: 'forward/layer/ffn/down',
        consumer: 'forward/layer/ffn/residual',
        strategies: ['tp'],
        axes: ['tp'],
        groupSize: 2,
        group: [0, 1],
        from: 'batch/dp · partial(sum)/tp',
        to: 'batch/dp',
        payloadBytes: 4096 * 4096 * 2,
        bytesPerRank: 4096 * 4096 * 2,
      },
    })
  })

  test('follows a gradient back through the sum over microbatches', async () => {
    const planned = await plan(spec)
    const explanation = explain(planned, communicationNode(planned, 'optimizer', 'dp', /ffn\/down/))
    expect(explanation.text[0]).toContain(
      'summed over microbatch, is a partial sum over dp, since dp splits its contracted dim `batch`',
    )
    expect(explanation.communication?.producer).toMatch(/^backward\/layer\/ffn\/down/)
    expect(explain(planned, explanation.node, { rank: 3 }).communication?.group).toEqual([1, 3])
  })

  test('names both dims where tp splits KV heads and their groups', async () => {
    const planned = await plan({ ...spec, parallel: { tp: 16, dp: 1 } })
    const explanation = explain(planned, communicationNode(planned, 'forward', 'tp', /attention\/out/))
    expect(explanation.text[0]).toContain('tp splits its contracted dims `kv_heads` and `group`')
    const values = explain(planned, communicationNode(planned, 'backward', 'tp.1', /context\.value/))
    expect(values.text).toContain(
      'Axis tp (degree 16) is divided into 2 parts: tp.0 (degree 8) splits KV heads, ' +
        'tp.1 (degree 2) splits the query heads that share a KV head.',
    )
  })
})

describe('in a pipeline', () => {
  const pipelined = {
    model: 'llama-3.1-8b',
    batch: 8,
    seq: 64,
    parallel: { dp: 2, pp: 2 },
    options: { schedule: 'interleaved-1f1b', virtual: 2 },
  } as const

  test('the loss is partial over dp, which splits it, and over pp, whose last stage has it', async () => {
    const { text } = explain(await plan(pipelined), 'optimizer/loss/all-reduce(pp.dp)')
    expect(text[0]).toContain('since dp splits its contracted dim `batch`, and the last stage of pp alone has it')
  })

  test('a transfer names whom it is with, and gradients come from the next layer', async () => {
    const planned = await plan(pipelined)
    // Ranks 0 and 1 are the first stage, 2 and 3 the last: each hands on to the other, with the same coordinate of dp.
    for (const rank of [0, 3])
      for (const { op, nodes, phase } of summarise(planned, { rank }).communication)
        for (const id of op === 'send' || op === 'recv' ? nodes : []) {
          const { text, communication } = explain(planned, id, { rank })
          expect(communication?.group).toEqual(rank === 0 ? [0, 2] : [1, 3])
          const isNext = (op === 'recv') === (phase === 'backward')
          expect(text[0]).toMatch(isNext ? /the next layer stands/i : /the layer before stands/i)
        }
  })
})

test('what a pipeline passes on says so in both directions, and every node that a plan lists can be explained', async () => {
  const planned = await plan({
    model: 'tiny',
    batch: 8,
    seq: 8,
    parallel: { pp: 2 },
    options: { schedule: 'dualpipe' },
  })
  for (const rank of [0, 1]) {
    const rows = summarise(planned, { rank }).communication
    const passed = rows.filter(({ op }) => op === 'send' || op === 'recv')
    expect(passed.filter(({ reason }) => / stage$/.test(reason))).toHaveLength(2)
    expect(passed.filter(({ reason }) => / stage, in the second direction$/.test(reason))).toHaveLength(2)
    for (const { nodes, count, op, payloadBytes } of rows)
      for (const id of nodes) {
        const { executions, text, communication } = explain(planned, id, { rank })
        expect([id, executions]).toEqual([id, count / nodes.length])
        expect(text.every((sentence) => sentence !== '')).toBe(true)
        if (op === 'send') expect(communication?.payloadBytes).toBe(payloadBytes)
      }
  }
  const forward = (rank: number) =>
    summarise(planned, { rank }).communication.find(({ op, phase }) => op === 'send' && phase === 'forward')
  // Rank 0 begins the first direction, rank 1 the second.
  expect(forward(0)?.reason).toBe('what a layer hands on goes to another stage')
  expect(forward(1)?.reason).toBe('what a layer hands on goes to another stage, in the second direction')
})

describe('explaining any other node', () => {
  test('says how it is split, what it computes and moves', async () => {
    const explanation = explain(await plan(spec), 'forward/layer/ffn/down')
    expect(explanation).toMatchObject({
      kind: 'compute',
      op: 'einsum',
      rule: 'batch seq ffn, ffn hidden -> batch seq hidden',
      splits: { batch: ['dp'], ffn: ['tp'] },
      flops: 2 * 4096 * (14336 / 2) * 4096,
      flopClass: 'linear',
      bytesRead: 2 * (4096 * 7168 + 7168 * 4096),
      bytesWritten: 2 * 4096 * 4096,
      inputs: [
        { shape: [2, 4096, 14336], localShape: [1, 4096, 7168] },
        { shape: [14336, 4096], localShape: [7168, 4096] },
      ],
    })
    expect(explanation.text.slice(0, 2)).toEqual([
      'Its dim `batch` is split over dp, as dp asks.',
      'Its dim `ffn` is split over tp, as tp asks.',
    ])
  })

  test('takes an id of the unrolled graph', async () => {
    const planned = await plan(spec)
    const [rolled, unrolled] = ['forward/layer/ffn/down', 'forward/layer/ffn/down[microbatch=0,layer=3]']
    expect(explain(planned, unrolled)).toEqual(explain(planned, rolled))
  })

  test('an id that does not exist is refused with those that are near', async () => {
    const planned = await plan(spec)
    expect(() => explain(planned, 'forward/layer/ffn/dwn')).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_NODE', help: expect.stringContaining('`forward/layer/ffn/down`') }),
    )
    expect(() => explain(planned, 'down')).toThrow(
      expect.objectContaining({ help: expect.stringContaining('ffn/down') }),
    )
    expect(() => explain(planned, '')).toThrow(expect.objectContaining({ code: 'UNKNOWN_NODE' }))
  })
})

test('every node of a plan can be explained', async () => {
  for (const phase of ['training', 'prefill', 'decode'] as const) {
    const planned = await plan({ model: 'tiny-moe', phase, batch: 4, seq: 16, parallel: { tp: 2, dp: 2 } })
    for (const { id } of nodesOf(planned.program.items)) {
      const { text } = explain(planned, id)
      expect(text.length, id).toBeGreaterThan(0)
      expect(text.join(' '), id).not.toMatch(/undefined|\?/)
    }
  }
})

test('every pass says what it changed, in the order in which they ran', async () => {
  const { passes } = explainPasses(await plan(spec))
  expect(passes.map(({ pass }) => pass)).toEqual([
    'pp/divide-layers',
    'models/differentiate',
    'models/optimizer',
    'tp/split-heads',
    'dp/route-requests',
    'dp/split-batch',
    'sp/split-sequence',
    'sp/exchange-heads',
    'sp/order-positions',
    'sp/split-cache',
    'ep/load-experts',
    'ep/place-experts',
    'ep/limit-tokens',
    'ep/split-experts',
    'pp/place-stages',
    'core/partition',
    'core/place',
    'core/communicate',
    'dp/type-reductions',
    'dp/lock-steps',
    'core/divide-backward',
  ])
  const communicate = passes.find(({ pass }) => pass === 'core/communicate')
  expect(communicate?.nodes.added).toBe(communicate?.tensors.added)
  expect(communicate?.examples[0]).toContain('all-reduce')
  expect(passes.find(({ pass }) => pass === 'dp/split-batch')?.preferences).toBe(1)
  const prefill = explainPasses(await plan({ ...spec, phase: 'prefill' }))
  expect(prefill.passes.find(({ pass }) => pass === 'models/differentiate')?.unchanged).toBe(true)
})

describe('the token of a decode step', () => {
  const spec = { model: 'tiny', phase: 'decode', batch: 4, microbatch: 2, seq: 16, parallel: { pp: 2 } } as const
  const transfers = (planned: Plan, rank: number) =>
    summarise(planned, { rank }).communication.map(({ op, reason }) => `${op}: ${reason}`)

  test('is on its way from the last stage to the first, for the next step', async () => {
    const planned = await plan({ ...spec, steps: 3 })
    expect(transfers(planned, 0)).toEqual([
      'send: what a layer hands on goes to another stage',
      'recv: the sampled token comes from the last stage, for the next step',
    ])
    expect(transfers(planned, 1)).toEqual([
      'recv: what a layer reads comes from another stage',
      'send: the sampled token goes to the first stage, for the next step',
    ])
    expect(explain(planned, 'decode/tokens/send', { rank: 1 }).text.join(' ')).toContain(
      'The last stage has sampled `decode/head/sample`, and the first begins the next step with it: so the token goes over pp.',
    )
  })

  test('stays where it is when no step follows', async () => {
    const planned = await plan(spec)
    expect(transfers(planned, 0)).toEqual(['send: what a layer hands on goes to another stage'])
    expect(transfers(planned, 1)).toEqual(['recv: what a layer reads comes from another stage'])
  })
})
