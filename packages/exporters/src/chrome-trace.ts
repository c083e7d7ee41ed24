import { axesOf, coordinateOf, type Mesh, type OperatorNode, type Program } from '@shardloom/core'
import { wholeId } from '@shardloom/core/unroll'
import { type RankMemory, type Timeline, ticksPerSecond } from '@shardloom/simulator'

/** What a trace shows beside the nodes themselves. */
export interface ChromeTraceOptions {
  /** A counter for each rank of what is in its memory, by parts, in bytes: parameters and optimizer state too. */
  readonly memory?: readonly RankMemory[]
}

/** Ticks in a microsecond, in which traces count. */
const perMicrosecond = ticksPerSecond / 1e6

/** Three digits of every number below a thousand: numbers with a fraction are slow to write otherwise. */
const digits = Array.from({ length: 1000 }, (_, number) => String(number).padStart(3, '0'))

/** Whole ticks as microseconds, all six digits behind the point. */
function microseconds(ticks: number): string {
  const whole = Math.floor(ticks / perMicrosecond)
  const rest = ticks - whole * perMicrosecond
  if (rest === 0) return String(whole)
  const high = Math.floor(rest / 1000)
  return `${whole}.${digits[high]}${digits[rest - high * 1000]}`
}

/** Characters that are handed on at a time. */
const chunkSize = 65_536

/**
 * A timeline in Chrome's trace format (Google 2016, Trace Event Format), which Perfetto and Chrome open: a process for each rank
 * that was run, a thread for each stream, a slice for each node, and an arrow from each send to its recv. Times are
 * microseconds. Yields the text in parts, so that whoever writes them can wait; memory does not grow with the trace.
 */
export function* chromeTrace(
  timeline: Timeline,
  program: Pick<Program, 'mesh' | 'pipeline'>,
  options: ChromeTraceOptions = {},
): Generator<string, void, undefined> {
  const { graph, times, ranks, streams } = timeline
  const { start, end } = times
  const processOf = new Map(ranks.map((rank, index) => [rank, index]))
  const kinds = graph.templates.map((node) => sliceOf(node, program.mesh))
  let text = '{"displayTimeUnit":"ms","traceEvents":['
  let first = true
  const add = (event: string) => {
    text += first ? `\n${event}` : `,\n${event}`
    first = false
  }
  const receives = receivesOf(timeline, program)
  for (const [index, rank] of ranks.entries()) {
    const name = program.pipeline ? `stage ${coordinateOf(program, rank)} (rank ${rank})` : `rank ${rank}`
    add(metadata('process_name', index, 0, { name }))
    add(metadata('process_sort_index', index, 0, { sort_index: index }))
    const names = [...streams, ...receives.names]
    for (const [thread, stream] of names.entries()) {
      add(metadata('thread_name', index, thread, { name: stream }))
      add(metadata('thread_sort_index', index, thread, { sort_index: thread }))
    }
  }
  const streamOf = threadsOf(timeline)
  const axes = new Map<string, string>()
  const keyOf = (axis: string) => {
    const known = axes.get(axis) ?? `,${JSON.stringify(axis)}:`
    axes.set(axis, known)
    return known
  }
  let [process, rank] = [0, -1]
  for (let node = 0; node < graph.nodeCount; node++) {
    const template = graph.template[node] ?? 0
    const source = receives.sourceOf[node] ?? -1
    const stream = streamOf[template] ?? -1
    if (stream < 0 && source < 0) continue
    const own = graph.rankOf(node)
    if (own !== rank) process = processOf.get(own) ?? 0
    rank = own
    const shown = source < 0 ? node : source
    const [from, to] = [start[shown] ?? 0, end[shown] ?? 0]
    const thread = source < 0 ? stream : streams.length + receives.threadOf(source)
    const begin = microseconds(from)
    const at = `"pid":${process},"tid":${thread},"ts":${begin}`
    const { text: kind = '', id = '""' } = kinds[template] ?? {}
    let args = ''
    for (const { axis, iteration } of graph.iterationsOf(node)) args += keyOf(axis) + iteration
    add(`{"ph":"X",${kind},${at},"dur":${microseconds(to - from)},"args":{"node":${id}${args}}}`)
    if (source >= 0) {
      const sender = processOf.get(graph.rankOf(source)) ?? 0
      const there = `"pid":${sender},"tid":${streamOf[graph.template[source] ?? 0]},"ts":${begin}`
      const arrow = `"cat":"transfer","name":"transfer","id":${node}`
      add(`{"ph":"s",${arrow},${there}}`)
      add(`{"ph":"f","bp":"e",${arrow},${at}}`)
    }
    if (text.length < chunkSize) continue
    yield text
    text = ''
  }
  for (const { rank, curve, parts: all } of options.memory ?? []) {
    const pid = processOf.get(rank) ?? 0
    // What is there all the time stands first, so that what comes and goes is drawn on top of it.
    const stored = Object.entries(all).filter(([part, bytes]) => !(part in curve.parts) && bytes > 0)
    const constant = stored.map(([part, bytes]) => `"${part}":${bytes}`).join()
    const parts = Object.entries(curve.parts).map(([part, list]) => ({ key: `"${part}":`, list }))
    for (let at = 0; at < curve.seconds.length; at++) {
      let bytes = constant
      for (const { key, list } of parts) bytes += `${bytes && ','}${key}${list[at] ?? 0}`
      const ts = microseconds(Math.round((curve.seconds[at] ?? 0) * ticksPerSecond))
      add(`{"ph":"C","pid":${pid},"name":"memory","ts":${ts},"args":{${bytes}}}`)
      if (text.length < chunkSize) continue
      yield text
      text = ''
    }
  }
  yield `${text}\n]}\n`
}

