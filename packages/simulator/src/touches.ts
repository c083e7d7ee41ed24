import type { OperatorTable, Program } from '@shardloom/core'
import { add, type BlockKind } from './block-kind.js'
import type { Touch } from './outcome.js'
import type { Prepared } from './prepare.js'
import { savedTensors } from './saved.js'

/** A value that forward keeps, and who touches it in one part. */
interface Value {
  readonly bytes: number
  /** Whether there is one for each iteration of the loop around the parts. */
  readonly perBlock: boolean
  readonly parts: Map<number, number[]>
}

/** What the parts of a smaller graph take and give back of memory. */
export interface Touches {
  readonly bytesOf: (id: number) => number
  /** Of a part, the values that it is the first to touch, or the last, once in each of its blocks. */
  readonly first: (part: number) => readonly Touch[]
  readonly last: (part: number) => readonly Touch[]
  /** Values that stay over iterations: the parts that touch them, with their nodes. */
  readonly lasting: readonly {
    readonly id: number
    readonly rank: number
    readonly parts: ReadonlyMap<number, readonly number[]>
  }[]
}

/** Finds who touches first and last what forward keeps. Undefined where a value of one iteration outlives its loop. */
export function touchesOf(
  prepared: Prepared,
  kinds: readonly BlockKind[],
  program: Program,
  operators: OperatorTable,
  like: Int32Array,
): Touches | undefined {
  const { graph } = prepared
  const bytes: number[] = []
  const first = new Map<number, Touch[]>()
  const last = new Map<number, Touch[]>()
  const lasting: { id: number; rank: number; parts: Map<number, number[]> }[] = []
  const alike = new Map<string, readonly number[]>()
  for (const [rank, number] of graph.ranks.entries()) {
    const own = kinds.flatMap((kind) => (kind.rank === rank ? [kind.part] : []))
    const key = own.map((part) => like[part]).join(' ')
    const other = alike.get(key)
    if (other) {
      // A rank whose parts are all like those of another touches the same.
      own.forEach((part, index) => {
        first.set(part, first.get(other[index] ?? -1) ?? [])
        last.set(part, last.get(other[index] ?? -1) ?? [])
      })
      for (const each of lasting.filter(({ rank }) => rank === kinds[other[0] ?? 0]?.rank))
        lasting.push({
          ...each,
          rank,
          parts: new Map([...each.parts].map(([part, nodes]) => [own[other.indexOf(part)] ?? -1, nodes])),
        })
      continue
    }
    alike.set(key, own)
    const saved = savedTensors(program, operators, { rank: number }).filter(({ host }) => !host)
    const indices = new Map<string, number[]>()
    saved.forEach(({ version }, index) => {
      const list = indices.get(version)
      if (list) list.push(index)
      else indices.set(version, [index])
    })
    const byTemplate = graph.templates.map(({ inputs, outputs }) => [
      ...new Set([...inputs, ...outputs].flatMap((id) => indices.get(id) ?? [])),
    ])
    const values = new Map<string, Value>()
    for (const { part, firstNode, size, rank: own } of kinds) {
      if (own !== rank) continue
      const loop = graph.parts[part]?.region
      for (let node = firstNode; node < firstNode + size; node++) {
        const touched = byTemplate[graph.template[node] ?? 0] ?? []
        if (touched.length === 0) continue
        const iterations = graph.iterationsOf(node)
        for (const index of touched) {
          const each = saved[index]
          if (!each) continue
          const at = each.per.map((axis) => iterations.find((one) => one.axis === axis)?.iteration)
          const perBlock = loop !== undefined && each.per.includes(iterations[0]?.axis ?? '')
          const key = `${each.version} ${at}`
          const known = values.get(key) ?? { bytes: each.bytes, perBlock, parts: new Map<number, number[]>() }
          if (known.perBlock !== perBlock) return undefined
          values.set(key, known)
          const list = known.parts.get(part)
          if (list) list.push(node - firstNode)
          else known.parts.set(part, [node - firstNode])
        }
      }
    }
    for (const { bytes: own, perBlock, parts } of values.values()) {
      const id = bytes.push(own) - 1
      if (!perBlock) {
        lasting.push({ id, rank, parts })
        continue
      }
      const [begin] = parts.keys()
      const end = [...parts.keys()].at(-1)
      if (begin === undefined || end === undefined) continue
      add(first, begin, { id, nodes: parts.get(begin) ?? [] })
      add(last, end, { id, nodes: parts.get(end) ?? [] })
    }
  }
  return {
    bytesOf: (id) => bytes[id] ?? 0,
    first: (part) => first.get(part) ?? [],
    last: (part) => last.get(part) ?? [],
    lasting,
  }
}
