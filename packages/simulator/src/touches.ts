import type { OperatorTable, Program } from '@shardloom/core'
import { add, type BlockKind } from './block-kind.js'
import { buffersOf, passingParts } from './lifetimes.js'
import type { Touch } from './outcome.js'
import type { Prepared } from './prepare.js'

/** A buffer in certain iterations, and who touches it in each part. */
interface Value {
  readonly part: number
  readonly bytes: number
  /** Whether there is one for each iteration of the loop around the parts. */
  readonly perBlock: boolean
  readonly parts: Map<number, number[]>
}

/** What the parts of a smaller graph take and give back of memory. */
export interface Touches {
  /** The part of a value, by its place among the passing parts, and its bytes. */
  readonly held: (id: number) => { readonly part: number; readonly bytes: number }
  /** Of a part, the values that it is the first to touch, or the last, once in each of its blocks. */
  readonly first: (part: number) => readonly Touch[]
  readonly last: (part: number) => readonly Touch[]
  /** Of each rank the values that stay over iterations: the parts that touch them, with their nodes. */
  readonly lasting: readonly (readonly Lasting[])[]
}

/** A value that stays over iterations, and the nodes of each part that touch it. */
export interface Lasting {
  readonly id: number
  readonly parts: ReadonlyMap<number, readonly number[]>
}

/** Finds who touches first and last what passes through memory. Undefined where a value of one iteration outlives its loop. */
export function touchesOf(
  prepared: Prepared,
  kinds: readonly BlockKind[],
  program: Program,
  operators: OperatorTable,
  like: Int32Array,
): Touches | undefined {
  const { graph } = prepared
  const held: { readonly part: number; readonly bytes: number }[] = []
  const first = new Map<number, Touch[]>()
  const last = new Map<number, Touch[]>()
  const lasting: Lasting[][] = []
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
      const there = new Map(other.map((part, index) => [part, own[index] ?? -1]))
      lasting[rank] = (lasting[kinds[other[0] ?? 0]?.rank ?? 0] ?? []).map(({ id, parts }) => ({
        id,
        parts: new Map(Array.from(parts, ([part, nodes]) => [there.get(part) ?? -1, nodes])),
      }))
      continue
    }
    alike.set(key, own)
    const stay: Lasting[] = []
    lasting[rank] = stay
    const { buffers, touchedBy, instance } = buffersOf(program, operators, number)
    const byTemplate = touchedBy(graph)
    const values = buffers.map(() => new Map<number, Value>())
    for (const { part, firstNode, size, rank: own } of kinds) {
      if (own !== rank) continue
      const loop = graph.parts[part]?.region
      for (let node = firstNode; node < firstNode + size; node++) {
        const touched = byTemplate[graph.template[node] ?? 0] ?? []
        if (touched.length === 0) continue
        const iterations = graph.iterationsOf(node)
        for (const index of touched) {
          const buffer = buffers[index]
          const own = values[index]
          if (!buffer || !own) continue
          const perBlock = loop !== undefined && buffer.per.includes(iterations[0]?.axis ?? '')
          const key = instance(index, iterations)
          const known = own.get(key) ?? {
            part: passingParts.indexOf(buffer.part),
            bytes: buffer.bytes,
            perBlock,
            parts: new Map<number, number[]>(),
          }
          if (known.perBlock !== perBlock) return undefined
          own.set(key, known)
          const list = known.parts.get(part)
          if (list) list.push(node - firstNode)
          else known.parts.set(part, [node - firstNode])
        }
      }
    }
    for (const { part, bytes, perBlock, parts } of values.flatMap((own) => [...own.values()])) {
      const id = held.push({ part, bytes }) - 1
      if (!perBlock) {
        stay.push({ id, parts })
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
    held: (id) => held[id] ?? { part: 0, bytes: 0 },
    first: (part) => first.get(part) ?? [],
    last: (part) => last.get(part) ?? [],
    lasting,
  }
}
