import {
  actionsOf,
  bodyAt,
  coordinateOf,
  type Item,
  type PipelineAction,
  type Program,
  type Region,
  ShardloomError,
  walk,
} from '@shardloom/core'
import { roundsOf, type UnrolledGraph } from '@shardloom/core/unroll'

/** One part of what a rank runs in full: the part of the smaller graph that it is like, and its iteration or microbatch. */
export interface Block {
  /** Index into the parts of the graph. */
  readonly part: number
  readonly iteration: number
  /** Whether it waits for the last node of the block before it, as the actions of a schedule do. */
  readonly follows: boolean
}

/** A program with few iterations of its loops, which stand for all. */
export interface FewIterations {
  readonly program: Program
  /** What each rank of the smaller program, unrolled, runs in full. */
  readonly blocks: (graph: UnrolledGraph) => readonly (readonly Block[])[]
}

/** Of more than so many a list is not made: `unroll` says how large that is. */
const mostBlocks = 2_000_000

/**
 * Leaves of each loop at the top as many iterations as differ: of the microbatches that a schedule orders one for each way in which
 * they pass it, of those that go round one, of other loops the first and the second. Undefined where that saves nothing. Throws
 * `UNROLL_SIZE` where steps that each take another time are too many.
 */
export function fewIterations(program: Program): FewIterations | undefined {
  const { pipeline } = program
  const over = pipeline?.over ?? 'layer'
  const loops = program.items.flatMap((item) => (item.type === 'region' && item.axis !== over ? [item] : []))
  const [loop] = loops
  if (!loop || loops.some(({ order, extent }) => order === 'reverse' || extent > mostBlocks)) return undefined
  const isScheduled = pipeline !== undefined && loop.axis === 'microbatch' && (pipeline.actions[0] ?? '') !== ''
  // Two actions that take turns are no blocks of their own.
  if (isScheduled && pipeline.actions.some((list) => list.includes('OVERLAP'))) return undefined
  if (isScheduled && loops.length === 1) {
    const alike = likeMicrobatches(program, loop.extent)
    if (2 * alike.kept.length > loop.extent) return undefined
    const select = alike.kept.map((microbatch) => ({ body: bodyAt(loop, microbatch), count: 1 }))
    const fewer: Item = { ...loop, extent: select.length, select }
    const actions = alike.actions.map((list) =>
      keptOf(list, alike.kept)
        .map(({ kind, chunk, microbatch }) => `${chunk}${kind}${microbatch}`)
        .join(','),
    )
    const items = program.items.map((item) => (item === loop ? fewer : item))
    return { program: { ...program, items, pipeline: { ...pipeline, actions } }, blocks: scheduled(program, alike) }
  }
  const rounds = !isScheduled && loops.length === 1 ? roundsOf(loop, pipeline) : undefined
  if (rounds && loop.extent > 1) return inRounds(program, loop, rounds.loop)
  if (isScheduled || loops.every(({ extent }) => extent <= 2)) return undefined
  if (loops.some(({ select }) => new Set(select.map(({ body }) => body)).size > 1)) return undefined
  const growing = new Set(Array.from(program.tensors.values(), ({ growth }) => growth?.axis))
  for (const each of loops) if (growing.has(each.axis)) checkNodes([each], each, mostNodes.others)
  const items = program.items.map((item) => {
    if (item.type === 'node' || !loops.includes(item) || item.extent <= 2) return item
    return { ...item, extent: 2 }
  })
  return {
    program: { ...program, items },
    blocks: (graph) =>
      graph.ranks.map((_, rank) =>
        graph.parts.flatMap((part, index): Block[] => {
          if (part.rank !== rank) return []
          const { region, place = 0 } = part
          const extent = loops.find(({ id }) => id === region)?.extent ?? 1
          if (region === undefined || place === 0 || extent <= 2)
            return [{ part: index, iteration: place, follows: false }]
          return Array.from({ length: extent - 1 }, (_, i) => ({ part: index, iteration: i + 1, follows: false }))
        }),
      ),
  }
}

/** So many nodes run in half a minute where each iteration takes another time; in rounds each is a block of its own, which takes more. */
const mostNodes = { rounds: 5_000_000, others: 10_000_000 }

/** Throws `UNROLL_SIZE` where iterations of a loop are too many to run each. */
function checkNodes(items: readonly Item[], { axis, extent }: Region, most: number): void {
  let nodes = 0
  walk(items, (_, { executions }) => {
    nodes += executions
  })
  if (nodes <= most) return
  throw new ShardloomError(
    'UNROLL_SIZE',
    `${extent} iterations of \`${axis}\` are too many to simulate: they run ${nodes} nodes, and the limit is ${most}.`,
    {
      subject: axis,
      help: `Simulate ${Math.floor((extent * most) / nodes)} at most. What one takes grows evenly with the context: a few in the middle stand for all.`,
    },
  )
}