/** What all slices of a node have in common: its name, its categories and its id. */
function sliceOf({ id, segment, kind, communication }: OperatorNode, mesh: Mesh) {
  const axes = communication ? axesOf(mesh, communication.atoms, communication.reason.strategies) : []
  // What both directions of a pipeline run has one name: stage and microbatch tell which it is.
  const parts = wholeId(id).split('/')
  const name = parts.slice(communication ? -3 : -2).join('/')
  const categories = [segment, kind, ...axes].join(',')
  return { text: `"name":${JSON.stringify(name)},"cat":${JSON.stringify(categories)}`, id: JSON.stringify(wholeId(id)) }
}

function metadata(
  name: string,
  process: number,
  thread: number,
  args: Readonly<Record<string, string | number>>,
): string {
  return `{"ph":"M","name":"${name}","pid":${process},"tid":${thread},"args":${JSON.stringify(args)}}`
}

/** Of each template the number of its stream; −1: it takes no time. */
function threadsOf({ graph, streams, streamOf }: Timeline): Int32Array {
  const threads = new Int32Array(graph.templates.length).fill(-1)
  for (let node = 0; node < graph.nodeCount; node++) {
    const template = graph.template[node] ?? 0
    if (threads[template] === -1) threads[template] = streams.indexOf(streamOf(node))
  }
  return threads
}

/** Which send each recv gets its value from; what comes from one rank is one thread, since a rank sends one at a time. */
function receivesOf({ graph, ranks }: Timeline, program: Pick<Program, 'mesh' | 'pipeline'>) {
  const sourceOf = new Int32Array(graph.nodeCount).fill(-1)
  const senders = new Set<number>()
  const [isSend, isReceive] = ['send', 'recv'].map((op) => graph.templates.map((template) => template.op === op))
  for (let node = 0; node < graph.nodeCount; node++) {
    if (!isReceive?.[graph.template[node] ?? 0]) continue
    for (const source of graph.edgeSource.subarray(graph.edgeStart[node], graph.edgeStart[node + 1])) {
      if (!isSend?.[graph.template[source] ?? 0] || graph.rankOf(source) === graph.rankOf(node)) continue
      sourceOf[node] = source
      senders.add(ranks.indexOf(graph.rankOf(source)))
    }
  }
  const order = [...senders].sort((a, b) => a - b)
  const stages = ranks.map((rank) => coordinateOf(program, rank))
  return {
    sourceOf,
    names: order.map((index) => {
      const stage = stages[index]
      return stages.indexOf(stage ?? 0) === stages.lastIndexOf(stage ?? 0)
        ? `from stage ${stage}`
        : `from rank ${ranks[index]}`
    }),
    threadOf: (source: number) => order.indexOf(ranks.indexOf(graph.rankOf(source))),
  }
}
