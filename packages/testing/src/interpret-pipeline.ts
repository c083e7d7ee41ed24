import {
  actionsOf,
  type Chunk,
  coordinateOf,
  directionOf,
  type Mesh,
  type OperatorNode,
  type Pipeline,
  type PipelineAction,
  type Program,
  pipelineAtoms,
  type Region,
  regionsOf,
  runsAt,
  ShardloomError,
} from '@shardloom/core'
import { sendersOf } from '@shardloom/core/unroll'
import { collectiveError } from './interpret-errors.js'

/** The ranks that run a node together, ascending, and their mesh. */
export interface Team {
  readonly ranks: readonly number[]
  readonly mesh: Mesh
}

/** What of a region's body one action of a schedule runs. */
export interface Part {
  /** The coordinate that runs it. */
  readonly coordinate: number
  readonly microbatch: number
  readonly accepts: (node: OperatorNode, iteration: number | undefined) => boolean
  /** The iterations of the divided axis, from and to. */
  readonly chunk: Chunk
}

/** Who runs what in a program with a pipeline; without one every rank runs everything. */
export class Crew {
  private readonly teams = new Map<string, Team>()
  private readonly byCoordinate: readonly (readonly number[])[]
  private readonly microbatches: number
  private readonly senders: ReturnType<typeof sendersOf>

  constructor(private readonly program: Program) {
    const { mesh, pipeline, items } = program
    const all = Array.from({ length: mesh.world }, (_, rank) => rank)
    const coordinates = all.map((rank) => (pipeline ? coordinateOf(program, rank) : 0))
    const count = Math.max(...coordinates) + 1
    this.byCoordinate = Array.from({ length: count }, (_, at) => all.filter((rank) => coordinates[rank] === at))
    this.senders = sendersOf(program)
    this.microbatches = regionsOf(items).find(({ axis }) => axis === 'microbatch')?.extent ?? 1
  }

  /** The pipeline's coordinates that run a node in these iterations; undefined: all. */
  coordinatesOf(node: OperatorNode, iterations: ReadonlyMap<string, number>): readonly number[] | undefined {
    const { pipeline } = this.program
    if (!pipeline) return undefined
    const microbatch = iterations.get('microbatch')
    const direction = microbatch === undefined ? undefined : directionOf(pipeline, microbatch, this.microbatches)
    return runsAt(pipeline, node, iterations.get(pipeline.over), direction)
  }

  /** The ranks at some coordinates, by default at all. */
  team(coordinates: readonly number[] | undefined): Team {
    const key = coordinates?.join() ?? 'all'
    const known = this.teams.get(key)
    if (known) return known
    const { mesh } = this.program
    const over = pipelineAtoms(this.program)
    const ranks = (coordinates ?? [...this.byCoordinate.keys()]).flatMap((at) => this.byCoordinate[at] ?? [])
    const degree = coordinates?.length
    const atoms = mesh.atoms.flatMap((atom) => {
      if (degree === undefined || !over.includes(atom.name)) return [atom]
      return degree > 1 ? [{ name: atom.name, degree }] : []
    })
    const team = { ranks: ranks.sort((a, b) => a - b), mesh: { ...mesh, world: ranks.length, atoms } }
    this.teams.set(key, team)
    return team
  }

  /** The rank that has sent what a recv reads: the one with the same other coordinates that ran the send. */
  sender(node: OperatorNode, iterations: ReadonlyMap<string, number>, rank: number): number {
    const send = this.senders({ node, iterations })
    const [coordinate] = (send && this.coordinatesOf(send.node, send.iterations)) ?? []
    if (coordinate === undefined) throw collectiveError(node, `receives \`${node.inputs[0]}\`, which no send has made`)
    const own = this.byCoordinate[coordinateOf(this.program, rank)] ?? []
    return this.byCoordinate[coordinate]?.[own.indexOf(rank)] ?? rank
  }
}

/** Whether the schedule of a pipeline says in which order a region's iterations run. */
export function isScheduled(region: Region, pipeline: Pipeline): boolean {
  return region.axis === 'microbatch' && pipeline.actions.length > 0
}

/**
 * Runs a region's iterations action by action, each coordinate in the order of its own list: in turns, every coordinate
 * that can go on runs one. Throws `DEADLOCK` with what each coordinate waits for when none can.
 */
export function runSchedule(pipeline: Pipeline, run: (part: Part) => void): void {
  const lists = pipeline.actions.map((_, coordinate) => actionsOf(pipeline, coordinate))
  const done = new Set<string>()
  const at = lists.map(() => 0)
  const per = pipeline.chunks.length / pipeline.directions
  const keyOf = (kind: string, chunk: number, microbatch: number) => `${chunk}${kind}${microbatch}`
  const needs = ({ kind, chunk, microbatch }: PipelineAction): string | undefined => {
    const inside = chunk % per
    if (kind === 'F') return inside > 0 ? keyOf('F', chunk - 1, microbatch) : undefined
    if (kind === 'W') return keyOf('I', chunk, microbatch)
    if (!done.has(keyOf('F', chunk, microbatch))) return keyOf('F', chunk, microbatch)
    return inside < per - 1 ? keyOf('I', chunk + 1, microbatch) : undefined
  }
  for (let moved = true; moved; ) {
    moved = false
    for (const [coordinate, list] of lists.entries()) {
      const action = list[at[coordinate] ?? 0]
      const need = action && needs(action)
      if (!action || (need !== undefined && !done.has(need))) continue
      run(partOf(action, pipeline, coordinate))
      done.add(keyOf(action.kind === 'B' ? 'I' : action.kind, action.chunk, action.microbatch))
      at[coordinate] = (at[coordinate] ?? 0) + 1
      moved = true
    }
  }
  const waiting = lists.flatMap((list, coordinate) => {
    const action = list[at[coordinate] ?? 0]
    return action
      ? [
          `${pipeline.axis} ${coordinate} stands at ${keyOf(action.kind, action.chunk, action.microbatch)} and waits for ${needs(action)}`,
        ]
      : []
  })
  if (waiting.length === 0) return
  throw new ShardloomError(
    'DEADLOCK',
    `The schedule \`${pipeline.schedule}\` cannot go on: ${waiting.slice(0, 4).join('; ')}.`,
    {
      subject: pipeline.schedule,
      help: 'Each action must come after those that make what it reads.',
    },
  )
}

function partOf({ kind, chunk: stage, microbatch }: PipelineAction, pipeline: Pipeline, coordinate: number): Part {
  const per = pipeline.chunks.length / pipeline.directions
  const chunk = pipeline.chunks[stage] ?? { from: 0, to: 0, rank: -1 }
  const inside = stage % per
  const ends = { first: inside === 0, last: inside === per - 1 }
  const kinds: Readonly<Record<PipelineAction['kind'], readonly (string | undefined)[]>> = {
    F: [undefined],
    I: ['input'],
    W: ['weight'],
    B: ['input', 'weight'],
  }
  return {
    coordinate,
    microbatch,
    chunk,
    accepts: (node, iteration) => {
      if (!kinds[kind].includes(node.gradient)) return false
      if (iteration !== undefined) return iteration >= chunk.from && iteration < chunk.to
      return node.stages?.some((place) => ends[place]) ?? false
    },
  }
}
