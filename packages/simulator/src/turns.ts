import { turnsOf } from '@shardloom/core/unroll'
import { type BlockKind, nodeAt } from './block-kind.js'
import type { Course } from './course.js'
import type { Prepared } from './prepare.js'

/**
 * Finds which nodes of the next block of a course wait in turns for a node of the block that is `distance` before it, as offsets. Turns are counted
 * over the blocks that a rank runs, of which the kinds stand for many.
 */
export function waitsInTurn({ graph: { templates, template } }: Prepared, kinds: readonly BlockKind[]) {
  const turns = turnsOf(templates)
  const counts = new Map<Course, readonly number[]>()
  /** How many turns have begun before each block of a course. */
  const begunBefore = (course: Course) => {
    let sum = 0
    const known =
      counts.get(course) ??
      course.blocks.map(({ part }) => {
        const begun = sum
        sum += kinds[part]?.turns.begins.length ?? 0
        return begun
      })
    counts.set(course, known)
    return known
  }
  return (course: Course, offset: number, distance: number): readonly number[] => {
    const [source, own] = [course.at - distance, course.at].map((at) => kinds[course.blocks[at]?.part ?? -1])
    const turn = source?.turns.of.get(offset)
    if (!turns || !own || !source || turn === undefined || own.turns.begins.length === 0) return []
    const begun = begunBefore(course)
    const since = (begun[course.at] ?? 0) - (begun[course.at - distance] ?? 0)
    const awaited = template[nodeAt(source, offset)] ?? -1
    const found: number[] = []
    for (let ahead = 1; ahead <= turns.most; ahead++) {
      const node = own.turns.begins[turn + ahead - since]
      if (node !== undefined && turns.waits(template[nodeAt(own, node)] ?? -1, awaited, ahead)) found.push(node)
    }
    return found
  }
}
