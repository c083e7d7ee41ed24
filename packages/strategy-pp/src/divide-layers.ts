import {
  type Chunk,
  definitionOf,
  dimSizes,
  findAxis,
  flopsOfOne,
  holderOf,
  isShardloomError,
  lookup,
  type OperatorNode,
  type OperatorTable,
  type Pass,
  type Pipeline,
  type Program,
  type Region,
  regionsOf,
  ShardloomError,
  type Stage,
  walk,
} from '@shardloom/core'
import { makeSchedule, readSchedule, type Schedule, sendsAndReceives, writeTransferLists } from '@shardloom/schedules'
import { chooseBorders, type Division, type ForwardCosts } from './choose-chunks.js'
import { splitBodies } from './split-bodies.js'

/** How a pipeline is cut and ordered. */
export interface Staging extends Division {
  /** Training: the name of a schedule; default `1f1b`, or `interleaved1f1b` with several chunks per rank. */
  readonly schedule?: string
  /** Training: a schedule of one's own in PyTorch's CSV, instead of a name. */
  readonly csv?: string
  /** Chunks per rank, where the schedule leaves it open. */
  readonly virtual?: number
  /** Consecutive microbatches that an interleaved rank takes through one chunk. */
  readonly group?: number
}

/**
 * `pp/divide-layers`: cuts the layers into chunks, gives them ranks and an order of work, and gives the layers at borders,
 * where values come or go, a body of their own.
 */
export function divideLayers(staging: Staging): Pass {
  return {
    name: 'pp/divide-layers',
    phase: 'build',
    run(program, { operators }) {
      const degree = findAxis(program.mesh, 'pp')?.degree ?? 1
      if (degree === 1 || program.pipeline) return program
      const regions = regionsOf(program.items)
      const layers = regions.find(({ axis }) => axis === 'layer')
      if (!layers)
        throw new ShardloomError('PIPELINE', `\`${program.name}\` has no layers to divide.`, { subject: 'pp' })
      const microbatches = regions.find(({ axis }) => axis === 'microbatch')?.extent ?? 1
      const schedule = program.phase === 'training' ? scheduleFor(staging, degree, microbatches) : undefined
      const ranks = schedule ? Array.from(schedule.stageRanks) : Array.from({ length: degree }, (_, rank) => rank)
      const directions = schedule?.directions ?? 1
      const count = ranks.length / directions
      const borders = chooseBorders(count, costsOf(program, layers, operators), staging)
      const pipeline: Pipeline = {
        axis: 'pp',
        over: 'layer',
        chunks: ranks.map((rank, stage): Chunk => {
          const chunk = stage % count
          return { from: borders[chunk] ?? 0, to: borders[chunk + 1] ?? 0, rank }
        }),
        directions,
        schedule: schedule?.name ?? 'forward',
        actions: schedule
          ? writeTransferLists(sendsAndReceives(schedule)).trimEnd().split('\n')
          : forwards(program, degree, microbatches),
      }
      return { ...splitBodies(program, 'layer', (layer) => variantOf(pipeline, layer, layers.extent)), pipeline }
    },
  }
}

/** Makes the schedule of a training step. Throws what the schedule says of its sizes. */
function scheduleFor({ schedule, csv, virtual, group }: Staging, ranks: number, microbatches: number): Schedule {
  if (csv !== undefined) {
    const [excess] = Object.entries({ virtual, 'pp.group': group }).filter(([, value]) => value !== undefined)
    if (excess) {
      throw new ShardloomError(
        'OPTION',
        `\`options.schedule\` is a file, which says all of the order; \`options.${excess[0]}\` would change nothing.`,
        { subject: `options.${excess[0]}`, help: `Leave \`options.${excess[0]}\` out, or name a schedule.` },
      )
    }
    const own = readSchedule(csv)
    if (own.ranks === ranks && own.microbatches === microbatches) return own
    throw new ShardloomError(
      'PIPELINE',
      `The schedule of ${own.ranks} ranks and ${own.microbatches} microbatches does not fit a pipeline of ${ranks} and ${microbatches}.`,
      {
        subject: 'schedule',
        help: `Use pp ${own.ranks} and a batch of ${own.microbatches} microbatches, or another schedule.`,
      },
    )
  }
  const name = schedule ?? ((virtual ?? 1) > 1 ? 'interleaved1f1b' : '1f1b')
  try {
    return makeSchedule(name, {
      ranks,
      microbatches,
      ...(virtual !== undefined && { virtual }),
      ...(group !== undefined && { group }),
    })
  } catch (error) {
    if (!isShardloomError(error)) throw error
    // An error of schedules is its own class: here it is one of a plan.
    const { code, message, help, subject } = error
    // A spec gives no number of microbatches: it follows from others of its fields.
    const follows = subject === 'microbatches'
    const fields = 'They follow from the batch: a smaller `batch` or a larger `microbatch` makes fewer.'
    throw new ShardloomError(code, message, {
      ...(help !== undefined && { help: follows ? `${help} ${fields}` : help }),
      subject: follows ? 'batch' : (subject ?? 'schedule'),
      cause: error,
    })
  }
}

/** Prefill: every rank takes the microbatches in order. Decode is ordered by its tokens alone. */
function forwards({ phase }: Program, ranks: number, microbatches: number): string[] {
  if (phase !== 'prefill') return []
  return Array.from({ length: ranks }, (_, rank) => {
    const each = Array.from({ length: microbatches }, (_, m) => {
      return [
        ...(rank > 0 ? [`${rank}RECV_F${m}`] : []),
        `${rank}F${m}`,
        ...(rank < ranks - 1 ? [`${rank}SEND_F${m}`] : []),
      ]
    })
    return each.flat().join()
  })
}

/** The name of a layer's variant: what comes from another rank, goes to one, or both. */
function variantOf(pipeline: Pipeline, layer: number, extent: number): string {
  const holder = (at: number | Stage) => holderOf(pipeline, at)
  const here = holder(layer)
  const enters = holder(layer > 0 ? layer - 1 : 'first') !== here
  const leaves = holder(layer + 1 < extent ? layer + 1 : 'last') !== here
  return [enters && 'recv', leaves && 'send'].filter(Boolean).join('-')
}

/** FLOPs of one forward pass by layer, and before and behind the layers. */
function costsOf(program: Program, layers: Region, operators: OperatorTable): ForwardCosts {
  const bodies = layers.bodies.map(() => 0)
  const ends = { before: 0, behind: 0 }
  let passed = false
  walk(program.items, (node, { path }) => {
    const at = path.find(({ region }) => region.axis === 'layer')
    const flops = flopsOf(node, program, operators)
    if (at) bodies[at.body] = (bodies[at.body] ?? 0) + flops
    else if (passed) ends.behind += flops
    else ends.before += flops
    passed ||= at !== undefined
  })
  const cost = (run: Region['select'][number]) => Array.from({ length: run.count }, () => bodies[run.body] ?? 0)
  const period = layers.select.flatMap(cost)
  return { layers: Array.from({ length: layers.extent }, (_, layer) => period[layer % period.length] ?? 0), ...ends }
}

function flopsOf(node: OperatorNode, { tensors }: Program, operators: OperatorTable): number {
  const sizes = dimSizes(node, (id) => lookup(tensors, id))
  const [flops, of] = flopsOfOne(node, definitionOf(node, operators), sizes)
  return Number(flops) / Number(of)
}