/** One microbatch stands for all that go round; iterations of the loop inside of it may each take another time. */
function inRounds(program: Program, loop: Region, rounds: Region): FewIterations {
  const items = program.items.map((item) => (item === loop ? { ...loop, extent: 1 } : item))
  checkNodes(items, rounds, mostNodes.rounds)
  return {
    program: { ...program, items },
    blocks: (graph) =>
      graph.ranks.map((_, rank) => {
        let follows = false
        return graph.parts.flatMap(({ rank: own, region }, part): Block[] => {
          if (own !== rank) return []
          if (region === undefined) return [{ part, iteration: 0, follows: false }]
          return Array.from({ length: loop.extent }, (_, iteration) => {
            const block = { part, iteration, follows }
            follows = true
            return block
          })
        })
      }),
  }
}

interface Alike {
  readonly actions: readonly (readonly PipelineAction[])[]
  /** The microbatches that are kept, ascending. */
  readonly kept: readonly number[]
  /** Per microbatch the index of the one that it is like. */
  readonly like: readonly number[]
}

const kinds: readonly PipelineAction['kind'][] = ['F', 'I', 'W', 'B']

/** The actions on microbatches that are kept, with the places of those in the place of their numbers. */
function keptOf(actions: readonly PipelineAction[], kept: readonly number[]): PipelineAction[] {
  const found: PipelineAction[] = []
  for (const action of actions)
    for (let place = kept.indexOf(action.microbatch); place >= 0; place = kept.indexOf(action.microbatch, place + 1))
      found.push({ ...action, microbatch: place })
  return found
}

/** Microbatches that run the same actions, each with the same body. */
function likeMicrobatches({ pipeline, items }: Program, extent: number): Alike {
  const actions = (pipeline?.actions ?? []).map((_, coordinate) => (pipeline ? actionsOf(pipeline, coordinate) : []))
  const directions = pipeline?.directions ?? 1
  const region = items.find((item) => item.type === 'region' && item.axis === 'microbatch')
  const width = kinds.length * (pipeline?.chunks.length ?? 0)
  const runs = new Uint8Array(extent * width)
  for (const list of actions)
    for (const { kind, chunk, microbatch } of list)
      if (kind !== 'F') runs[microbatch * width + chunk * kinds.length + kinds.indexOf(kind)] = 1
  const keys = Array.from({ length: extent }, (_, microbatch) => {
    const direction = Math.floor((microbatch * directions) / extent)
    const body = region?.type === 'region' ? bodyAt(region, microbatch) : ''
    return `${direction} ${body} ${runs.subarray(microbatch * width, (microbatch + 1) * width).join('')}`
  })
  const kept = [...new Map([...keys].reverse().map((key, index) => [key, extent - 1 - index] as const)).values()]
  if (directions === 2) {
    // Either direction has half of the microbatches.
    const half = extent / 2
    const [ones, others] = [kept.filter((each) => each < half), kept.filter((each) => each >= half)]
    const [shorter, longer] = ones.length < others.length ? [ones, others] : [others, ones]
    while (shorter.length > 0 && shorter.length < longer.length) shorter.push(shorter[0] ?? 0)
    kept.splice(0, kept.length, ...ones, ...others)
  }
  kept.sort((a, b) => a - b)
  return { actions, kept, like: keys.map((key) => kept.findIndex((each) => keys[each] === key)) }
}

const scheduled = (program: Program, { actions, kept, like }: Alike) => {
  return (graph: UnrolledGraph): readonly (readonly Block[])[] =>
    graph.ranks.map((rank, index) => {
      const list = actions[coordinateOf(program, rank)] ?? []
      const keyOf = ({ kind, chunk }: PipelineAction, place: number) =>
        (chunk * kinds.length + kinds.indexOf(kind)) * kept.length + place
      const numbers = new Map(keptOf(list, kept).map((action, place) => [keyOf(action, action.microbatch), place]))
      const parts = new Map(
        graph.parts.flatMap((part, at) =>
          part.rank === index && part.place !== undefined ? [[part.place, at] as const] : [],
        ),
      )
      const blocks: Block[] = []
      const others = graph.parts.flatMap((part, at) => (part.rank === index && part.region === undefined ? [at] : []))
      const begin = Math.min(...parts.values())
      for (const part of others) if (part < begin) blocks.push({ part, iteration: 0, follows: false })
      let isFirst = true
      for (const action of list) {
        const { microbatch } = action
        const part = parts.get(numbers.get(keyOf(action, like[microbatch] ?? -1)) ?? -1)
        if (part === undefined) continue
        blocks.push({ part, iteration: microbatch, follows: !isFirst })
        isFirst = false
      }
      for (const part of others) if (part > begin) blocks.push({ part, iteration: 0, follows: false })
      return blocks
    })
}
