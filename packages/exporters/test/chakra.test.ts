import { type Item, type OperatorTable, type Program, walk } from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { type ChakraOptions, chakraTraces } from '@shardloom/exporters/chakra'
import { findPreset } from '@shardloom/models'
import { meterOf } from '@shardloom/simulator'
import { loadSpec, plan, type SpecInput, simulateLoaded } from 'shardloom'
import { traceLoaded } from 'shardloom/chakra'
import { describe, expect, it } from 'vitest'
import { type ChakraNode, numberOf, readTrace } from './chakra-reader.js'

async function traced(spec: SpecInput, options: ChakraOptions = {}) {
  const planned = await plan(spec)
  const traces = chakraTraces(planned.program, planned.operators, options)
  const ranks = Array.from({ length: traces.world }, (_, rank) => readTrace(traces.trace(rank)).nodes)
  const groups: Record<string, number[]> = JSON.parse([...traces.groups()].join(''))
  return { ...planned, traces, ranks, groups }
}

const isTransfer = ({ type }: ChakraNode) => type === 'COMM_SEND_NODE' || type === 'COMM_RECV_NODE'

/**
 * Replays traces as ASTRA-sim does: of what is ready each rank starts the lowest id, at most one collective or send at a time; a
 * recv ends when its send has begun, a collective when all of its group are at it. Returns the nodes that never ran.
 */
function stuck(ranks: readonly (readonly ChakraNode[])[], groups: Readonly<Record<string, readonly number[]>>) {
  const done = ranks.map((nodes) => new Uint8Array(nodes.length))
  const sent = new Set<string>()
  /** By group, the collective that each of its members is at. */
  const waiting = new Map<string, Map<number, ChakraNode>>()
  const busy = new Map<number, ChakraNode>()
  const key = (node: ChakraNode, from: number, to: number) =>
    `${numberOf(node, 'comm_tag')} ${from} ${to} ${numberOf(node, 'comm_size')}`
  for (let moved = true; moved; ) {
    moved = false
    for (const [rank, nodes] of ranks.entries()) {
      const own = done[rank] as Uint8Array
      for (const node of nodes) {
        if (own[node.id] || ![...node.data, ...node.control].every((id) => own[id])) continue
        if (node.type === 'COMM_COLL_NODE') {
          if (busy.has(rank)) continue
          busy.set(rank, node)
          const group = String(node.attributes.get('pg_name')?.value)
          const members = waiting.get(group) ?? new Map<number, ChakraNode>()
          waiting.set(group, members.set(rank, node))
          moved = true
          if (members.size < (groups[group]?.length ?? 0)) continue
          const kinds = new Set(
            [...members.values()].map((each) => `${numberOf(each, 'comm_type')} ${numberOf(each, 'comm_size')}`),
          )
          expect(kinds.size, `group ${group} at ${node.name}`).toBe(1)
          for (const [member, each] of members) {
            ;(done[member] as Uint8Array)[each.id] = 1
            busy.delete(member)
          }
          waiting.delete(group)
          continue
        }
        if (node.type === 'COMM_SEND_NODE') {
          if (busy.has(rank)) continue
          sent.add(key(node, rank, numberOf(node, 'comm_dst')))
        }
        if (node.type === 'COMM_RECV_NODE' && !sent.delete(key(node, numberOf(node, 'comm_src'), rank))) continue
        own[node.id] = 1
        moved = true
      }
    }
  }
  return ranks.flatMap((nodes, rank) =>
    nodes.filter(({ id }) => !done[rank]?.[id]).map(({ name }) => `${rank}: ${name}`),
  )
}

/** The FLOPs of a rank's compute nodes: control nodes, such as choosing experts, become dependencies. */
function computed(program: Program, operators: OperatorTable, rank: number): bigint {
  const meter = meterOf(program, operators, rank)
  let sum = 0n
  walk(programOf(program, rank).items, (node, place) => {
    if (node.kind === 'compute') sum += meter.total(node, place).flops
  })
  return sum
}

