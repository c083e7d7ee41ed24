import { type OperatorTable, type Program, walk } from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { type ChakraOptions, chakraTraces } from '@shardloom/exporters/chakra'
import { findPreset } from '@shardloom/models'
import { meterOf } from '@shardloom/simulator'
import { plan, type SpecInput } from 'shardloom'
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
})
