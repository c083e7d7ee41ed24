import type { OperatorTable, Program } from '@shardloom/core'
import { savedTensors } from './saved.js'
import type { Timeline } from './simulate.js'
import { ticksPerSecond } from './ticks.js'

/** The most bytes that forward keeps for backward on a rank of a timeline at a time, and when. */
export function activationPeak(
  program: Program,
  operators: OperatorTable,
  timeline: Timeline,
  rank: number,
): { readonly bytes: number; readonly atSeconds: number } {
  const saved = savedTensors(program, operators, { rank }).filter(({ host }) => !host)
  const events = livesOf(timeline, rank, saved).flatMap(({ bytes, from, to }) => [
    { at: from, bytes },
    { at: to, bytes: -bytes },
  ])
  // What ends makes room before what begins at the same time takes it.
  events.sort((a, b) => a.at - b.at || a.bytes - b.bytes)
  let [now, most, at] = [0, 0, 0]
  for (const event of events) {
    now += event.bytes
    if (now <= most) continue
    most = now
    at = event.at
  }
  return { bytes: most, atSeconds: at / ticksPerSecond }
}

interface Life {
  readonly bytes: number
  from: number
  to: number
}

/** The lifetime of each value that is kept: one for every iteration of the axes that it is there once for. */
function livesOf({ graph, times }: Timeline, rank: number, saved: ReturnType<typeof savedTensors>): Life[] {
  const touched = new Map<string, number[]>()
  saved.forEach(({ version }, index) => {
    const list = touched.get(version)
    if (list) list.push(index)
    else touched.set(version, [index])
  })
  const byTemplate = graph.templates.map(({ inputs, outputs }) => [
    ...new Set([...inputs, ...outputs].flatMap((id) => touched.get(id) ?? [])),
  ])
  const lives = new Map<string, Life>()
  for (let node = 0; node < graph.nodeCount; node++) {
    const indices = byTemplate[graph.template[node] ?? 0] ?? []
    if (indices.length === 0 || graph.rankOf(node) !== rank) continue
    const iterations = graph.iterationsOf(node)
    const [from, to] = [times.start[node] ?? 0, times.end[node] ?? 0]
    for (const index of indices) {
      const each = saved[index]
      if (!each) continue
      const at = each.per.map((axis) => iterations.find((one) => one.axis === axis)?.iteration)
      const key = `${each.version} ${at}`
      const known = lives.get(key)
      if (known) {
        known.from = Math.min(known.from, from)
        known.to = Math.max(known.to, to)
      } else lives.set(key, { bytes: each.bytes, from, to })
    }
  }
  return [...lives.values()]
}
