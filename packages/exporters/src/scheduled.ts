import { actionsOf, bodyAt, coordinateOf, type Program } from '@shardloom/core'
import { roundsOf, scheduledPlaces, slotsOf } from '@shardloom/core/unroll'
import type { Crossing, Dependency, Expansion, Occurrence } from './occurrence.js'

/**
 * Lists the occurrences of a rank of a pipeline action by action, with a temporal dependency from each action to the next, or to both of
 * an overlapped pair.
 * So are microbatches that go round. What stands for several actions is listed with the first of them. The same expansion where nothing
 * orders the microbatches, or where they are drawn as one. O(occurrences × layers that one stands for + dependencies).
 */
export function inScheduledOrder(expansion: Expansion, program: Program, rank: number): Expansion {
  const { pipeline } = program
  const coordinate = coordinateOf(program, rank)
  const { occurrences, dependencies } = expansion
  const begin = occurrences.findIndex(({ path: [outer] }) => outer?.region.axis === 'microbatch')
  const [outer] = occurrences[begin]?.path ?? []
  if (!pipeline || !outer || outer.form === 'rolled') return expansion
  const rounds = occurrences[begin]?.path[1]?.form === 'rolled' ? undefined : roundsOf(outer.region, pipeline)
  if (!rounds && actionsOf(pipeline, coordinate).length === 0) return expansion
  const end = occurrences.findLastIndex(({ path }) => path[0]?.region === outer.region) + 1
  const { positionOf, first } = scheduledPlaces(pipeline, coordinate, outer.region.extent)
  const sources = new Map<number, number[]>()
  for (const { from, to, returns } of dependencies) {
    if (returns || from < begin || to >= end) continue
    const known = sources.get(to)
    if (known) known.push(from)
    else sources.set(to, [from])
  }
  const positions: number[] = []
  const placed = ({ node, path }: Occurrence): number => {
    const [microbatch = 0] = iterationsOf(path[0])
    if (rounds) return rounds.turnOf(node, microbatch, iterationsOf(path[1])[0] ?? 0)
    const layer = path.find(({ region }) => region.axis === pipeline.over)
    const found = (layer ? iterationsOf(layer) : [undefined])
      .map((iteration) => positionOf(node, iteration, microbatch))
      .filter((position) => position >= 0)
    if (found.length > 0) return found.reduce((least, position) => Math.min(least, position))
    // What stands nowhere runs as soon as what it reads is there.
    const read = (sources.get(begin + positions.length) ?? []).map((source) => positions[source - begin] ?? 0)
    return read.reduce((latest, position) => Math.max(latest, position), first(microbatch))
  }
  for (const occurrence of occurrences.slice(begin, end)) positions.push(placed(occurrence))
  const order = positions.map((_, index) => index).sort((a, b) => (positions[a] ?? 0) - (positions[b] ?? 0) || a - b)
  const numbers = occurrences.map((_, index) => index)
  order.forEach((old, index) => {
    numbers[begin + old] = begin + index
  })
  const moved = dependencies.map((each): Dependency => {
    const { from, to, kind } = each
    // What waits for the loop waits for its last action.
    const waits = kind === 'temporal' && to >= end && from >= begin && from < end
    return { ...each, from: waits ? end - 1 : (numbers[from] ?? from), to: numbers[to] ?? to }
  })
  const slots = rounds
    ? Int32Array.from({ length: rounds.turns }, (_, turn) => rounds.slotOf(turn))
    : slotsOf(pipeline, coordinate)
  const steps: Dependency[] = []
  /** What the actions of the slot before, and of the one at hand, compute last. */
  let before: number[] = []
  let ends: number[] = []
  let computed = false
  const computes = (old: number) => occurrences[begin + old]?.node.kind === 'compute'
  order.forEach((old, index) => {
    const [last, own] = [positions[order[index - 1] ?? -1], positions[old] ?? 0]
    if (last !== own) {
      if (last !== undefined && slots[last] !== slots[own]) [before, ends] = [ends, []]
      for (const from of before) steps.push({ from, to: begin + index, kind: 'temporal', returns: false })
      ends.push(begin + index)
      computed = computes(old)
    } else if (computes(old) || !computed) {
      ends.splice(-1, 1, begin + index)
      computed ||= computes(old)
    }
  })
  const inside = order.flatMap((old) => occurrences[begin + old] ?? [])
  return {
    occurrences: [...occurrences.slice(0, begin), ...inside, ...occurrences.slice(end)],
    dependencies: [...moved, ...steps],
  }
}

/** The iterations of a run that are of the same body. */
function iterationsOf(crossing: Crossing | undefined): number[] {
  if (!crossing) return []
  const { region, body, run } = crossing
  const all = Array.from({ length: run.last - run.first + 1 }, (_, index) => run.first + index)
  return all.filter((iteration) => bodyAt(region, iteration) === body)
}
