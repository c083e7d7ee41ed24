import { assert } from './error.js'
import { coordinates, findAxis, groupSize } from './mesh.js'
import { bodyAt, type OperatorNode, type Place, type Program } from './program.js'

/** A run of iterations that one coordinate of the pipeline holds; it may be empty at either end. */
export interface Chunk {
  readonly from: number
  /** The iteration after the last one. */
  readonly to: number
  /** The coordinate on the pipeline's axis. */
  readonly rank: number
}

/**
 * How a pipeline divides a program: ranks along one axis of the mesh run different parts of it. The first chunk holds what
 * stands before the layers too, the last one what stands behind them.
 */
export interface Pipeline {
  /** The axis of the mesh. */
  readonly axis: string
  /** The iteration axis that chunks divide, such as `layer`. */
  readonly over: string
  /** In the order of the data; per direction they cover every iteration once. */
  readonly chunks: readonly Chunk[]
  /** 2: the first half of the microbatches takes the first half of the chunks, the other half the second (DualPipe). */
  readonly directions: 1 | 2
  /** The name of the schedule that the actions follow. */
  readonly schedule: string
  /**
   * Per coordinate its actions in order, separated by commas, in PyTorch's grammar with sends and receives, such as
   * `0F0,0SEND_F0,0RECV_B0,0I0,0W0`: stage, kind, microbatch. None: each coordinate runs in program order.
   */
  readonly actions: readonly string[]
}

/** Where a node outside of the chunks' iterations stands: with the first chunk, or with the last. */
export type Stage = 'first' | 'last'

/** One computation of a pipeline's schedule. B is both gradients, I and W, at once. */
export interface PipelineAction {
  readonly kind: 'F' | 'I' | 'W' | 'B'
  readonly chunk: number
  readonly microbatch: number
}

/** The computations of one coordinate in order, without sends and receives; of an overlapped pair the forward first. */
export function actionsOf({ actions }: Pipeline, coordinate: number): PipelineAction[] {
  const found = (actions[coordinate] ?? '').matchAll(/(\d+)([FIWB])(\d+)/g)
  // The pattern takes these four letters only.
  return Array.from(found, ([, chunk, kind, microbatch]) => {
    return { kind: kind as PipelineAction['kind'], chunk: Number(chunk), microbatch: Number(microbatch) }
  })
}

/** The direction that a microbatch takes. */
export function directionOf({ directions }: Pipeline, microbatch: number, microbatches: number): number {
  return Math.floor((microbatch * directions) / microbatches)
}

/** The chunks of one direction, in the order of the data. */
export function chunksOf({ chunks, directions }: Pipeline, direction: number): readonly Chunk[] {
  const each = chunks.length / directions
  return chunks.slice(direction * each, (direction + 1) * each)
}

/** The coordinate that holds an iteration, or what stands before or behind all of them, in one direction. */
export function holderOf({ chunks, directions }: Pipeline, at: number | Stage, direction = 0): number {
  const each = chunks.length / directions
  const [first, end] = [direction * each, (direction + 1) * each]
  // Asked for every iteration of every rank, so without lists of its own.
  let place = at === 'last' ? end - 1 : first
  if (typeof at === 'number')
    while (place < end && !((chunks[place]?.from ?? 0) <= at && at < (chunks[place]?.to ?? 0))) place++
  const found = place < end ? chunks[place] : undefined
  assert(found, `no chunk of the pipeline holds \`${at}\``)
  return found.rank
}

/** The coordinates, ascending, that hold one of several places, by default in any direction. */
export function holdersOf(pipeline: Pipeline, places: readonly (number | Stage)[], direction?: number): number[] {
  const directions = direction !== undefined ? [direction] : pipeline.directions === 2 ? [0, 1] : [0]
  const [place] = places
  // Asked for every node of every rank.
  if (directions.length === 1 && places.length === 1 && place !== undefined) {
    return [holderOf(pipeline, place, directions[0])]
  }
  const all = directions.flatMap((direction) => places.map((at) => holderOf(pipeline, at, direction)))
  return [...new Set(all)].sort((a, b) => a - b)
}

/**
 * The coordinates of the pipeline that run a node, by default in any direction; undefined: all of them. `iteration` is that
 * of the axis that the chunks divide, where the node stands inside of it. What an optimizer operator adds to a sum over
 * the pipeline, the first holder of its parameter adds alone.
 */
export function runsAt(
  pipeline: Pipeline,
  node: OperatorNode,
  iteration: number | undefined,
  direction?: number,
): number[] | undefined {
  const places = iteration === undefined ? node.stages : [iteration]
  const holders = places && holdersOf(pipeline, places, direction)
  const terms = Object.values(node.partition?.partial ?? {}).some((operands) => operands.length === 0)
  return node.updates !== undefined && terms ? holders?.slice(0, 1) : holders
}

/** The atoms of the pipeline's axis; none without a pipeline. */
export function pipelineAtoms({ mesh, pipeline }: Pick<Program, 'mesh' | 'pipeline'>): readonly string[] {
  return (pipeline && findAxis(mesh, pipeline.axis)?.atoms) ?? []
}

/** The pipeline coordinate of a rank; 0 without a pipeline. */
export function coordinateOf(program: Pick<Program, 'mesh' | 'pipeline'>, rank: number): number {
  const at = coordinates(program.mesh, rank)
  return pipelineAtoms(program).reduce((sum, atom) => sum * groupSize(program.mesh, [atom]) + (at.get(atom) ?? 0), 0)
}

/** How many ranks take part in a communication node, of those along its atoms that run it; a transfer has two. */
export function groupSizeOf(program: Program, node: OperatorNode, { path }: Pick<Place, 'path'>): number {
  const { mesh, pipeline } = program
  if (node.op === 'send' || node.op === 'recv') return 2
  const atoms = node.communication?.atoms ?? []
  const over = pipelineAtoms(program)
  if (!pipeline || !atoms.some((atom) => over.includes(atom))) return groupSize(mesh, atoms)
  const at = path.find(({ region }) => region.axis === pipeline.over)
  const iteration =
    at && Array.from({ length: at.region.extent }, (_, i) => i).find((i) => bodyAt(at.region, i) === at.body)
  const members = runsAt(pipeline, node, iteration)?.length ?? groupSize(mesh, over)
  return (
    members *
    groupSize(
      mesh,
      atoms.filter((atom) => !over.includes(atom)),
    )
  )
}