const tiny = { model: 'tiny', batch: 8, seq: 16 }
const cases: readonly (readonly [string, SpecInput])[] = [
  ['one device', { ...tiny }],
  [
    'data and tensor parallel with sequence parallelism',
    { ...tiny, parallel: { dp: 2, tp: 2 }, options: { sequenceParallel: true } },
  ],
  ['ZeRO-3', { ...tiny, parallel: { dp: 4 }, options: { zero: 3 } }],
  ['1F1B', { ...tiny, microbatch: 1, parallel: { pp: 2, dp: 2 }, options: { schedule: '1f1b' } }],
  ['ZB-H1', { ...tiny, microbatch: 1, parallel: { pp: 2 }, options: { schedule: 'zbh1' } }],
  [
    'interleaved chunks',
    {
      ...tiny,
      model: { ...findPreset('tiny'), order: { runs: [{ layer: 'layer', count: 4 }] } },
      microbatch: 1,
      parallel: { pp: 2, tp: 2 },
      options: { schedule: 'interleaved1f1b', virtual: 2 },
    },
  ],
  ['a ring of attention', { ...tiny, parallel: { cp: 4 }, options: { sp: { attention: 'ring' } } }],
  ['experts', { model: 'tiny-moe', batch: 8, seq: 16, parallel: { dp: 4, ep: 4 } }],
  ['decoding', { ...tiny, phase: 'decode', steps: 3, parallel: { tp: 2, dp: 2 } }],
]

describe('Chakra traces', () => {
  it.each(cases)('%s: every rank finishes, sends meet recvs, groups agree, no work is lost', async (_, spec) => {
    const { ranks, groups, program, operators } = await traced(spec)
    for (const [rank, nodes] of ranks.entries()) {
      nodes.forEach((node, index) => {
        expect(node.id).toBe(index)
        // Ids follow the schedule, so that nothing waits for what comes later.
        for (const id of [...node.data, ...node.control]) expect(id).toBeLessThan(index)
        if (node.type !== 'COMM_COLL_NODE') return
        const members = groups[String(node.attributes.get('pg_name')?.value)]
        expect(members).toContain(rank)
        expect(members?.length).toBeGreaterThan(1)
      })
      const flops = nodes.reduce(
        (sum, node) => sum + (node.type === 'COMP_NODE' ? BigInt(numberOf(node, 'num_ops')) : 0n),
        0n,
      )
      expect(flops).toBe(computed(program, operators, rank))
    }
    const ends = ranks.flatMap((nodes, rank) =>
      nodes.filter(isTransfer).map((node) => {
        const isSend = node.type === 'COMM_SEND_NODE'
        const [from, to] = isSend ? [rank, numberOf(node, 'comm_dst')] : [numberOf(node, 'comm_src'), rank]
        return { isSend, key: `${from}→${to} ${numberOf(node, 'comm_tag')} ${numberOf(node, 'comm_size')}` }
      }),
    )
    const keys = (isSend: boolean) =>
      ends
        .filter((end) => end.isSend === isSend)
        .map(({ key }) => key)
        .sort()
    expect(keys(true)).toEqual(keys(false))
    expect(new Set(keys(true)).size).toBe(keys(true).length)
    expect(stuck(ranks, groups)).toEqual([])
  })

  it('begins as the published framing says: the length of the metadata, and its version', async () => {
    const { traces } = await traced({ ...tiny })
    const [first] = traces.trace(0)
    expect([...(first ?? []).slice(0, 8)]).toEqual([0x07, 0x0a, 0x05, ...Buffer.from('1.0.0')])
  })

  it('has the members of the union that readers look for, and bytes of what each rank brings', async () => {
    // 8 sequences of 16 tokens of 64 in bf16; with sequence parallelism each of two ranks holds half of the tokens.
    const { ranks } = await traced({ ...tiny, microbatch: 8, parallel: { tp: 2 }, options: { sequenceParallel: true } })
    const of = (op: string) => ranks[0]?.find(({ name, type }) => type === 'COMM_COLL_NODE' && name.includes(op))
    const [gather, scatter] = [of('all-gather'), of('reduce-scatter')]
    const hidden = findPreset('tiny').hidden
    expect(gather && numberOf(gather, 'comm_size')).toBe((8 * 16 * hidden * 2) / 2)
    expect(scatter && numberOf(scatter, 'comm_size')).toBe(8 * 16 * hidden * 2)
    expect(gather && numberOf(gather, 'comm_type')).toBe(2)
    expect(scatter && numberOf(scatter, 'comm_type')).toBe(7)
    const members = Object.fromEntries([...(gather?.attributes ?? [])].map(([name, { member }]) => [name, member]))
    expect(members).toEqual({
      is_cpu_op: 'bool_val',
      comm_type: 'int64_val',
      comm_size: 'int64_val',
      pg_name: 'string_val',
    })
    const compute = ranks[0]?.find(({ type }) => type === 'COMP_NODE')
    expect(compute?.attributes.get('num_ops')?.member).toBe('int64_val')
    expect(compute?.attributes.get('tensor_size')?.member).toBe('uint64_val')
  })

  it('an all-reduce is written although its number is the default of the format', async () => {
    const { traces, ranks } = await traced({ ...tiny, parallel: { tp: 2 } })
    const reduce = ranks[0]?.find(({ name, type }) => type === 'COMM_COLL_NODE' && name.includes('all-reduce'))
    expect(reduce && numberOf(reduce, 'comm_type')).toBe(0)
    const bytes = Buffer.concat([...traces.trace(0)])
    expect(bytes.includes(Buffer.from([...Buffer.from('comm_type'), 0x48, 0x00]))).toBe(true)
  })

  it('memory nodes and the order of the schedule are written where asked for, and durations on a machine', async () => {
    const spec: SpecInput = { ...tiny, phase: 'decode', steps: 2 }
    const plain = (await traced(spec)).ranks[0] ?? []
    expect(plain.filter(({ type }) => type.startsWith('MEM'))).toEqual([])
    const rich = (await traced(spec, { memory: true, scheduleAsData: true })).ranks[0] ?? []
    const stores = rich.filter(({ type }) => type === 'MEM_STORE_NODE')
    const loads = rich.filter(({ type }) => type === 'MEM_LOAD_NODE')
    // Keys and values of each layer and step, written and read.
    expect([stores.length, loads.length]).toEqual([2 * 2 * 2, 2 * 2 * 2])
    for (const node of rich) for (const id of node.control) expect(node.data).toContain(id)
    const loaded = await loadSpec({ ...tiny, model: 'gpt2', cluster: 'dgx-h100' })
    const { step } = simulateLoaded(loaded)
    const timed = readTrace(traceLoaded(loaded).trace(0)).nodes
    const micros = timed.reduce((sum, node) => sum + node.micros, 0)
    // One rank computes without a break; each kernel is rounded to a microsecond.
    expect(Math.abs(micros * 1e-6 - step.seconds)).toBeLessThan(timed.length * 0.5e-6)
  })

  it('the same bytes each time, whichever ranks were written before', async () => {
    const spec: SpecInput = { ...tiny, microbatch: 1, parallel: { pp: 2, dp: 2 } }
    const [one, other] = [await traced(spec), await traced(spec)]
    expect(Buffer.concat([...one.traces.trace(3)])).toEqual(Buffer.concat([...other.traces.trace(3)]))
    expect([...one.traces.groups()]).toEqual([...other.traces.groups()])
  })

  it('a program that breaks a rule, and a transfer into another pool, are refused', async () => {
    const { program, operators } = await plan({ ...tiny, parallel: { tp: 2 } })
    const broken = { ...program, items: withoutCollectives(program.items) }
    expect(() => chakraTraces(broken, operators)).toThrow(/breaks rule/)
  })
})

/** Every all-reduce taken away. */
function withoutCollectives(items: readonly Item[]): Item[] {
  return items.flatMap((item): Item[] => {
    if (item.type === 'node') return item.op === 'all-reduce' ? [] : [item]
    return [{ ...item, bodies: item.bodies.map((body) => ({ ...body, items: withoutCollectives(body.items) })) }]
  })
}
